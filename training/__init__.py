"""The guided training of MaeFuse; see `training/README.md`."""
