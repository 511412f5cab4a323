"""`python -m maefuse_hf.cli` is `maefuse`."""

from .command import entry_point

entry_point()
