import csv
import json
import math

import numpy as np
import pytest

from maefuse_hf.evaluation.baselines import BASELINES
from maefuse_hf.evaluation.runner import Row
from maefuse_hf.evaluation.summary import (
    RANKING_METRICS,
    Summary,
    as_json,
    best_systems,
    bootstrap,
    facts,
    interval,
    markdown,
    metric_names,
    metrics_table,
    number,
    rank_shares,
    ranked_pairs,
    rows_table,
    summarise,
    system_names,
    worth_a_look,
)
from maefuse_hf.evaluation.table import as_csv, as_text

NAN, INF = math.nan, math.inf
ABOUT = {"torch": "1.0", "definitions": {"MI": "vifb", "SSIM": "standard"}}


def rows_of(dataset="set", **systems):
    """Rows from lists of EN by system; the average is there, since it says how many pairs there are."""
    pairs = max(len(values) for values in systems.values())
    systems = {"ours": [], **systems, "average": systems.get("average", [1.0] * pairs)}
    return [
        Row(dataset, f"p{number}", system, {"EN": value, "MSE": value / 100})
        for number in range(pairs)
        for system, values in systems.items()
        for value in values[number : number + 1]
    ]


def test_the_interval_of_two_values_is_the_two():
    # their resampled means are the smaller, the middle, the larger with the odds 1 : 2 : 1
    assert bootstrap([3.0, 1.0]) == Summary(2.0, 1.0, 3.0, 2)
    assert bootstrap([5.0]) == Summary(5.0, 5.0, 5.0, 1)
    assert bootstrap([4.0] * 10) == Summary(4.0, 4.0, 4.0, 10)


def test_the_interval_of_shares_is_the_binomial_one():
    # the resampled mean of 50 zeros and 50 ones is Binomial(100, 1/2) / 100, whose 2.5 and 97.5 % points are 40 and 60
    summary = bootstrap([0.0, 1.0] * 50)
    assert summary.mean == 0.5
    assert summary.low == pytest.approx(0.40, abs=0.011) and summary.high == pytest.approx(0.60, abs=0.011)
    assert bootstrap([0.0, 1.0] * 50) == summary


def test_many_pairs_are_resampled_in_parts():
    values = np.arange(1500.0)
    summary = bootstrap(values)
    half = 1.96 * values.std() / len(values) ** 0.5
    assert summary.low == pytest.approx(749.5 - half, abs=half / 10)
    assert summary.high == pytest.approx(749.5 + half, abs=half / 10)


def test_undefined_values_are_left_out_and_infinite_ones_are_not():
    assert bootstrap([NAN, 3.0, NAN, 1.0]) == bootstrap([3.0, 1.0])
    nothing = bootstrap([NAN, NAN])
    assert nothing.pairs == 0 and math.isnan(nothing.mean) and math.isnan(nothing.low) and math.isnan(nothing.high)
    assert bootstrap([INF, INF]) == Summary(INF, INF, INF, 2)
    assert bootstrap([INF, 1.0]) == Summary(INF, 1.0, INF, 2)


def test_means_by_data_set_system_and_metric():
    rows = [*rows_of(ours=[1.0, 3.0]), *rows_of("other", ours=[5.0])]
    rows[0].values["extra"] = 7.0
    summaries = summarise(rows)
    assert list(summaries) == ["set", "other"] and list(summaries["set"]) == ["ours", "average"]
    assert list(summaries["set"]["ours"]) == ["EN", "MSE", "extra"] == metric_names(rows)
    assert summaries["set"]["ours"]["EN"] == Summary(2.0, 1.0, 3.0, 2)
    assert summaries["set"]["ours"]["extra"] == Summary(7.0, 7.0, 7.0, 1)
    assert summaries["set"]["average"]["extra"].pairs == 0
    assert summaries["other"]["ours"]["EN"].mean == 5.0


def test_baselines_stand_last():
    rows = [Row("set", "0", name, {"EN": 1.0}) for name in [*BASELINES, "late"]]
    assert system_names(rows) == ["late", *BASELINES]
    assert list(summarise(rows)["set"]) == ["late", *BASELINES]


def test_the_best_of_a_column():
    systems = {
        name: {"EN": Summary(mean, mean, mean, 1), "MSE": Summary(mean, mean, mean, 1)}
        for name, mean in {"a": 2.0, "b": 2.0, "c": 1.0, "visible alone": 9.0, "infrared alone": 0.0, "d": NAN}.items()
    }
    assert best_systems(systems, "EN") == {"a", "b"}
    assert best_systems(systems, "MSE") == {"c"}
    # nobody is the best of one
    assert best_systems({name: systems[name] for name in ("a", "d", "visible alone")}, "EN") == set()


def test_numbers_for_people():
    assert (number(1.23456, "EN"), number(0.000131, "Nabf"), number(NAN, "EN")) == ("1.235", "0.00013", "–")
    assert number(INF, "PSNR") == "inf"
    assert interval(Summary(2, 1, 3, 4), "EN", 4) == "[1.000, 3.000]"
    assert interval(Summary(2, 1, 3, 4), "EN", 5) == "[1.000, 3.000] (n=4)"
    assert interval(Summary(NAN, NAN, NAN, 0), "EN", 5) == ""


def test_the_text_table_is_aligned_and_stars_the_best():
    (systems,) = summarise(rows_of(ours=[10.0, 30.0])).values()
    assert as_text(metrics_table(systems)).splitlines() == [
        "system      EN      MSE",
        "ours    20.000* 0.20000",
        "average  1.000  0.01000*",
    ]


def test_the_markdown_table_holds_mean_interval_and_problems():
    rows = rows_of(**{"a|b": [10.0, 30.0, NAN]})
    text = markdown(summarise(rows), ABOUT, ["set/p3: bad\nfile"])
    lines = text.splitlines()
    assert "- **definitions**: MI vifb, all others standard" in lines
    table = lines[lines.index("## set (3 pairs)") + 2 :]
    assert table[0] == "| system | EN | MSE |"
    assert table[2] == r"| a\|b | **20.000** [10.000, 30.000] (n=2) | 0.20000 [0.10000, 0.30000] (n=2) |"
    assert table[3] == "| average | 1.000 [1.000, 1.000] | **0.01000** [0.01000, 0.01000] |"
    assert lines[-1] == "- set/p3: bad file"
    assert "Problems" not in markdown(summarise(rows), ABOUT, [])
    nothing = markdown(summarise(rows_of(ours=[NAN])), ABOUT, [])
    assert "| ours | – | – |" in nothing


def test_the_json_is_strict_and_says_where_there_is_no_value():
    rows = rows_of(ours=[1.0, NAN], lost=[NAN, NAN], endless=[INF, INF])
    text = as_json(summarise(rows), ABOUT, ["one"])
    content = json.loads(text, parse_constant=pytest.fail)
    assert content["about"] == ABOUT and content["problems"] == 1
    assert content["datasets"]["set"]["pairs"] == 2
    systems = content["datasets"]["set"]["systems"]
    assert list(systems) == ["ours", "lost", "endless", "average"]
    assert systems["ours"]["EN"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "pairs": 1}
    assert systems["lost"]["EN"] == {"mean": None, "low": None, "high": None, "pairs": 0}
    assert systems["endless"]["EN"] == {"mean": "inf", "low": "inf", "high": "inf", "pairs": 2}


def test_facts_are_sentences():
    assert facts({"size": "own", "definitions": {"MI": "standard"}}) == {"size": "own", "definitions": "all standard"}
    assert facts({"sha256": {"a": "1", "b": "2"}, "definitions": {}})["sha256"] == "a 1, b 2"
    assert facts(ABOUT) == {"torch": "1.0", "definitions": "MI vifb, all others standard"}


def test_the_csv_keeps_all_digits(tmp_path):
    rows = rows_of(ours=[1 / 3, NAN])
    rows[0].values["extra"] = INF
    (tmp_path / "metrics.csv").write_text(as_csv(rows_table(rows)), newline="")
    with (tmp_path / "metrics.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == ["dataset", "pair", "system", "EN", "MSE", "extra"]
    assert [row["system"] for row in read] == ["ours", "average"] * 2
    assert float(read[0]["EN"]) == 1 / 3 and read[0]["extra"] == "inf"
    assert read[2]["EN"] == "" and read[1]["extra"] == ""


def ranking_rows(gains):
    """Rows of a system whose gain over the average is the same number in every ranking metric."""
    for pair, gain in gains.items():
        base = 10.0 * len(pair)
        own = gain if isinstance(gain, dict) else dict.fromkeys(RANKING_METRICS, gain)
        yield Row("set", pair, "ours", {metric: base + own[metric] for metric in RANKING_METRICS})
        yield Row("set", pair, "average", dict.fromkeys(RANKING_METRICS, base))


def test_pairs_are_ranked_by_the_gain_over_their_own_average():
    # the pairs' own levels (10, 20, 30) would rank them the other way round
    rows = list(ranking_rows({"a": 0.3, "bb": 0.2, "ccc": -0.1}))
    assert ranked_pairs(rows, "set", "ours") == ["a", "bb", "ccc"]
    assert ranked_pairs([*rows, Row("other", "z", "ours", {})], "set", "ours") == ["a", "bb", "ccc"]


def test_the_rank_is_a_mean_over_the_metrics_that_have_a_value():
    base = dict.fromkeys(RANKING_METRICS, 0.0)
    rows = list(ranking_rows({"a": base | {"EN": 1.0}, "b": base | {"CC": 1.0, "SCD": 1.0}, "c": base | {"EN": NAN}}))
    assert ranked_pairs(rows, "set", "ours") == ["b", "a", "c"]
    nothing = list(ranking_rows({"a": 0.0, "b": dict.fromkeys(RANKING_METRICS, NAN)}))
    assert ranked_pairs(nothing, "set", "ours") == ["a", "b"]


def test_rank_shares_by_hand():
    assert rank_shares({"a": 3.0, "b": 1.0, "c": 1.0, "d": 0.0}) == {"a": 0.125, "b": 0.5, "c": 0.5, "d": 0.875}


def test_pairs_worth_a_look():
    assert worth_a_look(list("abcde")) == {"a": "best", "c": "median", "e": "worst"}
    assert worth_a_look(list("ab")) == {"a": "best", "b": "median and worst"}
    assert worth_a_look(["a"]) == {"a": "best and median and worst"}
