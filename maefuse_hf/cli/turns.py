# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Threads that share one model: work in order, the model used by one at a time, and all stopped by Ctrl-C."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Lock
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Turns:
    """A lock that ends the threads that wait for it once it is stopped."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stopped = False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._stopped:
            self._lock.release()
            raise KeyboardInterrupt

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def stop(self) -> None:
        """Whoever asks for a turn from now on gets a `KeyboardInterrupt`."""
        self._stopped = True


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], workers: int, turns: Turns) -> Generator[Result]:
    """What `work` gives of each item, in order, with as many threads at it as there are workers.

    After an error, or where the results are no longer read, what has not begun is given up, and what has begun is
    stopped at its next turn.
    """
    with ThreadPoolExecutor(workers) as pool, closing(pool.map(work, items)) as results:  # type: ignore[type-var]
        try:
            yield from results
        finally:
            turns.stop()
