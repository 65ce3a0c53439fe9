"""Side series: the last known value of another panel's column at the end of each bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.types import F64, I64, Bars


@dataclass(frozen=True)
class Series:
    """Values (n,), when each became known (n,) in ascending UTC ns, and the bars they are from."""

    known_at: I64
    values: F64
    bars: Bars


def as_of(series: Series, moments: I64, max_age: int) -> F64:
    """The last value known at each moment (m,), NaN if there is none or it is too old.

    A value that becomes known at the moment itself counts. One known more than `max_age` ns
    before does not.
    """
    last = np.searchsorted(series.known_at, moments, side="right") - 1
    out = np.full(moments.size, np.nan)
    found = np.flatnonzero(last >= 0)
    found = found[moments[found] - series.known_at[last[found]] <= max_age]
    out[found] = series.values[last[found]]
    return out
