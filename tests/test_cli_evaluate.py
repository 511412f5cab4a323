import csv
import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import onnx_of_a_sum, small_model
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cli import evaluate, main
from maefuse_hf.evaluation import plots
from maefuse_hf.evaluation.baselines import BASELINES
from maefuse_hf.evaluation.processes import Processes
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.visualization.captioned_row import GAP

STATISTICS = ["EN", "SD", "SF", "AG", "MI"]
LIKENESSES = ["CC", "SCD", "VIF", "Qabf", "SSIM", "MS-SSIM"]
MEASURES = [*STATISTICS, *LIKENESSES, "PSNR", "MSE", "Nabf", "VIF matched", "hot_contrast", "visible_gradient"]
STABILITY = ["crop change", "frame change"]


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def quarters(folder, name, first, second):
    """8×8: infrared 0 | first in columns, visible 0 | second in rows."""
    save(folder / "infrared" / f"{name}.png", np.tile(np.repeat([0, first], 4), (8, 1)))
    save(folder / "visible" / f"{name}.png", np.tile(np.repeat([0, second], 4)[:, None], (1, 8)))


def run(*arguments):
    return main([str(argument) for argument in arguments])


def read(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        rows = {(row["dataset"], row["pair"], row["system"]): row for row in csv.DictReader(file)}
    return rows, json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Three rendered pairs of different sizes and a broken one, and a small random model."""
    folder = tmp_path_factory.mktemp("scenes")
    for number in range(3):
        infrared, visible = render_example_pair(64, 75 + number, seed=number)
        save(folder / "night" / "infrared" / f"{number}.png", infrared)
        save(folder / "night" / "visible" / f"{number}.png", visible)
    for half in ("infrared", "visible"):
        (folder / "night" / half / "3.png").write_bytes(b"no image")
    small_model().save_pretrained(folder / "tiny")
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def measured(scenes, tmp_path_factory):
    """What the command writes for them in one process with one thread, as each of several processes has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("out")
    status = run("evaluate", "--dataset", scenes / "night", "--model", scenes / "tiny", "-o", out, "--device", "cpu")
    torch.set_num_threads(threads)
    assert status == 1
    return out


@pytest.fixture
def no_plots(monkeypatch):
    """Plots have tests of their own and take seconds."""
    monkeypatch.setattr(plots, "plot_metric", lambda rows, metric: b"")
    monkeypatch.setattr("maefuse_hf.evaluation.report.plot_metric", lambda rows, metric: b"")


def test_hand_computed_values_through_the_whole_command(tmp_path, no_plots, capsys):
    quarters(tmp_path / "set", "a", 200, 100)
    quarters(tmp_path / "set", "b", 120, 120)
    for name in "ab":
        save(tmp_path / "copies" / f"{name}.png", Image.open(tmp_path / "set" / "visible" / f"{name}.png"))
    half = np.full((8, 8), 50)
    half[:, 4:] = 250
    for name in "ab":
        save(tmp_path / "halves" / f"{name}.png", half)
    fused = "--fused", f"Copy={tmp_path / 'copies'}", tmp_path / "halves"
    out = tmp_path / "out"
    assert run("evaluate", "--dataset", tmp_path / "set", *fused, "-o", out, "--device", "cpu") == 0

    rows, summary = read(out)
    systems = ["Copy", "halves", *BASELINES]
    assert list(rows) == [("set", pair, system) for pair in "ab" for system in systems]
    assert list(rows["set", "a", "Copy"]) == ["dataset", "pair", "system", *MEASURES, *STABILITY]
    values = {key: {name: float(row[name]) for name in ("EN", "SD", "MSE")} for key, row in rows.items()}
    assert values["set", "a", "average"] == pytest.approx({"EN": 2, "SD": 3125**0.5, "MSE": 3750 / 255**2})
    assert values["set", "b", "average"] == pytest.approx({"EN": 1.5, "SD": 1800**0.5, "MSE": 1800 / 255**2})
    assert values["set", "a", "maximum"]["EN"] == values["set", "a", "halves"]["EN"] + 0.5 == 1.5
    # 50 off the infrared everywhere; off the visible by 50 and 250 in its dark rows, by 50 and 150 in its bright ones
    assert values["set", "a", "halves"]["MSE"] == pytest.approx((2500 + (2500 + 62500 + 2500 + 22500) / 4) / 2 / 255**2)
    # known limits: a copy of a source has its row, and no SCD
    copy, visible = (rows["set", "a", system] for system in ("Copy", "visible alone"))
    assert [copy[name] for name in MEASURES] == [visible[name] for name in MEASURES]
    assert copy["SCD"] == copy["VIF"] == copy["MS-SSIM"] == "" and copy["Nabf"] == "0.0"

    average = summary["datasets"]["set"]["systems"]["average"]
    assert summary["datasets"]["set"]["pairs"] == 2 and summary["problems"] == 0
    assert average["EN"] == pytest.approx({"mean": 1.75, "low": 1.5, "high": 2.0, "pairs": 2})
    assert average["VIF"] == {"mean": None, "low": None, "high": None, "pairs": 0}

    printed = capsys.readouterr().out
    assert "model:" not in printed
    for fact in ("size: every pair at its own", "colour: luminance, Y of BT.601", "definitions: all standard"):
        assert printed.index(fact) < printed.index("average ")
    # the rule's fine steps at the quarters' borders have more grey levels than the average's four
    assert re.search(r"^average +1\.750 ", printed, re.MULTILINE)
    assert re.search(r"^rule +\d\.\d{3}\*", printed, re.MULTILINE)
    line = next(line for line in (out / "metrics.md").read_text().splitlines() if line.startswith("| average"))
    assert line.startswith("| average | 1.750 [1.500, 2.000] |") and "| – |" in line
    row = Image.open(out / "set" / "a.png")
    assert row.width == 4 * 8 + 3 * GAP


def test_a_model_is_measured_beside_the_baselines(scenes, measured):
    rows, summary = read(measured)
    assert list(rows) == [("night", pair, system) for pair in "012" for system in ["tiny", *BASELINES]]
    assert list(rows["night", "0", "tiny"]) == ["dataset", "pair", "system", *MEASURES, "decoder PSNR", *STABILITY]
    assert float(rows["night", "0", "tiny"]["decoder PSNR"]) > 0 and rows["night", "0", "average"]["decoder PSNR"] == ""
    systems = summary["datasets"]["night"]["systems"]
    own = [float(rows["night", pair, "tiny"]["EN"]) for pair in "012"]
    assert systems["tiny"]["EN"]["mean"] == pytest.approx(np.mean(own), rel=1e-12)
    assert sorted(path.name for path in (measured / "night").iterdir()) == ["0.png", "1.png", "2.png"]
    assert summary["problems"] == 1
    about = summary["about"]
    assert about["model"] == "tiny" and about["definitions"]["SSIM"] == "standard"
    digest = hashlib.sha256((scenes / "tiny" / "model.safetensors").read_bytes()).hexdigest()
    assert about["weights sha256"] == {"model.safetensors": digest}
    assert list(about["data sha256"]) == ["night"]
    assert f"- **weights sha256**: model.safetensors {digest}\n" in (measured / "metrics.md").read_text()
    assert str(scenes) not in (measured / "metrics.json").read_text()


def test_the_report_shows_the_best_the_median_and_the_worst_pair(measured):
    page = (measured / "report.html").read_text()
    titles = re.findall(r"<h3>night, (best|median|worst): ([012])</h3>", page)
    assert [label for label, _ in titles] == ["best", "median", "worst"]
    assert sorted(pair for _, pair in titles) == ["0", "1", "2"]
    assert page.count("data:image/jpeg") == 9 and page.count("data:image/png") == len([*MEASURES, *STABILITY]) + 1


@pytest.mark.slow
def test_two_processes_write_what_one_writes(scenes, measured, tmp_path):
    processes = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launch = ["accelerate.commands.launch", *processes, "--mixed_precision", "no", "--dynamo_backend", "no"]
    command = [sys.executable, "-m", *launch, "-m", "maefuse_hf.cli", "evaluate"]
    arguments = ["--dataset", scenes / "night", "--model", scenes / "tiny", "-o", tmp_path, "--device", "cpu"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=280
    )
    assert finished.returncode == 1 and "night/3: infrared" in finished.stderr, finished.stderr
    # the main process measured two of the four pairs, and it alone printed: the others were the other process's
    assert "2/2 [" in finished.stderr and "/4 [" not in finished.stderr
    assert finished.stdout.count("definitions: all standard") == 1
    names = ["metrics.csv", "metrics.md", "metrics.json", "report.html", *(f"night/{pair}.png" for pair in "012")]
    assert all((tmp_path / name).is_file() for name in names), finished.stderr
    for name in names:
        assert (tmp_path / name).read_bytes() == (measured / name).read_bytes(), name


@pytest.mark.parametrize(("index", "written"), [(0, True), (1, False)])
def test_no_process_ends_before_the_main_one_has_written(tmp_path, no_plots, monkeypatch, index, written):
    quarters(tmp_path / "set", "a", 200, 100)
    (tmp_path / "set" / "infrared" / "b.png").write_bytes(b"no partner")
    at_the_wait = []
    processes = Processes(index, 2, wait=lambda: at_the_wait.append((tmp_path / "out" / "report.html").is_file()))
    monkeypatch.setattr(evaluate, "launched_processes", lambda: processes)
    arguments = "--dataset", tmp_path / "set", "--fused", f"x={tmp_path / 'set' / 'visible'}", "-o", tmp_path / "out"
    # only the main process says by its status that a pair failed
    assert run("evaluate", *arguments, "--no-images") == int(written)
    assert at_the_wait == [written]


def test_broken_pairs_are_reported_and_the_rest_is_measured(tmp_path, no_plots, capsys):
    for name in "abcde":
        quarters(tmp_path / "set", name, 200, 100)
        save(tmp_path / "other" / f"{name}.png", np.full((8, 8), 7))
    save(tmp_path / "other" / "a.png", np.full((8, 9), 7))
    (tmp_path / "other" / "b.png").unlink()
    (tmp_path / "set" / "infrared" / "c.png").write_bytes(b"no image")
    save(tmp_path / "set" / "visible" / "d.png", np.arange(72).reshape(8, 9))
    (tmp_path / "set" / "visible" / "e.png").rename(tmp_path / "set" / "visible" / "f.png")
    out = tmp_path / "out"
    arguments = "--dataset", tmp_path / "set", "--fused", tmp_path / "other", "-o", out, "--no-images"
    assert run("evaluate", *arguments) == 1
    rows, summary = read(out)
    assert list(rows) == [("set", pair, system) for pair in "ab" for system in BASELINES]
    told = capsys.readouterr().err
    problems = (
        "set/a, other: the fused image is 9×8 px, the pair is 8×8 px",
        "set/b, other: one image b.* is needed",
        "set/c: infrared (",
        "set/d: infrared is 8×8 px, visible is 9×8 px",
        "e.png has no partner e.*",
        "f.png has no partner f.*",
    )
    assert all(problem in told for problem in problems)
    assert summary["problems"] == len(problems) == told.count("maefuse: ")
    for name in ("metrics.md", "report.html"):
        text = (out / name).read_text()
        assert all(problem in text for problem in problems)
    assert [path.name for path in out.iterdir() if path.is_dir()] == []


def test_several_data_sets_have_a_folder_each_in_the_fused_folder(tmp_path, no_plots):
    for dataset, level in (("one", 100), ("two", 120)):
        quarters(tmp_path / dataset, "a", 200, level)
        save(tmp_path / "other" / dataset / "a.png", Image.open(tmp_path / dataset / "visible" / "a.png"))
    datasets = "--dataset", tmp_path / "one", tmp_path / "two"
    assert run("evaluate", *datasets, "--fused", tmp_path / "other", "-o", tmp_path / "out") == 0
    rows, _ = read(tmp_path / "out")
    assert [float(rows[name, "a", "other"]["SD"]) for name in ("one", "two")] == [50, 60]
    # the same folder serves for one of them alone
    assert run("evaluate", *datasets[:2], "--fused", tmp_path / "other", "-o", tmp_path / "out1") == 0
    assert read(tmp_path / "out1")[0]["one", "a", "other"] == rows["one", "a", "other"]


class Infrared(torch.nn.Module):
    def forward(self, infrared, visible):
        return infrared


def test_damaged_pairs_and_a_network_by_path(scenes, tmp_path, no_plots, capsys):
    torch.jit.script(Infrared()).save(tmp_path / "theirs.pt")
    out = tmp_path / "out"
    arguments = ["--dataset", scenes / "night", "--torchscript", f"Theirs={tmp_path / 'theirs.pt'}", "-o", out]
    arguments += ["--damage", "haze", "black-hot", "--damage-pairs", 2, "--keep-damaged", "--device", "cpu"]
    assert run("evaluate", *arguments) == 1  # the broken pair
    told = capsys.readouterr()
    assert told.err.count("maefuse: ") == 1
    line = next(line for line in told.out.splitlines() if line.startswith("| Theirs | "))
    rows, _ = read(out)
    assert [rows["night", "0", name]["EN"] for name in ("Theirs",)] == [rows["night", "0", "infrared alone"]["EN"]]
    damage = json.loads((out / "damage.json").read_text())
    assert damage["pairs"] == 1 and list(damage["share kept"]) == ["Theirs", *BASELINES]
    kept = {kind: own["share kept"]["mean"] for kind, own in damage["share kept"]["Theirs"].items()}
    # haze is in the image that it does not look at
    assert kept["haze"] == 1 > kept["black-hot"] and f"{(kept['haze'] + kept['black-hot']) / 2:.3f}" in line
    kinds = sorted(path.name for path in (out / "damaged" / "night").iterdir())
    assert kinds == [f"{kind}-{strength}" for kind in ("black-hot", "haze") for strength in (1, 2, 3)]
    assert (out / "damage.png").is_file() and len(list((out / "damage_worst").iterdir())) == 2


def test_a_model_and_exported_files_in_one_run(scenes, tmp_path, no_plots, capsys):
    pytest.importorskip("onnxscript", reason="needs the extra maefuse-hf[onnx]")
    files = {name: onnx_of_a_sum(tmp_path / name, weight) for name, weight in (("mean", 0.5), ("dark", 0.25))}
    out = tmp_path / "out"
    arguments = ["--dataset", scenes / "night", "-o", out, "--device", "cpu", "--no-images"]
    arguments += ["--onnx", *(f"tiny, {name}={path}" for name, path in files.items())]
    assert run("evaluate", *arguments, "--model", scenes / "tiny", "--damage", "haze", "--damage-pairs", 1) == 1
    rows, summary = read(out)
    systems = ["tiny", "tiny, mean", "tiny, dark"]
    assert list(rows) == [("night", pair, system) for pair in "012" for system in [*systems, *BASELINES]]
    # the average of rounded luminances, where the file has those before they are rounded
    means = {name: own["SD"]["mean"] for name, own in summary["datasets"]["night"]["systems"].items()}
    assert means["tiny, mean"] == pytest.approx(means["average"], rel=0.01)
    assert means["tiny, dark"] == pytest.approx(means["average"] / 2, rel=0.02)
    assert float(rows["night", "0", "tiny, dark"]["crop change"]) == 0
    damage = json.loads((out / "damage.json").read_text())
    assert list(damage["share kept"]) == [*systems, *BASELINES]
    digests = {f"tiny, {name}": hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    for about in (summary["about"], damage["about"]):
        assert about["onnx sha256"] == digests and list(about["weights sha256"]) == ["model.safetensors"]
    assert f"onnx sha256: tiny, mean {digests['tiny, mean']}, tiny, dark" in capsys.readouterr().out
    # alone, no model is loaded
    assert run("evaluate", *arguments) == 1
    rows, summary = read(out)
    assert list(rows)[:2] == [("night", "0", name) for name in systems[1:]]
    assert "model" not in summary["about"] and summary["about"]["onnx sha256"] == digests


def test_strategies_and_definitions_have_names(scenes, tmp_path, no_plots, capsys):
    arguments = "--dataset", scenes / "night", "--model", scenes / "tiny", "-o", tmp_path, "--no-images"
    assert run("evaluate", *arguments, "--fusion", "mean", "--definition", "vifb") == 1
    rows, summary = read(tmp_path)
    assert ("night", "0", "tiny (fusion mean)") in rows
    assert summary["about"]["definitions"]["MI"] == "vifb"
    assert (
        "definitions: AG vifb, MI vifb, PSNR vifb, SF vifb, SSIM vifb, all others standard" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "set", "--fused", "average=fused"], "Another row or image is called average"),
        (["--dataset", "set", "--fused", "x=fused", "x=fused"], "Another row or image is called x"),
        (["--dataset", "set", "--fused", "nowhere"], "nowhere is no folder of fused images"),
        (["--dataset", "set", "--onnx", "x=model.onnx"], "x: there is no file model.onnx"),
        (["--dataset", "set", "--onnx", "x=fused"], "fused is no ONNX export"),
        (["--dataset", "set", "set"], "Two data sets are called set"),
        (["--dataset", "fused"], "holds neither"),
        (["--dataset", "set", "-o", "set/infrared/a.png"], "Cannot make the folder"),
        (["--dataset", "set", "--fused", "results", "-o", "results"], "is one of the inputs"),
        (["--dataset", "set", "-o", "set/visible", "--no-images"], "visible is one of the inputs"),
        (["--dataset", "set", "-o", "link", "--no-images"], "link is one of the inputs"),
        (["--dataset", "set", "-o", "loop"], "loop cannot be used: Too many levels of symbolic links"),
        (["--dataset", "bad", "--fused", "fused"], "No pair could be measured"),
    ],
)
def test_what_cannot_work_is_said(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    quarters(tmp_path / "set", "a", 200, 100)
    quarters(tmp_path / "bad", "a", 200, 100)
    (tmp_path / "bad" / "visible" / "a.png").write_bytes(b"no image")
    for folder in ("fused", "results/set"):
        save(tmp_path / folder / "a.png", np.full((8, 8), 7))
    (tmp_path / "link").symlink_to(tmp_path / "set" / "infrared")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert run("evaluate", "-o", "out", *arguments) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("metrics.*"))


def test_without_matplotlib_nothing_is_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None)
    assert run("evaluate", "--dataset", tmp_path / "nowhere", "-o", tmp_path / "out") == 1
    assert 'pip install "maefuse-hf[evaluate]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_shipped_model_is_measured_if_nothing_is_named(monkeypatch, tmp_path):
    loaded = []

    def load(options, device):
        loaded.append(options.model)
        raise ValueError("stop here")

    monkeypatch.setattr(evaluate, "load_model", load)
    quarters(tmp_path / "set", "a", 200, 100)
    save(tmp_path / "fused" / "a.png", np.full((8, 8), 7))
    arguments = "evaluate", "--dataset", tmp_path / "set", "-o", tmp_path / "out"
    assert run(*arguments) == 1 and loaded == [None]
    assert run(*arguments, "--fused", tmp_path / "fused", "--model", "m") == 1 and loaded == [None, "m"]
