"""A lazily started pool of single-threaded worker processes.

Results are the same bytes for any number of workers.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self

from harness.environment import one_thread_each
from harness.errors import RunError
from harness.walk.executors import HERE, Executor, Item, Result

_POLL = 0.5  # seconds between checks of a result
_WORTH = 30.0  # seconds of training that justify starting workers, which import torch


def available() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Up to `count` processes, for use in a `with` statement, whose end stops them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    @property
    def in_process(self) -> bool:
        """False: even a pool of one runs in a process of its own."""
        return False

    def suited(self, seconds: float) -> Executor:
        """These processes, or `HERE` if there is only one worker or too little work."""
        return HERE if self.count < 2 or seconds < _WORTH else self

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """function(item) of every item, in the order of the items.

        RunError if a worker process died; the fits that it had finished are in the fit cache.
        """
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, context, _begin)
        asked: list[Future[Result]] = []
        try:
            asked = [self._pool.submit(function, item) for item in items]
            for future in asked:
                # Polars' interrupt handler restarts an interrupted wait, so a wait without a
                # timeout would not see Ctrl-C.
                while not wait([future], timeout=_POLL).done:
                    pass
                yield future.result()
        except BrokenProcessPool:
            raise RunError(
                "a worker process was killed (out of memory?): finished fits are cached, run "
                "again, with fewer --workers if memory is short"
            ) from None
        finally:
            for future in asked:
                future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._pool is None:
            return
        own = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            for process in own:
                process.terminate()
            for process in own:
                process.join()


def _begin() -> None:
    """Limits a worker to one thread, ignores Ctrl-C, and ends the worker with its parent.

    It runs before NumPy is imported, which reads the thread limit: this module must stay light.
    """
    one_thread_each()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
