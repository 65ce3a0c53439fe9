"""Trials: the forecasts of a world go through the scores, the evidence and the rule of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.calibration.settings import SETTINGS, Setting
from harness.calibration.walked_forecasts import SCALE
from harness.inference.diebold_mariano import student_t_sf
from harness.inference.evidence import Evidence, GainAs, no_gain
from harness.inference.gains import Seed
from harness.inference.loss_differences import persistence_of
from harness.scores.forecast_origins import by_origin
from harness.scores.losses import Values
from harness.scores.metrics import METRICS
from harness.scores.scoring import score, series
from harness.spec.sections import Acceptance
from harness.types import F64, Forecasts
from harness.verdict.rule import decide, pooled_gain
from harness.verdict.weigh import Weighed, weigh

_BASE, _OWN = "baseline", ("candidate",)


@dataclass(frozen=True)
class Trial:
    """The evidence for the candidate in one world.

    `fewer` is that with the cosines that a card's warning of persistent loss differences names.
    `whole` is what the gain is a share of: for a relative gain the baseline's mean loss (the mean
    over seeds), for a difference of R² the variance of ln sigma, else 1. `plain` is the p-value of
    a t-test that treats the rows' loss differences as independent.
    """

    found: Evidence
    fewer: Evidence
    whole: float
    plain: float

    def status(self, min_gain: float, alpha: float, gain_as: GainAs) -> str:
        """The verdict at this minimum gain."""
        f = self.found
        return decide([f], _rule(f.metric, f.horizon, min_gain, gain_as, alpha)).status


def try_world(setting: Setting, seed: int, world: int, *, alpha: float) -> Trial:
    """Judge one world, which depends on seed, setting and number alone."""
    key = list(SETTINGS).index(setting.name)
    forecasts = setting.world.forecasts(np.random.default_rng([seed, key, world]))
    outcome, models = series(forecasts, SCALE)
    seeds = []
    for own in ({}, *(series(forecasts.of_seed(r), SCALE)[1] for r in forecasts.repeats)):
        values = models | own
        found = score(forecasts, SCALE, outcome, values)
        base, figure = (found.value(name, setting.metric) for name in (_BASE, *_OWN))
        gain = pooled_gain(setting.metric, base, figure, gain_as=setting.gain_as)
        seeds.append(Seed(values, {_OWN[0]: gain}, base))
    losses = METRICS[setting.metric].losses
    d = losses(outcome, models[_BASE]) - losses(outcome, models[_OWN[0]])
    none = no_gain(setting.gain_as)
    rule = _rule(setting.metric, forecasts.horizon, none, setting.gain_as, alpha)
    asked = partial(
        weigh,
        rule,
        Weighed(forecasts, outcome, seeds),
        rule.candidates,
        metric=rule.metric,
        gain_as=rule.gain_as,
        min_gain=rule.min_gain,
        seed=world,
    )
    (sure,) = asked()
    hold = persistence_of(by_origin(forecasts.formed_at).averages(d), forecasts.overlap).fewer
    (fewer,) = asked(most_cosines=hold) if hold < sure.cosines else (sure,)
    return Trial(sure, fewer, _whole(setting, outcome, seeds), _plain_test(d))


def of_any_gain(
    forecasts: Forecasts, metric: str, gain_as: GainAs, seed: int, *, alpha: float
) -> tuple[Evidence, str]:
    """The evidence for the candidate of these forecasts, and the verdict on a claim of any gain."""
    outcome, models = series(forecasts, SCALE)
    found = score(forecasts, SCALE, outcome, models)
    base, figure = (found.value(name, metric) for name in (_BASE, *_OWN))
    gain = pooled_gain(metric, base, figure, gain_as=gain_as)
    rule = _rule(metric, forecasts.horizon, no_gain(gain_as), gain_as, alpha)
    weighed = Weighed(forecasts, outcome, [Seed(models, {_OWN[0]: gain}, base)])
    (evidence,) = weigh(
        rule,
        weighed,
        rule.candidates,
        metric=metric,
        gain_as=gain_as,
        min_gain=rule.min_gain,
        seed=seed,
    )
    return evidence, decide([evidence], rule).status


def _rule(metric: str, horizon: str, min_gain: float, gain_as: GainAs, alpha: float) -> Acceptance:
    return Acceptance.model_validate(
        {
            "baseline": _BASE,
            "candidates": _OWN,
            "metric": metric,
            "horizon": horizon,
            "min_gain": min_gain,
            "gain": gain_as,
            "alpha": alpha,
        }
    )


def _whole(setting: Setting, outcome: Values, seeds: Sequence[Seed]) -> float:
    if setting.gain_as == "relative":
        return math.fsum(s.base for s in seeds) / len(seeds)
    if setting.metric == "r2_log" and setting.gain_as == "difference":
        return float(outcome.log_sigma.var())
    return 1.0


def _plain_test(d: F64) -> float:
    """One-sided p-value of a positive mean of d (n,), as if its rows were independent."""
    spread = float(d.std(ddof=1))
    if spread == 0.0:
        return 0.5
    return student_t_sf(float(d.mean()) / spread * math.sqrt(d.size), d.size - 1)
