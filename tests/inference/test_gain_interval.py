"""Intervals of ratios of means against the test that they invert, and how often they cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from support.worlds import make_forecasts

from harness.inference.first_evidence import first_evidence
from harness.inference.gain_interval import (
    GainScale,
    MeanLosses,
    Ratio,
    RootDifference,
    RootRatio,
)
from harness.inference.gains import Seed, evidence
from harness.samples.target_scale import TargetScale
from harness.scores.scoring import score, series

NAIVE = TargetScale("log", "sigma", "naive", 1e-12)


def means(saved: float, whole: float, deviations: tuple[float, float], r: float) -> MeanLosses:
    a, b = deviations
    return MeanLosses(saved, whole, a * a, r * a * b, b * b)


CASES = [
    means(0.2, 1.0, (0.05, 0.1), 0.6),
    means(0.2, 1.0, (0.2, 0.3), 0.95),
    means(-0.3, 1.0, (0.2, 0.1), -0.5),
    means(0.0, 1.0, (0.1, 0.2), 0.3),
    means(0.5, 1.0, (0.05, 0.45), 0.2),
]


@pytest.mark.parametrize("scale", [Ratio(), RootRatio(), RootDifference()])
@pytest.mark.parametrize("case", CASES)
def test_a_gain_is_in_the_interval_where_its_test_does_not_reject_it(scale: GainScale, case):
    t = 1.9
    low, high = scale.interval(case, t)
    for gain in np.linspace(-1.5, 0.99, 400):
        rejected = abs(scale.statistic(case, float(gain))) > t
        assert rejected == (not low <= gain <= high), gain


@pytest.mark.parametrize("scale", [Ratio(), RootRatio(), RootDifference()])
def test_a_difference_that_never_varies_has_an_interval_of_one_point(scale):
    low, high = scale.interval(MeanLosses(0.19, 1.0, 0.0, 0.0, 0.0), 2.0)
    assert low == pytest.approx(high)
    assert low == pytest.approx(0.19 if isinstance(scale, Ratio) else 0.1)


def test_no_gain_is_rejected_where_the_whole_may_be_anything():
    """The whole's mean is within two errors of zero, and so is the loss saved."""
    assert Ratio().interval(means(0.1, 1.0, (0.2, 0.7), 0.0), 2.0) == (-math.inf, math.inf)


def test_an_open_side_is_the_one_on_which_no_gain_is_rejected():
    """The sign of the loss saved is sure, the whole is not: the gain may be as large as any."""
    case = means(0.5, 1.0, (0.1, 0.6), 0.0)
    low, high = Ratio().interval(case, 2.0)
    assert (low > 0.0, high) == (True, math.inf)
    assert case.statistic(low) == pytest.approx(2.0)
    mirrored = means(-0.5, 1.0, (0.1, 0.6), 0.0)
    assert Ratio().interval(mirrored, 2.0) == (-math.inf, pytest.approx(-low))


def test_what_is_not_defined_has_no_interval():
    nothing = MeanLosses(0.0, 0.0, 0.0, 0.0, 0.0)
    short = MeanLosses(0.1, 1.0, math.nan, math.nan, math.nan)
    for scale in (Ratio(), RootRatio(), RootDifference()):
        for case, t in ((nothing, 2.0), (short, math.nan)):
            assert all(math.isnan(end) for end in scale.interval(case, t))


def gain_of_exchangeable_forecasts(rng: np.random.Generator, n: int, draw, of) -> tuple:
    """Two forecasts that miss ln sigma by shocks of one distribution: the true gain is 0."""
    y = 0.3 * rng.normal(size=n)
    yhat = {name: y + 0.2 * draw(rng, n) for name in ("base", "own")}
    forecasts = make_forecasts(y, yhat)
    outcome, models = series(forecasts, NAIVE)
    scores = score(forecasts, NAIVE, outcome, models)
    base, own = (scores.value(name, "qlike") for name in ("base", "own"))
    (found,) = of(
        forecasts, outcome, [Seed(models, {"own": 1.0 - own / base}, base)], baseline="base",
        candidates=("own",), metric="qlike", gain_as="relative", alpha=0.05,
    )  # fmt: skip
    return found


SHOCKS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "laplace": lambda rng, n: rng.laplace(size=n) / math.sqrt(2.0),
    "jumps": lambda rng, n: rng.normal(size=n) * np.where(rng.random(n) < 0.05, 2.5, 0.85),
}


@pytest.mark.parametrize("shocks", SHOCKS)
def test_relative_gains_of_sixty_days_are_covered_as_often_as_stated(shocks):
    rng, runs, covered, first = np.random.default_rng(5), 400, 0, 0
    for _ in range(runs):
        state = rng.bit_generator.state
        found = gain_of_exchangeable_forecasts(rng, 60, SHOCKS[shocks], evidence)
        covered += found.gain_low <= 0.0 <= found.gain_high
        assert (found.gain_low > 0.0) == (found.p_value < 0.05)
        rng.bit_generator.state = state
        old = gain_of_exchangeable_forecasts(rng, 60, SHOCKS[shocks], first_evidence)
        first += old.gain_low <= 0.0 <= old.gain_high
    # 0.9 give or take three standard errors; the delta method covers less.
    assert 0.855 <= covered / runs <= 0.945
    assert first < covered


def test_a_relative_gain_of_a_whole_loss_is_no_bound():
    rng = np.random.default_rng(2)
    heavy = lambda r, n: scipy.stats.t.rvs(1.5, size=n, random_state=r)  # noqa: E731
    found = [gain_of_exchangeable_forecasts(rng, 12, heavy, evidence) for _ in range(60)]
    assert {e.unbounded for e in found} >= {None, "above", "both"}
    for e in found:
        assert e.gain_high < 1.0 or e.gain_high == math.inf
        assert math.isnan(e.detectable) or e.detectable < 1.0
