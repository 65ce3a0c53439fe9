"""Tests of predictive ability against statsmodels, and at the edges of what can be asked."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import scipy.stats
import statsmodels.api as sm
from support.autocorrelated import autocorrelated, forecasts

from harness.inference.comparison import (
    adjusted_differences,
    clark_west,
    giacomini_white,
    lagged,
)
from harness.inference.diebold_mariano import cosine_terms, diebold_mariano, f_sf
from harness.inference.hac import least_squares
from harness.inference.rationality import encompassing, mincer_zarnowitz
from harness.scores.forecast_origins import by_origin

UNBIASED = np.array([0.0, 1.0])


def fitted(
    y: np.ndarray,
    x: np.ndarray,
    overlap: int,
    null: np.ndarray,
    groups: np.ndarray | None = None,
) -> tuple:
    """statsmodels' least squares, and the covariance under the null by SciPy's cosine transform."""
    fit = sm.OLS(y, x).fit()
    scores = x * (y - x @ null)[:, None]
    if groups is not None:
        scores = np.array([scores[groups == g].sum(axis=0) for g in np.unique(groups)])
    n = scores.shape[0]
    terms = cosine_terms(n, overlap)
    projected = scipy.fft.dct(scores, type=2, norm="ortho", axis=0)[1 : terms + 1]
    inverse = np.linalg.inv(x.T @ x)
    return fit, inverse @ (projected.T @ projected / terms * n) @ inverse, terms


def last_known(n: int, overlap: int) -> np.ndarray:
    """The last known origin of one symbol whose targets are overlap + 1 origins long."""
    formed = np.arange(n, dtype=np.int64)
    return by_origin(formed).last_known(formed, formed + overlap + 1)


def f_test(fit: object, covariance: np.ndarray, terms: int, null: np.ndarray) -> tuple:
    """statsmodels' Wald statistic of all coefficients, as Hotelling's F, and its p by SciPy."""
    q = null.size
    wald = fit.wald_test((np.eye(q), null), cov_p=covariance, use_f=False, scalar=True)
    statistic = float(wald.statistic) * (terms - q + 1) / (terms * q)
    return statistic, scipy.stats.f.sf(statistic, q, terms - q + 1)


@pytest.mark.parametrize("overlap", [0, 5, 23])
@pytest.mark.parametrize("n", [160, 700])
def test_giacomini_white_is_the_wald_test_of_statsmodels(n, overlap):
    y, base, candidate = forecasts(n, seed=n)
    d = np.square(y - base) - np.square(y - candidate) ** 1.1
    found = giacomini_white(d, overlap)
    wanted = f_test(*fitted(d, np.ones((n, 1)), overlap, np.zeros(1)), np.zeros(1))
    assert found.difference == pytest.approx(d.mean(), rel=1e-12)
    assert (found.statistic, found.p_value) == pytest.approx(wanted, rel=1e-8)
    # Both are Diebold and Mariano's test, two-sided.
    t, p = diebold_mariano(d, overlap)
    assert (found.statistic, found.p_value) == pytest.approx((t * t, 2.0 * min(p, 1.0 - p)))
    extra = autocorrelated(n, 9)[:, None] * 1e-6
    instruments = lagged(d, last_known(n, overlap), extra)
    given = giacomini_white(d, overlap, instruments)
    h, used = instruments[overlap + 1 :], d[overlap + 1 :]
    fit, covariance, terms = fitted(used, h, overlap, np.zeros(3))
    assert (given.n, given.cosines) == (used.size, terms)
    if terms < 3:
        assert (given.statistic, given.p_value) == (0.0, 1.0)
    else:
        wanted = f_test(fit, covariance, terms, np.zeros(3))
        assert (given.statistic, given.p_value) == pytest.approx(wanted, rel=1e-5)


def test_the_default_instrument_is_the_last_loss_whose_target_was_resolved():
    d = np.arange(10.0)
    # At origin 7 with targets of 3 origins, that of origin 4 is the last one resolved.
    assert last_known(10, 2)[7] == 4
    assert lagged(d, last_known(10, 2))[7].tolist() == [1.0, 4.0]
    assert np.isnan(lagged(d, last_known(10, 2))[:3, 1]).all()
    assert np.isnan(lagged(d, last_known(10, 12))[:, 1]).all()


def test_a_loss_is_known_once_the_targets_of_all_symbols_have_resolved():
    # Two symbols, targets of two origins; the second one pauses at the origins 3, 4 and 5.
    formed = np.array([0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 6, 7, 7])
    resolved = np.array([2, 2, 3, 6, 4, 7, 5, 6, 7, 8, 8, 9, 9])
    known = by_origin(formed).last_known(formed, resolved)
    assert known.tolist() == [-1, -1, 0, 0, 0, 0, 1, 5]
    for origin, last in enumerate(known):
        assert (resolved[formed <= last] <= origin).all()


@pytest.mark.parametrize("overlap", [0, 5])
def test_clark_west_is_the_t_test_of_adjusted_differences(overlap):
    y, base, candidate = forecasts(500, seed=3)
    adjusted = (y - base) ** 2 - ((y - candidate) ** 2 - (base - candidate) ** 2)
    np.testing.assert_allclose(adjusted_differences(y, base, candidate), adjusted, rtol=1e-9)
    found = clark_west(adjusted, overlap)
    fit, covariance, terms = fitted(adjusted, np.ones((500, 1)), overlap, np.zeros(1))
    t = float(fit.params[0] / np.sqrt(covariance[0, 0]))
    assert found.adjusted == pytest.approx(float(fit.params[0]), rel=1e-12)
    assert found.statistic == pytest.approx(t, rel=1e-9)
    assert found.p_value == pytest.approx(scipy.stats.t.sf(t, terms), rel=1e-9)


@pytest.mark.parametrize("overlap", [0, 5])
def test_encompassing_is_the_regression_of_statsmodels(overlap):
    y, base, candidate = forecasts(400, seed=5)
    found = encompassing(y, base, candidate, overlap)
    fit, covariance, terms = fitted(y - base, (candidate - base)[:, None], overlap, np.zeros(1))
    error = float(np.sqrt(covariance[0, 0]))
    assert found.weight == pytest.approx(float(fit.params[0]), rel=1e-11)
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    assert found.statistic == pytest.approx(found.weight / error, rel=1e-9)
    assert found.p_value == pytest.approx(scipy.stats.t.sf(found.statistic, terms), rel=1e-8)


@pytest.mark.parametrize("unit", [1.0, 1e-8])
@pytest.mark.parametrize("overlap", [0, 5])
def test_mincer_zarnowitz_is_the_joint_wald_test_of_statsmodels(overlap, unit):
    y, base, _ = forecasts(600, seed=8)
    found = mincer_zarnowitz(unit * y, unit * base, overlap)
    fit, covariance, terms = fitted(y, sm.add_constant(base), overlap, UNBIASED)
    a, b = fit.params
    assert (found.a, found.b) == pytest.approx((unit * a, b), rel=1e-9)
    assert found.r2 == pytest.approx(float(fit.rsquared), rel=1e-10)
    wanted = f_test(fit, covariance, terms, UNBIASED)
    assert (found.statistic, found.p_value) == pytest.approx(wanted, rel=1e-6)


def ragged_panel(seed: int) -> tuple[np.ndarray, ...]:
    """Decision times, outcome and two forecasts of one to five symbols that share a shock."""
    rng = np.random.default_rng(seed)
    symbols = rng.integers(1, 6, 120)
    formed = np.repeat(np.arange(120, dtype=np.int64) * 7, symbols)
    shared = np.repeat(autocorrelated(120, seed), symbols)
    y = shared + rng.gumbel(size=formed.size)
    base = 0.5 * shared + 0.3 * rng.normal(size=formed.size)
    return formed, y, base, 0.3 * base + 0.2 * y + 0.1 * rng.normal(size=formed.size)


def test_rows_of_one_moment_are_clustered_as_driscoll_and_kraay_have_it():
    formed, y, base, candidate = ragged_panel(seed=2)
    dates = by_origin(formed)
    assert (dates.n, dates.rows) == (120, formed.size)
    found = mincer_zarnowitz(y, base, 4, dates)
    wanted = f_test(*fitted(y, sm.add_constant(base), 4, UNBIASED, formed), UNBIASED)
    assert (found.statistic, found.n) == (pytest.approx(wanted[0], rel=1e-9), 120)
    found = encompassing(y, base, candidate, 4, dates)
    fit, covariance, _ = fitted(y - base, (candidate - base)[:, None], 4, np.zeros(1), formed)
    t = float(fit.params[0] / np.sqrt(covariance[0, 0]))
    assert (found.statistic, found.n) == (pytest.approx(t, rel=1e-9), 120)


def test_averages_by_date_keep_the_mean_of_the_rows():
    formed, y, _, _ = ragged_panel(seed=4)
    dates = by_origin(formed)
    averages = dates.averages(y)
    assert averages.shape == (120,)
    assert averages.mean() == pytest.approx(y.mean(), rel=1e-12)
    balanced = by_origin(np.repeat(np.arange(10), 3))
    np.testing.assert_allclose(balanced.averages(y[:30]), y[:30].reshape(10, 3).mean(axis=1))


def test_the_tail_of_f_is_that_of_scipy():
    for of, within in ((1, 1), (1, 30), (2, 5), (3, 118)):
        for x in (0.0, 1e-3, 0.7, 5.0, 300.0):
            wanted = scipy.stats.f.sf(x, of, within)
            assert f_sf(x, of, within) == pytest.approx(wanted, rel=1e-11)


def moving_sum(rng: np.random.Generator, n: int, overlap: int) -> np.ndarray:
    """Shocks of n decisions whose targets overlap."""
    return np.convolve(rng.standard_normal(n + overlap), np.ones(overlap + 1), "valid")


@pytest.mark.parametrize(("n", "overlap"), [(400, 0), (400, 9)])
def test_a_true_null_is_rejected_about_as_often_as_the_size_says(n, overlap):
    rng, worlds = np.random.default_rng(5), 400
    rejected = np.zeros(5)
    for _ in range(worlds):
        d, error = moving_sum(rng, n, overlap), moving_sum(rng, n, overlap)
        f, other = autocorrelated(n, int(rng.integers(1 << 30))), moving_sum(rng, n, 3)
        p = [
            giacomini_white(d, overlap).p_value,
            giacomini_white(d, overlap, lagged(d, last_known(n, overlap))).p_value,
            clark_west(d, overlap).p_value,
            encompassing(f + error, f, f + other, overlap).p_value,
            mincer_zarnowitz(f + error, f, overlap).p_value,
        ]
        rejected += np.array(p) < 0.05
    # 5 % in 400 worlds: a standard error of 1.1 points.
    assert (rejected / worlds > 0.015).all(), rejected
    assert (rejected / worlds < 0.10).all(), rejected


def clustered(rng: np.random.Generator, n: int, decay: float, spread: float) -> np.ndarray:
    """Volatility exp(h), h an autoregression with this standard deviation."""
    shocks = spread * np.sqrt(1.0 - decay**2) * rng.standard_normal(n)
    h = scipy.signal.lfilter([1.0], [1.0, -decay], shocks, zi=[decay * spread * rng.normal()])[0]
    return np.exp(h)


@pytest.mark.parametrize("n", [250, 1_000])
def test_clustered_heavy_losses_do_not_reject_a_true_null_too_often(n):
    rng, worlds = np.random.default_rng(6), 300
    rejected = np.zeros(3)
    for _ in range(worlds):
        # Loss differences that nobody can foretell, with a volatility that clusters.
        d = clustered(rng, n, 0.9, 1.5) * rng.standard_normal(n)
        variance = clustered(rng, n, 0.97, 1.0)
        outcome = variance * rng.chisquare(5, n) / 5.0
        other = variance * np.exp(0.2 * rng.standard_normal(n))
        p = [
            giacomini_white(d, 0, lagged(d, last_known(n, 0))).p_value,
            encompassing(outcome, variance, other, 0).p_value,
            mincer_zarnowitz(outcome, variance, 0).p_value,
        ]
        rejected += np.array(p) < 0.05
    # With scores at the estimate 27 to 35 %, 11 % and 17 % were rejected.
    assert (rejected / worlds < 0.07).all(), rejected / worlds


def test_a_lagged_loss_that_foretells_the_next_one_is_found():
    rng, worlds, found = np.random.default_rng(7), 200, 0
    for _ in range(worlds):
        d = scipy.signal.lfilter([1.0], [1.0, -0.3], rng.standard_normal(400))
        found += giacomini_white(d, 0, lagged(d, last_known(400, 0))).p_value < 0.05
    assert found / worlds > 0.9


def test_a_column_that_others_hold_is_not_told_apart():
    y, base, _ = forecasts(200, seed=1)
    x = np.column_stack([np.ones(200), base])
    twice = least_squares(y, np.column_stack([x, 2.0 * base]), np.zeros(3), 2)
    once = least_squares(y, x, np.zeros(2), 2)
    assert (once.rank, twice.rank) == (2, 2)
    np.testing.assert_allclose(twice.residuals, once.residuals, atol=1e-9)
    assert twice.wald(np.zeros(3))[0] == pytest.approx(once.wald(np.zeros(2))[0], rel=1e-7)


Y, BASE, CANDIDATE = forecasts(40, seed=6)


@pytest.mark.parametrize(
    ("y", "base", "candidate", "overlap"),
    [
        (Y, BASE, BASE, 2),  # identical models
        (np.full(40, 2.0), np.full(40, 1.0), np.full(40, 1.5), 2),  # constant losses
        (np.full(40, 2.0), np.full(40, 2.0), np.full(40, 2.0), 0),  # nothing at all
        (Y, BASE, CANDIDATE, 39),  # targets as long as the sample
        (Y, BASE, CANDIDATE, 400),
        (Y[:1], BASE[:1], CANDIDATE[:1], 0),  # one date
        (Y[:2], BASE[:2], CANDIDATE[:2], 0),
        (Y, Y, BASE, 1),  # a perfect baseline
    ],
)
def test_no_statistic_is_ever_a_nan(y, base, candidate, overlap):
    d = np.square(y - base) - np.square(y - candidate)
    for found in (
        giacomini_white(d, overlap),
        giacomini_white(d, overlap, lagged(d, last_known(d.size, overlap))),
        clark_west(adjusted_differences(y, base, candidate), overlap),
        encompassing(y, base, candidate, overlap),
        mincer_zarnowitz(y, base, overlap),
    ):
        values = [v for v in vars(found).values() if not isinstance(v, tuple)]
        assert np.isfinite(values).all(), found
        assert 0.0 <= found.p_value <= 1.0


def test_where_nothing_varies_or_no_two_targets_are_apart_nothing_is_rejected():
    same = np.full(40, 0.25)
    assert (giacomini_white(same, 2).statistic, giacomini_white(same, 2).p_value) == (0.0, 1.0)
    assert clark_west(adjusted_differences(Y, BASE, BASE), 2).p_value == 0.5
    assert encompassing(Y, BASE, BASE, 2).weight == 0.0
    assert mincer_zarnowitz(Y, BASE, 40).p_value == 1.0


def test_what_is_not_finite_is_refused():
    d = np.array([1.0, np.nan, 2.0])
    for ask in (
        lambda: giacomini_white(d, 0),
        lambda: clark_west(d, 0),
        lambda: encompassing(d, np.zeros(3), np.ones(3), 0),
        lambda: mincer_zarnowitz(d, np.ones(3), 0),
        lambda: giacomini_white(np.empty(0), 0),
    ):
        with pytest.raises(ValueError, match=r"finite|n >= 1"):
            ask()
    with pytest.raises(ValueError, match=r"wanted \(3, q\)"):
        giacomini_white(np.arange(3.0), 0, np.ones((4, 1)))
