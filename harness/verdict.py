"""The verdict: a pure rule from gains, evidence and the registered acceptance rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.metrics import METRICS
from harness.types import Evidence, Verdict

_REJECTED = "Some gain is there"
_NOT_REJECTED = '"No gain" is not rejected'
_MOST_WINDOWS = 1_000_000


def pooled_gain(metric: str, baseline: float, candidate: float, *, relative: bool) -> float:
    """The candidate's gain, positive for better; as a share of the baseline's loss if relative.

    NaN for a share of a baseline without loss.
    """
    gain = candidate - baseline if METRICS[metric].higher else baseline - candidate
    if not relative:
        return gain
    return gain / baseline if baseline else math.nan


def decide(
    evidence: Sequence[Evidence],
    *,
    min_gain: float,
    alpha: float,
    relative: bool,
    claim: str,
    regime: str | None = None,
    forbidden: Sequence[str] = (),
) -> Verdict:
    """`confirmed`, `refuted` or `inconclusive`, for the candidate with the largest gain.

    confirmed: the gain reaches min_gain and "no gain" is rejected at alpha, adjusted for the
    number of candidates. refuted: the whole interval lies under min_gain, or under zero when no
    minimum is claimed. inconclusive: neither. void: something is `forbidden` to believe, in
    sentences, or the metric is not defined for any candidate (a constant series). The reasons
    say which sentence decided.

    With the claim `equal`, min_gain is how far apart the two may be: confirmed when every
    candidate's interval lies within it on both sides (two one-sided tests at alpha, Schuirmann
    1987), refuted when one lies wholly outside, inconclusive otherwise.
    """
    defined = [e for e in evidence if not math.isnan(e.gain)]
    best = max(sorted(defined or evidence, key=lambda e: e.candidate), key=lambda e: e.gain)
    if forbidden:
        return Verdict("void", tuple(forbidden), best, tuple(evidence))
    if not defined:
        why = f"{best.metric} is not defined for {best.candidate} or for {best.baseline}."
        return Verdict("void", (why,), best, tuple(evidence))
    if claim == "equal":
        return _equal(evidence, min_gain, Show(best.metric, relative), regime)
    show = Show(best.metric, relative)
    where = f" in {regime}" if regime else ""
    if best.gain >= 0.0:
        reach = f"{best.candidate} gains {show(best.gain)} over {best.baseline}{where}"
    else:
        reach = f"{best.candidate} loses {show(-best.gain).lstrip('+')} to {best.baseline}{where}"
    claim = f"the {show(min_gain)} claimed" if min_gain else "any gain"
    interval = f"{best.level:.0%} interval {show(best.gain_low)} to {show(best.gain_high)}"
    named = "Diebold-Mariano" if METRICS[best.metric].loss else "Influence-value"
    p = p_value(best.p_adjusted)
    test = f"{named} test, p {p if p.startswith('<') else '= ' + p}" + (
        f" (adjusted for {len(evidence)} candidates)" if len(evidence) > 1 else ""
    )
    if best.gain >= min_gain and best.p_adjusted < alpha:
        reasons = (
            f"{reach}, at least {claim}.",
            f'"No gain" is rejected at {alpha:g}: {test}.',
        )
        return Verdict("confirmed", reasons, best, tuple(evidence))
    if best.gain_high < min_gain:
        reasons = (
            f"{reach}; the {interval} excludes {claim}.",
            f"{'Some gain is there' if best.p_adjusted < alpha else _NOT_REJECTED}: {test}.",
        )
        return Verdict("refuted", reasons, best, tuple(evidence))
    if math.isnan(best.gain_high):
        why = f"{reach}, but {best.n} decision times are too few for an interval."
        return Verdict("inconclusive", (why,), best, tuple(evidence))
    if best.gain < min_gain:
        why = f"{reach}, less than {claim}, but the {interval} reaches it."
        wide, gap = best.gain_high - best.gain, min_gain - best.gain
    else:
        why = f"{reach}, at least {claim}, but {_NOT_REJECTED.lower()}: {test}."
        wide, gap = best.critical, best.statistic
    power = f"A true gain of {show(best.detectable)} would be told from none 8 times in 10; "
    reasons = why, power + _settling(best.windows, wide, gap)
    return Verdict("inconclusive", reasons, best, tuple(evidence))


def _equal(evidence: Sequence[Evidence], margin: float, show: Show, regime: str | None) -> Verdict:
    """For the candidate furthest from the baseline; all must be near."""
    worst = max(sorted(evidence, key=lambda e: e.candidate), key=lambda e: abs(e.gain))
    apart = f"{worst.candidate} differs from {worst.baseline} by {show(worst.gain)}"
    apart += f" in {regime}" if regime else ""
    interval = f"{worst.level:.0%} interval {show(worst.gain_low)} to {show(worst.gain_high)}"
    allowed = f"the {show(margin).lstrip('+')} allowed either way"
    if math.isnan(worst.gain_high):
        status, why = "inconclusive", f"{worst.n} decision times are too few for an interval"
    elif worst.gain_low > margin or worst.gain_high < -margin:
        status, why = "refuted", f"the {interval} lies outside {allowed}"
    elif worst.gain_low > -margin and worst.gain_high < margin:
        status, why = "confirmed", f"the {interval} lies within {allowed}"
    else:
        why = f"{apart}; the {interval} reaches over {allowed}."
        wide, gap = worst.gain_high - worst.gain, abs(margin - abs(worst.gain))
        settled = _settling(worst.windows, wide, gap)
        settled = settled[0].upper() + settled[1:]
        return Verdict("inconclusive", (why, settled), worst, tuple(evidence))
    return Verdict(status, (f"{apart}; {why}.",), worst, tuple(evidence))


def _settling(windows: int, wide: float, gap: float) -> str:
    """How many windows would settle it: what is `wide` shrinks with their root, to `gap`."""
    needed = math.ceil(windows * (wide / gap) ** 2) if gap > 0.0 else math.inf
    if needed > _MOST_WINDOWS:
        return f"no number of windows up to {_MOST_WINDOWS:,} would settle it."
    counted = f"about {needed:,} windows such as these {windows:,}"
    return f"were the gain to stay as it is, {counted} would settle it."


def p_value(p: float) -> str:
    """A p-value to two digits; under 1e-16 only that it is."""
    return "< 1e-16" if p < 1e-16 else f"{p:.2g}"


class Show:
    """How gains in a metric are written: points for R2, percent for shares, the metric's unit."""

    def __init__(self, metric: str, relative: bool) -> None:
        self.metric, self.relative = metric, relative

    @property
    def unit(self) -> str:
        """The unit in words, for headings."""
        if self.relative:
            return f"% of the baseline's {self.metric}"
        return (
            "pp R² (log)"
            if self.metric == "r2_log"
            else f"{self.metric}, {METRICS[self.metric].unit}"
        )

    def __call__(self, gain: float) -> str:
        """One gain, signed."""
        if self.relative:
            return f"{100 * gain:+.2f} %"
        if self.metric == "r2_log":
            return f"{100 * gain:+.2f} pp"
        return f"{gain:+.4g}"
