"""VaR and ES: laws of residuals, losses and backtests against other software and by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import statsmodels.api as sm
from arch.univariate import StudentsT
from scipy import integrate, stats

from harness.samples.target_scale import TargetScale
from harness.scores.risk.backtests import (
    TailShapes,
    acerbi_szekely,
    conditional_coverage,
    dynamic_quantile,
    independence,
    kupiec,
)
from harness.scores.risk.forecasts import TailForecast
from harness.scores.risk.losses import fz_loss, joint_loss, quantile_loss
from harness.walk.residuals.tails import (
    DOF,
    DOF_RANGE,
    GRID,
    QUANTILE,
    RESIDUALS,
    SCALE,
    SHORTFALL,
    Tails,
    fit_student,
)

LEVEL_VARIANCE = TargetScale("level", "variance", "none", 1e-6)
LEVELS = (0.01, 0.025)


def fitted(z, law, level=0.01):
    """The tails of residuals z: forecasts of variance 1 over one bar."""
    tails = Tails((level,), (law,), 1, LEVEL_VARIANCE)
    return tails.of(z, np.ones(z.size), 0.0)[0, 0]


def student(n, seed, dof=4.0, scale=0.8):
    return scale * np.random.default_rng(seed).standard_t(dof, n)


# -- laws of the residuals ---------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_a_normal_tail_is_the_quantile_and_the_mean_beyond_it_by_integration(level):
    z = np.random.default_rng(1).normal(0.3, 1.7, 500)
    row, scale = fitted(z, "normal", level), math.sqrt(np.mean(z**2))
    law = stats.norm(scale=scale)
    beyond = integrate.quad(lambda x: x * law.pdf(x), -np.inf, law.ppf(level))[0] / level
    assert row[QUANTILE] == pytest.approx(law.ppf(level), rel=1e-12)
    assert row[SHORTFALL] == pytest.approx(beyond, rel=1e-8)
    assert row[SCALE] == pytest.approx(scale, rel=1e-14)
    assert math.isnan(row[DOF])


@pytest.mark.parametrize("level", LEVELS)
def test_a_student_tail_is_that_of_arch_s_standardised_t_and_of_an_integral(level):
    row = fitted(student(1500, 2), "t", level)
    scale, dof = row[[SCALE, DOF]]
    sd = scale * math.sqrt(dof / (dof - 2))
    arch = StudentsT()
    quantile = arch.ppf(level, [dof])
    mean = arch.partial_moment(1, quantile, [dof]) / level
    law = stats.t(dof, scale=scale)
    beyond = integrate.quad(lambda x: x * law.pdf(x), -np.inf, law.ppf(level))[0] / level
    assert row[QUANTILE] == pytest.approx(sd * quantile, rel=1e-9)
    assert row[SHORTFALL] == pytest.approx(sd * mean, rel=1e-9)
    assert row[SHORTFALL] == pytest.approx(beyond, rel=1e-8)


@pytest.mark.parametrize(("seed", "dof"), [(3, 3.0), (4, 6.0), (5, 12.0)])
def test_the_student_fit_is_scipy_s_maximum_likelihood(seed, dof):
    z = student(800, seed, dof, scale=0.02)
    scale, found = fit_student(z)
    wanted_dof, _, wanted_scale = stats.t.fit(z, floc=0.0)
    assert found == pytest.approx(wanted_dof, rel=2e-3)
    assert scale == pytest.approx(wanted_scale, rel=1e-3)
    own, theirs = (np.sum(stats.t(d, scale=s).logpdf(z)) for d, s in
                   ((found, scale), (wanted_dof, wanted_scale)))  # fmt: skip
    assert own >= theirs - 1e-6


def test_the_student_fit_stays_within_bounds_on_thin_and_on_heavy_tails():
    rng = np.random.default_rng(6)
    assert fit_student(rng.uniform(-1, 1, 500))[1] == pytest.approx(DOF_RANGE[1])
    assert fit_student(rng.standard_cauchy(500))[1] == pytest.approx(DOF_RANGE[0])
    mostly_flat = np.where(rng.random(500) < 0.9, 0.0, rng.normal(size=500))
    scale, dof = fit_student(mostly_flat)
    assert scale > 0
    assert DOF_RANGE[0] <= dof <= DOF_RANGE[1]


def test_an_empirical_tail_is_the_integral_of_its_quantile_function():
    z = np.random.default_rng(7).gumbel(size=437)
    for level in (0.01, 0.025, 0.3):
        row, ordered = fitted(z, "historical", level), np.sort(z)
        u = (np.arange(200_000) + 0.5) / 200_000 * level
        assert row[QUANTILE] == ordered[math.ceil(437 * level) - 1]
        inverse = ordered[np.ceil(u * 437).astype(int) - 1]
        assert row[SHORTFALL] == pytest.approx(inverse.mean(), rel=1e-4)


def test_an_empirical_tail_of_few_rows_is_the_worst_of_them():
    z = np.linspace(-3.0, 2.0, 12)
    row = fitted(z, "historical", 0.01)
    assert row[QUANTILE] == row[SHORTFALL] == -3.0
    assert row[4:] == pytest.approx(np.ones(GRID))


def test_a_tail_scales_with_the_horizon_and_knows_the_way_back_from_logs():
    z, scale = student(300, 8), TargetScale("log", "sigma", "lognormal", 1e-6)
    sigma, shift = np.linspace(0.01, 0.05, 300), 0.2
    tails = Tails((0.025,), RESIDUALS, 5, scale)
    returns = z * sigma * math.sqrt(5 * math.exp(shift))
    plain = Tails((0.025,), RESIDUALS, 1, LEVEL_VARIANCE).of(z, np.ones(300), 0.0)
    assert tails.of(returns, np.log(sigma), shift) == pytest.approx(plain, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("z", [np.zeros(50), np.full(50, np.nan), np.ones(9), np.empty(0)])
def test_there_is_no_tail_of_too_few_returns_or_of_none_that_moves(z):
    for law in RESIDUALS:
        assert np.isnan(fitted(z, law)).all()


def test_rows_without_a_return_or_a_forecast_take_no_part():
    z = student(200, 9)
    gaps = np.insert(z, [3, 50, 120], np.nan)
    for law in RESIDUALS:
        assert fitted(gaps, law) == pytest.approx(fitted(z, law), nan_ok=True, rel=1e-14)


# -- losses ------------------------------------------------------------------------------------


def test_the_losses_are_those_of_the_formulas_on_one_row():
    y, q, e, a = -0.05, -0.03, -0.04, 0.01
    row = (np.array([y]), a, np.array([q]), np.array([e]))
    assert quantile_loss(*row[:3]) == pytest.approx((a - 1) * (y - q))
    assert joint_loss(*row) == pytest.approx(-math.log((a - 1) / e) - (y - q) * (a - 1) / (a * e))
    assert fz_loss(*row) == pytest.approx(-(q - y) / (a * e) + q / e + math.log(-e) - 1)
    calm = (np.array([0.02]), *row[1:])
    assert quantile_loss(*calm[:3]) == pytest.approx(a * 0.05)
    assert joint_loss(*calm) == pytest.approx(-math.log((a - 1) / e) - 0.05 / e)
    assert fz_loss(*calm) == pytest.approx(q / e + math.log(-e) - 1)


def test_the_joint_losses_differ_by_what_no_forecast_of_var_moves():
    rng = np.random.default_rng(10)
    y, q, e = rng.standard_t(4, 500), -1.0 - rng.random(500), -3.0 - rng.random(500)
    difference = joint_loss(y, 0.025, q, e) - fz_loss(y, 0.025, q, e)
    assert difference == pytest.approx(-y / e + 1 - math.log(0.975))


@pytest.mark.parametrize("level", LEVELS)
def test_the_losses_are_least_at_the_true_var_and_es(level):
    """Expected losses under Student's t by integration, over a grid about the truth."""
    law = stats.t(5)
    q = law.ppf(level)
    e = law.expect(lambda x: x, ub=q, conditional=False) / level
    y = law.ppf((np.arange(20_000) + 0.5) / 20_000)

    def expected(loss, *forecast):
        return loss(y, level, *(np.full(y.size, f) for f in forecast)).mean()

    factors = (0.9, 0.97, 1.0, 1.03, 1.1)
    by_var = [expected(quantile_loss, f * q) for f in factors]
    assert np.argmin(by_var) == 2
    for loss in (joint_loss, fz_loss):
        grid = {(f, g): expected(loss, f * q, g * e)
                for f, g in itertools.product(factors, factors)}  # fmt: skip
        assert min(grid, key=grid.get) == (1.0, 1.0), loss.__name__


def test_a_joint_loss_without_a_negative_es_is_not_defined():
    row = np.array([0.1]), 0.01, np.array([-0.1]), np.array([0.0])
    assert np.isnan([joint_loss(*row)[0], fz_loss(*row)[0]]).all()


# -- backtests ---------------------------------------------------------------------------------


def hits_of(n, seed, rate=0.04, after=0.2):
    """A chain of violations that follow each other more often than not."""
    rng = np.random.default_rng(seed)
    found = np.zeros(n, bool)
    for i in range(1, n):
        found[i] = rng.random() < (after if found[i - 1] else rate)
    return found


def test_kupiec_is_the_likelihood_ratio_of_two_binomials():
    hits = hits_of(2100, 11)
    n, x = hits.size, hits.sum()
    wanted = 2 * (stats.binom(n, x / n).logpmf(x) - stats.binom(n, 0.025).logpmf(x))
    found = kupiec(hits, 0.025)
    assert found.statistic == pytest.approx(wanted, rel=1e-9)
    assert found.p_value == pytest.approx(stats.chi2(1).sf(wanted), rel=1e-9)


def test_kupiec_knows_the_published_example():
    """Kupiec (1995): 7 failures of 1 % in 255 days are the first to be rejected at 5 %."""

    def p(x):
        return kupiec(np.arange(255) < x, 0.01).p_value

    assert p(6) > 0.05 > p(7)


def test_independence_is_the_gain_of_a_logit_on_the_violation_before():
    hits = hits_of(1200, 12).astype(float)
    now, before = hits[1:], sm.add_constant(hits[:-1])
    full = sm.Logit(now, before).fit(disp=0).llf
    none = sm.Logit(now, before[:, :1]).fit(disp=0).llf
    found = independence(hits.astype(bool), 0.05)
    assert found.statistic == pytest.approx(2 * (full - none), rel=1e-8)
    assert found.p_value == pytest.approx(stats.chi2(1).sf(2 * (full - none)), rel=1e-8)


def test_conditional_coverage_is_the_sum_of_both_with_two_degrees():
    hits = hits_of(1100, 13)
    total = kupiec(hits, 0.05).statistic + independence(hits, 0.05).statistic
    found = conditional_coverage(hits, 0.05)
    assert found.statistic == pytest.approx(total)
    assert found.p_value == pytest.approx(stats.chi2(2).sf(total))


def test_dynamic_quantile_is_the_explained_sum_of_squares_of_an_ols():
    hits, level = hits_of(2100, 14), 0.025
    var = -0.01 - 0.02 * np.random.default_rng(14).gamma(2.0, 1.0, 2100)
    h = hits - level
    x = sm.add_constant(np.column_stack([*(h[4 - k : -k] for k in (1, 2, 3, 4)), var[4:]]))
    wanted = float(sm.OLS(h[4:], x).fit().fittedvalues @ h[4:]) / (level * (1 - level))
    found = dynamic_quantile(hits, level, var, 0)
    assert found.statistic == pytest.approx(wanted, rel=1e-8)
    assert found.p_value == pytest.approx(stats.chi2(6).sf(wanted), rel=1e-7)


def test_a_constant_var_is_no_regressor_beside_the_constant():
    hits, level = hits_of(2100, 15), 0.025
    h = hits - level
    x = sm.add_constant(np.column_stack([h[4 - k : -k] for k in (1, 2, 3, 4)]))
    wanted = float(sm.OLS(h[4:], x).fit().fittedvalues @ h[4:]) / (level * (1 - level))
    found = dynamic_quantile(hits, level, np.full(2100, -0.0234), 0)
    assert found.statistic == pytest.approx(wanted, rel=1e-8)
    assert found.p_value == pytest.approx(stats.chi2(5).sf(wanted), rel=1e-7)


def test_without_any_violation_the_tests_say_too_few_and_nothing_breaks():
    hits = np.zeros(2400, bool)
    var = -0.02 - 0.01 * np.random.default_rng(16).random(2400)
    found = kupiec(hits, 0.025)
    assert found.statistic == pytest.approx(-2 * 2400 * math.log(0.975))
    assert found.p_value < 1e-4
    assert independence(hits, 0.025).statistic == 0.0
    assert independence(hits, 0.025).p_value == 1.0
    level_only = dynamic_quantile(hits, 0.025, var, 0)
    assert level_only.statistic == pytest.approx(2396 * 0.025 / 0.975)
    assert level_only.p_value == pytest.approx(stats.chi2(2).sf(2396 * 0.025 / 0.975))
    first, second = acerbi_szekely(var + 1.0, hits, 0.025, var, normal_shapes(2400), 0)
    assert math.isnan(first.statistic)
    assert math.isnan(first.p_value)
    assert second.statistic == 1.0
    assert second.p_value == 1.0


def test_one_row_or_none_is_tested_where_it_can_be():
    one, var = np.array([True]), np.array([-0.01])
    assert kupiec(one, 0.01).statistic == pytest.approx(-2 * math.log(0.01))
    assert math.isnan(independence(one, 0.01).p_value)
    assert math.isnan(conditional_coverage(one, 0.01).p_value)
    assert math.isnan(dynamic_quantile(one, 0.01, var, 0).p_value)
    assert acerbi_szekely(var * 2, one, 0.01, var, normal_shapes(1), 0)[0].statistic == -1.0
    nothing = np.zeros(0, bool)
    assert math.isnan(kupiec(nothing, 0.01).p_value)
    assert math.isnan(
        acerbi_szekely(var[:0], nothing, 0.01, var[:0], normal_shapes(0), 0)[1].p_value
    )


def forecast_of(law, level, n, sigma, tail):
    """A TailForecast of n rows of one fit with this tail (4 + GRID,)."""
    return TailForecast(
        level,
        var=sigma * tail[QUANTILE],
        es=sigma * tail[SHORTFALL],
        scale=np.full(n, tail[SCALE]),
        dof=np.full(n, tail[DOF]),
        fit=np.zeros(n, np.int64),
        tails=tail[None],
    )


def normal_shapes(n, level=0.025):
    return shapes_of("normal", n, level)


def shapes_of(law, n, level=0.025):
    tail = fitted(student(2000, 17), law, level)
    return forecast_of(law, level, n, np.ones(n), tail).shapes(np.arange(n))


def test_acerbi_szekely_are_the_sums_of_the_paper():
    rng = np.random.default_rng(18)
    y, es, var = rng.standard_t(3, 300), -2.5 - rng.random(300), np.full(300, -2.0)
    hits = y < var
    first, second = acerbi_szekely(y, hits, 0.025, es, normal_shapes(300), 0)
    shortfall = -es  # the paper's is positive
    assert first.statistic == pytest.approx(np.sum(y * hits / shortfall) / hits.sum() + 1)
    assert second.statistic == pytest.approx(np.sum(y * hits / (300 * 0.025 * shortfall)) + 1)


@pytest.mark.parametrize("law", RESIDUALS)
def test_the_shapes_of_a_tail_have_the_mean_and_the_spread_of_its_law(law):
    shapes = shapes_of(law, 10)
    ratios = shapes.ratios[shapes.law[0]]
    shares = None if shapes.upto is None else np.diff(shapes.upto)
    assert np.average(ratios, weights=shares) == pytest.approx(1.0)
    tail = fitted(student(2000, 17), law, 0.025)
    if law == "historical":
        z = np.sort(student(2000, 17))[:50] / tail[SHORTFALL]
        spread = math.sqrt(np.average(np.square(ratios - 1.0), weights=shares))
        assert spread == pytest.approx(z.std(), rel=0.02)
        return
    dist = stats.norm(scale=tail[SCALE]) if law == "normal" else stats.t(tail[DOF], 0, tail[SCALE])
    middle = dist.ppf(0.0125) / tail[SHORTFALL]
    assert np.median(ratios) == pytest.approx(middle, rel=0.01)
    assert ratios.min() == pytest.approx(tail[QUANTILE] / tail[SHORTFALL], rel=0.01)


def test_the_same_seed_gives_the_same_p_value_and_another_one_nearly():
    y = student(600, 19)
    es, var = np.full(600, -2.4), np.full(600, -1.9)
    p = [acerbi_szekely(y, y < var, 0.025, es, normal_shapes(600), s)[1].p_value for s in (0, 0, 1)]
    assert p[0] == p[1]
    assert p[0] != p[2]
    assert p[0] == pytest.approx(p[2], abs=0.08)


# -- calibration: a true model is rejected about as often as said, a wrong one far more -------


def worlds(law, count=300, n=1_000, level=0.025):
    """Returns whose sigma moves, and the true forecasts of them by this law's own tail."""
    rng = np.random.default_rng(20)
    z = student(50_000, 21, dof=5.0)
    tail = fitted(z, law, level)
    of = {
        "normal": lambda: tail[SCALE] * rng.standard_normal(n),
        "t": lambda: tail[SCALE] * rng.standard_t(tail[DOF], n),
        "historical": lambda: rng.choice(z, n),
    }
    for _ in range(count):
        sigma = 0.01 * np.exp(0.5 * np.sin(np.cumsum(rng.normal(0.0, 0.1, n))))
        yield sigma * of[law](), forecast_of(law, level, n, sigma, tail)


TESTS = ("kupiec", "independence", "coverage", "dq", "z1", "z2")


def p_values(y, f, factor=1.0):
    var, es = factor * f.var, factor * f.es
    hits = y < var
    z = acerbi_szekely(y, hits, f.level, es, f.shapes(np.arange(y.size)), 0)
    tests = (
        kupiec(hits, f.level), independence(hits, f.level), conditional_coverage(hits, f.level),
        dynamic_quantile(hits, f.level, var, 0), *z,
    )  # fmt: skip
    return [t.p_value for t in tests]


@pytest.mark.parametrize("law", RESIDUALS)
def test_a_true_model_is_rejected_about_as_often_as_said_and_a_low_one_mostly(law):
    right = np.nanmean(np.array([p_values(y, f) for y, f in worlds(law)]) < 0.05, axis=0)
    low = np.array([p_values(y, f, 0.8) for y, f in worlds(law, count=60)])
    low = np.nanmean(low < 0.05, axis=0)
    shares = dict(zip(TESTS, right, strict=True))
    # 300 worlds: two standard errors are 2.5 points. Few violations follow one another, so the
    # chain's ratio is discrete and its test rejects less often than it says.
    for name in ("kupiec", "coverage", "dq", "z1", "z2"):
        assert 0.025 <= shares[name] <= 0.08, shares
    assert 0.003 <= shares["independence"] <= 0.06, shares
    powers = dict(zip(TESTS, low, strict=True))
    assert min(powers[k] for k in ("kupiec", "coverage", "dq", "z2")) > 0.8, powers


def test_violations_in_clusters_are_rejected_by_the_tests_of_independence():
    level, rng, found = 0.025, np.random.default_rng(22), []
    for _ in range(200):
        sigma = np.where(np.arange(1_500) // 50 % 5 == 0, 3.0, 1.0)
        y = sigma * rng.normal(size=1_500)
        var = np.full(1_500, np.quantile(y, level))  # the right rate, at the wrong times
        hits = y < var
        both = independence(hits, level), dynamic_quantile(hits, level, var, 0)
        found.append([test.p_value for test in both])
        assert kupiec(y < var, level).p_value > 0.5
    assert (np.mean(np.array(found) < 0.05, axis=0) > 0.5).all()


def test_normal_quantiles_of_heavy_tails_understate_the_shortfall():
    """Z1 sees what a rate of violations cannot: larger losses beyond a right VaR."""
    rng, low = np.random.default_rng(23), []
    law = stats.t(3)
    q = law.ppf(0.025)
    shapes = normal_shapes(2_000)
    for _ in range(200):
        y = rng.standard_t(3, 2_000)
        es = np.full(2_000, q * (stats.norm.pdf(stats.norm.ppf(0.025)) / 0.025 / 1.96))
        low.append(acerbi_szekely(y, y < q, 0.025, es, shapes, 0)[0].p_value < 0.05)
    assert np.mean(low) > 0.9


def test_shapes_of_several_fits_are_drawn_by_the_fit_of_their_rows():
    ratios = np.array([[1.0, 1.0], [3.0, 3.0]])
    y, es, hits = np.full(100, -2.0), np.full(100, -1.0), np.arange(100) < 10
    calm = TailShapes(ratios, np.zeros(100, np.int64))
    wild = TailShapes(ratios, np.ones(100, np.int64))
    assert acerbi_szekely(y, hits, 0.1, es, calm, 0)[0].p_value < 0.01
    assert acerbi_szekely(y, hits, 0.1, es, wild, 0)[0].p_value > 0.99
