"""That two launched processes share the work and agree is tested in test_cli_evaluate.py."""

import pytest

from maefuse_hf.evaluation import processes
from maefuse_hf.evaluation.processes import Processes, launched_processes


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_item_belongs_to_one_process(count):
    shares = [Processes(index, count).share(range(5)) for index in range(count)]
    assert sorted(item for share in shares for item in share) == list(range(5))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [Processes(index, count).is_main for index in range(count)] == [True] + [False] * (count - 1)


@pytest.mark.parametrize("available", [True, False])
def test_a_single_process_needs_no_accelerate(monkeypatch, available):
    monkeypatch.setattr(processes, "is_accelerate_available", lambda: available)
    alone = launched_processes()
    assert (alone.index, alone.count, alone.device) == (0, 1, None)
    assert alone.gather([1, 2]) == [1, 2]


def test_several_processes_without_accelerate_say_what_to_install(monkeypatch):
    monkeypatch.setattr(processes, "is_accelerate_available", lambda: False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OSError, match=r"accelerate is not installed.*pip install \"maefuse-hf\[evaluate\]\""):
        launched_processes()
