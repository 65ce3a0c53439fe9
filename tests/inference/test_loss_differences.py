"""Loss differences described: against plain numpy, known persistence, and where nothing is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from support.overlapping import autocorrelated
from support.worlds import DAY, LOG_SIGMA, START, make_forecasts

from harness.inference.diebold_mariano import (
    Seed,
    cosine_terms,
    diebold_mariano,
    evidence,
    standard_error,
)
from harness.inference.loss_differences import (
    describe,
    differences,
    fewer_cosines,
    p_of_no_gain,
    persistence_of,
)
from harness.scores.forecast_origins import by_origin
from harness.scores.metrics import METRICS
from harness.scores.scoring import score, series
from harness.verdict.rule import pooled_gain


def persistent(phi: float, n: int, seed: int, *, noise: float = 0.0) -> np.ndarray:
    """An autoregression of variance 1 - noise, and white noise."""
    rng = np.random.default_rng(seed)
    shocks = rng.normal(size=n) * math.sqrt(1.0 - phi * phi)
    shocks[0] = rng.normal()
    slow = scipy.signal.lfilter([1.0], [1.0, -phi], shocks)
    return math.sqrt(1.0 - noise) * slow + math.sqrt(noise) * rng.normal(size=n)


def origins(n: int) -> np.ndarray:
    return START + DAY * np.arange(n, dtype=np.int64)


def the_evidence(overlap: int = 0):
    """Evidence of any gain, whose series is then replaced."""
    rng = np.random.default_rng(0)
    y = rng.normal(-8.0, 0.5, 60)
    made = make_forecasts(y, {"base": y + 0.1, "own": y + rng.normal(0, 0.1, 60)}, overlap=overlap)
    outcome, models = series(made, LOG_SIGMA)
    (e,) = evidence(
        made, outcome, [Seed(models, {"own": 0.1}, 0.5)], baseline="base", candidates=("own",),
        metric="mae_log", gain_as="difference", alpha=0.05,
    )  # fmt: skip
    return replace(e, gain=0.1, gain_low=0.05, gain_high=0.2)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("overlap", [0, 4])
def test_the_figures_are_those_of_plain_numpy(overlap, sign):
    d = sign * (autocorrelated(300, seed=3) ** 3 + 0.1)
    found = describe(the_evidence(overlap), [d], origins(300))
    largest = np.argsort(-sign * d)[:5]
    same = d[np.sign(d) == sign]
    assert np.sign(d.mean()) == sign
    assert found.mean == pytest.approx(d.mean())
    assert found.skewness == pytest.approx(scipy.stats.skew(d))
    assert found.top_share == pytest.approx(d[largest].sum() / same.sum())
    assert found.mean_without == pytest.approx((d.sum() - d[largest].sum()) / 295)
    assert found.top_dates == tuple(origins(300)[largest].tolist())
    z, lag = d - d.mean(), overlap + 1
    of = found.persistence
    assert (of.lag, of.cosines) == (lag, cosine_terms(300, overlap))
    assert of.autocorrelation == pytest.approx(np.sum(z[lag:] * z[:-lag]) / np.sum(z * z))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("symbols", [1, 3])
def test_the_series_is_the_one_that_the_verdicts_test_is_about(metric, symbols):
    rng = np.random.default_rng(5)
    y = rng.normal(-8.0, 0.5, 240)
    yhat = {"base": y + rng.normal(0.0, 0.4, 240), "own": y + rng.gumbel(0.0, 0.2, 240)}
    made = make_forecasts(y, yhat, overlap=2, symbols=symbols)
    outcome, models = series(made, LOG_SIGMA)
    figures = score(made, LOG_SIGMA, outcome, models)
    base, own = (figures.value(name, metric) for name in ("base", "own"))
    gain = pooled_gain(metric, base, own, gain_as="difference")
    d = differences(
        METRICS[metric], by_origin(made.formed_at), outcome, models["base"], models["own"], gain
    )
    (e,) = evidence(
        made, outcome, [Seed(models, {"own": gain}, base)], baseline="base", candidates=("own",),
        metric=metric, gain_as="difference", alpha=0.05,
    )  # fmt: skip
    assert diebold_mariano(d, 2)[1] == pytest.approx(e.p_value, rel=1e-9)
    assert p_of_no_gain(d, e.cosines) == pytest.approx(e.p_value, rel=1e-9)


@pytest.mark.parametrize(
    "d",
    [persistent(0.98, 1000, 1), persistent(0.9, 250, 5), persistent(0.98, 4000, 3, noise=0.9)],
    ids=["autoregression", "short", "drift under noise"],
)
def test_differences_that_persist_get_fewer_cosines_and_a_larger_p(d):
    d = d - d.mean() + 3.0 * standard_error(d, cosine_terms(d.size, 0))
    found = persistence_of(d, 0)
    assert found.fewer <= found.half_power / 2.0 or found.fewer == 2
    assert found.half_power < found.cosines
    fewer, p = fewer_cosines(d, 0)
    assert fewer == found.fewer
    assert p == p_of_no_gain(d, fewer) > 2.0 * diebold_mariano(d, 0)[1]


def test_a_drift_is_found_where_the_autocorrelation_says_nothing():
    found = persistence_of(persistent(0.98, 4000, 3, noise=0.9), 0)
    assert found.autocorrelation < 0.2
    assert found.fewer < found.cosines


@pytest.mark.parametrize("overlap", [0, 4, 23])
def test_overlap_alone_is_no_persistence(overlap):
    found = [
        persistence_of(autocorrelated(1500, seed=seed, overlap=overlap), overlap)
        for seed in range(40)
    ]
    assert abs(np.mean([f.autocorrelation for f in found])) < 0.1
    assert sum(f.fewer < f.cosines for f in found) <= 5  # about one in twenty by chance


def test_with_fewer_cosines_a_true_null_is_rejected_about_as_often_as_stated():
    rejected = np.zeros(2)
    for seed in range(400):
        d = persistent(0.98, 1000, seed)
        rejected += diebold_mariano(d, 0)[1] < 0.05, fewer_cosines(d, 0)[1] < 0.05
    usual, fewer = rejected / 400
    assert usual > 0.18
    assert fewer < 0.10


def test_the_interval_is_stretched_as_the_critical_value_times_the_standard_error():
    e, d = the_evidence(), persistent(0.97, 1000, 4) + 0.5
    found = describe(e, [d], origins(1000), candidates=3)
    many, few = found.persistence.cosines, found.persistence.fewer
    assert few < many

    def half(cosines: int) -> float:
        return scipy.stats.t.ppf(0.95, cosines) * standard_error(d, cosines)

    assert found.low_fewer == pytest.approx(0.1 - 0.05 * half(few) / half(many))
    assert found.high_fewer == pytest.approx(0.1 + 0.1 * half(few) / half(many))
    assert found.p_fewer == pytest.approx(min(1.0, 3.0 * p_of_no_gain(d, few)))
    white = describe(e, [persistent(0.0, 1000, 4)], origins(1000))
    assert (white.low_fewer, white.high_fewer) == pytest.approx((e.gain_low, e.gain_high))


def test_seeds_that_differ_make_the_p_value_larger():
    d = persistent(0.3, 500, 6) + 0.15
    one = describe(the_evidence(), [d], origins(500))
    same = describe(the_evidence(), [d, d], origins(500))
    apart = describe(the_evidence(), [d - 0.1, d + 0.1], origins(500))
    assert one.p_fewer == same.p_fewer < apart.p_fewer


@pytest.mark.parametrize(
    ("d", "mean", "share", "without", "dates"),
    [
        (np.full(40, 0.25), 0.25, 0.125, 0.25, 5),
        (np.zeros(40), 0.0, math.nan, 0.0, 0),
        (np.array([0.5]), 0.5, 1.0, math.nan, 1),
        (np.array([1.0, -2.0]), -0.5, 1.0, 1.0, 1),
    ],
    ids=["constant", "zero", "one", "two"],
)
def test_where_there_is_little_to_describe_nothing_is_made_up(d, mean, share, without, dates):
    found = describe(the_evidence(), [d], origins(d.size))
    assert found.mean == mean
    assert (found.top_share, found.mean_without) == pytest.approx((share, without), nan_ok=True)
    assert len(found.top_dates) == dates
    assert found.persistence.fewer == found.persistence.cosines
    assert math.isnan(found.persistence.half_power)
    if np.ptp(d) == 0.0:
        assert math.isnan(found.skewness) and math.isnan(found.persistence.autocorrelation)
        assert found.p_fewer == 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_leaves_figures_undefined(bad):
    d = np.append(persistent(0.5, 99, 1), bad)
    found = describe(the_evidence(), [d], origins(100))
    for figure in (found.skewness, found.top_share, found.persistence.autocorrelation):
        assert math.isnan(figure)
    assert found.top_dates == ()
    assert found.p_fewer == 0.5
