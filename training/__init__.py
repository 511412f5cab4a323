"""The guided training of MaeFuse; see `docs/training.md`."""
