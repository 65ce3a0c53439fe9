"""Warnings on a card: few data, outages, weak baselines, many comparisons, split of assets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.durations import Duration, show_moment
from harness.inference.evidence import Verdict
from harness.inference.loss_differences import LossDifferences
from harness.log.run_digests import gone_words
from harness.measures.table import MEASURES, zeros_as_jumps
from harness.samples.target_scale import TargetScale
from harness.scores.metrics import METRICS
from harness.types import F64, Forecasts
from harness.verdict.rivals import Rival
from harness.verdict.rule import decide
from harness.verdict.words import Words, p_value
from harness.walk.residuals.laws import HELD_OUT

if TYPE_CHECKING:
    from harness.scores.distribution.assess import DistributionRow
    from harness.scores.risk.forecasts import Violations
    from harness.spec.sections import Acceptance

_ROWS_PER_COEFFICIENT = 10
_FEWEST_COSINES = 8
_FAR = 2.0  # times the QLIKE of a constant; a baseline that is only noisy stays below
_MANY_DATES = 250  # of which five are 2 %
_MUCH = 1.0 / 3.0  # of all that is saved; for normal differences it is below 0.13
_FEWEST_VIOLATIONS = 10.0
_CLOSED = 5 * 86_400_000_000_000  # ns that an exchange may be closed at the start of a span


def cautions(
    forecasts: Mapping[str, Forecasts], scale: TargetScale, verdict: Verdict, start: int
) -> list[str]:
    """Warnings, the most serious first; `start` is the start of the data (UTC ns)."""
    found = []
    for horizon, part in forecasts.items():
        floored = int(np.sum(scale.at_floor(scale.log_sigma(part.y))))
        if floored:
            found.append(
                f"{floored:,} of {part.y.size:,} targets at {horizon} are at the floor (no price "
                "moved: an outage or filled bars). Their logs and QLIKE depend on the floor and "
                "can decide a ranking; MAPE leaves them out."
            )
        most = max((len(fit.names) for fit in part.fits.values()), default=0)
        least = min(p.n_train for p in part.proofs)
        if most and least < _ROWS_PER_COEFFICIENT * most:
            found.append(
                f"A window at {horizon} has only {least} training rows for {most} coefficients."
            )
        short = sum(p.train_start < start - _CLOSED for p in part.proofs)
        if short:
            found.append(
                f"{short} of {len(part.proofs)} windows at {horizon} train on less than the "
                "declared span: it starts before the data."
            )
    best = verdict.best
    if not best.symbols and 0 < best.cosines < _FEWEST_COSINES:
        reach = f" with targets over {best.overlap + 1} of them" if best.overlap else ""
        degrees = "1 degree" if best.cosines == 1 else f"{best.cosines} degrees"
        found.append(
            f"{best.n:,} forecast origins{reach} leave only {degrees} of freedom: treat test and "
            "interval with caution."
        )
    return found


def of_the_baseline(metric: str, kind: str) -> list[str]:
    """Warns of a baseline that must lose by construction."""
    if metric != "direction" or kind != "persistence":
        return []
    return [
        "Persistence forecasts no change, so it is never right about the direction: a coin toss "
        "gains 0.5 over it."
    ]


def of_ties(ties: Sequence[str], baseline: str) -> list[str]:
    """Warns of candidates whose forecasts are those of the baseline, up to rounding."""
    return [
        f"{name} makes the same forecasts as the baseline {baseline}, up to rounding: this is a "
        "tie, not evidence."
        for name in ties
    ]


def of_a_rival(rival: Rival | None, verdict: Verdict, claim: str, alpha: float) -> list[str]:
    """Warns of a model of the run that is better than the confirmed candidate, or the baseline.

    A verdict that is not confirmed is told of a rival only if it beats the baseline at `alpha`.
    """
    if rival is None or claim == "equal" or not rival.gain_over_baseline > 0.0:
        return []
    best, heading = verdict.best, METRICS[verdict.best.metric].heading
    confirmed = verdict.status == "confirmed"
    figure, other = _apart(rival.figure, rival.of_candidate if confirmed else rival.of_baseline)
    head = f"{rival.model} has a {heading} of {figure}, better than the {other} of "

    def tested(p: float) -> str:
        words = p_value(p, alpha)
        adjusted = f", adjusted for {rival.others} models" if rival.others > 1 else ""
        return f"p {words}{adjusted}" if words.startswith("<") else f"p = {words}{adjusted}"

    if confirmed and rival.gain > 0.0:
        return [
            f"{head}{best.candidate} ({tested(rival.p_value)}): "
            f"{best.candidate} beats the baseline {best.baseline} ({rival.of_baseline:.4g}), not "
            "the best model of this run."
        ]
    judged = {e.candidate for e in verdict.evidence}
    open_to = verdict.status in ("refuted", "inconclusive") and rival.model not in judged
    if open_to and rival.p_over_baseline < alpha:
        return [
            f"{head}the baseline {best.baseline} "
            f"({tested(rival.p_over_baseline)}): the baseline is not the best model of this run."
        ]
    return []


def _apart(one: float, other: float) -> tuple[str, str]:
    """Two figures with as many digits, four or more, as tell them apart."""
    for digits in range(4, 17):
        texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def of_few_dates(found: LossDifferences | None, verdict: Verdict) -> list[str]:
    """Warns of a gain that a few forecast origins make.

    Either the five largest differences are more than a third of all that the candidate saves; or
    it is confirmed, and the mean difference without them is below zero, or less than half of what
    it is with them. Where a share decides, there must be so many origins that five are few.
    """
    if found is None or verdict.status == "void" or not found.mean > 0.0:
        return []
    few = found.n >= _MANY_DATES and found.top_share > _MUCH
    if verdict.status == "confirmed":
        least = 0.5 * found.mean if found.n >= _MANY_DATES else 0.0
        few |= found.mean_without < least
    if not few:
        return []
    metric, dates = METRICS[found.metric], ", ".join(map(show_moment, found.top_dates))
    words = metric.loss.words if metric.loss else metric.heading
    return [
        f"Few dates make this gain. Without the {len(found.top_dates)} of {found.n:,} forecast "
        f"origins on which {found.candidate} gains most ({dates}), its mean gain in {words} is "
        f"{found.mean_without:.3g} instead of {found.mean:.3g}."
    ]


def of_persistence(
    every: Sequence[LossDifferences], verdict: Verdict, rule: Acceptance
) -> list[str]:
    """Warns of loss differences that persist too long for the test behind a verdict.

    What the verdict would be is decided on all candidates, each with the cosines that hold.
    """
    found = next((d for d in every if d.candidate == verdict.best.candidate), None)
    shown = verdict.status in ("confirmed", "refuted") or verdict.gain_shown
    if found is None or verdict.status == "void" or not shown:
        return []
    of, again, words = found.persistence, found.fewer, Words(rule, len(verdict.evidence))
    if again.cosines == verdict.best.cosines:
        return []
    memory = max(1, round(found.n / (math.pi * of.half_power)))
    outcome = decide([d.fewer for d in every], rule).status
    holds = (
        "the verdict would be the same" if outcome == verdict.status else f"it would be {outcome}"
    )
    return [
        f"The loss differences of {found.candidate} persist over about {memory:,} forecast "
        f"origins, too long for a test with {verdict.best.cosines} cosines: it rejects too often, "
        f"and its interval is too narrow. With {again.cosines} cosines {holds}: "
        f"{words.interval(again)}, p of no gain {p_value(again.p_adjusted, rule.alpha)}."
    ]


def of_a_weak_baseline(name: str, qlike: float, outcome: F64) -> list[str]:
    """Warns of a baseline with far higher QLIKE than the best constant forecast.

    `qlike` is the baseline's, `outcome` (n,) are realised variances, whose mean is that constant.
    """
    constant = float(np.log(np.mean(outcome)) - np.mean(np.log(outcome)))
    if not qlike > _FAR * constant:
        return []
    return [
        f"The QLIKE of the baseline {name} is {qlike:.4g}; a constant forecast, the mean variance "
        f"of all test rows, has {constant:.4g} in hindsight: a gain over this baseline says little."
    ]


def of_the_violations(found: Violations | None, models: Sequence[str]) -> list[str]:
    """Warns of a verdict on VaR or ES that rests on few violations, or not on all rows."""
    if found is None:
        return []
    level, expected = f"{100 * found.level:g} %", found.rows * found.level
    seen = ", ".join(f"{found.by_model[name]:,} of {name}" for name in models)
    head = (
        f"VaR at {level} over {found.rows:,} forecasts: {expected:.3g} violations are expected, "
        f"and there are {seen}."
    )
    words = []
    if not any(found.by_model[name] for name in models):
        words.append(
            f"{head} No return tested these forecasts, and the loss then only prefers the VaR "
            "closer to zero: the verdict says nothing about risk."
        )
    elif expected < _FEWEST_VIOLATIONS:
        words.append(
            f"{head} So few returns decide most of the loss that one more could turn the verdict, "
            "and the test rejects less often than it says."
        )
    if found.left_out:
        words.append(
            f"{found.left_out:,} of {found.rows + found.left_out:,} forecasts are not scored by "
            "the verdict, because the return or a model's VaR and ES is unknown."
        )
    return words


def of_the_laws(found: Sequence[DistributionRow], levels: Sequence[float]) -> list[str]:
    """Warns of conformal quantiles for which no fit has enough rows."""
    models = [row.model for row in found if row.law in HELD_OUT and row.n == 0]
    if not models:
        return []
    rarest = min(*levels, 1.0 - max(levels))
    return [
        f"No conformal quantiles for {', '.join(dict.fromkeys(models))}: a tail level of "
        f"{rarest:g} needs {math.ceil(1.0 / rarest - 1e-9) - 1:,} held-out rows in each fit's "
        "training span (distribution.levels)."
    ]


def of_zero_returns(share: float | None, measures: Sequence[str], interval: Duration) -> list[str]:
    """Warns of measures that read zero returns as jumps, where many returns are 0.

    `share` is that of all returns over the interval, of filled bars too; None without returns.
    """
    read = zeros_as_jumps(measures, share)
    if not read:
        return []
    unmoved = ", ".join(m.name for m in MEASURES.values() if m.zeros == "none")
    return [
        f"{share:.1%} of the returns over {interval} are 0 (filled bars included), and "
        f"{', '.join(read)} read{'s' if len(read) == 1 else ''} zeros as jumps: products of "
        "neighbouring returns vanish beside them. On simulated days of 1,440 returns without a "
        "jump, 5 % zeros give false jumps on 27 to 72 % of days, 10 % on more than 92 %. A longer "
        f"sample.interval has fewer zeros; {unmoved} do not change with them."
    ]


def of_the_records(min_record: float | None) -> list[str]:
    """Warns of symbols selected by the completeness of their data over the whole span."""
    if min_record is None:
        return []
    return [
        f"Symbols with bars at less than {min_record:.0%} of the times are left out, which is "
        "known only at the end of the data: results hold for symbols that survived and were "
        "seldom suspended."
    ]


def of_the_source(tested: Sequence[str], source: Sequence[str], same_panel: bool) -> list[str]:
    """Warns of symbols that are used both for pretraining and for testing."""
    both = set(tested) & set(source) if same_panel else set()
    if not both:
        return []
    return [
        f"{len(both):,} of the {len(tested):,} symbols are also used for pretraining: this is no "
        "split over assets (panel.unseen)."
    ]


def of_the_family(verdict: Verdict, family: Mapping[str, Any], alpha: float) -> list[str]:
    """Warns of a confirmed gain that is not significant in its family, and of runs that are gone.

    `family` is as in the record.
    """
    gone = [gone_words(family["gone"], "this family")] if family["gone"] else []
    holm = {row["candidate"]: row["p_holm"] for row in family["candidates"]}
    best = verdict.best.candidate
    if verdict.status != "confirmed" or holm.get(best, 0.0) < alpha:
        return gone
    return [
        f"Among all {family['comparisons']:,} comparisons of this family, the Holm-adjusted p of "
        f"{best} is {p_value(holm[best], alpha)}, not below {alpha:g}: the best of so many may "
        "look this good by luck.",
        *gone,
    ]
