"""Rows grouped by forecast origin: symbols share the shocks of a moment, so they count once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.types import F64, I64


@dataclass(frozen=True)
class ForecastOrigins:
    """The rows of a panel grouped by forecast origin: the first row of each (t,), `rows` in all."""

    starts: I64
    rows: int

    @property
    def n(self) -> int:
        """The number of forecast origins."""
        return self.starts.size

    def sums(self, x: F64) -> F64:
        """Sums by forecast origin (t, …) of the rows' values (rows, …)."""
        return x if self.n == self.rows else np.add.reduceat(x, self.starts, axis=0)

    def averages(self, x: F64) -> F64:
        """Averages by forecast origin (t,) of the rows' values (rows,); the mean stays the same.

        Values are centred first: an origin with more symbols has more weight, not a larger value.
        """
        if self.n == self.rows:
            return x
        mean = x.mean()
        return self.sums(x - mean) * (self.n / self.rows) + mean

    def last_known(self, formed_at: I64, resolved_at: I64) -> I64:
        """The last origin whose targets had all resolved by each origin (t,), -1 for none.

        `formed_at` and `resolved_at` are of the rows (rows,), UTC ns. An origin counts once the
        targets of all earlier ones have resolved too: those of symbols that pause resolve later.
        """
        resolved = np.maximum.accumulate(np.maximum.reduceat(resolved_at, self.starts))
        return np.searchsorted(resolved, formed_at[self.starts], side="right") - 1


def by_origin(formed_at: I64) -> ForecastOrigins:
    """Group rows in time order (n,) by the moment at which they were formed."""
    starts = np.flatnonzero(np.diff(formed_at, prepend=formed_at[:1] - 1))
    return ForecastOrigins(starts, formed_at.size)
