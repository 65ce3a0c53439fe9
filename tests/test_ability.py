"""Tests of predictive ability against statsmodels, and at the edges of what can be asked."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm

from harness.ability.comparison import clark_west, giacomini_white, lagged
from harness.ability.hac import (
    bartlett_bandwidth,
    chi2_sf,
    least_squares,
    long_run_sum,
    normal_sf,
)
from harness.ability.rationality import encompassing, mincer_zarnowitz
from harness.dates import by_date


def autocorrelated(n: int, seed: int, lag: int = 5) -> np.ndarray:
    """Asymmetric, with a moving average over `lag` rows and an autoregression."""
    rng = np.random.default_rng(seed)
    shocks = np.convolve(rng.gumbel(size=n + lag), np.ones(lag + 1) / 3.0, "valid")
    out = np.empty(n)
    state = 0.0
    for k in range(n):
        state = 0.6 * state + shocks[k]
        out[k] = state
    return out


def forecasts(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, baseline and candidate on the ln sigma scale, errors skewed and autocorrelated."""
    y = 0.3 * autocorrelated(n, seed) - 7.0
    base = -7.0 + 0.7 * (y + 7.0) + 0.2 * autocorrelated(n, seed + 1)
    candidate = 0.6 * base + 0.4 * y + 0.1 * autocorrelated(n, seed + 2)
    return y, base, candidate


def hac(y: np.ndarray, x: np.ndarray, lags: int) -> object:
    return sm.OLS(y, x).fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False})


@pytest.mark.parametrize("overlap", [0, 5, 23])
@pytest.mark.parametrize("n", [60, 700])
def test_giacomini_white_is_the_wald_test_of_statsmodels(n, overlap):
    y, base, candidate = forecasts(n, seed=n)
    d = np.square(y - base) - np.square(y - candidate) ** 1.1
    found = giacomini_white(d, overlap)
    wanted = hac(d, np.ones((n, 1)), bartlett_bandwidth(n, overlap))
    assert found.difference == pytest.approx(d.mean(), rel=1e-12)
    assert found.statistic == pytest.approx(float(wanted.tvalues[0]) ** 2, rel=1e-9)
    assert found.p_value == pytest.approx(float(wanted.pvalues[0]), rel=1e-8)
    extra = autocorrelated(n, 9)[:, None] * 1e-6
    instruments = lagged(d, overlap, extra)
    given = giacomini_white(d, overlap, instruments)
    h, used = instruments[overlap + 1 :], d[overlap + 1 :]
    lags = bartlett_bandwidth(used.size, overlap) if overlap else 0
    wanted = hac(used, h, lags)
    joint = wanted.wald_test(np.eye(3), use_f=False, scalar=True)
    assert (given.n, given.bandwidth) == (used.size, lags)
    assert given.coefficients == pytest.approx(wanted.params, rel=1e-6)
    assert given.statistic == pytest.approx(float(joint.statistic), rel=1e-6)
    assert given.p_value == pytest.approx(float(joint.pvalue), rel=1e-5)


def test_the_default_instrument_is_the_last_loss_whose_target_was_resolved():
    d = np.arange(10.0)
    # At decision 7 with targets of 3 decisions, that of decision 4 is the last one resolved.
    assert lagged(d, 2)[7].tolist() == [1.0, 4.0]
    assert np.isnan(lagged(d, 2)[:3, 1]).all()
    assert np.isnan(lagged(d, 12)[:, 1]).all()


@pytest.mark.parametrize("overlap", [0, 5])
def test_clark_west_is_the_t_test_of_statsmodels_on_adjusted_differences(overlap):
    y, base, candidate = forecasts(500, seed=3)
    found = clark_west(y, base, candidate, overlap)
    adjusted = (y - base) ** 2 - ((y - candidate) ** 2 - (base - candidate) ** 2)
    wanted = hac(adjusted, np.ones(500), bartlett_bandwidth(500, overlap))
    assert found.adjusted == pytest.approx(float(wanted.params[0]), rel=1e-12)
    assert found.statistic == pytest.approx(float(wanted.tvalues[0]), rel=1e-9)
    assert found.p_value == pytest.approx(scipy.stats.norm.sf(found.statistic), rel=1e-12)


@pytest.mark.parametrize("overlap", [0, 5])
def test_encompassing_is_the_regression_of_statsmodels(overlap):
    y, base, candidate = forecasts(400, seed=5)
    found = encompassing(y, base, candidate, overlap)
    wanted = hac(y - base, candidate - base, bartlett_bandwidth(400, overlap))
    assert found.weight == pytest.approx(float(wanted.params[0]), rel=1e-11)
    assert found.standard_error == pytest.approx(float(wanted.bse[0]), rel=1e-9)
    assert found.statistic == pytest.approx(float(wanted.tvalues[0]), rel=1e-9)
    assert found.p_value == pytest.approx(scipy.stats.t.sf(found.statistic, 399), rel=1e-8)


@pytest.mark.parametrize("unit", [1.0, 1e-8])
@pytest.mark.parametrize("overlap", [0, 5])
def test_mincer_zarnowitz_is_the_joint_wald_test_of_statsmodels(overlap, unit):
    y, base, _ = forecasts(600, seed=8)
    found = mincer_zarnowitz(unit * y, unit * base, overlap)
    wanted = hac(y, sm.add_constant(base), bartlett_bandwidth(600, overlap))
    joint = wanted.wald_test((np.eye(2), np.array([0.0, 1.0])), use_f=False, scalar=True)
    a, b = wanted.params
    assert (found.a, found.b) == pytest.approx((unit * a, b), rel=1e-9)
    assert found.r2 == pytest.approx(float(wanted.rsquared), rel=1e-10)
    assert found.statistic == pytest.approx(float(joint.statistic), rel=1e-8)
    assert found.p_value == pytest.approx(float(joint.pvalue), rel=1e-6)


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
    dates = by_date(formed)
    assert (dates.n, dates.rows) == (120, formed.size)
    lags = bartlett_bandwidth(120, 4)
    for name, left, right, found in (
        ("mz", y, sm.add_constant(base), mincer_zarnowitz(y, base, 4, dates)),
        ("enc", y - base, (candidate - base)[:, None], encompassing(y, base, candidate, 4, dates)),
    ):
        fit = sm.OLS(left, right).fit(
            cov_type="hac-groupsum",
            cov_kwds={"time": formed // 7, "maxlags": lags, "use_correction": False},
        )
        if name == "enc":
            assert found.statistic == pytest.approx(float(fit.tvalues[0]), rel=1e-9)
        else:
            null = (np.eye(2), np.array([0.0, 1.0]))
            joint = fit.wald_test(null, use_f=False, scalar=True)
            assert found.statistic == pytest.approx(float(joint.statistic), rel=1e-9)
        assert found.n == 120


def test_averages_by_date_keep_the_mean_of_the_rows():
    formed, y, _, _ = ragged_panel(seed=4)
    dates = by_date(formed)
    averages = dates.averages(y)
    assert averages.shape == (120,)
    assert averages.mean() == pytest.approx(y.mean(), rel=1e-12)
    balanced = by_date(np.repeat(np.arange(10), 3))
    np.testing.assert_allclose(balanced.averages(y[:30]), y[:30].reshape(10, 3).mean(axis=1))


def direct_variance(x: np.ndarray, bandwidth: int) -> float:
    """The double sum of Newey and West."""
    n, d = x.size, x - x.mean()
    total = 0.0
    for i in range(n):
        for j in range(max(0, i - bandwidth), min(n, i + bandwidth + 1)):
            total += (1.0 - abs(i - j) / (bandwidth + 1)) * d[i] * d[j]
    return total / n


@pytest.mark.parametrize("n", [1, 2, 7, 60])
@pytest.mark.parametrize("bandwidth", [0, 1, 5, 59])
def test_the_long_run_variance_is_the_double_sum_with_bartletts_weights(n, bandwidth):
    bandwidth = min(bandwidth, n - 1)
    x = autocorrelated(n, n)
    want = direct_variance(x, bandwidth)
    # With all lags the sum nearly cancels.
    spread = x.var() * (bandwidth + 1)
    found = long_run_sum((x - x.mean())[:, None], bandwidth)[0, 0] / n
    assert found == pytest.approx(want, rel=1e-9, abs=1e-13 * spread)


@pytest.mark.parametrize(
    ("n", "overlap", "wanted"),
    [(100, 0, 13), (100, 12, 13), (100, 40, 40), (3, 0, 2), (1, 5, 0), (45_984, 23, 279)],
)
def test_the_bandwidth_covers_the_overlap_and_grows_with_the_root_of_n(n, overlap, wanted):
    assert bartlett_bandwidth(n, overlap) == wanted


def test_the_long_run_sum_is_that_of_statsmodels():
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    x = np.column_stack([autocorrelated(90, 1), autocorrelated(90, 2) ** 2])
    for bandwidth in (0, 1, 7, 60):
        np.testing.assert_allclose(
            long_run_sum(x, bandwidth), S_hac_simple(x, nlags=bandwidth), rtol=1e-10
        )


def test_tails_are_those_of_scipy():
    for df in range(1, 8):
        for x in (0.0, 1e-3, 0.7, 5.0, 40.0, 300.0):
            assert chi2_sf(x, df) == pytest.approx(scipy.stats.chi2.sf(x, df), rel=1e-11)
    for z in (-3.0, 0.0, 1.645, 9.0):
        assert normal_sf(z) == pytest.approx(scipy.stats.norm.sf(z), rel=1e-12)


def test_a_column_that_others_hold_is_not_told_apart():
    y, base, _ = forecasts(200, seed=1)
    x = np.column_stack([np.ones(200), base])
    twice = least_squares(y, np.column_stack([x, 2.0 * base]), 10)
    once = least_squares(y, x, 10)
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
        giacomini_white(d, overlap, lagged(d, overlap)),
        clark_west(y, base, candidate, overlap),
        encompassing(y, base, candidate, overlap),
        mincer_zarnowitz(y, base, overlap),
    ):
        values = [v for v in vars(found).values() if not isinstance(v, tuple)]
        assert np.isfinite(values).all(), found
        assert 0.0 <= found.p_value <= 1.0


def test_where_nothing_varies_or_no_two_targets_are_apart_nothing_is_rejected():
    same = np.full(40, 0.25)
    assert (giacomini_white(same, 2).statistic, giacomini_white(same, 2).p_value) == (0.0, 1.0)
    assert clark_west(Y, BASE, BASE, 2).p_value == 0.5
    assert encompassing(Y, BASE, BASE, 2).weight == 0.0
    assert mincer_zarnowitz(Y, BASE, 40).p_value == 1.0


def test_what_is_not_finite_is_refused():
    d = np.array([1.0, np.nan, 2.0])
    for ask in (
        lambda: giacomini_white(d, 0),
        lambda: clark_west(d, np.zeros(3), np.ones(3), 0),
        lambda: encompassing(d, np.zeros(3), np.ones(3), 0),
        lambda: mincer_zarnowitz(d, np.ones(3), 0),
        lambda: giacomini_white(np.empty(0), 0),
    ):
        with pytest.raises(ValueError, match=r"finite|n >= 1"):
            ask()
    with pytest.raises(ValueError, match=r"wanted \(3, q\)"):
        giacomini_white(np.arange(3.0), 0, np.ones((4, 1)))
