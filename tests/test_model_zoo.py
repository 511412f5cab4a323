"""The table of checkpoints, from small models and from measurements that are written by hand."""

import json
import os

import pytest
from conftest import small_model

from benchmarks import model_zoo
from benchmarks.marked_block import replace_block
from benchmarks.model_zoo import Entry, main, read_quality, table
from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.evaluation import weights_sha256
from training.model_card import marked

MARKS = "before\n<!-- zoo -->\nold\n<!-- /zoo -->\nafter\n"


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


def evaluation(folder, checkpoint, level, data="d1", damage=None):
    def values(mean):
        return {metric: {"mean": mean} for metric in model_zoo.METRICS}

    digests = weights_sha256(checkpoint)
    about = {"model": "some name", "weights sha256": digests, "data sha256": {"A": data, "B": "d2"}}
    datasets = {
        name: {"systems": {"some name": values(level + shift), "rule": values(0.5)}}
        for name, shift in (("A", 0), ("B", 0.2))
    }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"about": about, "datasets": datasets}))
    if damage is not None:
        kept = {name: {"all": {"share kept": {"mean": own}}} for name, own in (("some name", damage), ("rule", 0.25))}
        (folder / "damage.json").write_text(json.dumps({"about": about, "share kept": kept}))
    return folder


def downstream(path, digests):
    values = {name: {"value": own} for name, own in (("x", 0.125), ("rule", 0.375))}
    about = {"weights sha256": {"x": digests}}
    path.write_text(json.dumps({"about": about, "detector": {"person": {"values": values}}}))
    return path


class TestQuality:
    def test_is_found_by_the_weights_and_averaged_over_data_sets(self, checkpoints, tmp_path):
        folders = [
            evaluation(tmp_path / "b", checkpoints[1], 0.3, damage=0.75),
            evaluation(tmp_path / "a", checkpoints[0], 0.4),
        ]
        detected = downstream(tmp_path / "downstream.json", weights_sha256(checkpoints[0]))
        quality, data = read_quality(checkpoints, folders, detected)
        assert data == {"A": "d1", "B": "d2"}
        assert quality["one"] == pytest.approx({"VIF matched": 0.5, "Qabf": 0.5, "SSIM": 0.5, "AP of people": 0.125})
        assert quality["two"] == pytest.approx(
            {"VIF matched": 0.4, "Qabf": 0.4, "SSIM": 0.4, "kept when damaged": 0.75}
        )
        assert quality["rule"]["kept when damaged"] == 0.25 and quality["rule"]["AP of people"] == 0.375

    def test_of_other_weights_is_refused(self, checkpoints, tmp_path):
        folder = evaluation(tmp_path / "a", checkpoints[0], 0.4)
        with pytest.raises(ValueError, match=r"metrics.json has the results of other weights than those of two; meas"):
            read_quality(checkpoints[1:], [folder], None)
        detected = downstream(tmp_path / "downstream.json", {"model.safetensors": "0"})
        with pytest.raises(
            ValueError, match=r"downstream.json has the results of other weights than those of one, two"
        ):
            read_quality(checkpoints, [], detected)

    def test_damage_of_another_run_is_refused(self, checkpoints, tmp_path):
        folder = evaluation(tmp_path / "a", checkpoints[0], 0.4, damage=0.5)
        damage = json.loads((folder / "damage.json").read_text())
        damage["about"]["weights sha256"] = weights_sha256(checkpoints[1])
        (folder / "damage.json").write_text(json.dumps(damage))
        with pytest.raises(ValueError, match=r"damage.json has the results of other weights than those of one;"):
            read_quality(checkpoints, [folder], None)

    def test_of_other_data_is_refused(self, checkpoints, tmp_path):
        folders = [evaluation(tmp_path / f"{k}", checkpoints[k], 0.4, data=f"d{k}") for k in (0, 1)]
        with pytest.raises(ValueError, match="1 was measured on other data than the evaluation before it"):
            read_quality(checkpoints, folders, None)


def test_the_table():
    entries = [
        Entry("small", 12_345_678, 49.38, 3.0, 1.234, {"Qabf": 0.5}),
        Entry("rule", 0, 0, 0.02, 0.5, {"Qabf": 0.625}),
    ]
    lines = table(entries, {"TNO": "d"}).splitlines()
    assert lines[0] == "| checkpoint | parameters | MB | CPU time | memory | Qabf |"
    assert lines[2] == "| small | 12.3 M | 49.4 | 150 | 1.23 GB | 0.500 |"
    assert lines[3] == "| rule | – | – | 1 | 0.50 GB | 0.625 |"
    assert "Quality: means over TNO." in lines[5]


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
    path.write_text(MARKS)
    replace_block(path, "zoo", "\nnew\n")
    assert path.read_text() == MARKS.replace("old", "\nnew\n")
    assert marked(path.read_text(), "zoo") == "new"
    path.write_text("nothing")
    with pytest.raises(ValueError, match="needs the marks"):
        replace_block(path, "zoo", "\nnew\n")


def test_one_command_makes_it(checkpoints, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(model_zoo, "WIDTH", 80)
    monkeypatch.setattr(model_zoo, "HEIGHT", 64)
    monkeypatch.setattr(model_zoo, "in_fresh_processes", lambda function, values: [*map(function, values)])
    (tmp_path / "README.md").write_text(MARKS)
    folder = evaluation(tmp_path / "a", checkpoints[0], 0.4)
    arguments = ["--checkpoint", checkpoints[0], "--evaluation", folder, "--rounds", "1", "-o", tmp_path / "out"]
    assert main([str(part) for part in (*arguments, "--documents", tmp_path / "README.md")]) == 0
    one, rule = json.loads((tmp_path / "out" / "model_zoo.json").read_text())["entries"]
    assert one["parameters"] == sum(tensor.numel() for tensor in small_model().parameters()) and one["megabytes"] > 0
    assert (rule["name"], rule["parameters"], rule["megabytes"]) == ("rule", 0, 0)
    assert one["cpu_seconds"] > 0 and 0.1 < rule["peak_gigabytes"] < 10
    text = (tmp_path / "out" / "model_zoo.md").read_text()
    assert text in (tmp_path / "README.md").read_text() and "| one | " in text


@pytest.mark.slow
def test_each_value_has_a_process_of_its_own():
    (first, a), (second, b) = model_zoo.in_fresh_processes(process_and, ["a", "b"])
    assert len({first, second, os.getpid()}) == 3 and (a, b) == ("a", "b")


def test_two_folders_of_one_name(checkpoints, tmp_path, capsys):
    assert main(["--checkpoint", str(checkpoints[0]), str(checkpoints[0]), "-o", str(tmp_path / "out")]) == 1
    assert "Two lines of the table would be called one; rename a folder." in capsys.readouterr().err
