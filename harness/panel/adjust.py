"""Adjusts prices for splits and dividends.

A panel names one of three adjusting columns:

* `adj_close`: the adjusted close; every price of a bar is multiplied by adj_close / close.
* `pre_close`: the previous close as the exchange quotes it that day, already adjusted for
  overnight splits and dividends: the bar's simple return is close / pre_close - 1.
* `return`: the bar's simple return itself.

For the last two the close is rebuilt forwards from the first bar, c_i = c_{i-1} (1 + r_i), and
open, high and low keep their ratio to the close of their bar. So all measures, of returns or of
ranges, are those of the adjusted series, and no price depends on a later bar. The level of a
published adj_close may depend on later dividends; returns and ranges, which are all that measures
use, do not. Volume stays as quoted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.panel.quality import Problem
from harness.types import F64, PRICES

ADJUSTING = ("adj_close", "pre_close", "return")


def check_adjusting(kind: str, values: F64) -> list[Problem]:
    """Problems of the adjusting column (n,); the return of the first bar is not used."""
    first = 0 if kind == "adj_close" else 1
    least, wanted = (-1.0, "a return above -1") if kind == "return" else (0.0, "a price above 0")
    bad = first + np.flatnonzero(~(np.isfinite(values[first:]) & (values[first:] > least)))
    return [Problem("cannot adjust", kind, wanted, int(bad[0]), len(bad))] if bad.size else []


def level(kind: str, close: F64, values: F64) -> F64:
    """The adjusted close of each bar (n,); `close` and adjusting `values` (n,) as quoted."""
    if kind == "adj_close":
        return values
    gross = close / values if kind == "pre_close" else 1.0 + values
    gross[:1] = 1.0
    return close[:1] * np.cumprod(gross)


def adjusted(columns: Mapping[str, F64], close: F64) -> dict[str, F64]:
    """The columns, with every price scaled by adjusted `close` / quoted close.

    Equal prices of a bar stay equal to the last bit, so that a bar without a range keeps none.
    """
    quoted = columns["close"]
    return {name: close * (v / quoted) if name in PRICES else v for name, v in columns.items()}
