"""The notebooks run from top to bottom, and are kept without what a run leaves in them."""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 600
"""A cell that waits for a network or a keyboard shall not wait for ever."""

LONGEST = 4
"""A notebook takes as much of the processor as this many times the command that fuses one pair, at most: a processor
may be a slow one."""

LARGEST_BYTES = 100_000
REPOSITORY = re.search(r"^repo_url: https://github\.com/(\S+)$", (ROOT / "mkdocs.yml").read_text(), re.M).group(1)


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def test_there_are_four():
    names = "convert_and_compare", "fine_tune_on_your_pairs", "fuse_and_judge_a_folder", "fuse_your_pair"
    assert tuple(path.stem for path in NOTEBOOKS) == names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestKept:
    def test_no_output_and_no_count_is_kept(self, path):
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(path, "code"))
        assert path.stat().st_size < LARGEST_BYTES

    def test_a_badge_opens_it_in_colab(self, path):
        first = "".join(cells(path, "markdown")[0]["source"])
        assert f"(https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{path.name})" in first

    def test_the_first_cell_fetches_the_package_of_this_repository(self, path):
        assert f"git clone --quiet --depth 1 https://github.com/{REPOSITORY} " in "".join(
            cells(path, "code")[0]["source"]
        )


def processor_seconds(run: Callable[[], object]) -> float:
    """Of the processes that a call starts and waits for, which wait for no other program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def seconds_of_one_pair(tmp_path_factory):
    pair = [ROOT / "space" / "examples" / "1-street" / name for name in ("infrared.png", "visible.jpg")]
    command = [sys.executable, "-m", "maefuse_hf.cli", "fuse", *pair, "-o", tmp_path_factory.mktemp("fused") / "1.png"]
    return processor_seconds(lambda: subprocess.run(command, check=True, capture_output=True))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch, seconds_of_one_pair):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=SECONDS,
        startup_timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    assert processor_seconds(client.execute) < LONGEST * seconds_of_one_pair
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    said = "".join(output.get("text", "") for output in shown)
    assert "Traceback" not in said and "problems" not in said.replace("no problems", "").replace("0 problems", "")
