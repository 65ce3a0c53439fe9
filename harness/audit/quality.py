"""Data too poor for a verdict: too many filled bars, or too many targets at the floor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.audit.findings import QUALITY, Check, Failure
from harness.samples.measured import PanelFacts
from harness.samples.target_scale import TargetScale
from harness.types import Samples, Window

MOST_FILLED = 0.10  # share of bars that are missing in the data and filled
MOST_FLOORED = 0.05  # share of tested targets of a horizon at sample.floor


def filled_check(facts: PanelFacts) -> Check:
    """The share of missing bars; after an early close or in a break none is missing."""
    missing = sum(gap.missing for gap in facts.gaps)
    share = missing / facts.bars if facts.bars else 0.0
    failures: tuple[Failure, ...] = ()
    if share > MOST_FILLED:
        first = min(facts.gaps, key=lambda gap: gap.start)
        reason = f"{share:.1%} of the bars are filled, more than the {MOST_FILLED:.0%} allowed"
        failures = (Failure("bars", reason, first.symbol, first.start),)
    return Check(
        QUALITY, f"filled bars: {share:.2%}, at most {MOST_FILLED:.0%}", facts.bars, failures
    )


def floor_check(samples: Samples, windows: Sequence[Window], scale: TargetScale) -> Check:
    """The share of tested targets at the floor, where no price moved over the whole horizon."""
    formed = samples.rows.formed_at
    inside = (formed >= windows[0].cut) & (formed < windows[-1].end)
    low = inside & (scale.log_sigma(samples.y) <= np.log(scale.floor))
    share = low.sum() / max(int(inside.sum()), 1)
    failures: tuple[Failure, ...] = ()
    if share > MOST_FLOORED:
        row = int(low.argmax())
        symbol = samples.symbols[samples.rows.symbol[row]]
        reason = f"{share:.1%} of them are at the floor, more than the {MOST_FLOORED:.0%} allowed"
        subject = f"targets at {samples.horizon}"
        failures = (Failure(subject, reason, symbol, int(formed[row])),)
    covered = (
        f"{share:.2%} of targets at {samples.horizon} at the floor, {MOST_FLOORED:.0%} allowed"
    )
    return Check(QUALITY, covered, int(inside.sum()), failures)
