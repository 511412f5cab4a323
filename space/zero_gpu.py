"""The decorator that lends a function a GPU on a ZeroGPU Space, and does nothing anywhere else."""

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)

try:
    import spaces
except ImportError:

    def on_gpu(function: Function) -> Function:
        """The function itself: there is no ZeroGPU here."""
        return function

else:
    on_gpu = spaces.GPU
