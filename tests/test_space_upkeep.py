import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import upkeep


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_old_files_go_wherever_they_lie(tmp_path):
    old, young = tmp_path / "a" / "b" / "old.png", tmp_path / "a" / "young.png"
    old.parent.mkdir(parents=True)
    for path, age in ((old, 100), (young, 10)):
        path.touch()
        aged(path, age)
    upkeep.delete_old(tmp_path, 50)
    assert not old.exists() and young.exists()
    aged(old.parent, 100)
    upkeep.delete_old(tmp_path, 50)
    assert not old.parent.exists() and young.exists() and tmp_path.exists()


def test_a_folder_that_is_not_there_yet(tmp_path):
    upkeep.delete_old(tmp_path / "nothing", 0)


def test_it_is_done_again_and_again(tmp_path):
    upkeep.keep_deleting(tmp_path, 0.01, 50)
    for _ in range(2):
        path = tmp_path / "old.png"
        path.touch()
        aged(path, 100)
        deadline = time.monotonic() + 10
        while path.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert not path.exists()


def test_the_cache_is_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    folder = tmp_path / "maefuse-space" / str(os.getpid())
    assert upkeep.choose_cache() == folder
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    assert upkeep.choose_cache().parent.name == "maefuse-space"


def test_what_killed_processes_left_goes_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    cache = tmp_path / "maefuse-space"
    left = [cache / str(ended.pid) / "a" / "old.png", cache / "0123" / "from before.png", cache / "stray.png"]
    kept = cache / str(os.getppid()) / "in use.png"
    for path in (*left, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    left[1].parent.rename(cache / "other")
    upkeep.choose_cache()
    assert list(cache.rglob("*.png")) == [kept]


def test_the_folder_goes_with_the_process(tmp_path):
    program = "import upkeep; folder = upkeep.choose_cache(); folder.mkdir(parents=True); (folder / 'a.png').touch()"
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path), "PYTHONPATH": str(Path(upkeep.__file__).parent)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert list((tmp_path / "maefuse-space").iterdir()) == []


def test_the_cache_goes_when_the_process_is_asked_to_end(tmp_path):
    program = (
        "import time, upkeep; folder = upkeep.choose_cache(); upkeep.leave_on_sigterm(); folder.mkdir(parents=True)\n"
        "(folder / 'fused.png').touch(); print(folder, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path), "PYTHONPATH": str(Path(upkeep.__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        folder = Path(process.stdout.readline().strip())
        assert (folder / "fused.png").exists()
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    assert not folder.exists()
