import json
import math

import pytest
from conftest import small_config

from maefuse_hf import MaeFuseConfig
from maefuse_hf.evaluation.summary import Summary
from training.model_card import (
    DataSource,
    Details,
    Evaluation,
    departures,
    hub_encoder,
    is_hub_name,
    read_details,
    read_evaluation,
    read_summary,
    table,
)


class TestDetails:
    def test_are_optional(self, tmp_path):
        assert read_details(tmp_path) is None

    def test_are_read(self, tmp_path):
        (tmp_path / "card.yaml").write_text(
            "summary: One.\nlimits: [Two.]\ndata: [{name: A, used_for: b, what: c, terms: d, hub: org/a}]\n"
        )
        source = DataSource("A", "b", "c", "d", "org/a")
        assert read_details(tmp_path) == Details(summary="One.", data=(source,), limits=("Two.",))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("title: x", r"card.yaml: Details has no field title; it has summary"),
            ("data: [{name: A}]", r"card.yaml: DataSource is incomplete: .*used_for"),
            ("data: [A]", "DataSource needs a mapping of its fields, but 'A' came"),
            ("3", "Details needs a mapping"),
            ("summary: [", "card.yaml: while parsing"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path, text, message):
        (tmp_path / "card.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_details(tmp_path)


class TestEvaluation:
    def test_missing_and_infinite_means(self):
        missing = read_summary({"mean": None, "low": None, "high": None, "pairs": 0})
        assert math.isnan(missing.mean) and missing.pairs == 0
        assert read_summary({"mean": "inf", "low": 2, "high": "inf", "pairs": 3}) == Summary(math.inf, 2, math.inf, 3)

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"about": {}, "problems": 0, "datasets": {"A": {}}}'])
    def test_another_file(self, tmp_path, text):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(ValueError, match=r"is no metrics\.json of `maefuse evaluate`"):
            read_evaluation(tmp_path / "metrics.json")

    def test_without_a_model(self, tmp_path):
        content = {"about": {}, "problems": 0, "datasets": {"A": {"systems": {"average": {}}}}}
        (tmp_path / "metrics.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match="has no results of a model; run `maefuse evaluate` with --model"):
            read_evaluation(tmp_path / "metrics.json")

    def test_the_model_stands_first_with_its_interval_and_the_best_is_bold(self):
        systems = {
            "average": {"EN": Summary(6.0, 5, 7, 2), "MSE": Summary(0.03, 0.02, 0.04, 2)},
            "visible alone": {"EN": Summary(9.0, 9, 9, 2), "MSE": Summary(0.01, 0.01, 0.01, 2)},
            "final": {"EN": Summary(6.5, 6, 7.25, 2), "MSE": Summary(0.05, 0.04, 0.06, 1)},
        }
        result = table(Evaluation({"Some|where": systems}, {}, "final", 0), "mine", "Some|where")
        assert result["markdown"].splitlines() == [
            "| metric | mine | average | visible alone |",
            "|---|---|---|---|",
            "| EN | **6.500** [6.000, 7.250] | 6.000 | 9.000 |",
            "| MSE | 0.05000 [0.04000, 0.06000] (n=1) | **0.03000** | 0.01000 |",
        ]
        assert result["pairs"] == 2


def test_departures_are_all_that_differs_from_the_paper():
    assert departures(MaeFuseConfig()) == []
    found = {name: (here, paper) for name, here, paper in departures(small_config(fusion_attention="local"))}
    assert found["encoder patch_size"] == (8, 16)
    assert found["fusion_attention"] == ("local", "global")
    assert "image_mean" not in found and "decoder_position_embedding" not in found


def test_an_encoder_from_the_hub_is_the_base_model():
    config = small_config()
    assert hub_encoder(config) is None
    config.encoder_config.name_or_path = "facebook/vit-mae-base"
    assert hub_encoder(MaeFuseConfig.from_dict(json.loads(config.to_json_string()))) == "facebook/vit-mae-base"


def test_names_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "pairs").mkdir(parents=True)
    assert is_hub_name("org/pairs")
    assert not any(map(is_hub_name, ("data/pairs", "/data/pairs", "pairs", "a/b/c", "a/b.parquet", "./pairs", None)))
