from pathlib import Path

import pytest
import yaml

from training.recipe import TRAINING_CONFIG, Run, find_runs, write_runs


def run_folder(path, **config):
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def runs(tmp_path):
    """Pretraining, training on its encoder, and training further."""
    pretrained = run_folder(tmp_path / "pretrained", encoder={"patch_size": 8}, steps=5)
    trained = run_folder(tmp_path / "trained", encoder=str(pretrained / "encoder"), stages={"decoder": {"steps": 2}})
    start = {"model": str(trained / "final")}
    further = run_folder(tmp_path / "further", encoder=None, start=start, stages={"mfm_fuse": {"steps": 1}})
    for folder in (pretrained / "encoder", trained / "final", further / "final", further / "stages" / "mfm_fuse"):
        folder.mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("checkpoint", ["further", "further/final", "further/stages/mfm_fuse"])
def test_runs_are_followed_back_to_the_first(runs, checkpoint):
    found = find_runs(runs / checkpoint)
    assert [(run.name, run.is_pretraining) for run in found] == [
        ("pretrained", True),
        ("trained", False),
        ("further", False),
    ]
    assert found[0].config["steps"] == 5


def test_a_start_that_is_not_here_ends_the_search(runs):
    (runs / "trained" / "final").rmdir()
    assert [run.name for run in find_runs(runs / "further")] == ["further"]


def test_a_checkpoint_of_no_run(tmp_path):
    assert find_runs(tmp_path) == []


def test_what_is_written_comes_back_without_folders_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {
        "data": {
            "pairs": "/home/jane/pairs",
            "photos": str(tmp_path / "data" / "*.parquet"),
            "left_out": [str(tmp_path / "splits" / "test.txt"), "/home/jane/unused.txt"],
            "crop_size": 32,
        },
        "encoder": "facebook/vit-mae-large",
        "stages": {},
    }
    write_runs([Run("one", config)], tmp_path / TRAINING_CONFIG)
    data = {
        "pairs": "pairs",
        "photos": str(Path("data/*.parquet")),
        "left_out": [str(Path("splits/test.txt")), "unused.txt"],
        "crop_size": 32,
    }
    assert find_runs(tmp_path) == [Run("one", {**config, "data": data})]


@pytest.mark.parametrize("text", ["", "runs: 3", "runs: [{name: one}]", "- 1"])
def test_a_broken_list_of_runs(tmp_path, text):
    (tmp_path / TRAINING_CONFIG).write_text(text)
    with pytest.raises(ValueError, match="holds no list `runs`"):
        find_runs(tmp_path)


def test_a_broken_configuration(tmp_path):
    (tmp_path / "config.yaml").write_text("3")
    with pytest.raises(ValueError, match="holds no configuration of a run"):
        find_runs(tmp_path)
