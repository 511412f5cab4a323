"""The results page from files that are written by hand."""

import json
import math
import shutil

import pytest

from benchmarks import results
from benchmarks.results import correlation_bounds, losses, mean_ranks, page, published_means, read_measured

METRICS = ("EN", "CC", "SCD", "VIF", "Qabf", "SSIM")


def summary(mean):
    return {"mean": mean, "low": mean, "high": mean, "pairs": 2}


def values(level, **others):
    return {metric: summary(level) for metric in METRICS} | {name: summary(own) for name, own in others.items()}


def column(reference, **others):
    """Values by system, and differences to ours, of which those of 0.1 and more are real."""
    rows = {"ours": reference, **others}
    return {
        "values": {name: {"value": own, "low": own, "high": own} for name, own in rows.items()},
        "differences": {
            name: {"value": own - reference, "low": 0, "high": 0, "real": abs(own - reference) >= 0.1}
            for name, own in others.items()
        },
    }


@pytest.fixture
def files(tmp_path):
    """An evaluation of ours on one data set, with damage, a downstream check, and one published system."""
    folder = tmp_path / "evaluation"
    folder.mkdir()
    systems = {
        "ours": values(0.7, **{"VIF matched": 0.5, "crop change": 2.0, "frame change": 0.5}),
        "average": values(0.5, **{"VIF matched": 0.4, "crop change": 0.0, "frame change": 0.0}),
        "rule": values(0.8, **{"VIF matched": 0.6, "crop change": 3.0, "frame change": 1.0}),
        "visible alone": values(0.9) | {"SCD": {"mean": None, "low": None, "high": None, "pairs": 0}},
    }
    metrics = {
        "about": {"model": "ours", "data sha256": {"Set": "1"}},
        "datasets": {"Set": {"pairs": 2, "systems": systems}},
        "problems": 0,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "metrics.csv").write_text(
        "dataset,pair,system,CC\nSet,a,visible alone,0.64\nSet,b,infrared alone,0.36\nSet,a,ours,0.7\n"
    )

    def kept(haze, smoke):
        kinds = {"all": (haze + smoke) / 2, "haze": haze, "smoke": smoke}
        return {kind: {"share kept": summary(own), "VIF matched": summary(own)} for kind, own in kinds.items()}

    damage = {"pairs": 2, "share kept": {"ours": kept(0.8, 0.6), "rule": kept(0.7, 0.65)}, "problems": 0}
    damage["values"] = {
        name: {"undamaged": {"VIF matched": summary(0.5)}, "all": {"VIF matched": summary(0.4)}}
        for name in ("ours", "rule")
    }
    (folder / "damage.json").write_text(json.dumps(damage))
    downstream = {
        "about": {"reference": "ours", "test pairs": 4, "seeds": 3, "interval": "95 %"},
        "detector": {
            "person": column(0.5, average=0.65, rule=0.45),
            "person by night": column(0.5, average=0.5, rule=0.4),
            "car": column(0.5, average=0.5, rule=0.5),
        },
        "segmenter": {
            "mIoU": column(0.4, average=0.3, rule=0.41),
            "mIoU by night": column(0.4, average=0.4, rule=0.4),
        },
    }
    (tmp_path / "downstream.json").write_text(json.dumps(downstream))
    (tmp_path / "published.csv").write_text(
        f"method,set,pair,{','.join(METRICS)}\n"
        + "".join(f"seafusion,Set,{pair},{','.join([str(level)] * 6)}\n" for pair, level in (("a", 0.5), ("b", 0.7)))
        + f"mean,Set,a,{','.join(['0.1'] * 6)}\nCDDFuse_pub,Other,a,{','.join(['0.1'] * 6)}\n"
    )
    return folder, tmp_path / "downstream.json", tmp_path / "published.csv"


def test_published_systems_are_means_under_their_own_names(files):
    means = published_means(files[2])
    assert list(means["Set"]) == ["SeAFusion"] and means["Set"]["SeAFusion"]["EN"] == pytest.approx(0.6)
    assert list(means["Other"]) == ["CDDFuse*"]


def test_ranks_by_hand():
    first, second = dict.fromkeys(METRICS, 2.0), dict.fromkeys(METRICS, 1.0)
    ranks = mean_ranks(
        {
            "a": first,
            "b": second | {"EN": 3.0},
            "c": second,
            "visible alone": dict.fromkeys(METRICS, 9.0),
            "no SCD": first | {"SCD": math.nan},
        }
    )
    # b is first in EN and shares places 2 and 3 in the others
    assert ranks == pytest.approx({"a": (2 + 5 * 1) / 6, "b": (1 + 5 * 2.5) / 6, "c": (3 + 5 * 2.5) / 6})


def test_the_bound_of_cc_is_the_root_of_a_sources_own(files):
    # a source alone has (1 + r) / 2: roots of 0.64 and 0.36
    assert correlation_bounds(files[0] / "metrics.csv") == pytest.approx({"Set": (0.8 + 0.6) / 2})


def test_the_page(files, tmp_path):
    output = tmp_path / "results.md"
    evaluation, downstream, published = map(str, files)
    arguments = ["--evaluation", evaluation, "--downstream", downstream, "--published", published, "-o", str(output)]
    assert results.main(arguments) == 0
    text = output.read_text()
    # people, people by night, cars, mIoU, mIoU by night, share, matched VIF undamaged and damaged, changes
    assert "| **ours** | 50.0 | 50.0 | 50.0 | 40.0 | 40.0 | 0.700 | 0.500 | 0.400 | 2.00 | 0.50 |" in text
    assert "| average | 65.0* | 50.0 | 50.0 | 30.0* | 40.0 | – | – | – | 0.00 | 0.00 |" in text
    # EN and the other five, matched VIF, rank: the rule is first, ours second
    assert "| **ours** | 0.700 | 0.700 | 0.700 | 0.700 | 0.700 | 0.700 | 0.500 | 2.00 |" in text
    assert "| SeAFusion | 0.600 | 0.600 | 0.600 | 0.600 | 0.600 | 0.600 | – | 3.00 |" in text
    assert "| visible alone | 0.900 | 0.900 | – |" in text
    # roots of 0.64 and 0.36
    assert "more CC than 0.700 here; ours has 100.0 % of it" in text
    assert "under 2 kinds of damage" in text
    assert "best" not in text.lower()


def test_a_segmenter_that_was_left_out_has_no_column(files):
    measured = read_measured([files[0]], *files[1:])
    measured.downstream["segmenter"] = {}
    text = results.page(measured)
    assert "| **ours** | 50.0 | 50.0 | 50.0 | 0.700 | 0.500 | 0.400 | 2.00 | 0.50 |" in text
    assert "Not measured for this page: segmenter." in text and "mIoU" not in text


def test_what_was_measured_here_stands_before_a_published_row_of_the_same_name(files):
    path = files[0] / "metrics.json"
    content = json.loads(path.read_text())
    content["datasets"]["Set"]["systems"]["SeAFusion"] = values(0.55, **{"VIF matched": 0.3})
    path.write_text(json.dumps(content))
    means = read_measured([files[0]], *files[1:]).metrics["Set"]["SeAFusion"]
    assert means["EN"] == 0.55 and means["VIF matched"] == 0.3


def changed_copy(folder, name, change):
    """Another evaluation, with one of its files changed."""
    other = folder.parent / "other"
    shutil.copytree(folder, other)
    content = json.loads((other / name).read_text())
    change(content)
    (other / name).write_text(json.dumps(content))
    return other


def test_a_further_evaluation_adds_its_systems(files):
    def renamed(content):
        kept = content["share kept"]
        kept["theirs"] = kept.pop("ours")
        kept["rule"]["haze"]["share kept"] = summary(0.1)

    other = changed_copy(files[0], "damage.json", renamed)
    kept = read_measured([files[0], other], *files[1:]).kept
    assert kept["theirs"]["haze"]["share kept"] == kept["ours"]["haze"]["share kept"] == 0.8
    # what was measured twice is as the first has it
    assert kept["rule"]["haze"]["share kept"] == 0.7


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("metrics.json", lambda content: content["about"].update({"data sha256": {"Set": "2"}})),
        ("damage.json", lambda content: content.update(pairs=3)),
    ],
)
def test_evaluations_of_other_data_are_refused(files, name, change):
    with pytest.raises(ValueError, match=r"other was measured on other data, or on other damaged pairs, than .*evalua"):
        read_measured([files[0], changed_copy(files[0], name, change)], *files[1:])


def test_it_says_where_the_model_loses(files):
    lines = losses(read_measured([files[0]], *files[1:]))
    assert lines[0] == "detector, person: to average (by 15.0)."
    assert "damage, share kept: to rule under smoke (0.600 to 0.650)." in lines
    assert "stability, crop change: to average." in lines
    assert "Set, EN: to rule, which cost nothing." in lines
    # 0.41 against 0.40 is not real
    assert not any(line.startswith("segmenter") for line in lines)


def test_files_of_two_models_are_refused(files):
    content = json.loads(files[1].read_text())
    content["about"]["reference"] = "theirs"
    files[1].write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"model ours, .* compares with theirs"):
        read_measured([files[0]], *files[1:])


def test_a_page_without_losses(files):
    measured = read_measured([files[0]], *files[1:])
    assert "Nowhere in these columns." in page(
        results.Measured(
            "ours",
            {"Set": {"ours": measured.metrics["Set"]["ours"]}},
            {"Set": 2},
            {"Set": 1.0},
            {"ours": measured.kept["ours"]},
            {"ours": measured.values["ours"]},
            2,
            {
                **measured.downstream,
                "detector": {"person": column(0.5), "person by night": column(0.5), "car": column(0.5)},
            },
        )
    )
