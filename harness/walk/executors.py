"""Where fits and simulated worlds are made: the one seam for other processes and machines.

What a task gives does not depend on where it runs, so that results are the same bytes with any
executor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs independent tasks; `count` at once."""

    @property
    def count(self) -> int:
        """How many tasks run at once."""
        ...

    @property
    def in_process(self) -> bool:
        """Whether tasks run in this process, one after another, so that they can report here."""
        ...

    def suited(self, seconds: float) -> Executor:
        """The executor for work of so many seconds of one core: this one, or `HERE`."""
        ...

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """function(item) of every item, in the order of the items; both must survive pickle.

        RunError where a worker was lost.
        """
        ...


class _Here:
    """Runs every task in this process when its result is asked for."""

    count = 1
    in_process = True

    def suited(self, seconds: float) -> Executor:
        """Itself, however long the work."""
        return self

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """As the built-in `map`."""
        return map(function, items)


HERE: Executor = _Here()
