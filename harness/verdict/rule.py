"""The verdict: a pure rule from gains, evidence and the registered acceptance rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.inference.evidence import HALF, Evidence, GainAs, Verdict
from harness.scores.metrics import METRICS
from harness.spec.sections import Acceptance

_MOST_WINDOWS = 1_000_000


def pooled_gain(metric: str, baseline: float, candidate: float, *, gain_as: GainAs) -> float:
    """The candidate's gain, positive for better; as a share of the baseline's loss if `relative`.

    NaN for a share of a baseline without loss.
    """
    gain = candidate - baseline if METRICS[metric].higher else baseline - candidate
    if gain_as != "relative":
        return gain
    return gain / baseline if baseline else math.nan


def no_gain(gain_as: GainAs) -> float:
    """The gain of a candidate that is no better: of wins half of the symbols, else nothing."""
    return HALF if gain_as == "wins" else 0.0


def decide(
    evidence: Sequence[Evidence], rule: Acceptance, *, forbidden: Sequence[str] = ()
) -> Verdict:
    """`confirmed`, `refuted` or `inconclusive` by the acceptance rule, and what decides.

    confirmed: the gain of a candidate reaches min_gain and "no gain" is rejected for it at alpha,
    adjusted for the number of candidates. refuted: the whole interval of every candidate lies
    under min_gain, or under zero when no minimum is claimed. inconclusive: neither. void:
    something is `forbidden` to believe, in sentences, or the metric is not defined for any
    candidate (a constant series). The candidate that decides is the one with the largest gain
    among those that could. The reasons say which sentence decided.

    With the claim `equal`, min_gain is how far apart the two may be: confirmed when every
    candidate's interval lies within it on both sides (two one-sided tests at alpha, Schuirmann
    1987), refuted when one lies wholly outside, inconclusive otherwise; void when the metric is
    not defined for one.
    """
    by_name = sorted(evidence, key=lambda e: e.candidate)
    defined = [e for e in by_name if math.isfinite(e.gain)]
    if forbidden:
        best = max(defined or by_name, key=lambda e: e.gain)
        return Verdict("void", tuple(forbidden), best, tuple(evidence))
    undefined = [e for e in by_name if not math.isfinite(e.gain)]
    if not defined or (rule.claim == "equal" and undefined):
        lost = undefined[0]
        why = f"{lost.metric} is not defined for {lost.candidate} or for {lost.baseline}."
        return Verdict("void", (why,), lost, tuple(evidence))
    words = _Words(rule, len(evidence))
    if rule.claim == "equal":
        status, reasons, best = _equal(by_name, rule.min_gain, words)
    else:
        status, reasons, best = _better(defined, rule, words)
    if best.seeds:
        reasons = (*reasons, words.seeds(best))
    return Verdict(status, reasons, best, tuple(evidence))


class _Words:
    """Sentences about the evidence for one candidate, of so many."""

    def __init__(self, rule: Acceptance, candidates: int) -> None:
        self.gain_as, self.candidates = rule.gain_as, candidates
        self.where = f" in {rule.regime}" if rule.regime else ""

    def show(self, e: Evidence) -> Show:
        """How its gains are written."""
        return Show(e.metric, self.gain_as)

    def reach(self, e: Evidence) -> str:
        """What it gains or loses."""
        show = self.show(e)
        if self.gain_as == "wins":
            where = f"{show(e.gain)} of {e.symbols:,} symbols{self.where}"
            return f"{e.candidate} has a better {e.metric} than {e.baseline} on {where}"
        if e.gain >= 0.0:
            return f"{e.candidate} gains {show(e.gain)} over {e.baseline}{self.where}"
        return f"{e.candidate} loses {show(-e.gain).lstrip('+')} to {e.baseline}{self.where}"

    def interval(self, e: Evidence) -> str:
        """Its interval with its level."""
        show = self.show(e)
        return f"{e.level:.0%} interval {show(e.gain_low)} to {show(e.gain_high)}"

    def seeds(self, e: Evidence) -> str:
        """How its gain spreads over the seeds."""
        show, count = self.show(e), len(e.seeds)
        least, greatest = show(min(e.seeds)), show(max(e.seeds))
        gains = "wins" if self.gain_as == "wins" else "gains"
        return f"That is the mean over {count} seeds, of which each {gains} {least} to {greatest}."

    def test(self, e: Evidence) -> str:
        """The test's name and adjusted p-value."""
        named = "Diebold-Mariano" if METRICS[e.metric].loss else "Influence-value"
        named = "Block bootstrap" if self.gain_as == "wins" else named
        p = p_value(e.p_adjusted)
        p = p if p.startswith("<") else f"= {p}"
        adjusted = f" (adjusted for {self.candidates} candidates)" if self.candidates > 1 else ""
        return f"{named} test, p {p}{adjusted}"

    def power(self, e: Evidence) -> str:
        """What would have been told from no gain."""
        seen = self.show(e)(e.detectable)
        if self.gain_as != "wins":
            return f"A true gain of {seen} would be told from none 8 times in 10"
        share = "No share of the symbols" if math.isnan(e.detectable) else f"A share of {seen}"
        return f"{share} would be told from a half 8 times in 10"


Decision = tuple[str, tuple[str, ...], Evidence]


def _better(found: Sequence[Evidence], rule: Acceptance, words: _Words) -> Decision:
    min_gain, alpha = rule.min_gain, rule.alpha
    more = min_gain != no_gain(words.gain_as)
    claim = f"the {words.show(found[0])(min_gain)} claimed" if more else "any gain"
    enough = f"at least {claim}" if more else "and any gain is claimed"
    sure = [e for e in found if e.gain >= min_gain and e.p_adjusted < alpha]
    if sure:
        best = max(sure, key=lambda e: e.gain)
        rejected = f'"No gain" is rejected at {alpha:g}: {words.test(best)}.'
        return "confirmed", (f"{words.reach(best)}, {enough}.", rejected), best
    possible = [e for e in found if not e.gain_high < min_gain]
    best = max(possible or found, key=lambda e: e.gain)
    reach, interval, test = (f(best) for f in (words.reach, words.interval, words.test))
    if not possible:
        others = ", as those of the other candidates do" if len(found) > 1 else ""
        there = "Some gain is there" if best.p_adjusted < alpha else '"No gain" is not rejected'
        excluded = f"{reach}; the {interval} excludes {claim}{others}."
        return "refuted", (excluded, f"{there}: {test}."), best
    if math.isnan(best.gain_high):
        why = f"{reach}, but {best.n} decision times are too few for an interval."
        return "inconclusive", (why,), best
    if best.gain < min_gain:
        why = f"{reach}, less than {claim}, but the {interval} reaches it."
        wide, gap = best.gain_high - best.gain, min_gain - best.gain
    else:
        why = f'{reach}, {enough}, but "no gain" is not rejected: {test}.'
        wide, gap = best.critical, best.statistic
    if words.gain_as == "wins":  # a share does not stay as it is while noise grows less
        return "inconclusive", (why, f"{words.power(best)}."), best
    settled = _settling(best.windows, wide, gap)
    return "inconclusive", (why, f"{words.power(best)}; {settled}"), best


def _equal(found: Sequence[Evidence], margin: float, words: _Words) -> Decision:
    """All must be near; the candidate shown is one that is not, else the one that may be furthest.

    A candidate without an interval may be anywhere.
    """

    def reach(e: Evidence) -> float:
        return math.inf if math.isnan(e.gain_high) else max(abs(e.gain_low), abs(e.gain_high))

    outside = [e for e in found if e.gain_low > margin or e.gain_high < -margin]
    worst = max(outside or found, key=reach)
    show = words.show(worst)
    apart = f"{worst.candidate} differs from {worst.baseline} by {show(worst.gain)}{words.where}"
    interval, allowed = words.interval(worst), f"the {show(margin).lstrip('+')} allowed either way"
    if outside:
        return "refuted", (f"{apart}; the {interval} lies outside {allowed}.",), worst
    if math.isnan(worst.gain_high):
        why = f"{apart}; {worst.n} decision times are too few for an interval."
        return "inconclusive", (why,), worst
    if worst.gain_low > -margin and worst.gain_high < margin:
        return "confirmed", (f"{apart}; the {interval} lies within {allowed}.",), worst
    wide, gap = worst.gain_high - worst.gain, abs(margin - abs(worst.gain))
    settled = _settling(worst.windows, wide, gap)
    why = f"{apart}; the {interval} reaches over {allowed}."
    return "inconclusive", (why, settled[0].upper() + settled[1:]), worst


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

    def __init__(self, metric: str, gain_as: GainAs) -> None:
        self.metric, self.gain_as = metric, gain_as

    @property
    def unit(self) -> str:
        """The unit in words, for headings."""
        if self.gain_as == "relative":
            return f"% of the baseline's {self.metric}"
        if self.gain_as == "wins":
            return f"% of the symbols, by {self.metric}"
        return (
            "pp R² (log)"
            if self.metric == "r2_log"
            else f"{self.metric}, {METRICS[self.metric].unit}"
        )

    def __call__(self, gain: float | None) -> str:
        """One gain, signed; a share of the symbols, which has no sign, as it is.

        Of a share, not a number (None in a record) is `n/a`: one that could be told, say.
        """
        if gain is None or (self.gain_as == "wins" and math.isnan(gain)):
            return "n/a"
        if self.gain_as == "wins":
            return f"{100 * gain:.1f} %"
        if self.gain_as == "relative":
            return f"{100 * gain:+.2f} %"
        if self.metric == "r2_log":
            return f"{100 * gain:+.2f} pp"
        return f"{gain:+.4g}"
