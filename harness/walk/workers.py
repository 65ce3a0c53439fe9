"""Work in other processes: one thread each, as many as asked for, started when there is work.

What a fit or a simulated world gives does not depend on where it is made, so that results are the
same bytes with any number of workers.
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

_BETWEEN_LOOKS = 0.5  # seconds
_WORTH = 30.0  # seconds of training from which on starting workers, which import torch, pays


def available() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Up to `count` processes, to be used in a `with`: leaving it ends them, whatever they do."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    @property
    def in_process(self) -> bool:
        """Never: a pool of one process is one of its own, too."""
        return False

    def suited(self, seconds: float) -> Executor:
        """These processes, or this one where there would be one only, or it is too little work."""
        return HERE if self.count < 2 or seconds < _WORTH else self

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """function(item) of every item, in their order.

        RunError where a worker has died; what it had finished is kept by the fits themselves.
        """
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, context, _begin)
        asked: list[Future[Result]] = []
        try:
            asked = [self._pool.submit(function, item) for item in items]
            for future in asked:
                # Polars' handler of an interrupt restarts what it interrupts: a wait without end
                # would not see it.
                while not wait([future], timeout=_BETWEEN_LOOKS).done:
                    pass
                yield future.result()
        except BrokenProcessPool:
            raise RunError(
                "a worker process was killed (by lack of memory?): fits that were finished are "
                "kept, run again, with fewer --workers if memory is short"
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
    """A worker has one thread, leaves an interrupt to its parent, and does not outlive it.

    Called before NumPy is loaded, which reads how many threads it may have: this module is light.
    """
    one_thread_each()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
