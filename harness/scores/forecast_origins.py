"""Rows by decision time: symbols of one moment share its shocks and are one observation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.types import F64, I64


@dataclass(frozen=True)
class ForecastOrigins:
    """The rows of a panel grouped by decision time: `starts` (t,) of each, of `rows` in all."""

    starts: I64
    rows: int

    @property
    def n(self) -> int:
        """How many decision times there are."""
        return self.starts.size

    def sums(self, x: F64) -> F64:
        """Values of the rows (rows, …) summed by decision time (t, …)."""
        return x if self.n == self.rows else np.add.reduceat(x, self.starts, axis=0)

    def averages(self, x: F64) -> F64:
        """Values of the rows (rows,) averaged by decision time (t,); their mean is the rows'.

        Centred first: a date with more symbols is no larger value, it is a surer one.
        """
        if self.n == self.rows:
            return x
        mean = x.mean()
        return self.sums(x - mean) * (self.n / self.rows) + mean


def by_origin(formed_at: I64) -> ForecastOrigins:
    """The groups of rows in time order (n,) that were formed at one moment."""
    starts = np.flatnonzero(np.diff(formed_at, prepend=formed_at[:1] - 1))
    return ForecastOrigins(starts, formed_at.size)
