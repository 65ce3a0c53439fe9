"""A verdict and the evidence that it is based on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

# A gain in the metric's unit, as a share of the baseline's figure, or as the share of symbols won.
GainAs = Literal["difference", "relative", "wins"]
HALF = 0.5  # the share of symbols won by a candidate that is no better
FEWEST_SYMBOLS = 10  # that a share of symbols needs


@dataclass(frozen=True)
class Evidence:
    """The gain of one candidate over the baseline, its interval and its test.

    `critical` is the adjusted critical value that `statistic` must exceed to reject "no gain";
    `detectable` is the minimum detectable gain at 80 % power; `standard_error` is that of the
    interval. `cosines` are the degrees of freedom in time, `df` those of test and interval, fewer
    if seeds differ; `seeds` are the gains by seed, `gain` is their mean. `windows` counts test
    windows. A gain that is the share of `symbols` won has no cosines but `draws` with a mean block
    length of `block` forecast origins; its `detectable` is NaN if no share is detectable.
    """

    candidate: str
    baseline: str
    metric: str
    horizon: str
    gain: float
    gain_low: float
    gain_high: float
    level: float
    statistic: float
    p_value: float
    p_adjusted: float
    n: int
    cosines: int
    overlap: int
    standard_error: float
    critical: float
    detectable: float
    windows: int
    df: float = math.nan
    seeds: tuple[float, ...] = ()
    symbols: int = 0
    block: float = math.nan
    draws: int = 0


@dataclass(frozen=True)
class Verdict:
    """`confirmed`, `refuted`, `inconclusive` or `void`, the reasons as sentences, the evidence."""

    status: str
    reasons: tuple[str, ...]
    best: Evidence
    evidence: tuple[Evidence, ...] = field(default=())
