"""Drops bad rows: repeated timestamps, moves and adjustments beyond a bound.

Each row is judged by itself and the row before it, so that no later data decides what is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.types import F64, I64

Mask = NDArray[np.bool_]
REPEATED = "rows with the stamp of an earlier row"


@dataclass(frozen=True)
class Cleaning:
    """Which rows are dropped; None means no bound.

    `largest_move` bounds a bar's simple return, `largest_adjustment` the relative distance of
    `pre_close` from the close of the row before.
    """

    drop_repeated: bool = False
    largest_move: float | None = None
    largest_adjustment: float | None = None

    @property
    def bounds(self) -> bool:
        """Whether any bound is set; bounds need the adjusting column."""
        return self.largest_move is not None or self.largest_adjustment is not None

    def unsound(
        self, ts: I64, kind: str | None, close: F64 | None, values: F64 | None, kept: Mask
    ) -> Iterator[tuple[str, Mask]]:
        """Each reason and the rows (n,) it drops; NaN never counts as a bad value.

        `close` and adjusting `values` (n,) are as quoted. `kind` says how prices are adjusted;
        bounds apply to `pre_close` and `return` only. `kept` (n,) are the rows that are bars so
        far: of equal timestamps the first of these stays, but a previous close is compared with
        the row before even if that row is not a bar.
        """
        if self.drop_repeated:
            rows = np.flatnonzero(kept)
            repeated = kept.copy()
            repeated[rows[np.unique(ts[rows], return_index=True)[1]]] = False
            yield REPEATED, repeated
        if close is None or values is None:
            return
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.largest_move is not None:
                moved = close / values - 1.0 if kind == "pre_close" else values
                yield (
                    f"rows that move by more than {self.largest_move:g}",
                    np.abs(moved) > self.largest_move,
                )
            if self.largest_adjustment is not None:
                off = np.zeros(ts.size)
                off[1:] = np.abs(values[1:] / close[:-1] - 1.0)
                yield (
                    f"rows whose previous close is more than {self.largest_adjustment:g} off "
                    "that of the row before",
                    off > self.largest_adjustment,
                )
