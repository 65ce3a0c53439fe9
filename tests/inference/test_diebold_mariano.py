"""Long-run variances, Student's t, Diebold-Mariano and intervals against direct computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from support.overlapping import autocorrelated
from support.worlds import make_forecasts

from harness.inference.diebold_mariano import (
    cosine_terms,
    diebold_mariano,
    standard_error,
    student_t_quantile,
    student_t_sf,
)
from harness.inference.evidence import Evidence
from harness.inference.first_evidence import first_evidence
from harness.inference.gains import Seed, evidence
from harness.samples.target_scale import TargetScale
from harness.scores.metrics import METRICS, of_volatility
from harness.scores.scoring import score, series
from harness.types import Forecasts
from harness.verdict.rule import pooled_gain

NAIVE = TargetScale("log", "sigma", "naive", 1e-12)


@pytest.mark.parametrize("df", [1, 2, 3, 4.5, 10, 30, 99, 500, 5_000, 45_983, 1e6])
def test_students_t_is_scipys(df):
    for t in (0.0, 1e-6, 0.1, 0.7, 1.0, 1.6449, 2.5, 4.0, 7.0, 12.0, 40.0):
        want = scipy.stats.t.sf(t, df)
        if want >= 1e-12:
            assert student_t_sf(t, df) == pytest.approx(want, rel=1e-8), t
            assert student_t_sf(-t, df) == pytest.approx(1.0 - want, rel=1e-8)
        else:
            assert 0.0 <= student_t_sf(t, df) <= 2e-12
    for p in (0.5, 0.6, 0.9, 0.95, 0.975, 0.999):
        want = scipy.stats.t.ppf(p, df)
        assert student_t_quantile(p, df) == pytest.approx(want, rel=1e-8, abs=1e-12), p


def direct_error(d: np.ndarray, cosines: int) -> float:
    """The standard error of a mean from its cosine projections, each a sum over all places."""
    n, total = d.size, 0.0
    for j in range(1, cosines + 1):
        weights = [math.cos(math.pi * j * (t + 0.5) / n) for t in range(n)]
        total += 2.0 / n * math.fsum(w * x for w, x in zip(weights, d, strict=True)) ** 2
    return math.sqrt(total / cosines / n)


def textbook_diebold_mariano(d: np.ndarray, overlap: int) -> tuple[float, float]:
    """Mean over its equal-weighted cosine standard error, Student's t."""
    cosines = cosine_terms(d.size, overlap)
    statistic = d.mean() / direct_error(d, cosines)
    return statistic, float(scipy.stats.t.sf(statistic, cosines))


@pytest.mark.parametrize(
    ("n", "overlap", "wanted"),
    [(46_000, 3, 209), (5_737, 23, 16), (1_000, 0, 41), (40, 0, 5), (6, 0, 1), (6, 2, 1),
     (2, 0, 1), (1, 0, 0), (6, 3, 0), (6, 40, 0)],
)  # fmt: skip
def test_cosines_are_those_of_as_many_values_as_targets_do_not_overlap(n, overlap, wanted):
    assert cosine_terms(n, overlap) == wanted


@pytest.mark.parametrize("n", [2, 3, 40, 181, 500])
def test_the_standard_error_is_the_direct_sum_over_cosines(n):
    x = autocorrelated(n, seed=n) + 3.0
    for cosines in {1, n // 2, n - 1}:
        want = direct_error(x - x.mean(), cosines)
        assert standard_error(x, cosines) == pytest.approx(want, rel=1e-9)


def test_with_all_cosines_the_standard_error_is_that_of_independent_values():
    x = np.random.default_rng(3).gumbel(size=200)
    # All projections together are the series itself: Parseval.
    assert standard_error(x, 199) == pytest.approx(x.std(ddof=1) / math.sqrt(200), rel=1e-9)


@pytest.mark.parametrize(("overlap", "shift"), [(0, 0.1), (4, 0.2), (4, -0.1), (30, 0.3)])
def test_diebold_mariano_is_the_textbooks(overlap, shift):
    d = autocorrelated(180, seed=overlap + 7) + shift
    statistic, p = diebold_mariano(d, overlap)
    want = textbook_diebold_mariano(d, overlap)
    assert (statistic, p) == (pytest.approx(want[0], rel=1e-9), pytest.approx(want[1], rel=1e-8))
    assert (p < 0.5) == (d.mean() > 0)


def test_no_difference_or_too_few_dates_reject_nothing():
    for constant in (0.0, 0.1, 0.25, -1e300):
        assert diebold_mariano(np.full(50, constant), 3) == (0.0, 0.5)
    y = np.linspace(-8.0, -6.0, 50)
    assert diebold_mariano(np.abs(y - (y - 0.3)) - np.abs(y - (y - 0.2)), 3) == (0.0, 0.5)
    assert diebold_mariano(np.array([1.0]), 0) == (0.0, 0.5)
    for overlap in (3, 5, 6, 40):
        assert diebold_mariano(np.arange(6.0), overlap) == (0.0, 0.5)
        assert math.isnan(standard_error(np.arange(6.0), cosine_terms(6, overlap)))
    assert diebold_mariano(np.arange(1.0, 7.0), 2)[1] < 0.5


def gains_of(
    forecasts: Forecasts,
    metric: str,
    candidates: tuple[str, ...],
    *,
    gain_as: str = "difference",
    of=evidence,
    **asked,
) -> tuple[Evidence, ...]:
    outcome, models = series(forecasts, NAIVE)
    scores = score(forecasts, NAIVE, outcome, models)
    base = scores.value("base", metric)
    gains = {
        name: pooled_gain(metric, base, scores.value(name, metric), gain_as=gain_as)
        for name in candidates
    }
    return of(
        forecasts,
        outcome,
        [Seed(models, gains, base)],
        baseline="base",
        candidates=candidates,
        metric=metric,
        gain_as=gain_as,
        alpha=0.05,
        **asked,
    )


def three_models(n: int, *, seed: int = 0, overlap: int = 4, symbols: int = 1) -> Forecasts:
    """Every row of `good` is better than that of `base`, every row of `bad` worse, by any loss."""
    y = autocorrelated(n, seed=seed + 100, overlap=overlap * symbols)
    error = autocorrelated(n, seed=seed, overlap=overlap)
    sizes = {"base": 0.5, "good": 0.3, "bad": 0.6}
    yhat = {name: y + size * error for name, size in sizes.items()}
    return make_forecasts(y, yhat, overlap=overlap, symbols=symbols)


@pytest.mark.parametrize("metric", ["mae_log", "mse_var", "qlike", "mae"])
def test_the_evidence_on_a_mean_loss_is_the_textbook_test_and_interval(metric):
    forecasts = three_models(300)
    outcome, models = series(forecasts, NAIVE)
    loss = METRICS[metric].losses
    good, bad = gains_of(forecasts, metric, ("good", "bad"))
    for name, found in (("good", good), ("bad", bad)):
        d = loss(outcome, models["base"]) - loss(outcome, models[name])
        statistic, p = textbook_diebold_mariano(d, 4)
        assert found.gain == pytest.approx(d.mean(), rel=1e-9)
        assert found.statistic == pytest.approx(statistic, rel=1e-9)
        assert found.p_value == pytest.approx(p, rel=1e-7)
        assert found.p_adjusted == pytest.approx(min(1.0, 2 * p), rel=1e-7)
        # Two candidates: each interval has half of alpha on either side.
        half = scipy.stats.t.ppf(0.975, found.cosines) * d.mean() / statistic
        assert found.gain_high - found.gain == pytest.approx(half, rel=1e-8)
        assert found.gain - found.gain_low == pytest.approx(half, rel=1e-8)
        assert (found.n, found.overlap, found.level) == (300, 4, 0.9)
        assert found.cosines == cosine_terms(300, 4)
        assert found.standard_error == pytest.approx(d.mean() / statistic, rel=1e-9)
        # Two candidates: each is tested at half of alpha.
        critical = scipy.stats.t.ppf(0.975, found.cosines)
        assert found.critical == pytest.approx(critical, rel=1e-9)
        most = (critical + scipy.stats.t.ppf(0.8, found.cosines)) * found.standard_error
        assert found.detectable == pytest.approx(most, rel=1e-9)
    assert good.gain > 0 > bad.gain
    assert good.p_value < 0.5 < bad.p_value


@pytest.mark.parametrize("metric", of_volatility())
def test_the_standard_error_of_a_pooled_figure_is_that_of_its_influence(metric):
    forecasts = three_models(250, seed=5)
    outcome, models = series(forecasts, NAIVE)
    (found,) = gains_of(forecasts, metric, ("good",))
    (first,) = gains_of(forecasts, metric, ("good",), of=first_evidence)
    m = METRICS[metric]
    psi = m.influence(outcome, models["good"]) - m.influence(outcome, models["base"])
    error = standard_error(psi, found.cosines)
    assert found.standard_error == pytest.approx(error, rel=1e-8)
    half = scipy.stats.t.ppf(0.95, found.cosines) * error
    assert first.gain_high - first.gain_low == pytest.approx(2 * half, rel=1e-8)
    assert found.gain > 0


def two_models(n: int, *, seed: int, overlap: int = 4) -> Forecasts:
    """Two models whose errors have nothing in common, `good` with the smaller ones."""
    y, base, good = (0.3 * autocorrelated(n, seed=seed + k, overlap=overlap) for k in (9, 0, 1))
    return make_forecasts(y, {"base": y + 0.5 * base, "good": y + 0.4 * good}, overlap=overlap)


CLAIMS = [(m, "difference") for m in of_volatility()] + [
    (m, "relative") for m in of_volatility() if METRICS[m].has_share
]


@pytest.mark.parametrize(("metric", "gain_as"), CLAIMS)
def test_interval_and_p_value_agree_at_every_claim(metric, gain_as):
    """The p-value of a claim at an end of the interval is what the interval leaves out there."""
    forecasts = two_models(600, seed=15)
    asked = {"gain_as": gain_as, "tried": 3}
    (found,) = gains_of(forecasts, metric, ("good",), **asked)
    span = min(found.gain_high, 1.0) - found.gain_low
    assert span > 0
    (low,) = gains_of(forecasts, metric, ("good",), min_gain=found.gain_low, **asked)
    assert low.p_claim == pytest.approx(0.05, rel=1e-6)
    alone = {"gain_as": gain_as}
    (found_alone,) = gains_of(forecasts, metric, ("good",), **alone)
    high_end = found_alone.gain_high
    (high,) = gains_of(forecasts, metric, ("good",), min_gain=high_end, **alone)
    ended = gain_as == "relative" and high_end == math.inf  # beyond a whole loss
    assert ended or high.p_claim == pytest.approx(0.95, rel=1e-6)
    for inside in (0.01, 0.3, 0.99):
        claim = found.gain_low + inside * span
        (at,) = gains_of(forecasts, metric, ("good",), min_gain=claim, **asked)
        assert at.p_claim > 0.05
    (none,) = gains_of(forecasts, metric, ("good",), min_gain=0.0, **asked)
    assert none.p_claim == pytest.approx(none.p_adjusted, rel=1e-9)
    assert (none.gain_low > 0.0) == (none.p_adjusted < 0.05)


@pytest.mark.parametrize(("metric", "gain_as"), CLAIMS)
def test_in_a_long_sample_the_interval_is_that_of_the_delta_method(metric, gain_as):
    forecasts = two_models(20_000, seed=17)
    (found,) = gains_of(forecasts, metric, ("good",), gain_as=gain_as)
    (first,) = gains_of(forecasts, metric, ("good",), gain_as=gain_as, of=first_evidence)
    half = first.gain_high - first.gain
    assert found.gain_low == pytest.approx(first.gain_low, abs=0.1 * half)
    assert found.gain_high == pytest.approx(first.gain_high, abs=0.1 * half)
    assert found.statistic == pytest.approx(first.statistic, rel=1e-9)


def test_a_larger_claim_never_has_a_smaller_p_value():
    """The baseline's loss is rare and large, so the statistic of a ratio first grows with it."""
    rng = np.random.default_rng(3)
    y = rng.normal(-8.0, 0.3, 300)
    far = np.where(rng.random(300) < 0.02, 3.0, 0.2) * rng.normal(size=300)
    forecasts = make_forecasts(y, {"base": y + far, "good": y + 0.15 * rng.normal(size=300)})
    found = [
        gains_of(forecasts, "mse_var", ("good",), gain_as="relative", min_gain=claim)[0].p_claim
        for claim in (0.0, 0.1, 0.3, 0.5, 0.8, 0.95)
    ]
    assert found == sorted(found)


def test_equal_models_are_tested_on_both_sides_each_at_alpha():
    forecasts = three_models(150, seed=16)
    asked = {"claim": "equal", "min_gain": 0.1}
    found = gains_of(forecasts, "mae_log", ("good", "bad"), **asked)
    for e in found:
        t = scipy.stats.t(e.cosines)
        half = t.ppf(0.95) * e.standard_error
        assert e.gain_high - e.gain == pytest.approx(half, rel=1e-8)
        sides = ((e.gain - 0.1) / e.standard_error, -(e.gain + 0.1) / e.standard_error)
        assert e.p_claim == pytest.approx(max(t.cdf(side) for side in sides), rel=1e-6)
        inside = e.gain_low > -0.1 and e.gain_high < 0.1
        assert inside == (e.p_claim < 0.05)


def test_a_relative_gain_knows_that_the_baseline_is_estimated_too():
    forecasts = three_models(250, seed=6)
    outcome, models = series(forecasts, NAIVE)
    (found,) = gains_of(forecasts, "mse_var", ("good",), gain_as="relative")
    base, good = (METRICS["mse_var"].losses(outcome, models[name]) for name in ("base", "good"))
    assert found.gain == pytest.approx(1.0 - good.mean() / base.mean(), rel=1e-10)
    # The delta method on 1 - mean(good) / mean(base).
    psi = -good / base.mean() + base * good.mean() / base.mean() ** 2
    assert found.standard_error == pytest.approx(standard_error(psi, found.cosines), rel=1e-8)
    # A gain is in the interval where the mean of (1 - gain) base - good could be zero.
    t = scipy.stats.t.ppf(0.95, found.cosines)
    for end, side in ((found.gain_low, 1.0), (found.gain_high, -1.0)):
        d = (1.0 - end) * base - good
        assert d.mean() / standard_error(d, found.cosines) == pytest.approx(side * t, rel=1e-7)


def assert_as_one_series(found: Evidence, d: np.ndarray, overlap: int) -> None:
    """Test and interval are those of these gains by date."""
    assert found.statistic == pytest.approx(textbook_diebold_mariano(d, overlap)[0], rel=1e-9)
    cosines = cosine_terms(d.size, overlap)
    half = scipy.stats.t.ppf(0.95, cosines) * standard_error(d, cosines)
    assert found.gain_high - found.gain == pytest.approx(half, rel=1e-8)


def test_symbols_of_one_moment_count_as_one_observation():
    forecasts = three_models(400, seed=7, symbols=4)
    outcome, models = series(forecasts, NAIVE)
    (found,) = gains_of(forecasts, "mae_log", ("good",))
    loss = METRICS["mae_log"].losses
    d = loss(outcome, models["base"]) - loss(outcome, models["good"])
    daily = d.reshape(100, 4).mean(axis=1)
    assert found.n == 100
    assert_as_one_series(found, daily, 4)


def test_dates_weigh_by_their_rows_when_symbols_come_and_go():
    forecasts = three_models(12, seed=8, overlap=0)
    dates = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 4, 5], np.int64)
    forecasts = Forecasts(**{**vars(forecasts), "formed_at": dates})
    outcome, models = series(forecasts, NAIVE)
    (found,) = gains_of(forecasts, "mae_log", ("good",))
    loss = METRICS["mae_log"].losses
    d = loss(outcome, models["base"]) - loss(outcome, models["good"])
    # The mean of rows is a ratio, of sums by date to counts by date: its linearisation.
    off = [np.sum(d[dates == k] - d.mean()) for k in range(6)]
    assert_as_one_series(found, d.mean() + np.array(off) * 6 / 12, 0)


def test_ninety_percent_intervals_cover_the_true_gain_about_that_often():
    rng, n, runs, covered = np.random.default_rng(9), 400, 200, 0
    for _ in range(runs):
        shocks = rng.gumbel(size=(2, n + 4)) - np.euler_gamma
        y, error = (np.convolve(s, np.ones(5) / 5, "valid") for s in shocks)
        # Expected |error| and 2 |error|: the true gain on mae_log is E|error|.
        forecasts = make_forecasts(y, {"base": y + 2 * error, "good": y + error}, overlap=4)
        (found,) = gains_of(forecasts, "mae_log", ("good",))
        covered += found.gain_low <= TRUE_GAIN <= found.gain_high
    assert 0.82 <= covered / runs <= 0.97


# E|mean of five centred Gumbel shocks|, from ten million draws.
TRUE_GAIN = 0.4535
