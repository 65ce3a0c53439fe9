"""The evidence that a rule asks for: of which kind of gain, by which version of the rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.inference.evidence import Evidence, GainAs
from harness.inference.first_evidence import first_evidence
from harness.inference.gains import Seed, evidence
from harness.inference.wins import evidence_of_wins
from harness.scores.losses import Values
from harness.spec.sections import RULE_VERSION, Acceptance
from harness.types import Forecasts


@dataclass(frozen=True)
class Weighed:
    """What is weighed: forecasts of the verdict's rows, the outcome, every seed's values and gains.

    `periods` counts the separate periods of a regime of shifts, None for any other rows. The days
    after one shift share its shock, so there are at most as many cosines as periods, less one.
    """

    forecasts: Forecasts
    outcome: Values
    seeds: Sequence[Seed]
    periods: int | None = None


def weigh(
    rule: Acceptance,
    weighed: Weighed,
    candidates: tuple[str, ...],
    *,
    metric: str,
    gain_as: GainAs,
    min_gain: float,
    seed: int,
    version: int = RULE_VERSION,
    most_cosines: int | None = None,
) -> tuple[Evidence, ...]:
    """The evidence for these candidates under a version of the rule.

    `metric`, `gain_as` and `min_gain` may be others than the rule's, in a variant of the verdict;
    alpha is shared by the rule's candidates, of which the one that decides was chosen. `seed` is of
    bootstrap draws. `most_cosines` limits the degrees of freedom.
    """
    w, first, tried = weighed, version == 1, len(rule.candidates)
    if gain_as == "wins":
        won = evidence_of_wins(
            w.forecasts,
            w.outcome,
            [s.models for s in w.seeds],
            baseline=rule.baseline,
            candidates=candidates,
            metric=metric,
            alpha=rule.alpha,
            seed=seed,
            min_gain=min_gain,
            tried=tried,
            periods=None if first else w.periods,
            first=first,
        )
        return tuple(replace(e, periods=w.periods or 0) for e in won)
    of = first_evidence
    if not first:
        limits = [m for m in (most_cosines, w.periods and w.periods - 1) if m is not None]
        most = min(limits, default=None)
        of = partial(evidence, min_gain=min_gain, claim=rule.claim, most_cosines=most)
    found = of(
        w.forecasts,
        w.outcome,
        w.seeds,
        baseline=rule.baseline,
        candidates=candidates,
        metric=metric,
        gain_as=gain_as,
        alpha=rule.alpha,
        tried=tried,
    )
    return tuple(replace(e, periods=w.periods or 0) for e in found)
