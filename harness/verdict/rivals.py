"""The best model of a run that the verdict is not about: the rival of baseline and candidate."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.inference.diebold_mariano import diebold_mariano
from harness.inference.gains import saved_losses
from harness.scores.forecast_origins import by_origin
from harness.scores.metrics import METRICS
from harness.spec.sections import Acceptance
from harness.verdict.rule import pooled_gain
from harness.verdict.weigh import Weighed


@dataclass(frozen=True)
class Rival:
    """The best of the `others`: its figure, those of baseline and candidate, in the metric's unit.

    `gain` over the candidate and `gain_over_baseline` are differences, positive for better.
    `p_value` and `p_over_baseline` are those of one-sided Diebold-Mariano tests of "no gain", times
    the number of others, up to 1.
    """

    model: str
    others: int
    figure: float
    of_baseline: float
    of_candidate: float
    gain: float
    gain_over_baseline: float
    p_value: float
    p_over_baseline: float


def find_rival(
    rule: Acceptance,
    candidate: str,
    weighed: Weighed,
    figures: Sequence[Mapping[str, float]],
) -> Rival | None:
    """The best model by the rule's metric that is neither baseline nor `candidate`.

    `figures` are the metric of each model by seed, of which means are taken; tests are of the first
    seed. None where there is no other model with a figure, or one of the two has none.
    """
    part, outcome = weighed.forecasts, weighed.outcome
    metric, models = METRICS[rule.metric], weighed.seeds[0].models
    of = {name: _mean_of(name, figures) for name in models}
    sign = 1.0 if metric.higher else -1.0
    others = [n for n in models if n not in (rule.baseline, candidate) and math.isfinite(of[n])]
    if not others or not (math.isfinite(of[candidate]) and math.isfinite(of[rule.baseline])):
        return None
    best = max(others, key=lambda name: sign * of[name])
    origins = by_origin(part.formed_at)

    def against(name: str) -> tuple[float, float]:
        gain = pooled_gain(rule.metric, of[name], of[best], gain_as="difference")
        d = saved_losses(metric, origins, outcome, models[name], models[best], gain)
        p = diebold_mariano(d, part.overlap)[1]
        return gain, min(1.0, p * len(others))

    gain, p = against(candidate)
    gain_over_baseline, p_over_baseline = against(rule.baseline)
    return Rival(
        best,
        len(others),
        of[best],
        of[rule.baseline],
        of[candidate],
        gain,
        gain_over_baseline,
        p,
        p_over_baseline,
    )


def _mean_of(name: str, figures: Sequence[Mapping[str, float]]) -> float:
    return statistics.fmean(each[name] for each in figures if name in each)
