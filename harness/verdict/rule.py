"""The verdict as a pure function of the evidence and the registered acceptance rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.inference.evidence import Evidence, GainAs, Verdict
from harness.scores.metrics import METRICS
from harness.spec.sections import RULE_VERSION, Acceptance
from harness.verdict.words import Words, too_few


def pooled_gain(metric: str, baseline: float, candidate: float, *, gain_as: GainAs) -> float:
    """The candidate's gain, positive for better; as a share of the baseline's loss if `relative`.

    NaN for a relative gain over a baseline whose loss is zero.
    """
    gain = candidate - baseline if METRICS[metric].higher else baseline - candidate
    if gain_as != "relative":
        return gain
    return gain / baseline if baseline else math.nan


def decide(
    evidence: Sequence[Evidence],
    rule: Acceptance,
    *,
    forbidden: Sequence[str] = (),
    version: int = RULE_VERSION,
) -> Verdict:
    """`confirmed`, `refuted`, `inconclusive` or `void` by the acceptance rule, with reasons.

    confirmed: the interval of a candidate's gain lies above min_gain, so that "the gain is at most
    min_gain" is rejected at alpha, adjusted for the number of candidates. refuted: the interval of
    every candidate is below min_gain. inconclusive: neither. void: `forbidden` holds sentences that
    forbid a conclusion, or the metric is undefined for all candidates (a constant series). The
    deciding candidate is the one with the largest gain among those that the status rests on.

    With `rule = "point"`, and under version 1 of the rule, confirmed asks for less: that the gain
    as estimated is at least min_gain, and that "no gain" is rejected.

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
    words = Words(rule, len(evidence))
    if rule.claim == "equal":
        status, reasons, best = _equal(by_name, rule.min_gain, words)
        claim_shown = status == "confirmed"
    else:
        pointwise = version == 1 or rule.rule == "point"
        status, reasons, best = _better(defined, rule, words, pointwise)
        claim_shown = _claim_shown(best, rule)
    if best.seeds:
        reasons = (*reasons, words.seeds(best))
    return Verdict(status, reasons, best, tuple(evidence), _gain_shown(best, rule), claim_shown)


def _gain_shown(e: Evidence, rule: Acceptance) -> bool:
    return e.p_adjusted < rule.alpha


def _claim_shown(e: Evidence, rule: Acceptance) -> bool:
    return e.gain_low > rule.min_gain and _gain_shown(e, rule)


_Decided = tuple[str, tuple[str, ...], Evidence]  # status, reasons, the deciding candidate


def _better(found: Sequence[Evidence], rule: Acceptance, words: Words, pointwise: bool) -> _Decided:
    def accepted(e: Evidence) -> bool:
        if pointwise:
            return e.gain >= rule.min_gain and _gain_shown(e, rule)
        return _claim_shown(e, rule)

    sure = [e for e in found if accepted(e)]
    if sure:
        best = max(sure, key=lambda e: e.gain)
        return "confirmed", words.confirmed(best, pointwise), best
    possible = [e for e in found if not e.gain_high < rule.min_gain]
    if not possible:
        best = max(found, key=lambda e: e.gain)
        return "refuted", words.refuted(best, _gain_shown(best, rule)), best
    best = max(possible, key=lambda e: (not pointwise and _gain_shown(e, rule), e.gain))
    return "inconclusive", words.inconclusive(best, _gain_shown(best, rule)), best


def _equal(found: Sequence[Evidence], margin: float, words: Words) -> _Decided:
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
        why = f"{apart}; {too_few(worst)}."
        return "inconclusive", (why,), worst
    if worst.gain_low > -margin and worst.gain_high < margin:
        return "confirmed", (f"{apart}; the {interval} lies within {allowed}.",), worst
    why = f"{apart}; the {interval} extends beyond {allowed}."
    return "inconclusive", (why,), worst
