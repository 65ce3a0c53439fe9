"""A verdict and the evidence that it is based on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

# A gain in the metric's unit, as a share of the baseline's figure, or as the share of symbols won.
GainAs = Literal["difference", "relative", "wins"]
Claim = Literal["better", "equal"]
HALF = 0.5  # the share of symbols won by a candidate that is no better
FEWEST_SYMBOLS = 10  # that a share of symbols needs


def no_gain(gain_as: GainAs) -> float:
    """The gain of a candidate that is no better: half of the symbols for wins, else 0."""
    return HALF if gain_as == "wins" else 0.0


@dataclass(frozen=True)
class Evidence:
    """The gain of one candidate over the baseline, its interval and its test.

    The interval has `level` for all candidates together; an end is infinite where no gain on that
    side is rejected. `p_claim` is the adjusted p-value of "the gain is at most the one claimed", or
    for the claim `equal` of "the gain is outside the margin". `critical` is the adjusted critical
    value that `statistic` must exceed to reject "no gain"; `detectable` is the minimum detectable
    gain at 80 % power; `standard_error` is the gain's. `cosines` are the degrees of freedom in
    time, `df` those of test and interval, fewer if seeds differ; `seeds` are the gains by seed,
    `gain` is their mean. `windows` counts test windows, `periods` the separate periods that cap
    the cosines, 0 for none. A gain that is the share of `symbols` won has no cosines but `draws`
    with a mean block length of `block` forecast origins; its `detectable` is NaN if no share is
    detectable.
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
    p_claim: float = math.nan
    periods: int = 0

    @property
    def unbounded(self) -> str | None:
        """`below`, `above` or `both`: where the interval has no end; None where it has both."""
        open_ends = math.isinf(self.gain_low), math.isinf(self.gain_high)
        return {(True, False): "below", (False, True): "above", (True, True): "both"}.get(open_ends)


@dataclass(frozen=True)
class Verdict:
    """`confirmed`, `refuted`, `inconclusive` or `void`, the reasons as sentences, the evidence.

    Of the candidate that decides: `gain_shown`: "no gain" is rejected; `claim_shown`: "the gain is
    at most the one claimed" is rejected, or for `equal` that it is outside the margin. None: void.
    """

    status: str
    reasons: tuple[str, ...]
    best: Evidence
    evidence: tuple[Evidence, ...] = field(default=())
    gain_shown: bool | None = None
    claim_shown: bool | None = None
