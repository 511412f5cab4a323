"""Shares kept on damaged pairs, by hand and with systems whose images are known; files, tables and the plot."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from maefuse_hf.evaluation.damage import DAMAGES
from maefuse_hf.evaluation.processes import Processes
from maefuse_hf.evaluation.robustness import (
    SHARE,
    UNDAMAGED,
    DamageRow,
    damage_metrics,
    evaluate_damage,
    measurable,
    shares_kept,
)
from maefuse_hf.evaluation.robustness_report import ALL_KINDS, damage_markdown, summarise_damage, write_damage
from maefuse_hf.evaluation.runner import (
    BASELINE_SYSTEMS,
    Dataset,
    FolderSystem,
    Fused,
    as_tensor,
    read_datasets,
    read_sources,
)
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference.pairs import evenly_spread

CPU = torch.device("cpu")
KINDS = ["haze", "black-hot"]


def row(kind, strength, vif, qabf, pair="a", system="ours"):
    return DamageRow("set", pair, system, kind, strength, {"VIF": vif, "Qabf": qabf, "VIF matched": vif})


ROWS = [
    row(UNDAMAGED, 0, 0.8, 0.5),
    row("haze", 1, 0.4, 0.5),
    row("haze", 2, 0.2, 0.25),
    row(UNDAMAGED, 0, 1.0, 1.0, pair="b"),
    row("haze", 1, 1.0, 1.0, pair="b"),
    row("smoke", 1, 0.5, 0.5, pair="b"),
]


def test_shares_by_hand():
    kept = shares_kept(ROWS)
    assert [(own.kind, own.strength, own.pair) for own in kept] == [
        ("haze", 1, "a"),
        ("haze", 2, "a"),
        ("haze", 1, "b"),
        ("smoke", 1, "b"),
    ]
    assert [own.values[SHARE] for own in kept] == pytest.approx([(0.5 + 1) / 2, (0.25 + 0.5) / 2, 1, 0.5])
    assert kept[0].values["VIF"] == 0.5 and kept[0].values["Qabf"] == 1


def test_without_an_undamaged_value_there_is_no_share():
    kept = shares_kept([row("haze", 1, 0.4, 0.5), row(UNDAMAGED, 0, 0.0, 0.5, pair="b"), row("haze", 1, 0.4, 0.5, "b")])
    assert all(np.isnan(own.values[SHARE]) for own in kept)


def test_means_are_of_pairs():
    summary = summarise_damage(shares_kept(ROWS))["ours"]
    # a: mean of its two strengths; b: both kinds
    assert summary["haze"][SHARE].mean == pytest.approx(((0.75 + 0.375) / 2 + 1) / 2)
    assert summary[ALL_KINDS][SHARE].mean == pytest.approx(((0.75 + 0.375) / 2 + 0.75) / 2)
    assert summary["smoke"][SHARE].pairs == 1


def test_the_table_has_values_and_shares():
    text = damage_markdown(summarise_damage(shares_kept(ROWS)), summarise_damage(ROWS))
    line = next(line for line in text.splitlines() if line.startswith("| ours"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # VIF undamaged (0.8 + 1) / 2, damaged (0.3 + 0.75) / 2, kept (0.375 + 0.75) / 2
    assert cells[2:5] == ["0.900", "0.525", "0.562"]
    assert "| haze | visible | 0.781 |" in text and "| smoke | visible | 0.500 |" in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pairs of 96×128."""
    top = tmp_path_factory.mktemp("pairs") / "night"
    for name, seed in (("a", 0), ("b", 1)):
        for modality, image in zip(("infrared", "visible"), render_example_pair(96, 128, seed)):
            (top / modality).mkdir(parents=True, exist_ok=True)
            image.save(top / modality / f"{name}.png")
    return top


class Visible:
    name = "sees visible"

    def fuse(self, dataset, pair):
        image = read_sources(pair)["visible"]
        return Fused(image, image)

    def fuse_images(self, infrared, visible):
        return visible


@pytest.fixture(scope="module")
def measured(folder, tmp_path_factory):
    """Rows of all systems, and the folder of the damaged pairs."""
    datasets, keep = read_datasets([folder]), tmp_path_factory.mktemp("kept")
    systems, problems = measurable([Visible()], datasets)
    assert problems == []
    rows, problems = evaluate_damage(datasets, systems, KINDS, Processes(), CPU, 2, keep)
    assert problems == []
    return datasets, rows, keep


def test_every_system_has_a_row_for_every_damage(measured):
    _, rows, _ = measured
    names = ["sees visible", *(system.name for system in BASELINE_SYSTEMS)]
    damages = [(UNDAMAGED, 0), *((kind, strength) for kind in KINDS for strength in (1, 2, 3))]
    assert [(own.pair, own.kind, own.strength, own.system) for own in rows] == [
        (pair, *damage, name) for pair in "ab" for damage in damages for name in names
    ]


def test_damage_is_measured_against_the_undamaged_sources(measured):
    datasets, rows, keep = measured
    sources = [as_tensor(image, CPU) for image in read_sources(datasets[0].pairs[0]).values()]
    hazy = as_tensor(Image.open(keep / "night" / "haze-3" / "visible" / "a.png"), CPU)
    own = next(
        own for own in rows if (own.pair, own.kind, own.strength, own.system) == ("a", "haze", 3, "sees visible")
    )
    assert own.values == damage_metrics(hazy, *sources)


def test_what_is_not_looked_at_is_not_missed(measured):
    _, rows, _ = measured
    kept = {
        (own.system, own.kind): own.values[SHARE] for own in shares_kept(rows) if own.pair == "a" and own.strength == 3
    }
    assert kept["sees visible", "black-hot"] == kept["infrared alone", "haze"] == 1
    assert kept["sees visible", "haze"] < 0.7 and kept["average", "black-hot"] < 0.95


def test_other_methods_images_of_damaged_pairs_are_found(measured, folder, tmp_path):
    datasets, rows, keep = measured
    images = tmp_path / "other"
    for source, target in (
        (folder / "visible", images),
        *(
            (keep / "night" / f"{kind}-{strength}" / "visible", images / f"{kind}-{strength}")
            for kind in KINDS
            for strength in (1, 2, 3)
        ),
    ):
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            Image.open(path).save(target / path.name)
    other = FolderSystem("other", {"night": images})
    systems, problems = measurable([other], datasets)
    assert problems == []
    again, problems = evaluate_damage(datasets, systems, KINDS, Processes(), CPU, 2)
    assert problems == []
    values = [own.values for own in again if own.system == "other"]
    assert values == [own.values for own in rows if own.system == "sees visible"]


def test_a_folder_without_images_of_damaged_pairs_is_a_problem(folder, tmp_path):
    other = FolderSystem("other", {"night": tmp_path})
    systems, problems = measurable([other], read_datasets([folder]))
    assert systems == list(BASELINE_SYSTEMS)
    assert len(problems) == 1 and "other is not measured" in problems[0] and "KIND-STRENGTH" in problems[0]


def test_a_system_that_fails_is_a_problem_and_the_rest_goes_on(folder):
    class Failing(Visible):
        name = "fails"

        def fuse_images(self, infrared, visible):
            raise ValueError("not this one")

    rows, problems = evaluate_damage(read_datasets([folder]), [Failing(), Visible()], ["haze"], Processes(), CPU, 1)
    assert {own.system for own in rows} == {"sees visible"}
    assert problems[1] == "night/a, haze 1, fails: not this one" and len(problems) == 4


def test_pairs_are_spread_evenly():
    assert evenly_spread("abcdefghi", 3) == ["a", "e", "i"]
    assert evenly_spread("ab", 5) == ["a", "b"] and evenly_spread("", 5) == [] and evenly_spread("abc", 1) == ["a"]


def test_the_files(measured, tmp_path):
    datasets, rows, _ = measured
    table = write_damage(tmp_path, rows, datasets, [Visible()], ["one | problem"], {"model": "ours"})
    assert table in (tmp_path / "damage.md").read_text() and "- one \\| problem" in (tmp_path / "damage.md").read_text()
    with (tmp_path / "damage.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(rows) and lines[0][SHARE] == "" and float(lines[-1][SHARE]) > 0
    content = json.loads((tmp_path / "damage.json").read_text())
    assert content["pairs"] == 2 and content["problems"] == 1 and content["about"] == {"model": "ours"}
    assert content["share kept"]["sees visible"]["black-hot"][SHARE]["mean"] == 1
    plot = Image.open(tmp_path / "damage.png")
    assert plot.width > 400 and len(set(plot.convert("RGB").resize((64, 32)).get_flattened_data())) > 10
    worst = sorted(path.name for path in (tmp_path / "damage_worst").iterdir())
    assert len(worst) == 2 and worst[0].startswith("1-night-") and "haze-3" in worst[0]
    assert Image.open(tmp_path / "damage_worst" / worst[0]).width == 5 * 128 + 4 * 8


def test_all_kinds_can_be_measured(folder):
    dataset = read_datasets([folder])[0]
    rows, problems = evaluate_damage(
        [Dataset("night", dataset.pairs[:1], [])], [Visible()], list(DAMAGES), Processes(), CPU
    )
    assert problems == [] and len(rows) == 1 + 3 * len(DAMAGES)
