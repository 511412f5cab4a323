"""The `maefuse` command."""

from .command import entry_point, main

__all__ = [
    "entry_point",
    "main",
]
