"""Many requests to the demo from several clients at once: failures, waiting time, memory, files left.

    python -m benchmarks.demo_load --requests 1000 --clients 8

Starts the demo of `space/` as a process of its own and sends it rendered pairs through its endpoint `/fuse`, each
client its next one as soon as its last is answered. Every answer is checked to be a PNG of the photo's size. A run is
bounded by `--requests` and `--minutes`, whichever comes first. The exit status is 1 if a request failed or files are
left after the demo has ended.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from gradio_client import Client, handle_file
from PIL import Image
from tqdm import tqdm

from maefuse_hf import MaeFuseConfig, MaeFuseImageProcessor, MaeFuseModel
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.image_files import write_image

APP = Path(__file__).parent.parent / "space" / "app.py"
PORT = 7877
SECONDS_TO_START = 600
SECONDS_TO_END = 300
PAIRS = 4
KIBIBYTES_PER_MEGABYTE = 1e6 / 1024
TINY_ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
TINY_DECODER = {"decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}


@dataclass
class Load:
    """What clients met, filled by their threads."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the demo under load.")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=60, help="no request is sent after so long")
    parser.add_argument("--size", default="320x240", help="width x height of the images")
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    parser.add_argument("--tiny", action="store_true", help="a model of a few thousand random weights, to try this")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pairs = rendered_pairs(work / "pairs", height, width)
        model = tiny_model(work / "tiny") if options.tiny else options.model
        return measure(options, work, pairs, model)


def measure(options: argparse.Namespace, work: Path, pairs: list[tuple[Path, Path]], model: str | None) -> int:
    """Start the demo, send it requests, end it, and print what came of it."""
    cache = work / "cache"
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(cache), "GRADIO_SERVER_PORT": str(PORT), "HF_HUB_OFFLINE": "1"}
    if model:
        environment["MAEFUSE_MODEL"] = model
    with (work / "log").open("w") as log:
        demo = subprocess.Popen([sys.executable, str(APP)], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(demo, work / "log")
        # the first request loads what is loaded once
        send(Client(f"http://127.0.0.1:{PORT}", verbose=False, download_files=work / "answers"), pairs[0])
        before = resident_megabytes(demo.pid)
        started = time.monotonic()
        load = sent(options.requests, options.clients, options.minutes * 60, pairs, work / "answers")
        elapsed = time.monotonic() - started
        files = count_files(cache)
        print(
            f"{len(load.seconds)} requests of {options.size} pixels answered for {options.clients} clients in "
            f"{elapsed:.0f} s, {len(load.failures)} failed"
        )
        print(waiting_time(load.seconds))
        print(f"memory of the demo: {before:.0f} MB before, {resident_megabytes(demo.pid):.0f} MB after", flush=True)
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(SECONDS_TO_END)
    left = count_files(cache)
    print(f"files in its folder: {files} while it ran, {left} after it ended")
    for failure in sorted(set(load.failures)):
        print(f"failed {load.failures.count(failure)} times: {failure}")
    return 1 if load.failures or left else 0


def waiting_time(seconds: list[float]) -> str:
    """Median and 95th percentile, in a line."""
    if not seconds:
        return "waiting time: no request was answered"
    waited = sorted(seconds)
    late = waited[min(len(waited) - 1, round(0.95 * len(waited)))]
    return f"waiting time: median {statistics.median(waited):.2f} s, 95 % within {late:.2f} s"


def rendered_pairs(folder: Path, height: int, width: int) -> list[tuple[Path, Path]]:
    """Files of a few pairs, infrared and visible."""
    folder.mkdir()
    paths = []
    for seed in range(PAIRS):
        pair = folder / f"{seed}-infrared.png", folder / f"{seed}-visible.png"
        for image, path in zip(render_example_pair(height, width, seed=seed), pair):
            write_image(image, path)
        paths.append(pair)
    return paths


def tiny_model(folder: Path) -> str:
    """The folder of a model that answers in milliseconds."""
    MaeFuseModel(MaeFuseConfig(encoder_config=TINY_ENCODER, tile_size=16, **TINY_DECODER)).save_pretrained(folder)
    MaeFuseImageProcessor(size_divisor=TINY_ENCODER["patch_size"]).save_pretrained(folder)
    return str(folder)


def wait_for(demo: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the demo answers; a `RuntimeError` with what it wrote if it ends or takes too long."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and demo.poll() is None:
        if "Running on" in log.read_text():
            return
        time.sleep(0.5)
    raise RuntimeError(f"The demo did not start:\n{log.read_text()}")


def sent(count: int, clients: int, seconds: float, pairs: list[tuple[Path, Path]], answers: Path) -> Load:
    """Send so many requests from so many clients, none after so many seconds."""
    load, lock = Load(), threading.Lock()
    numbers = iter(range(count))
    deadline = time.monotonic() + seconds
    bar = tqdm(total=count, unit="request")

    def work() -> None:
        client = Client(f"http://127.0.0.1:{PORT}", verbose=False, download_files=answers)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None or time.monotonic() > deadline:
                return
            started = time.monotonic()
            failure = ""
            try:
                send(client, pairs[number % len(pairs)])
            # whatever goes wrong for a client is what is measured here
            except Exception as error:
                failure = f"{type(error).__name__}: {error}"
            with lock:
                bar.update()
                if failure:
                    load.failures.append(failure)
                else:
                    load.seconds.append(time.monotonic() - started)

    with ThreadPoolExecutor(clients) as threads:
        for running in [threads.submit(work) for _ in range(clients)]:
            running.result()
    bar.close()
    return load


def send(client: Client, pair: tuple[Path, Path]) -> None:
    """One request; a `ValueError` unless the answer is a PNG of the photo's size, which is deleted."""
    answer = Path(client.predict(*(handle_file(str(path)) for path in pair), api_name="/fuse"))
    with Image.open(answer, formats=("PNG",)) as fused, Image.open(pair[1], formats=("PNG",)) as photo:
        if fused.size != photo.size:
            raise ValueError(f"the answer is {fused.size}, the photo {photo.size}")
        fused.load()
    answer.unlink()


def resident_megabytes(process: int) -> float:
    """The memory that a process holds now (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / KIBIBYTES_PER_MEGABYTE


def count_files(folder: Path) -> int:
    """How many files are in a folder, however deep."""
    return sum(path.is_file() for path in folder.rglob("*"))


if __name__ == "__main__":
    sys.exit(main())
