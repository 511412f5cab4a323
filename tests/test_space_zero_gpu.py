import importlib
import sys
from types import SimpleNamespace

import zero_gpu


def test_without_zero_gpu_it_is_the_function_itself():
    def function():
        pass

    assert zero_gpu.on_gpu(function) is function


def test_on_zero_gpu_it_is_the_hub_s_decorator(monkeypatch):
    def decorator(function):
        return function

    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=decorator))
    try:
        assert importlib.reload(zero_gpu).on_gpu is decorator
    finally:
        monkeypatch.undo()
        importlib.reload(zero_gpu)
