"""Models of two stages, the second fitted on what the first forecast out of sample."""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

from harness.types import F64, Rows

FEWEST = 30  # rows of a stage, or held out of one: fewer teach nothing
HELD_OUT = 0.25  # of the first stage's rows, the last ones, where it stops early


@runtime_checkable
class Staged(Protocol):
    """A model whose `fit` is its second stage, and wants the first one fitted on earlier rows.

    `share` of a fit's training rows are the first stage's; `first_validates` says that it stops
    early, on the last of them. `fit` gets later rows alone, which the first stage has not seen.
    """

    share: float

    @property
    def first_validates(self) -> bool:
        """Whether the first stage wants rows held out."""
        ...

    def begun(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """The model with its first stage fitted on these rows; ModelError as of `fit`."""
        ...
