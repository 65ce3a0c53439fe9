"""The verdict as a pure function of the evidence and the registered acceptance rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.inference.evidence import HALF, Evidence, GainAs, Verdict
from harness.scores.metrics import METRICS
from harness.spec.sections import Acceptance

_MOST_WINDOWS = 1_000_000


def pooled_gain(metric: str, baseline: float, candidate: float, *, gain_as: GainAs) -> float:
    """The candidate's gain, positive for better; as a share of the baseline's loss if `relative`.

    NaN for a relative gain over a baseline whose loss is zero.
    """
    gain = candidate - baseline if METRICS[metric].higher else baseline - candidate
    if gain_as != "relative":
        return gain
    return gain / baseline if baseline else math.nan


def no_gain(gain_as: GainAs) -> float:
    """The gain of a candidate that is no better: half of the symbols for wins, else 0."""
    return HALF if gain_as == "wins" else 0.0


def decide(
    evidence: Sequence[Evidence], rule: Acceptance, *, forbidden: Sequence[str] = ()
) -> Verdict:
    """`confirmed`, `refuted`, `inconclusive` or `void` by the acceptance rule, with reasons.

    confirmed: the gain of a candidate is at least min_gain, and "no gain" is rejected for it at
    alpha, adjusted for the number of candidates. refuted: the whole interval of every candidate is
    below min_gain (below zero if no minimum is claimed). inconclusive: neither. void: `forbidden`
    holds sentences that forbid a conclusion, or the metric is undefined for all candidates (a
    constant series). The deciding candidate is the one with the largest gain among those that the
    status rests on.

    With the claim `equal`, min_gain is the margin: confirmed if every candidate's interval lies
    within it on both sides (two one-sided tests at alpha, Schuirmann 1987), refuted if one lies
    entirely outside, inconclusive otherwise; void if the metric is undefined for a candidate.
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
    """Sentences about the evidence for one of the candidates."""

    def __init__(self, rule: Acceptance, candidates: int) -> None:
        self.gain_as, self.candidates, self.alpha = rule.gain_as, candidates, rule.alpha
        self.where = f" in {rule.regime}" if rule.regime else ""

    def show(self, e: Evidence) -> Show:
        """The format of its gains."""
        return Show(e.metric, self.gain_as)

    def reach(self, e: Evidence) -> str:
        """Its gain or loss."""
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
        """The range of its gain over the seeds."""
        show, count = self.show(e), len(e.seeds)
        least, greatest = show(min(e.seeds)), show(max(e.seeds))
        gains = "shares" if self.gain_as == "wins" else "gains"
        return f"This is the mean over {count} seeds, with {gains} from {least} to {greatest}."

    def test(self, e: Evidence) -> str:
        """The test's name and adjusted p-value."""
        named = "Diebold-Mariano test"
        if self.gain_as == "wins":
            named = "Block bootstrap test"
        elif METRICS[e.metric].loss is None:
            named += " on influence values"
        p = p_value(e.p_adjusted, self.alpha)
        p = p if p.startswith("<") else f"= {p}"
        adjusted = f" (adjusted for {self.candidates} candidates)" if self.candidates > 1 else ""
        return f"{named}, p {p}{adjusted}"

    def power(self, e: Evidence) -> str:
        """The minimum detectable gain, as a sentence."""
        least = self.show(e)(e.detectable)
        if self.gain_as != "wins":
            return f"Minimum detectable gain at 80 % power: {least}."
        if math.isnan(e.detectable):
            return "No share of the symbols is detectable at 80 % power."
        return f"Minimum detectable share of the symbols at 80 % power: {least}."


_Decided = tuple[str, tuple[str, ...], Evidence]  # status, reasons, the deciding candidate


def _better(found: Sequence[Evidence], rule: Acceptance, words: _Words) -> _Decided:
    min_gain, alpha = rule.min_gain, rule.alpha
    more = min_gain != no_gain(words.gain_as)
    claim = f"the {words.show(found[0])(min_gain)} claimed" if more else "any gain"
    enough = f"at least {claim}" if more else "as claimed (any gain)"
    sure = [e for e in found if e.gain >= min_gain and e.p_adjusted < alpha]
    if sure:
        best = max(sure, key=lambda e: e.gain)
        rejected = f'"No gain" is rejected at {alpha:g}: {words.test(best)}.'
        return "confirmed", (f"{words.reach(best)}, {enough}.", rejected), best
    possible = [e for e in found if not e.gain_high < min_gain]
    best = max(possible or found, key=lambda e: e.gain)
    reach, interval, test = (f(best) for f in (words.reach, words.interval, words.test))
    if not possible:
        others = ", and so do those of the other candidates" if len(found) > 1 else ""
        present = "A gain is present" if best.p_adjusted < alpha else '"No gain" is not rejected'
        excluded = f"{reach}; the {interval} excludes {claim}{others}."
        return "refuted", (excluded, f"{present}: {test}."), best
    if math.isnan(best.gain_high):
        why = f"{reach}, but {best.n} forecast origins are too few for an interval."
        return "inconclusive", (why,), best
    if best.gain < min_gain:
        less, included = (f", less than {claim}", "it") if more else ("", "gains")
        why = f"{reach}{less}, but the {interval} includes {included}."
        wide, gap = best.gain_high - best.gain, min_gain - best.gain
    else:
        why = f'{reach}, {enough}, but "no gain" is not rejected: {test}.'
        wide, gap = best.critical, best.statistic
    power = words.power(best)
    if words.gain_as == "wins":  # a share changes as noise decreases, so it is not extrapolated
        return "inconclusive", (why, power), best
    needed = _windows_needed("gain", best.windows, wide, gap)
    return "inconclusive", (why, f"{power} {needed}"), best


def _equal(found: Sequence[Evidence], margin: float, words: _Words) -> _Decided:
    """All must be close; one that is not decides, or else the one that may be furthest.

    A candidate without an interval may be arbitrarily far.
    """

    def reach(e: Evidence) -> float:
        return math.inf if math.isnan(e.gain_high) else max(abs(e.gain_low), abs(e.gain_high))

    outside = [e for e in found if e.gain_low > margin or e.gain_high < -margin]
    worst = max(outside or found, key=reach)
    show = words.show(worst)
    apart = f"{worst.candidate} differs from {worst.baseline} by {show(worst.gain)}{words.where}"
    interval, allowed = words.interval(worst), f"the ±{show(margin).lstrip('+')} allowed"
    if outside:
        return "refuted", (f"{apart}; the {interval} lies outside {allowed}.",), worst
    if math.isnan(worst.gain_high):
        why = f"{apart}; {worst.n} forecast origins are too few for an interval."
        return "inconclusive", (why,), worst
    if worst.gain_low > -margin and worst.gain_high < margin:
        return "confirmed", (f"{apart}; the {interval} lies within {allowed}.",), worst
    wide, gap = worst.gain_high - worst.gain, abs(margin - abs(worst.gain))
    needed = _windows_needed("difference", worst.windows, wide, gap)
    why = f"{apart}; the {interval} extends beyond {allowed}."
    return "inconclusive", (why, needed), worst


def _windows_needed(present: str, windows: int, wide: float, gap: float) -> str:
    """How many windows would decide: `wide` shrinks with the root of their number, to `gap`."""
    needed = math.ceil(windows * (wide / gap) ** 2) if gap > 0.0 else math.inf
    if needed > _MOST_WINDOWS:
        return f"At the present {present} even {_MOST_WINDOWS:,} test windows would be too few."
    count = f"there is {windows}" if windows == 1 else f"there are {windows:,}"
    return f"At the present {present} about {needed:,} test windows would be needed; {count}."


def p_value(p: float, alpha: float | None = None) -> str:
    """A p-value to two digits, or "< 1e-16"; near `alpha` as many as show on which side it is."""
    if p < 1e-16:
        return "< 1e-16"
    for digits in range(2, 6):
        text = f"{p:.{digits}g}"
        if alpha is None or (float(text) != alpha and (float(text) < alpha) == (p < alpha)):
            break
    return text


class Show:
    """The format of gains: points for R², percent for shares, else the metric's unit."""

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
        """One gain with its sign; a share of the symbols without one.

        None (NaN in a record) is `n/a`, and so is a share that is NaN.
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
