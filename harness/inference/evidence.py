"""What a verdict is and what it rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

# How a gain is counted: in the metric's unit, as a share of the baseline's, as symbols won.
GainAs = Literal["difference", "relative", "wins"]
HALF = 0.5  # of the symbols: what a candidate wins that is no better
FEWEST_SYMBOLS = 10  # of which a share is taken


@dataclass(frozen=True)
class Evidence:
    """The gain of one candidate over the baseline and how sure of it one can be.

    `critical` is what the test's `statistic` must exceed for "no gain" to be rejected, adjusted;
    `detectable` the true gain of which that is so 8 times in 10; `standard_error` that of the
    interval. `cosines` are the degrees of freedom in time, `df` those of test and interval, fewer
    where seeds differ; `seeds` the gain with each seed, whose mean `gain` is. `windows` were
    tested. A gain that is the share of `symbols` won has no cosines but `draws` by `block` (mean
    length in decisions); its `detectable` is NaN where no share would be told from a half.
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
    """`confirmed`, `refuted`, `inconclusive` or `void`, the reasons in words, the evidence."""

    status: str
    reasons: tuple[str, ...]
    best: Evidence
    evidence: tuple[Evidence, ...] = field(default=())
