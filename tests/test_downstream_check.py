"""The whole downstream check at toy size: rendered pairs, a detector of hot areas, networks that start at random."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from conftest import onnx_of_a_sum
from PIL import Image

from benchmarks.downstream import __main__ as downstream
from benchmarks.downstream import segment
from benchmarks.downstream.__main__ import Scale, Stacked, check, split_pairs
from benchmarks.downstream.bootstrap import Interval
from benchmarks.downstream.detect import ImageFolder
from benchmarks.downstream.detector import Detections
from benchmarks.downstream.fusing import AVERAGE_WITH_DETAIL, STACKED, FusedSystem, fuse_all, systems_of
from benchmarks.downstream.report import compared
from benchmarks.downstream.segmentation import Recipe
from maefuse_hf.evaluation.baselines import SOURCES_ALONE
from maefuse_hf.evaluation.runner import BASELINE_SYSTEMS, System
from maefuse_hf.inference import find_pairs

TOY = Scale(
    training_step=1,
    seeds=(0,),
    resamples=20,
    recipe=Recipe(size=(32, 48), crop=(32, 32), epochs=1, batch_size=2),
)
TEST, TRAINING = ["p_1D", "p_2N"], ["p_5D", "p_6N"]


class BrightAreas:
    """Finds the box of what is brighter than 200, as a person."""

    identity = "bright areas"

    def detect(self, image):
        rows, columns = np.nonzero(image[..., 0] > 200)
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]] if len(rows) else [], float)
        nothing = Detections(np.zeros(0), np.zeros((0, 4)))
        return {"person": Detections(np.full(len(box), 0.9), box.reshape(-1, 4)), "car": nothing}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pairs of 64×96 with a person that the infrared image alone shows; labels; lists of names."""
    top = tmp_path_factory.mktemp("data")
    folders = {name: top / name for name in ("pairs/infrared", "pairs/visible", "labels", "splits")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, name in enumerate([*TEST, "p_3D", "p_4N", *TRAINING]):
        labels = np.zeros((64, 96), np.uint8)
        labels[10:55, 10 + 10 * number : 25 + 10 * number] = 2
        infrared = np.where(labels == 2, 250, 40) + random.integers(0, 5, (64, 96))
        visible = np.tile(np.arange(96), (64, 1)) + random.integers(0, 5, (64, 96))
        for kind, levels in (("pairs/infrared", infrared), ("pairs/visible", visible), ("labels", labels)):
            Image.fromarray(levels.astype(np.uint8)).save(folders[kind] / f"{name}.png")
    (folders["splits"] / "downstream_test.txt").write_text("\n".join(TEST))
    (folders["splits"] / "validation.txt").write_text("p_3D\n")
    (folders["splits"] / "unused.txt").write_text("p_4N\n")
    return top, find_pairs(top / "pairs")[0]


class OneProcess:
    """Stands for the pool of processes."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future: Future = Future()
        future.set_result(function(*arguments))
        return future


def test_the_whole_check(data, tmp_path, monkeypatch):
    top, pairs = data
    monkeypatch.setattr(segment, "ProcessPoolExecutor", OneProcess)
    ours = next(system for system in BASELINE_SYSTEMS if system.name == "average")
    others = [*(system for system in BASELINE_SYSTEMS if system is not ours), AVERAGE_WITH_DETAIL]
    systems = [FusedSystem(system, "1") for system in (ours, *others)]
    arguments = (systems, pairs, top / "labels", top / "splits", BrightAreas(), None, tmp_path, TOY)
    results = check(*arguments)

    assert results["about"]["reference"] == "average" and results["about"]["test pairs"] == 2
    values = {system: own["value"] for system, own in results["detector"]["person"]["values"].items()}
    # the person has the level 250 in infrared and maximum, and less than 200 in the average and the visible image
    assert values["infrared alone"] == values["maximum"] == 1 and values["average"] == values["visible alone"] == 0
    assert results["detector"]["person"]["differences"]["maximum"]["real"] is True
    rows = list(results["segmenter"]["mIoU"]["values"])
    assert rows == [*(system.name for system in systems), "both stacked"]
    assert all(0 <= own["value"] <= 1 for own in results["segmenter"]["mIoU"]["values"].values())
    text = (tmp_path / "downstream.md").read_text()
    assert "| maximum |" in text and "- person: average loses to" in text
    assert json.loads((tmp_path / "downstream.json").read_text())["about"] == results["about"]
    assert Image.open(tmp_path / "downstream.png").width > 400

    # again: nothing is fused, found or trained a second time
    class Refusing:
        name = "average"

        def fuse(self, dataset, pair):
            raise AssertionError("fused again")

    class Blind(BrightAreas):
        def detect(self, image):
            raise AssertionError("looked again")

    monkeypatch.setattr(segment, "train_and_test", None)
    again = check([FusedSystem(Refusing(), "1"), *systems[1:]], *arguments[1:4], Blind(), None, tmp_path, TOY)
    assert repr(again) == repr(results)

    # some systems before the detector alone, whose columns stay
    fewer = check(*arguments, unsegmented=["maximum", "both stacked"])
    assert repr(fewer["detector"]) == repr(results["detector"])
    rows = list(fewer["segmenter"]["mIoU"]["values"])
    assert rows == [system.name for system in systems if system.name != "maximum"]
    assert check(*arguments, unsegmented=[*results["segmenter"]["mIoU"]["values"]])["segmenter"] == {}
    with pytest.raises(ValueError, match="No system is called mean; there are average, "):
        check(*arguments, unsegmented=["mean"])
    with pytest.raises(ValueError, match="compared with average"):
        check(*arguments, unsegmented=["average"])


def test_pairs_to_train_on_are_fused_for_a_segmenter_alone(data, tmp_path, monkeypatch):
    top, pairs = data
    monkeypatch.setattr(segment, "ProcessPoolExecutor", OneProcess)
    systems = [FusedSystem(system, "1") for system in BASELINE_SYSTEMS]
    first, *others = [*(system.name for system in systems), STACKED]
    unsegmented = [name for name in others if name != STACKED]
    check(systems, pairs, top / "labels", top / "splits", BrightAreas(), None, tmp_path, TOY, unsegmented)
    fused = {folder.name.removesuffix("-1"): len(list(folder.iterdir())) for folder in (tmp_path / "fused").iterdir()}
    full = {first, *SOURCES_ALONE}
    assert fused == {system.name: len(TEST) + len(TRAINING) * (system.name in full) for system in systems}


def test_training_pairs_are_in_no_list(data):
    top, pairs = data
    assert split_pairs(pairs, top / "labels", top / "splits", TOY) == (TRAINING, TEST)
    assert split_pairs(pairs, top / "labels", top / "splits", Scale(2, 2)) == (TRAINING[:1], TEST[:1])


def test_a_test_pair_without_images_is_named(data):
    top, pairs = data
    with pytest.raises(ValueError, match="no images or labels: p_1D"):
        split_pairs(pairs[1:], top / "labels", top / "splits", TOY)


def test_without_training_pairs_nothing_is_begun(data):
    top, pairs = data
    kept = [pair for pair in pairs if pair.name not in TRAINING]
    with pytest.raises(ValueError, match="none is left to train"):
        split_pairs(kept, top / "labels", top / "splits", TOY)


def test_both_sources_are_stacked(data):
    top, _ = data
    stacked = Stacked(ImageFolder(top / "pairs" / "infrared"), ImageFolder(top / "pairs" / "visible"))
    assert stacked["p_1D"].shape == (2, 64, 96) and stacked["p_1D"][0].max() > 200 > stacked["p_1D"][1].max()


def test_other_weights_have_another_folder(data, tmp_path):
    _, pairs = data
    system: System = AVERAGE_WITH_DETAIL
    first, other = (fuse_all(FusedSystem(system, identity), pairs[:1], tmp_path) for identity in ("1", "2"))
    assert first != other and [path.name for path in first.iterdir()] == ["p_1D.png"]


def test_two_systems_of_one_name_are_refused(data):
    top, _ = data
    folder = top / "pairs" / "visible"
    with pytest.raises(ValueError, match="called average"):
        systems_of([], [], [], [f"average={folder}"])
    names = [system.name for system in systems_of([], [], [], [f"theirs={folder}"])]
    assert names == ["theirs", *(system.name for system in BASELINE_SYSTEMS), "average + detail"]


def test_an_exported_file_has_its_digest(data, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra maefuse-hf[onnx]")
    _, pairs = data
    file = onnx_of_a_sum(tmp_path / "onnx")
    first, *_ = systems_of([], [f"mean={file}"], [], [])
    assert (first.name, first.weights_sha256) == ("mean", {"model.onnx": sha256(file.read_bytes()).hexdigest()})
    fused = Image.open(fuse_all(first, pairs[:1], tmp_path) / "p_1D.png").convert("L")
    infrared, visible = (np.asarray(Image.open(path)).astype(int) for path in (pairs[0].infrared, pairs[0].visible))
    # halves may be rounded either way
    assert np.abs(np.asarray(fused) - (infrared + visible) / 2).max() <= 0.5
    other, *_ = systems_of([], [f"mean={onnx_of_a_sum(tmp_path / 'onnx', 0.4)}"], [], [])
    assert other.identity != first.identity
    with pytest.raises(OSError, match="no file"):
        systems_of([], ["mean=nowhere/model.onnx"], [], [])


def test_losses_are_said_first():
    values = {name: Interval(0.5, 0.4, 0.6) for name in ("ours", "better", "worse", "like")}
    differences = {
        "better": Interval(0.1, 0.05, 0.2),
        "worse": Interval(-0.1, -0.2, -0.05),
        "like": Interval(0.0, -0.1, 0.1),
    }
    text = compared({"person": (values, differences)}, "ours")
    assert text == "- person: ours loses to better; wins over worse; not told apart from like."


def test_the_command(data, tmp_path, monkeypatch, capsys):
    top, _ = data
    seen = {}

    def noted(systems, pairs, labels, splits, detector, weights, out, scale, unsegmented):
        seen.update(systems=[system.name for system in systems], pairs=len(pairs), scale=scale, weights=weights)
        seen["unsegmented"] = list(unsegmented)
        (out / "downstream.md").write_text("the table")

    monkeypatch.setattr(downstream, "check", noted)
    monkeypatch.setattr(downstream, "TfliteDetector", lambda path: BrightAreas())
    monkeypatch.setattr(downstream, "encoder_weights", lambda: Path("weights.pth"))
    arguments = ["--pairs", top / "pairs", "--labels", top / "labels", "--detector", "any", "-o", tmp_path / "out"]
    arguments += ["--model", "--fused", f"theirs={top / 'pairs' / 'visible'}", "--quick"]
    assert downstream.main([str(argument) for argument in arguments]) == 0
    assert seen["systems"][0] == "theirs" and seen["pairs"] == 6 and seen["scale"] is downstream.QUICK
    assert "the table" in capsys.readouterr().out
    assert seen["unsegmented"] == [] and seen["weights"] == Path("weights.pth")
    assert downstream.main([str(argument) for argument in [*arguments, "--detector-only"]]) == 0
    assert seen["unsegmented"] == [*seen["systems"], STACKED] and seen["weights"] is None
    assert downstream.main([str(argument) for argument in [*arguments, "--detector-only", "rule", "average"]]) == 0
    assert seen["unsegmented"] == ["rule", "average"] and seen["weights"] == Path("weights.pth")
    assert downstream.main([str(argument) for argument in [*arguments, "--seeds", 2]]) == 0
    assert seen["scale"] == replace(downstream.QUICK, seeds=(0, 1))
    with pytest.raises(SystemExit):
        downstream.main([str(argument) for argument in [*arguments, "--seeds", 0]])
    assert "--seeds is 0; it must be 1 or more" in capsys.readouterr().err
