"""The table of checkpoints, from small models, small graphs and measurements that are written by hand."""

import json
import os

import pytest
from conftest import onnx_of_a_sum, small_model

from benchmarks import model_zoo, zoo_systems
from benchmarks.marked_block import replace_block
from benchmarks.model_zoo import COLUMNS, METRICS, SHORT_COLUMNS, Entry, main, read_quality, short_table, table
from benchmarks.zoo_systems import Checkpoint, OnnxFile, PixelRule
from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.evaluation import weights_sha256
from maefuse_hf.evaluation.provenance import file_sha256
from maefuse_hf.evaluation.summary import RANKING_METRICS
from training.model_card import marked

MARKS = "before\n<!-- {0} -->\nold\n<!-- /{0} -->\nafter\n"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folders = []
    for number, name in enumerate(("one", "two")):
        folder = tmp_path_factory.mktemp("zoo") / name
        model = small_model()
        model.decoder.predict.bias.data += number
        model.save_pretrained(folder)
        MaeFuseImageProcessor(size_divisor=8).save_pretrained(folder)
        folders.append(folder)
    return folders


@pytest.fixture
def systems(checkpoints):
    return [*map(Checkpoint, checkpoints), PixelRule()]


@pytest.fixture
def export(tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra maefuse-hf[onnx]")
    return OnnxFile("one, int8", onnx_of_a_sum(tmp_path / "onnx"))


def evaluation(folder, checkpoint, level, data="d1", damage=None, exports=(), rule=0.5):
    """Of a checkpoint, or of none, and of exported files, which lie 0.1 above it."""

    def values(mean):
        return {metric: {"mean": mean} for metric in METRICS}

    about = {"data sha256": {"A": data, "B": "d2"}}
    if checkpoint is not None:
        about |= {"model": "some name", "weights sha256": weights_sha256(checkpoint)}
    if exports:
        about["onnx sha256"] = {f"x {export.name}": file_sha256(export.path) for export in exports}
    datasets = {
        name: {
            "systems": {
                "some name": values(level + shift),
                **{f"x {export.name}": values(level + shift + 0.1) for export in exports},
                "rule": values(rule),
            }
        }
        for name, shift in (("A", 0), ("B", 0.2))
    }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"about": about, "datasets": datasets}))
    if damage is not None:
        shares = {"some name": damage, **{f"x {export.name}": damage / 2 for export in exports}, "rule": 0.25}
        kept = {name: {"all": {"share kept": {"mean": own}}} for name, own in shares.items()}
        (folder / "damage.json").write_text(json.dumps({"about": about, "share kept": kept}))
    return folder


def downstream(path, digests, value=0.125, rule=0.375):
    values = {name: {"value": own} for name, own in (("x", value), ("rule", rule))}
    cars = {name: {"value": own["value"] + 0.5} for name, own in values.items()}
    about = {"weights sha256": {"x": digests}}
    detector = {"person": {"values": values}, "car": {"values": cars}}
    path.write_text(json.dumps({"about": about, "detector": detector}))
    return path


def of_metrics(mean):
    return dict.fromkeys(METRICS, mean)


class TestQuality:
    def test_is_found_by_the_weights_and_averaged_over_data_sets(self, checkpoints, systems, tmp_path):
        folders = [
            evaluation(tmp_path / "b", checkpoints[1], 0.3, damage=0.75),
            evaluation(tmp_path / "a", checkpoints[0], 0.4),
        ]
        detected = downstream(tmp_path / "downstream.json", weights_sha256(checkpoints[0]))
        quality, data = read_quality(systems, folders, [detected])
        assert data == {"A": "d1", "B": "d2"}
        assert quality["one"] == pytest.approx({**of_metrics(0.5), "AP of people": 0.125, "AP of cars": 0.625})
        assert quality["two"] == pytest.approx({**of_metrics(0.4), "kept when damaged": 0.75})
        assert quality["rule"] == pytest.approx(
            {**of_metrics(0.5), "kept when damaged": 0.25, "AP of people": 0.375, "AP of cars": 0.875}
        )

    def test_of_exported_files_beside_a_model_and_alone(self, checkpoints, systems, export, tmp_path):
        other = OnnxFile("two, int8", onnx_of_a_sum(tmp_path / "other", 0.3))
        folders = [
            evaluation(tmp_path / "a", checkpoints[0], 0.4, damage=0.5, exports=[export]),
            evaluation(tmp_path / "b", None, 0.3, exports=[other]),
        ]
        detected = [
            downstream(tmp_path / "1.json", weights_sha256(checkpoints[0]), 0.125),
            # the digest decides, not what the file was called
            downstream(tmp_path / "2.json", {"renamed.onnx": file_sha256(export.path)}, 0.25),
        ]
        quality, _ = read_quality([*systems, export, other], folders, detected)
        assert quality["one, int8"] == pytest.approx(
            {**of_metrics(0.6), "kept when damaged": 0.25, "AP of people": 0.25, "AP of cars": 0.75}
        )
        assert quality["two, int8"] == pytest.approx(of_metrics(0.5)) and quality["two"] == {}
        assert quality["one"]["AP of people"] == 0.125 and quality["one"]["kept when damaged"] == 0.5

    def test_of_another_export_is_refused(self, checkpoints, systems, export, tmp_path):
        folder = evaluation(tmp_path / "a", checkpoints[0], 0.4, exports=[export])
        onnx_of_a_sum(tmp_path / "onnx", 0.3)
        with pytest.raises(ValueError, match=r"metrics.json .* other weights than those of one, two, one, int8; meas"):
            read_quality([*systems, export], [folder], [])

    def test_files_that_disagree_are_refused(self, checkpoints, systems, tmp_path):
        digests = [weights_sha256(checkpoint) for checkpoint in checkpoints]
        files = [downstream(tmp_path / f"{k}.json", digests[k], rule=0.375 + k / 100) for k in (0, 1)]
        with pytest.raises(ValueError, match=r"1.json says 0.385 of rule, AP of people, where .* says 0.375"):
            read_quality(systems, [], files)
        folders = [evaluation(tmp_path / f"{k}", checkpoints[k], 0.4, rule=0.5 + k * 0.0004) for k in (0, 1)]
        assert read_quality(systems, folders, [])[0]["rule"] == of_metrics(0.5)

    def test_a_system_that_failed_is_said(self, checkpoints, systems, export, tmp_path):
        folder = evaluation(tmp_path / "a", checkpoints[0], 0.4, exports=[export])
        metrics = json.loads((folder / "metrics.json").read_text())
        del metrics["datasets"]["B"]["systems"]["x one, int8"]
        (folder / "metrics.json").write_text(json.dumps(metrics))
        with pytest.raises(ValueError, match=r"metrics.json has no values of x one, int8 on B"):
            read_quality([*systems, export], [folder], [])

    def test_a_mean_that_does_not_exist_is_left_out(self, checkpoints, systems, tmp_path):
        folder = evaluation(tmp_path / "a", checkpoints[0], 0.4)
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["datasets"]["B"]["systems"]["some name"]["SCD"]["mean"] = None
        (folder / "metrics.json").write_text(json.dumps(metrics))
        assert set(METRICS) - set(read_quality(systems, [folder], [])[0]["one"]) == {"SCD"}

    def test_of_other_weights_is_refused(self, checkpoints, systems, tmp_path):
        folder = evaluation(tmp_path / "a", checkpoints[0], 0.4)
        with pytest.raises(ValueError, match=r"metrics.json has the results of other weights than those of two; meas"):
            read_quality(systems[1:], [folder], [])
        detected = downstream(tmp_path / "downstream.json", {"model.safetensors": "0"})
        with pytest.raises(
            ValueError, match=r"downstream.json has the results of other weights than those of one, two"
        ):
            read_quality(systems, [], [detected])

    def test_damage_of_another_run_is_refused(self, checkpoints, systems, tmp_path):
        folder = evaluation(tmp_path / "a", checkpoints[0], 0.4, damage=0.5)
        damage = json.loads((folder / "damage.json").read_text())
        damage["about"]["weights sha256"] = weights_sha256(checkpoints[1])
        (folder / "damage.json").write_text(json.dumps(damage))
        with pytest.raises(ValueError, match=r"damage.json has the results of other weights than those of one;"):
            read_quality(systems, [folder], [])

    def test_of_other_data_is_refused(self, checkpoints, systems, tmp_path):
        folders = [evaluation(tmp_path / f"{k}", checkpoints[k], 0.4, data=f"d{k}") for k in (0, 1)]
        with pytest.raises(ValueError, match="1 was measured on other data than the evaluation before it"):
            read_quality(systems, folders, [])


def test_the_table():
    entries = [
        Entry("small", 12_345_678, 49.38, 3.0, 1.234, {"Qabf": 0.5}),
        Entry("small, int8", 12_345_678, 12.3, 1.0, 0.2, {"Qabf": 0.25, "EN": 7}),
        Entry("rule", 0, 0, 0.02, 0.5, {"Qabf": 0.625, "EN": 6.5}),
    ]
    data = {"TNO": "d"}
    whole = model_zoo.whole_table(entries, data, ["small, int8"])
    lines = whole.splitlines()
    assert lines[0] == "| checkpoint | parameters | MB | CPU time | memory | EN | Qabf |"
    assert lines[2] == "| small | 12.3 M | 49.4 | 150 | 1.23 GB | – | 0.500 |"
    assert lines[3] == "| small, int8 | 12.3 M | 12.3 | 50 | 0.20 GB | 7.000 | 0.250 |"
    assert "whole process (that of an ONNX file has no PyTorch)." in lines[6]
    short = short_table(entries, data, ["small, int8"])
    assert short == table([entries[0], entries[2]], data, SHORT_COLUMNS) and "ONNX" not in short
    lines = short.splitlines()
    assert lines[0] == "| checkpoint | parameters | MB | CPU time | memory | Qabf |"
    assert lines[2] == "| small | 12.3 M | 49.4 | 150 | 1.23 GB | 0.500 |"
    assert lines[3] == "| rule | – | – | 1 | 0.50 GB | 0.625 |"
    assert "Quality: means over TNO." in lines[5]


def test_the_metrics_that_pairs_are_ranked_by_are_in_the_whole_table():
    assert {*RANKING_METRICS, *SHORT_COLUMNS} <= set(COLUMNS)


def test_the_most_memory_that_a_process_held():
    assert zoo_systems.peak_in("Name:\tpython\nVmHWM:\t  1000000 kB\nVmRSS:\t 5 kB\n") == pytest.approx(1.024)


def process_and(value):
    return os.getpid(), value


def test_the_median_of_turns_without_the_first(monkeypatch):
    clock = iter([0, 0, 20, 21, 30, 34, 40, 43, 50, 56])
    monkeypatch.setattr(model_zoo.time, "process_time", lambda: next(clock))
    order = []
    assert model_zoo.cpu_seconds([lambda: order.append("a"), lambda: order.append("b")], 2) == [2, 5]
    assert order == ["a", "b"] * 3


def test_documents(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(MARKS.format("zoo"))
    replace_block(path, "zoo", "\nnew\n")
    assert path.read_text() == MARKS.format("zoo").replace("old", "\nnew\n")
    assert marked(path.read_text(), "zoo") == "new"
    path.write_text("nothing")
    with pytest.raises(ValueError, match="needs the marks"):
        replace_block(path, "zoo", "\nnew\n")


def test_one_command_makes_it(checkpoints, export, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(zoo_systems, "WIDTH", 80)
    monkeypatch.setattr(zoo_systems, "HEIGHT", 64)
    monkeypatch.setattr(model_zoo, "in_fresh_processes", lambda function, values: [*map(function, values)])
    for name, marks in (("README.md", "checkpoints"), ("zoo.md", "zoo")):
        (tmp_path / name).write_text(MARKS.format(marks))
    folder = evaluation(tmp_path / "a", checkpoints[0], 0.4, exports=[export])
    arguments = ["--checkpoint", checkpoints[0], "--onnx", f"{export.name}={export.path}", "--evaluation", folder]
    arguments += ["--documents", tmp_path / "zoo.md", "--short", tmp_path / "README.md"]
    assert main([str(part) for part in (*arguments, "--rounds", "1", "-o", tmp_path / "out")]) == 0
    one, exported, rule = json.loads((tmp_path / "out" / "model_zoo.json").read_text())["entries"]
    assert one["parameters"] == sum(tensor.numel() for tensor in small_model().parameters()) and one["megabytes"] > 0
    assert (exported["name"], exported["parameters"]) == ("one, int8", 1)
    assert exported["megabytes"] == export.path.stat().st_size / 10**6
    assert (rule["name"], rule["parameters"], rule["megabytes"]) == ("rule", 0, 0)
    assert one["cpu_seconds"] > 0 and exported["cpu_seconds"] > 0 and 0.1 < rule["peak_gigabytes"] < 10
    # Python, numpy and onnxruntime without PyTorch
    assert 0.02 < exported["peak_gigabytes"] < rule["peak_gigabytes"] / 2
    text = (tmp_path / "out" / "model_zoo.md").read_text()
    assert text in (tmp_path / "zoo.md").read_text() and "| one, int8 | " in text and "| SCD |" in text
    short = marked((tmp_path / "README.md").read_text(), "checkpoints")
    assert "| one | " in short and "int8" not in short and "SCD" not in short


@pytest.mark.slow
def test_each_value_has_a_process_of_its_own():
    (first, a), (second, b) = model_zoo.in_fresh_processes(process_and, ["a", "b"])
    assert len({first, second, os.getpid()}) == 3 and (a, b) == ("a", "b")


def test_two_folders_of_one_name(checkpoints, tmp_path, capsys):
    assert main(["--checkpoint", str(checkpoints[0]), str(checkpoints[0]), "-o", str(tmp_path / "out")]) == 1
    assert "Two lines of the table would be called one; rename a folder, or" in capsys.readouterr().err


def test_an_onnx_file_that_cannot_be_used_is_said_first(checkpoints, tmp_path, capsys):
    arguments = ["--checkpoint", str(checkpoints[0]), "-o", str(tmp_path / "out"), "--onnx"]
    assert main([*arguments, f"x={tmp_path / 'none.onnx'}"]) == 1
    assert "model_zoo: x: there is no file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "none.onnx"])
    assert "none.onnx is no NAME=FILE" in capsys.readouterr().err
