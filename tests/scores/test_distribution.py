"""Laws of residuals and their scores, against theory, SciPy, scoringrules and sums by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.worlds import make_forecasts

from harness.scores.distribution.adaptive import GAMMA, adapted, quantiles_of_rows
from harness.scores.distribution.assess import assess, intervals
from harness.scores.distribution.scores import crps_and_pit, interval_score, pinball
from harness.walk.residuals.kept import ResidualPlan, stacked
from harness.walk.residuals.laws import COUNT, LAWS, MIDDLES, SHARES, Laws

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


# -- laws --------------------------------------------------------------------------------------


def test_conformal_quantiles_are_the_order_statistics_of_split_conformal():
    residuals = np.random.default_rng(0).permutation(np.arange(1.0, 51.0))  # n + 1 = 51
    found = Laws((0.05, 0.25, 0.5, 0.75, 0.95), LAWS).calibrated(residuals)
    assert found[COUNT] == 50
    # floor(2.55), floor(12.75), the middle of 25 and 26, ceil(38.25), ceil(48.45)
    assert found[1:6].tolist() == [2.0, 12.0, 25.5, 39.0, 49.0]
    exact = Laws((0.1, 0.9), LAWS).calibrated(np.arange(1.0, 100.0))  # n + 1 = 100: no rounding
    assert exact[1:3].tolist() == [10.0, 90.0]


@pytest.mark.parametrize(("n", "known"), [(18, False), (19, True)])
def test_too_few_residuals_for_a_level_give_no_conformal_law(n, known):
    found = Laws((0.05, 0.95), LAWS).calibrated(np.arange(float(n)))
    assert np.isfinite(found).all() == known
    assert np.isfinite(found).any() == known
    assert known == (found[1] == 0.0)  # the least of nineteen


@pytest.mark.parametrize("n", [23, 60, 101])
def test_conformal_intervals_cover_exchangeable_outcomes_as_stated(n):
    """Of any law, here a skewed one with heavy tails, and any n: at least, 2/(n + 1) over."""
    rng, worlds = np.random.default_rng(n), 6_000
    laws, inside = Laws((0.05, 0.95), LAWS), 0
    for _ in range(worlds):
        draws = np.exp(rng.standard_t(3, n + 1))
        low, high = laws.calibrated(draws[:-1])[1:3]
        inside += low <= draws[-1] <= high
    error = 4.0 * math.sqrt(0.9 * 0.1 / worlds)
    assert 0.9 - error <= inside / worlds <= 0.9 + 2.0 / (n + 1) + error


def test_training_residuals_of_a_model_that_overfits_do_not_cover_and_held_out_ones_do():
    """Least squares with half as many regressors as rows: its residuals are too small."""
    rng, worlds, n, p = np.random.default_rng(1), 800, 60, 30
    laws = Laws((0.05, 0.95), LAWS)
    covered = dict.fromkeys(LAWS, 0)
    for _ in range(worlds):
        x, noise = rng.normal(size=(2 * n + 1, p)), rng.gumbel(size=2 * n + 1)
        train, slice_, new = slice(n), slice(n, 2 * n), 2 * n
        beta = np.linalg.lstsq(x[train], noise[train], rcond=None)[0]
        e = noise - x @ beta
        found = laws.of(e[train], e[slice_])
        for law, own in zip(LAWS, found, strict=True):
            covered[law] += own[1] <= e[new] <= own[2]
    error = 4.0 * math.sqrt(0.9 * 0.1 / worlds)
    assert covered["conformal"] / worlds >= 0.9 - error
    assert covered["residual"] / worlds < 0.75
    assert covered["normal"] / worlds < 0.75


def drifting(n: int, lag: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals whose scale doubles, with targets over lag + 1 rows, and conformal fits of them.

    A fit every 500 rows is of the last 1,000 that had resolved; returns r, fits and places.
    """
    laws, rng = Laws(LEVELS, LAWS), np.random.default_rng(seed)
    noise = rng.standard_normal(n + 1_000 + lag)
    e = np.convolve(noise, np.ones(lag + 1) / math.sqrt(lag + 1), "valid")
    r = e * 2.0 ** np.linspace(0.0, 1.0, n + 1_000)
    own = [laws.calibrated(r[max(k - lag, 0) : 1_000 + k - lag]) for k in range(0, n, 500)]
    return r[1_000:], np.array(own), np.arange(n) // 500


@pytest.mark.parametrize("lag", [0, 3, 23])
def test_adaptive_intervals_cover_where_volatility_drifts_and_conformal_ones_do_not(lag):
    n, shares, moments = 4_000, [], np.arange(4_000, dtype=np.int64)
    for seed in range(6):
        r, own, place = drifting(n, lag, seed)
        when = moments, moments + lag + 1
        gamma = GAMMA / (lag + 1)
        issued = adapted(r, own[:, 1 + len(LEVELS) :], place, *when, np.array(LEVELS), gamma)
        assert (np.diff(issued, axis=1) >= 0.0).all()
        for quantiles in (own[place, 1 : 1 + len(LEVELS)], issued):
            inside = (quantiles[:, 0] <= r) & (r <= quantiles[:, -1])
            shares.append([inside.mean(), *(r[:, None] <= quantiles).mean(axis=0)])
    fixed, adaptive = np.mean(shares[::2], axis=0), np.mean(shares[1::2], axis=0)
    assert fixed[0] < 0.875
    # 4,000 rows of targets over 24 steps are 167 that do not overlap.
    assert adaptive[0] == pytest.approx(0.9, abs=0.03 if lag == 23 else 0.01)
    assert adaptive[1:] == pytest.approx(LEVELS, abs=0.03 if lag == 23 else 0.01)


def test_adaptive_levels_follow_the_outcomes_that_have_resolved_one_by_one():
    rng, n, lag, gamma = np.random.default_rng(3), 400, 5, 0.03
    own = np.sort(rng.gumbel(size=(2, SHARES)), axis=1)
    r, place = 3.0 * rng.gumbel(size=n), np.arange(n) // 200
    levels, formed = np.array([0.1, 0.5, 0.9]), np.arange(n, dtype=np.int64)
    found = adapted(r, own, place, formed, formed + lag, levels, gamma)
    state, issued = levels.tolist(), []
    for i in range(n):
        if i >= lag:
            old, was = r[i - lag], issued[i - lag]
            moved = [
                a + gamma * (p - (old <= q)) for a, p, q in zip(state, levels, was, strict=True)
            ]
            state = sorted(min(max(a, 0.0), 1.0) for a in moved)
        issued.append([float(np.interp(a, MIDDLES, own[place[i]])) for a in state])
    assert found == pytest.approx(np.array(issued), rel=1e-12)
    # An outcome changes no quantile that was issued before it had resolved.
    changed = r.copy()
    changed[250] = 1e3 if r[250] < 0.0 else -1e3
    other = adapted(changed, own, place, formed, formed + lag, levels, gamma)
    assert other[: 250 + lag].tobytes() == found[: 250 + lag].tobytes()
    assert (other[250 + lag] != found[250 + lag]).any()


def test_a_fit_without_a_distribution_issues_nothing_and_moves_nothing():
    rng, n = np.random.default_rng(4), 90
    own = np.sort(rng.normal(size=(3, SHARES)), axis=1)
    own[1] = math.nan
    r, place, formed = rng.normal(size=n), np.arange(n) // 30, np.arange(n, dtype=np.int64)
    levels = np.array([0.2, 0.8])
    found = adapted(r, own, place, formed, formed + 1, levels, 0.05)
    assert np.isnan(found[30:60]).all()
    assert np.isfinite(found[:30]).all()
    kept = np.r_[0:30, 60:n]
    alone = adapted(r[kept], own, place[kept], formed[:60], formed[:60] + 1, levels, 0.05)
    assert alone.tobytes() == found[kept].tobytes()


def test_in_sample_laws_are_the_empirical_and_the_normal_quantiles():
    e = np.random.default_rng(2).gumbel(size=997)
    laws = Laws(LEVELS, ("residual", "normal"))
    residual, normal = laws.of(e)
    grid = np.array([*LEVELS, *MIDDLES])
    assert residual[1:].tolist() == np.sort(e)[np.ceil(997 * grid).astype(int) - 1].tolist()
    assert normal[1:] == pytest.approx(stats.norm(e.mean(), e.std()).ppf(grid), rel=1e-12)
    assert laws.conformal == []
    assert np.isnan(laws.of(e[:9])).all()


def test_without_rows_held_out_there_is_no_conformal_law():
    found = Laws(LEVELS, LAWS).of(np.arange(50.0))
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2:]).all()


def test_what_a_fit_leaves_is_stacked_and_put_in_place():
    keep = ResidualPlan(laws=Laws((0.25, 0.75), ("normal",)))
    e = np.random.default_rng(3).normal(size=40)
    one = keep.of(e, e, None, 0.0)
    assert one.tails is None
    many = keep.unknown(2, 3)
    many.put((1, 2), one)
    assert np.isfinite(many.laws).sum() == one.laws.size
    assert (many.laws[1, 2] == one.laws).all()
    assert stacked([one, one]).laws.shape == (2, 1, 3 + SHARES)
    assert not ResidualPlan()


# -- scores ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rules():
    """Compiles its kernels as it is imported: once, and only for these tests."""
    import scoringrules

    return scoringrules


@pytest.fixture(scope="module")
def drawn():
    """Outcomes (n,) and a skewed law each of two fits."""
    rng = np.random.default_rng(4)
    shares = np.stack([stats.gumbel_r(0.3, 0.8).ppf(MIDDLES), stats.norm(-0.2, 1.3).ppf(MIDDLES)])
    return rng.gumbel(0.1, 1.1, 9_001), shares, rng.integers(0, 2, 9_001)


def test_pinball_and_interval_score_are_those_of_scoringrules(rules, drawn):
    r, shares, place = drawn
    levels = np.array(LEVELS)
    q = np.quantile(shares, LEVELS, axis=1).T[place]
    wanted = [rules.quantile_score(r, q[:, k], p, backend="numpy") for k, p in enumerate(LEVELS)]
    assert pinball(r, q, levels) == pytest.approx(np.column_stack(wanted), abs=1e-12)
    wanted = rules.interval_score(r, q[:, 1], q[:, 5], 0.2, backend="numpy")
    assert interval_score(r, q[:, 1], q[:, 5], 0.1) == pytest.approx(wanted, abs=1e-12)


def test_crps_is_that_of_scoringrules_by_quantiles_and_near_the_closed_form(rules, drawn):
    r, shares, place = drawn
    crps, _ = crps_and_pit(r, shares, place)
    wanted = rules.crps_quantile(r, shares[place], MIDDLES, backend="numpy")
    assert crps == pytest.approx(wanted, abs=1e-12)
    normal = place == 1
    closed = rules.crps_normal(r[normal], -0.2, 1.3, backend="numpy")
    assert crps[normal].mean() == pytest.approx(closed.mean(), rel=2e-3)


def test_pinball_by_hand():
    found = pinball(np.array([1.0, -2.0]), np.array([[0.5, 2.0], [0.5, 2.0]]), np.array([0.1, 0.9]))
    assert found == pytest.approx(np.array([[0.1 * 0.5, 0.1 * 1.0], [0.9 * 2.5, 0.1 * 4.0]]))


def test_the_pit_of_the_true_law_is_uniform_and_of_a_narrow_one_is_not():
    rng, n = np.random.default_rng(5), 20_000
    r, place = rng.gumbel(size=n), np.zeros(n, np.int64)
    true = stats.gumbel_r.ppf(MIDDLES)[None]
    pit = crps_and_pit(r, true, place)[1]
    assert stats.kstest(pit, "uniform").pvalue > 0.01
    assert pit == pytest.approx(stats.gumbel_r.cdf(r), abs=0.006)
    narrow = crps_and_pit(r, 0.5 * true, place)[1]
    counts = np.histogram(narrow, np.arange(11) / 10)[0]
    assert counts[0] + counts[-1] > 0.4 * n


def test_the_pit_is_defined_for_a_law_with_atoms_and_beyond_its_ends():
    shares = np.repeat([0.0, 1.0], SHARES // 2)[None]
    r = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    pit = crps_and_pit(r, shares, np.zeros(5, np.int64))[1]
    assert (np.diff(pit) >= 0.0).all()
    assert pit[0] < 0.01
    assert pit[2] == pytest.approx(0.5)
    assert pit[-1] > 0.99


def test_scores_are_proper_the_true_law_is_the_best():
    rng = np.random.default_rng(6)
    r, place = rng.normal(size=40_000), np.zeros(40_000, np.int64)

    def mean_crps(loc: float, scale: float) -> float:
        return crps_and_pit(r, stats.norm(loc, scale).ppf(MIDDLES)[None], place)[0].mean()

    best = mean_crps(0.0, 1.0)
    assert all(best < mean_crps(a, s) for a, s in [(0.1, 1.0), (-0.1, 1.0), (0, 0.85), (0, 1.15)])


# -- a horizon ---------------------------------------------------------------------------------


def assessed(n=400, symbols=1, levels=LEVELS):
    rng = np.random.default_rng(7)
    y = rng.normal(size=n)
    part = make_forecasts(y, {"a": np.zeros(n), "b": y - 3.0}, windows=4, symbols=symbols)
    laws = Laws(levels, ("normal",))
    own = laws.of(rng.normal(size=500))
    fits = {m: replace(f, laws=np.stack([own] * 4)) for m, f in part.fits.items()}
    fits["a"].laws[3] = np.nan  # a fit with too few residuals
    return part, own, assess(replace(part, fits=fits), laws, drawn=["a"])


def test_figures_are_means_over_the_rows_that_have_a_law():
    part, own, found = assessed()
    pooled = {r.model: r for r in found.rows if r.scope == "pooled"}
    assert (pooled["a"].n, pooled["b"].n) == (300, 400)
    assert pooled["a"].calibrated == 500
    r = part.y[:300]
    q = own[0, 1 : 1 + len(LEVELS)]
    losses = [[(p - (x < a)) * (x - a) for a, p in zip(q, LEVELS, strict=True)] for x in r]
    assert pooled["a"].pinball == pytest.approx(np.mean(losses))
    rows = [x for x in found.quantiles if x.model == "a"]
    assert [x.pinball for x in rows] == pytest.approx(np.mean(losses, axis=0).tolist())
    assert [x.below for x in rows] == pytest.approx([np.mean(r <= a) for a in q])
    first = next(x for x in found.coverage if x.model == "a")
    assert (first.stated, first.scope) == (0.9, "pooled")
    assert first.covered == np.mean((q[0] <= r) & (r <= q[-1]))
    assert first.width == pytest.approx(q[-1] - q[0])
    windows = [x for x in found.rows if x.model == "a" and x.scope == "window"]
    assert [w.n for w in windows] == [100, 100, 100, 0]
    assert np.mean([w.crps for w in windows[:3]]) == pytest.approx(pooled["a"].crps)
    assert math.isnan(windows[3].crps)


def test_a_forecast_that_is_always_too_low_fills_the_last_tenth():
    found = assessed()[2]
    pits = {m: [p.share for p in found.pits if p.model == m] for m in "ab"}
    assert pits["b"] == [0.0] * 9 + [1.0]
    assert sum(pits["a"]) == pytest.approx(1.0)
    assert max(pits["a"]) < 0.2


def test_symbols_are_scored_one_by_one_and_a_fan_is_of_the_models_drawn():
    part, own, found = assessed(symbols=2)
    rows = {r.name: r for r in found.rows if r.model == "b" and r.scope != "window"}
    assert list(rows) == ["all", "S0", "S1"]
    assert rows["all"].crps == pytest.approx((rows["S0"].crps + rows["S1"].crps) / 2)
    assert {(f.model, f.symbol) for f in found.fans} == {("a", "S0")}
    fan = [f for f in found.fans if f.level == 0.9]
    assert len(fan) == 120
    wanted = part.yhat["a"][part.symbol == 0][-120:] + own[0, 6]
    known = np.isfinite([f.quantile for f in fan])
    assert np.array([f.quantile for f in fan])[known] == pytest.approx(wanted[known])


def test_each_symbol_has_levels_of_its_own():
    rng, n = np.random.default_rng(8), 400
    y = rng.normal(size=n) * np.linspace(1.0, 3.0, n)
    part = make_forecasts(y, {"a": np.zeros(n)}, windows=4, symbols=2)
    laws = Laws(LEVELS, ("adaptive-conformal",))
    own = np.stack([laws.of(y, rng.normal(size=200 + k)) for k in range(4)])
    part = replace(part, fits={"a": replace(part.fits["a"], laws=own)})
    found = quantiles_of_rows(part, "a", laws, 0)
    place = np.repeat(np.arange(4), np.diff(part.fits["a"].edges))
    for code in (0, 1):
        rows = np.flatnonzero(part.symbol == code)
        alone = adapted(
            y[rows], own[:, 0, 1 + len(LEVELS) :], place[rows], part.formed_at[rows],
            part.resolved_at[rows], np.array(LEVELS), GAMMA / (part.overlap + 1),
        )  # fmt: skip
        assert found[rows].tobytes() == alone.tobytes()
    scored = assess(part, laws)
    covered = {c.name: c.covered for c in scored.coverage if c.stated == 0.9}
    inside = (found[:, 0] <= y) & (y <= found[:, -1])
    assert covered["all"] == inside.mean()
    assert covered["S1"] == inside[part.symbol == 1].mean()
    assert 0.0 < scored.rows[0].crps < np.abs(y).mean()


def test_central_intervals_are_the_levels_that_belong_together():
    assert [(i.stated, i.low, i.high) for i in intervals((0.05, 0.1, 0.3, 0.5, 0.9, 0.95))] == [
        (0.9, 0, 5),
        (0.8, 1, 4),
    ]
    assert intervals((0.1, 0.5)) == []
