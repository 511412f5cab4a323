"""What is measured on a GPU: tables from numbers that are written by hand, time limits, and a toy run on the CPU."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import page
from benchmarks.gpu.cases import TF32, Case, OutOfTimeError, Part, Setting, time_limit
from benchmarks.gpu.training import said_by

ROOT = Path(__file__).parent.parent
ABOUT = {
    "device": "a card",
    "processors": 4,
    "torch": "2.0",
    "cuda": "13.0",
    "transformers": "5.0",
    "date": "2026-01-02",
    "command": "python -m benchmarks.gpu -o DIR",
    "size": "640×480",
    "rounds": 7,
    "warm up": 2,
}
LEVELS = {"levels, mean": 0.0125, "levels, most": 3.0}


def part(*rows, not_run=(), problems=()):
    return {"rows": list(rows), "not run": list(not_run), "problems": list(problems), "seconds": 1.0}


def cells(text):
    """Of the lines of all tables below their heads."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [line for line in lines if not line[0].startswith(("---", "model", "precision", "configuration"))]


class TestTables:
    def test_inference(self):
        text = page.inference(
            [
                {"precision": "float32", "operations a second": 50e12},
                {"precision": "bfloat16", "operations a second": 800e12},
                {"model": "m", "operations": 100e9},
                {"model": "m", "precision": "float32", "batch": 1, "seconds": 0.02, "peak bytes": 1.5e9, **LEVELS},
                {"model": "m", "precision": "bfloat16", "batch": 16, "seconds": 0.02, "peak bytes": None, **LEVELS},
                {"model": "m", "precision": "float16", "batch": 4, "seconds": 0.5, "peak bytes": None, **LEVELS},
                {"model": "m", "precision": "float32", "pair": 0.04},
            ]
        )
        assert "products in TFLOP/s: float32 50.0, bfloat16 800.0. GFLOP a pair: m 100.0." in text
        assert cells(text) == [
            ["m", "float32", "1", "50.0", "10.0%", "1.50 GB", "0.013", "3"],
            ["m", "bfloat16", "16", "800.0", "10.0%", "–", "0.013", "3"],
            # no product of this precision was measured
            ["m", "float16", "4", "8.0", "–", "–", "0.013", "3"],
            ["m", "float32", "40.0", "25.0"],
        ]

    def test_converted(self):
        rows = [
            {"precision": "float32", "way": "theirs", "network": 0.12, "pair": 0.3},
            {"precision": "float32", "way": "native", "network": 0.06, "pair": 0.1},
            {"precision": "bfloat16", "way": "theirs", "network": 0.03, "pair": 0.2},
            {"precision": "bfloat16", "way": "native", "network": 0.01, "pair": 0.05},
        ]
        assert cells(page.converted(rows)) == [
            ["float32", "theirs", "120.0", "1.00", "1.00", "300.0", "1.00", "1.00"],
            ["float32", "native", "60.0", "2.00", "2.00", "100.0", "3.00", "3.00"],
            ["bfloat16", "theirs", "30.0", "4.00", "1.00", "200.0", "1.50", "1.00"],
            ["bfloat16", "native", "10.0", "12.00", "3.00", "50.0", "6.00", "4.00"],
        ]
        # float32 may have failed
        assert cells(page.converted(rows[2:]))[1] == ["bfloat16", "native", "10.0", "–", "3.00", "50.0", "–", "4.00"]

    def test_training(self):
        shared = {"batch": 64, "crop": 128, "model": "m"}
        rows = [
            shared | {"precision": "float32", "encoder": "run", "with_data": 0.5, "alone": 0.256},
            shared | {"precision": "bfloat16", "encoder": "features cached", "with_data": 0.25, "alone": 0.032},
        ]
        text = page.steps(rows)
        assert text.startswith("m, `mfm_fuse`, 64 pairs of 128 px:")
        assert cells(text) == [
            ["float32", "run", "0.500", "256.0", "1.00", "0.256", "500.0", "1.00"],
            ["bfloat16", "features cached", "0.250", "512.0", "2.00", "0.032", "4000.0", "8.00"],
        ]

    def test_the_rest(self):
        forward = {"model": "m", "precision": "bfloat16", "batch": 8, "seconds": 0.1, "peak bytes": 2e9, **LEVELS}
        levels = ["2.00 GB", "0.013", "3"]
        assert cells(page.tiles_at_once([forward | {"tiles at once": 32}])) == [
            ["m", "bfloat16", "8", "32", "80.0", *levels]
        ]
        assert cells(
            page.compiled([forward | {"way": "as it is"}, forward | {"way": "compiled", "first call": 41.6}])
        ) == [
            ["m", "bfloat16", "8", "as it is", "–", "80.0", *levels],
            ["m", "bfloat16", "8", "compiled", "42", "80.0", *levels],
        ]
        folder = {"model": "m", "precision": "float32", "workers": 2, "batch": 1, "pairs": 64, "seconds": 4.0}
        assert cells(page.folders([folder])) == [["m", "float32", "2", "1", "64", "4.0", "16.0"]]
        launched = {"configuration": "one_gpu.yaml", "script": "train.py", "overrides": ["mixed_precision=bf16"]}
        text = page.launches([launched | {"seconds": 9.6, "reached": None}])
        assert text.splitlines()[-1] == "| one_gpu.yaml | train.py | mixed_precision=bf16 | 10 | – |"
        text = page.metrics([{"seconds": 0.025, "seconds on the CPU": 0.5, "difference": 2e-13}])
        assert text.splitlines()[-1] == "| 25.0 | 500.0 | 2.0e-13 |"

    def test_a_part_says_what_was_not_run_and_what_failed(self):
        folder = {"model": "m", "precision": "float32", "workers": 2, "batch": 1, "pairs": 64, "seconds": 4.0}
        problem = {"case": "b", "error": "RuntimeError: no"}
        content = {
            "parts": {
                "folders": part(folder, not_run=["a", "c"], problems=[problem]),
                "metrics": part(not_run=["all"]),
                "training": part(problems=[problem]),
            }
        }
        table, *rest = page.part_text("folders", content).split("\n\n")
        assert cells(table) == [["m", "float32", "2", "1", "64", "4.0", "16.0"]]
        assert rest == ["Not run, for want of time: a; c.", "Failed: b (RuntimeError: no)."]
        assert page.part_text("metrics", content) == "Not run, for want of time."
        assert page.part_text("training", content) == "Failed: b (RuntimeError: no)."
        assert page.part_text("converted", content) == "Not run."


class TestTime:
    def test_a_case_is_stopped(self):
        started = time.monotonic()
        with pytest.raises(OutOfTimeError), time_limit(0.1):
            time.sleep(30)
        assert time.monotonic() - started < 10

    def test_a_limit_that_was_kept_stops_nothing_later(self):
        with time_limit(0.1):
            pass
        time.sleep(0.2)

    def test_what_fails_and_what_there_is_no_time_for_leave_the_rest(self, tmp_path):
        def fail():
            raise RuntimeError("no")

        def out_of_time():
            raise OutOfTimeError

        cases = [
            Case("fails", fail),
            Case("measured", lambda: [{"a": 1}]),
            Case("long", lambda: [{"a": 2}], needs=1000),
            Case("stopped", out_of_time),
            Case("last", lambda: [{"a": 3}]),
        ]
        results = gpu.Results(tmp_path / "gpu.json", ABOUT)
        gpu.measure_part(Part("some", lambda setting: cases, 1.0), Setting(), time.monotonic() + 60, results)
        own = json.loads((tmp_path / "gpu.json").read_text())["parts"]["some"]
        assert own["rows"] == [{"a": 1}, {"a": 3}] and own["not run"] == ["long", "stopped"]
        assert own["problems"] == [{"case": "fails", "error": "RuntimeError: no"}]

    def test_what_is_killed_keeps_what_it_has(self, tmp_path):
        seen = []

        def look():
            seen.append(json.loads((tmp_path / "gpu.json").read_text())["parts"]["some"])
            return []

        cases = [Case("first", lambda: [{"a": 1}]), Case("second", look)]
        results = gpu.Results(tmp_path / "gpu.json", ABOUT)
        gpu.measure_part(Part("some", lambda setting: cases, 1.0), Setting(), time.monotonic() + 60, results)
        assert seen[0]["rows"] == [{"a": 1}] and seen[0]["not run"] == ["second"]


def test_products_of_float32_get_their_precision_back():
    before = torch.get_float32_matmul_precision()
    with TF32.set():
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before


def test_a_launched_run_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"status 3: out of paper"):
        said_by([sys.executable, "-c", "import sys; print('out of paper'); sys.exit(3)"])


def test_a_launched_run_ends_with_its_time():
    started = time.monotonic()
    with pytest.raises(OutOfTimeError), time_limit(0.5):
        said_by([sys.executable, "-c", "import time; time.sleep(60)"])
    assert time.monotonic() - started < 20


def test_the_quick_form_runs_on_a_cpu_and_fills_the_document(tmp_path, capsys):
    document = tmp_path / "gpu.md"
    document.write_text((ROOT / "docs" / "gpu.md").read_text())
    quick = ["-o", str(tmp_path / "out"), "--device", "cpu", "--quick", "--seconds", "100"]
    parts = ["inference", "tiles", "converted", "training", "metrics", "folders"]
    assert gpu.main([*quick, "--only", *parts, "--write-docs", str(document)]) == 0
    content = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert list(content["parts"]) == parts
    assert all(own["rows"] and not own["not run"] and not own["problems"] for own in content["parts"].values())
    forward = [row for row in content["parts"]["inference"]["rows"] if "batch" in row]
    assert [row["batch"] for row in forward] == [1, 2] * 4
    # nothing differs from float32 on the CPU but what is less precise
    assert {row["precision"]: row["levels, most"] for row in forward}["float32"] == 0
    assert 0 < {row["precision"]: row["levels, mean"] for row in forward}["bfloat16"] < 1
    assert content["parts"]["metrics"]["rows"][0]["difference"] == 0

    written = document.read_text()
    assert f"PyTorch {torch.__version__}" in written and "--device cpu --quick" in written
    assert str(tmp_path) not in written
    assert written.count("\nNot run.\n") == 2  # launch and compiled
    # the same again from the file alone
    again = tmp_path / "again.md"
    again.write_text((ROOT / "docs" / "gpu.md").read_text())
    assert gpu.main(["--from", str(tmp_path / "out"), "--write-docs", str(again)]) == 0
    assert again.read_text() == written


def test_a_folder_without_results_is_said(tmp_path, capsys):
    assert gpu.main(["--from", str(tmp_path)]) == 1
    assert "gpu.json" in capsys.readouterr().err


def test_it_loads_without_what_a_lent_machine_lacks():
    """Packages of extras that measuring does not need."""
    lacking = "datasets", "gradio", "av", "cv2", "onnx"
    code = f"import sys\nfor name in {lacking}: sys.modules[name] = None\nimport benchmarks.gpu.__main__"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
