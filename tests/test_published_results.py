"""The README's numbers are those that were measured: `benchmarks/measured` holds them."""

import json
from pathlib import Path

from benchmarks.readme_results import readme_block
from benchmarks.results import read_measured
from maefuse_hf.evaluation.provenance import weights_sha256
from maefuse_hf.inference.checkpoint import SHIPPED_CHECKPOINTS

ROOT = Path(__file__).parent.parent
MEASURED = ROOT / "benchmarks" / "measured"
EVALUATIONS = [MEASURED / name for name in (*SHIPPED_CHECKPOINTS, "SeAFusion", "MMDRFuse", "SAGE")]


def test_the_readme_says_what_was_measured():
    block = readme_block(read_measured(EVALUATIONS, MEASURED / "downstream.json", None))
    assert f"<!-- results -->\n{block}\n<!-- /results -->" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_weights_that_were_measured_are_those_that_ship():
    detected = json.loads((MEASURED / "downstream.json").read_text(encoding="utf-8"))["about"]["weights sha256"]
    for name, folder in SHIPPED_CHECKPOINTS.items():
        about = json.loads((MEASURED / name / "metrics.json").read_text(encoding="utf-8"))["about"]
        assert about["weights sha256"] == detected[name] == weights_sha256(folder)
