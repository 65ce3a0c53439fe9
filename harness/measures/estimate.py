"""One measure over one window of bars, by the code that computes a panel's columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.durations import NS_PER_DAY, NS_PER_MINUTE
from harness.errors import UsageError, nearest, one_line
from harness.measures.cascade import ESTIMATORS
from harness.measures.table import JUMP_ALPHA, MEASURES
from harness.measures.windows import Blocks, Window
from harness.types import F64


def estimate(
    name: str,
    bars: F64 | Mapping[str, F64],
    *,
    bipower_edge: str = "inside",
    bar: int = NS_PER_MINUTE,
    jump_alpha: float = JUMP_ALPHA,
) -> float:
    """The measure `name` of measures/table.py over one window of n bars, per bar.

    Args:
        name: a measure, in its own unit: n * estimate("medrv", r)**2 is the MedRV of r.
        bars: n log returns; or n + 1 bars as columns (`close`, …), where the first bar gives only
            the close before the window. A leading zero return counts as a return.
        bipower_edge: as in `[sample]`; with "straddle" the result is NaN, because the first return
            has no return before it.
        bar: length of a bar in ns; it sets the 20 minutes of rk and tsrv.
        jump_alpha: significance of jc and jj.

    Returns:
        The value; NaN for lm, which needs returns from before the window.

    Raises:
        UsageError: for an unknown name, missing columns or too few bars.
    """
    known = MEASURES.get(name)
    if known is None:
        near = nearest(name, MEASURES)
        hint = f"; did you mean '{near}'?" if near else ""
        raise UsageError(f"estimate: got {one_line(name)}, wanted a measure{hint}")
    columns = bars if isinstance(bars, Mapping) else {"close": _closes(bars)}
    for column in known.inputs:
        if column not in columns:
            raise UsageError(f"estimate: {name}: wanted a column '{column}', got {list(columns)}")
    arrays = {c: np.ascontiguousarray(columns[c], dtype=np.float64) for c in known.inputs}
    sizes = {c: a.size for c, a in arrays.items()}
    n = min(sizes.values()) - 1
    if len(set(sizes.values())) > 1:
        raise UsageError(f"estimate: {name}: wanted columns of one length, got {sizes}")
    if n < known.minimum_bars:
        wanted = f"{known.minimum_bars} or more bars after the first"
        raise UsageError(f"estimate: {name}: wanted {wanted}, got {max(n, 0)}")
    blocks = Blocks(
        arrays,
        count=n + 1,
        raw_size=1,
        interval=1,
        bar=bar,
        bars_a_day=NS_PER_DAY / bar,
        straddle=bipower_edge == "straddle",
        jump_alpha=jump_alpha,
    )
    return float(ESTIMATORS[name](Window(blocks, n))[-1])


def _closes(returns: F64) -> F64:
    """Closes that start at 1 and have these log returns."""
    return np.exp(np.cumsum(np.concatenate(([0.0], returns))))
