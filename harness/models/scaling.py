"""Standardising by training rows alone, and forecasts whose bits do not depend on later rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from harness.models.protocol import ModelError
from harness.types import F64, I32, I64

# A spread under this share of a column's mean is rounding: that of 0.1 a thousand times is 1e-17.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation (divisor n) of p columns over the training rows.

    `centre` and `spread` (1 + s, p): first of all rows, then of each symbol in `symbols` (s,),
    ascending codes; s is 0 if all symbols share them.
    """

    symbols: I64
    centre: F64
    spread: F64

    @classmethod
    def of(cls, values: F64, names: Sequence[str], symbol: I32 | None = None) -> Self:
        """From the training rows' values (n, p); by symbol if `symbol` (n,) is given.

        A column that is constant within a symbol gets the spread of all rows there. ModelError
        names a column that is constant over all rows, which has no scale.
        """
        centre, spread = _moments(values)
        if not spread.all():
            name = names[int(np.flatnonzero(spread == 0.0)[0])]
            raise ModelError(f"{name} is constant over the training rows")
        centres, spreads, symbols = [centre], [spread], np.empty(0, np.int64)
        if symbol is not None:
            symbols = np.unique(symbol).astype(np.int64)
            for code in symbols:
                own, wide = _moments(values[symbol == code])
                centres.append(own)
                spreads.append(np.where(wide > 0.0, wide, spread))
        return cls(symbols, np.array(centres), np.array(spreads))

    def place(self, symbol: I32) -> I64:
        """Each row's line (n,) of `centre` and `spread`: 0 for a symbol without training rows."""
        if not self.symbols.size:
            return np.zeros(symbol.size, np.int64)
        at = np.minimum(np.searchsorted(self.symbols, symbol), self.symbols.size - 1)
        return np.where(self.symbols[at] == symbol, at + 1, 0)

    def apply(self, values: F64, symbol: I32) -> F64:
        """(values - centre) / spread of each row's symbol; values (n, p), symbol (n,)."""
        if not self.symbols.size:
            return (values - self.centre[0]) / self.spread[0]
        place = self.place(symbol)
        return (values - self.centre[place]) / self.spread[place]


def _moments(values: F64) -> tuple[F64, F64]:
    """Mean and standard deviation of every column; the latter is exactly 0 for a constant one."""
    centre, spread = values.mean(axis=0), values.std(axis=0)
    return centre, np.where(spread <= _CONSTANT * np.abs(centre), 0.0, spread)


def in_blocks(forecast: Callable[[F64], F64], x: F64, size: int) -> F64:
    """forecast(x) (n,), in blocks of `size` rows; the last block repeats its last row.

    Libraries may sum in another order for another number of rows. With one block size a row's
    forecast does not depend on how many rows follow it.
    """
    out = np.empty(len(x))
    for first in range(0, len(x), size):
        block = x[first : first + size]
        rows = len(block)
        if rows < size:
            block = np.concatenate((block, np.repeat(block[-1:], size - rows, axis=0)))
        out[first : first + rows] = np.asarray(forecast(block)).reshape(-1)[:rows]
    return out
