"""What the package does on a GPU, in one short run: `python -m benchmarks.gpu` (see `__main__.py`)."""

import time

STARTED = time.monotonic()
"""When the run began, before the libraries were loaded."""
