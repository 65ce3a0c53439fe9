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
    cosine_terms,
    diebold_mariano,
    standard_error,
    student_t_sf,
)
from harness.inference.gains import Seed, evidence, saved_losses
from harness.inference.loss_differences import describe, persistence_of
from harness.scores.forecast_origins import by_origin
from harness.scores.metrics import METRICS, of_volatility
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


def p_of_no_gain(d: np.ndarray, cosines: int) -> float:
    return student_t_sf(d.mean() / standard_error(d, cosines), cosines)


def described(d: np.ndarray, overlap: int = 0):
    """Described, with the evidence of any gain in as many dates."""
    e = replace(the_evidence(d.size), overlap=overlap)
    return describe(e, [d], origins(d.size), lambda most: replace(e, cosines=most))


def the_evidence(n: int):
    """Evidence of any gain, whose series is then replaced."""
    rng = np.random.default_rng(0)
    y = rng.normal(-8.0, 0.5, 60)
    made = make_forecasts(y, {"base": y + 0.1, "own": y + rng.normal(0, 0.1, 60)})
    outcome, models = series(made, LOG_SIGMA)
    (e,) = evidence(
        made, outcome, [Seed(models, {"own": 0.1}, 0.5)], baseline="base", candidates=("own",),
        metric="mae_log", gain_as="difference", alpha=0.05,
    )  # fmt: skip
    return replace(e, cosines=cosine_terms(n, 0))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("overlap", [0, 4])
def test_the_figures_are_those_of_plain_numpy(overlap, sign):
    d = sign * (autocorrelated(300, seed=3) ** 3 + 0.1)
    found = described(d, overlap)
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


@pytest.mark.parametrize("metric", of_volatility())
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
    d = saved_losses(
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
    assert p_of_no_gain(d, found.fewer) > 2.0 * diebold_mariano(d, 0)[1]
    assert described(d).fewer.cosines == found.fewer


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
        few = p_of_no_gain(d, persistence_of(d, 0).fewer)
        rejected += diebold_mariano(d, 0)[1] < 0.05, few < 0.05
    usual, fewer = rejected / 400
    assert usual > 0.18
    assert fewer < 0.10


def test_the_evidence_with_fewer_cosines_is_the_textbook_one():
    """The baseline misses by a little more than |d|, the candidate by a little."""
    d = persistent(0.97, 1000, 4) + 0.5
    y = np.random.default_rng(1).normal(-8.0, 0.5, 1000)
    least = 0.1 + max(0.0, -d.min())
    made = make_forecasts(y, {"base": y + least + d, "own": y + least})
    outcome, models = series(made, LOG_SIGMA)

    def of(most: int | None):
        (e,) = evidence(
            made, outcome, [Seed(models, {"own": d.mean()}, 0.0)], baseline="base",
            candidates=("own",), metric="mae_log", gain_as="difference", alpha=0.05, tried=3,
            most_cosines=most,
        )  # fmt: skip
        return e

    found = describe(of(None), [d], origins(1000), of)
    few = found.persistence.fewer
    assert few < found.persistence.cosines == of(None).cosines
    half = scipy.stats.t.ppf(1.0 - 0.05 / 3.0, few) * standard_error(d, few)
    assert found.fewer.gain_low == pytest.approx(d.mean() - half, rel=1e-8)
    assert found.fewer.gain_high == pytest.approx(d.mean() + half, rel=1e-8)
    assert found.fewer.p_adjusted == pytest.approx(min(1.0, 3.0 * p_of_no_gain(d, few)))
    white = persistent(0.0, 1000, 4)
    assert described(white).fewer == the_evidence(1000)


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
    found = described(d)
    assert found.mean == mean
    assert (found.top_share, found.mean_without) == pytest.approx((share, without), nan_ok=True)
    assert len(found.top_dates) == dates
    assert found.persistence.fewer == found.persistence.cosines
    assert math.isnan(found.persistence.half_power)
    if np.ptp(d) == 0.0:
        assert math.isnan(found.skewness) and math.isnan(found.persistence.autocorrelation)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_leaves_figures_undefined(bad):
    d = np.append(persistent(0.5, 99, 1), bad)
    found = described(d)
    for figure in (found.skewness, found.top_share, found.persistence.autocorrelation):
        assert math.isnan(figure)
    assert found.top_dates == ()
