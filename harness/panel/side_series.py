"""Side series: another panel's column as last known at the end of each bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.types import F64, I64


@dataclass(frozen=True)
class Series:
    """Values (n,) and when each was known (n,), UTC ns ascending; what was read, as a hash."""

    known_at: I64
    values: F64
    fingerprint: str


def as_of(series: Series, moments: I64, max_age: int) -> F64:
    """The last value known by each moment (m,), NaN where there is none or it is too old.

    A value known at a moment itself counts; one known more than `max_age` ns before does not.
    """
    last = np.searchsorted(series.known_at, moments, side="right") - 1
    out = np.full(moments.size, np.nan)
    found = np.flatnonzero(last >= 0)
    found = found[moments[found] - series.known_at[last[found]] <= max_age]
    out[found] = series.values[last[found]]
    return out
