"""Executors run fits and simulations: in this process, in others, or on other machines.

A task's result does not depend on where it runs: results are the same bytes with any executor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs independent tasks, `count` at a time."""

    @property
    def count(self) -> int:
        """The number of tasks that run at the same time."""
        ...

    @property
    def in_process(self) -> bool:
        """Whether tasks run in this process, one after another, and so can report progress."""
        ...

    def suited(self, seconds: float) -> Executor:
        """The executor for this many seconds of one core's work: this one, or `HERE`."""
        ...

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """function(item) of every item, in the order of the items; both must be picklable.

        RunError if a worker was lost.
        """
        ...


class _Here:
    """Runs every task in this process, when its result is needed."""

    count = 1
    in_process = True

    def suited(self, seconds: float) -> Executor:
        """This executor, for any amount of work."""
        return self

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The built-in `map`."""
        return map(function, items)


HERE: Executor = _Here()
