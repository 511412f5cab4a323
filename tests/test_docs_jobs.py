"""The `hf` commands of docs/training.md, as the installed command line of the Hub reads them. Nothing is sent."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.search(r"^hf buckets create[\s\S]*?(?=^```)", (ROOT / "docs" / "training.md").read_text(), re.M).group(0)
# a backslash at the end of a line joins it to the next, in the command that is sent too
CREATE, RUN, LOGS, SYNC = re.split(r"\n(?=hf )", BLOCK.strip().replace("\\\n", ""))
HUB = (sys.executable, "-m", "huggingface_hub.cli.hf")


def hub(*arguments):
    """What `hf` says, without colours and without a network."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "400"}
    return subprocess.run([*HUB, *arguments], env=environment, capture_output=True, text=True, timeout=280)


def test_the_job_is_what_is_meant():
    if "--dry-run" not in hub("jobs", "run", "--help").stdout:
        pytest.skip("this huggingface_hub cannot show a job without sending it")
    _, *arguments = shlex.split(RUN)
    place = arguments.index("run") + 1
    finished = hub(*arguments[:place], "--dry-run", "--format", "human", *arguments[place:])
    assert finished.returncode == 0, finished.stderr
    said = " ".join(finished.stdout.split())
    for part in (
        "image python:3.13 command bash -c 'cp -r /repository /maefuse",
        "flavor a10g-small timeout 1d secrets HF_TOKEN",
        "volumes .:/repository hf://buckets/org/runs:/runs",
        "labels name=maefuse namespace org",
        "(dry run) Job not submitted.",
    ):
        assert part in said


def test_what_it_runs_is_there():
    command = shlex.split(RUN)[-1]
    for path in re.findall(r"training/\S+", command):
        assert (ROOT / path).is_file()
    assert subprocess.run(["bash", "-n", "-c", command]).returncode == 0


@pytest.mark.parametrize("command", [CREATE, LOGS, SYNC])
def test_the_others_are_commands_with_these_options(command):
    _, *words = shlex.split(command)
    group = words[:2]
    helped = hub(*group, "--help")
    assert helped.returncode == 0, helped.stderr
    assert re.search(rf"^Usage: .*{' '.join(group)} \[OPTIONS\]", helped.stdout)
    for option in [word for word in words if word.startswith("--")]:
        assert option in helped.stdout
