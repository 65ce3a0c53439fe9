"""The bootstrap of gains and the sets of models against the package arch; short samples."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from support.autocorrelated import autocorrelated, forecasts
from support.worlds import LOG_SIGMA, make_forecasts

from harness.inference.blocks import (
    block_length,
    bootstrap_sums,
    long_enough,
    optimal_block_length,
)
from harness.inference.bootstrap import bootstrap_gains
from harness.inference.confidence_set import model_confidence_set, superior_ability
from harness.inference.diebold_mariano import (
    cosine_terms,
    diebold_mariano,
    standard_error,
)
from harness.inference.reality_check import reality_check
from harness.inference.studentised import normal_of, student_of
from harness.scores.forecast_origins import by_origin
from harness.scores.metrics import METRICS, of_volatility
from harness.scores.scoring import series


def world(n: int, *, symbols: int = 1, overlap: int = 5) -> SimpleNamespace:
    """Outcome and the forecasts `base`, `better` and `same`, as the metrics read them."""
    y, base, better = forecasts(n, seed=n)
    part = make_forecasts(
        y, {"base": base, "better": better, "same": base}, overlap=overlap, symbols=symbols
    )
    outcome, models = series(part, LOG_SIGMA)
    return SimpleNamespace(
        outcome=outcome, models=models, origins=by_origin(part.formed_at), overlap=overlap
    )


def gains(w: SimpleNamespace, metric: str, **changes: object) -> dict:
    settings = {
        "baseline": "base",
        "candidates": ["better", "same"],
        "metric": metric,
        "gain_as": "difference",
        "overlap": w.overlap,
        "origins": w.origins,
    }
    return bootstrap_gains(w.outcome, w.models, **{**settings, **changes})


@pytest.mark.parametrize("n", [30, 400, 3000])
def test_the_block_length_is_that_of_arch(n):
    from arch.bootstrap import optimal_block_length as arch_length

    rng = np.random.default_rng(n)
    noise = rng.gumbel(size=n)
    for x in (autocorrelated(n, n), noise, np.cumsum(noise), np.diff(noise, prepend=0.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # arch divides by zero on short samples
            wanted = float(arch_length(x)["stationary"].iloc[0])
        assert optimal_block_length(x) == pytest.approx(wanted, rel=1e-9)


def test_lags_count_up_to_twice_the_first_of_the_insignificant_ones():
    # Sums over four shocks: autocorrelations 3/4, 2/4, 1/4, then none. So lags count up to 8.
    x = overlapping(2_000, 1, 2)[:, 0]
    centred = x - x.mean()
    covariance = [centred[k:] @ centred[: x.size - k] / x.size for k in range(40)]
    bound = 2.0 * np.sqrt(np.log10(x.size) / x.size)
    small = [abs(c / covariance[0]) < bound for c in covariance]
    first = next(k for k in range(1, 30) if all(small[k : k + 5]))
    assert first == 4
    lags = np.arange(1, 2 * first + 1)
    weights = np.minimum(1.0, 2.0 * (1.0 - lags / lags[-1])) * np.array(covariance)[lags]
    g, long_run = 2.0 * weights @ lags, covariance[0] + 2.0 * weights.sum()
    wanted = (g**2 / long_run**2 * x.size) ** (1 / 3)
    assert optimal_block_length(x) == pytest.approx(wanted, rel=1e-9)


def test_blocks_are_never_short_beside_the_overlap_nor_longer_than_the_sample():
    noise = np.random.default_rng(1).normal(size=1000)
    assert optimal_block_length(noise) < 5.0
    assert block_length(noise, 0) == pytest.approx(10.0)
    assert block_length(noise, 23) == 96.0
    assert block_length(noise, 99) == 250.0  # a quarter of the sample
    assert block_length(noise, 399) == 400.0
    assert block_length(noise[:12], 23) == 12.0
    assert block_length(autocorrelated(1000, 1, lag=40), 3) > 24.0
    assert optimal_block_length(np.ones(50)) == optimal_block_length(np.ones(1)) == 1.0


def test_draws_vary_as_much_as_the_mean_does_where_targets_overlap():
    rng, overlap, n = np.random.default_rng(4), 9, 2_000
    assert long_enough(n, overlap)
    assert not long_enough(n, n // 30)
    errors = np.empty(100)
    for k in range(errors.size):
        x = np.convolve(rng.standard_normal(n + overlap), np.ones(overlap + 1), "valid")
        drawn = bootstrap_sums(x[:, None], block_length(x, overlap), 100, seed=k)
        errors[k] = drawn.std() / n
    true = (overlap + 1) / np.sqrt(n)
    # 0.92; blocks of just overlap + 1 decisions give 0.84.
    assert 0.88 < errors.mean() / true < 1.0


def test_a_draw_sums_as_many_rows_as_there_are_and_the_same_seed_draws_the_same():
    x = np.random.default_rng(3).gumbel(size=(57, 2))
    columns = np.column_stack([np.ones(57), x])
    sums = bootstrap_sums(columns, 6.0, 200, seed=5)
    np.testing.assert_allclose(sums[:, 0], 57.0, rtol=1e-12)
    assert np.array_equal(sums, bootstrap_sums(columns, 6.0, 200, seed=5))
    again = bootstrap_sums(columns[:, [0, 2]], 6.0, 200, seed=5)
    np.testing.assert_allclose(again[:, 1], sums[:, 2], rtol=1e-12)  # whatever else is drawn
    assert not np.allclose(sums, bootstrap_sums(columns, 6.0, 200, seed=6))


@pytest.mark.parametrize("length", [1.0, 4.0, 30.0])
def test_resampled_means_have_the_variance_that_politis_and_romano_derive(length):
    n = 300
    x = autocorrelated(n, 8)
    centred = x - x.mean()
    p = 1.0 / length
    k = np.arange(n)
    circular = np.array([centred @ np.roll(centred, -lag) for lag in k]) / n
    wanted = (circular[0] + 2.0 * sum((1 - k / n)[1:] * (1 - p) ** k[1:] * circular[1:])) / n
    means = bootstrap_sums(x[:, None], length, 4_000, seed=2)[:, 0] / n
    assert means.mean() == pytest.approx(x.mean(), abs=4.0 * np.sqrt(wanted / 4_000))
    assert means.var() == pytest.approx(wanted, rel=0.09)


def student(z: float, n: int, overlap: int) -> float:
    """Student's t with the probability of the normal z."""
    return scipy.stats.t.isf(scipy.stats.norm.sf(z), cosine_terms(n, overlap))


def statistic(metric: str, y: np.ndarray, f: np.ndarray) -> float:
    """The metric by its definition, from rows."""
    error = y - f
    if metric == "r2_log":
        return 1.0 - np.mean(error**2) / np.var(y)
    if metric == "ic":
        return np.corrcoef(scipy.stats.rankdata(y), scipy.stats.rankdata(f))[0, 1]
    if metric == "corr":
        return np.corrcoef(np.exp(y), np.exp(f))[0, 1]
    if metric == "rmse":
        return -np.sqrt(np.mean((np.exp(y) - np.exp(f)) ** 2))
    x = np.exp(2.0 * error)
    return -np.mean(x - np.log(x) - 1.0)


@pytest.mark.parametrize("metric", ["r2_log", "ic", "corr", "rmse", "qlike"])
def test_the_draws_of_a_gain_spread_as_those_of_arch_do(metric):
    from arch.bootstrap import StationaryBootstrap

    w = world(500)
    found = gains(w, metric, draws=4000, level=0.95)["better"]
    y, base, better = w.outcome.y, w.models["base"].y, w.models["better"].y

    def gain(rows: np.ndarray) -> float:
        y_, b, c = y[rows], base[rows], better[rows]
        return statistic(metric, y_, c) - statistic(metric, y_, b)

    # arch takes whole block lengths only.
    drawn = StationaryBootstrap(round(found.block), np.arange(500), seed=4)
    oracle = np.array([gain(rows[0][0]) for rows in drawn.bootstrap(700)])
    assert found.gain == pytest.approx(gain(np.arange(500)), rel=1e-10)
    assert found.standard_error == pytest.approx(oracle.std(ddof=1), rel=0.3)
    spread = found.standard_error
    # IC is drawn by its influence values, to first order: its skew is not.
    loose = 0.4 if metric == "ic" else 0.25
    drawn = (oracle - found.gain) / oracle.std(ddof=1)
    low, high = (
        found.gain - spread * student(q, 500, 5) for q in np.quantile(drawn, (0.975, 0.025))
    )
    assert found.low == pytest.approx(low, abs=loose * spread)
    assert found.high == pytest.approx(high, abs=loose * spread)


@pytest.mark.parametrize("metric", of_volatility())
@pytest.mark.parametrize("symbols", [1, 4])
def test_every_metric_has_its_gain_and_an_interval(metric, symbols):
    from harness.scores.scoring import score
    from harness.verdict.rule import pooled_gain

    y, base, better = forecasts(400, seed=1)
    part = make_forecasts(y, {"base": base, "better": better}, overlap=2, symbols=symbols)
    outcome, models = series(part, LOG_SIGMA)
    scores = score(part, LOG_SIGMA, outcome, models)
    for gain_as in ("difference", "relative"):
        found = bootstrap_gains(
            outcome,
            models,
            baseline="base",
            candidates=["better"],
            metric=metric,
            gain_as=gain_as,
            overlap=2,
            origins=by_origin(part.formed_at),
        )["better"]
        values = (scores.value(name, metric) for name in ("base", "better"))
        assert found.gain == pytest.approx(pooled_gain(metric, *values, gain_as=gain_as))
        assert found.low < found.gain < found.high
        assert found.n == 400 // symbols
        assert found.standard_error > 0.0


def test_the_interval_is_the_basic_one_and_the_p_value_counts_the_same_draws():
    w = world(300)
    found = gains(w, "qlike", level=0.9, seed=4)["better"]
    loss = METRICS["qlike"].losses
    d = loss(w.outcome, w.models["base"]) - loss(w.outcome, w.models["better"])
    drawn = bootstrap_sums(d[:, None], found.block, found.draws, seed=4)[:, 0] / d.size
    error = standard_error(d, cosine_terms(300, 5))
    assert found.standard_error == pytest.approx(error)
    z = (drawn - d.mean()) / drawn.std(ddof=1)
    low, high = (d.mean() - error * student(q, 300, 5) for q in np.quantile(z, (0.95, 0.05)))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    p = scipy.stats.t.sf(d.mean() / error, cosine_terms(300, 5))
    beyond = np.sum(z >= scipy.stats.norm.isf(p))
    assert found.p_value == pytest.approx((1 + beyond) / (found.draws + 1))


def test_symbols_of_one_moment_are_one_observation():
    w = world(240)
    four = make_forecasts(
        np.repeat(w.outcome.y, 4),
        {name: np.repeat(f.y, 4) for name, f in w.models.items()},
        overlap=5,
        symbols=4,
    )
    outcome, models = series(four, LOG_SIGMA)
    copied = SimpleNamespace(
        outcome=outcome, models=models, origins=by_origin(four.formed_at), overlap=5
    )
    for metric in ("r2_log", "qlike", "corr"):
        one, many = (gains(each, metric)["better"] for each in (w, copied))
        assert many.n == one.n
        assert many.standard_error == pytest.approx(one.standard_error, rel=1e-6)


@pytest.mark.parametrize("metric", of_volatility())
def test_identical_models_gain_nothing_and_are_not_told_apart(metric):
    found = gains(world(200), metric)["same"]
    assert (found.gain, found.standard_error, found.statistic) == (0.0, 0.0, 0.0)
    assert found.p_value == 0.5
    assert (found.low, found.high) == (0.0, 0.0)


@pytest.mark.parametrize("metric", ["r2_log", "ic", "qlike"])
def test_where_no_two_targets_are_apart_there_is_no_interval_but_a_p_value(metric):
    for n, overlap in ((20, 19), (20, 300), (2, 1), (299, 9)):
        found = gains(world(n, overlap=overlap), metric)["better"]
        assert (found.statistic, found.p_value, found.draws) == (0.0, 0.5, 0)
        assert np.isnan([found.low, found.high, found.standard_error]).all()


def test_constant_losses_have_no_statistic():
    y = np.linspace(-8.0, -6.0, 50)
    part = make_forecasts(y, {"base": y - 0.5, "better": y - 0.25})
    outcome, models = series(part, LOG_SIGMA)
    w = SimpleNamespace(
        outcome=outcome, models=models, origins=by_origin(part.formed_at), overlap=0
    )
    found = gains(w, "mae_log", candidates=["better"])["better"]
    assert found.gain == pytest.approx(0.25)
    assert (found.statistic, found.p_value) == (0.0, 0.5)


def losses_of_four(n: int) -> dict[str, np.ndarray]:
    y, base, better = forecasts(n, seed=9)
    family_run = better + 0.02 * autocorrelated(n, 77)
    found = {"base": base, "better": better, "rival": family_run, "bad": base + 0.5}
    return {name: np.square(y - f) for name, f in found.items()}


def long_losses(n: int = 3_000) -> dict[str, np.ndarray]:
    """Independent losses of a baseline and four models, of which one is bad."""
    x = np.random.default_rng(1).gumbel(size=(n, 5)) + np.random.default_rng(2).normal(size=(n, 1))
    shifts = np.array([0.0, -0.03, -0.02, 0.02, 0.5])
    return dict(zip(("base", "a", "b", "c", "bad"), (x + shifts).T, strict=True))


def test_the_model_confidence_set_is_that_of_arch_on_a_long_sample():
    from arch.bootstrap import MCS

    losses = long_losses()
    found = model_confidence_set(losses, 0, size=0.1, draws=2_000, seed=3)
    table = np.column_stack(list(losses.values()))
    wanted = MCS(table, 0.1, reps=500, block_size=round(found.block), seed=3)
    wanted.compute()
    for k, name in enumerate(losses):
        p = float(wanted.pvalues["Pvalue"].loc[k])
        assert found.p_values[name] == pytest.approx(p, abs=0.07)
    assert sum(0.1 < p < 0.95 for p in found.p_values.values()) > 1
    assert found.included == tuple(list(losses)[k] for k in sorted(wanted.included))
    means = table.mean(axis=0)
    assert list(found.excess.values()) == pytest.approx((means - means.min()).tolist())


def test_superior_ability_is_that_of_arch_on_a_long_sample():
    from arch.bootstrap import SPA, StepM

    losses = long_losses()
    found = superior_ability(losses, "base", 0, size=0.05, draws=4_000, seed=7)
    others = ["a", "b", "c", "bad"]
    d = np.column_stack([losses["base"] - losses[name] for name in others])
    d /= [standard_error(column, cosine_terms(3_000, 0)) for column in d.T]
    settings = {"block_size": round(found.block), "reps": 1_000, "nested": True, "seed": 7}
    spa = SPA(np.zeros(3_000), -d, **settings)
    spa.compute()
    step = StepM(np.zeros(3_000), -d, 0.05, **settings)
    step.compute()
    assert found.statistic == pytest.approx(d.mean(axis=0).max(), rel=1e-9)
    p = found.p_lower, found.p_value, found.p_upper
    assert p == pytest.approx(tuple(spa.pvalues), abs=0.03)
    assert 0.01 < found.p_value < 0.5
    assert found.superior == tuple(others[k] for k in step.superior_models)
    best = found.best or ""
    assert d.mean(axis=0).argmax() == others.index(best)
    assert found.gain == pytest.approx((losses["base"] - losses[best]).mean())


@pytest.mark.parametrize("shift", [0.0, 0.1, -0.3])
def test_spa_is_one_number_in_the_reality_check_and_among_the_tests(shift):
    losses = {name: x - shift * (name != "base") for name, x in long_losses(400).items()}
    found = superior_ability(losses, "base", 2, draws=300, seed=5)
    names = [name for name in losses if name != "base"]
    gains = np.column_stack([losses["base"] - losses[name] for name in names])
    check = reality_check(gains, 2, found.block, 5, draws=300)
    assert check.spa == found.p_value
    assert (check.spa == 1.0) == (found.statistic == 0.0) == (shift < 0.0)


def test_one_gain_alone_has_the_p_value_of_the_verdicts_test():
    x = autocorrelated(300, 4)
    x += 1.3 * standard_error(x, cosine_terms(300, 3)) - x.mean()
    _, p = diebold_mariano(x, 3)
    found = reality_check(x[:, None], 3, block_length(x, 3), 1, draws=20_000)
    assert 0.01 < p < 0.4
    assert found.spa == pytest.approx(p, abs=0.01)
    assert found.white == pytest.approx(p, abs=0.01)


def test_a_normal_value_and_students_t_are_of_the_same_probability():
    for t in (-3.0, 0.0, 0.4, 6.0):
        assert normal_of(t, 7) == pytest.approx(scipy.stats.norm.isf(scipy.stats.t.sf(t, 7)))
        assert student_of(normal_of(t, 7), 7) == pytest.approx(t)
    assert 30.0 < normal_of(1e9, 50) < 40.0


def overlapping(n: int, k: int, seed: int) -> np.ndarray:
    """Sums over four shocks (n, k): targets of four forecast origins."""
    e = np.random.default_rng(1_000 + seed).standard_normal((n + 3, k))
    return sum(e[j : n + j] for j in range(4))


def test_equal_models_are_told_apart_at_the_level_stated_on_a_short_sample():
    # Without Student's t and its error: 18 % were rejected, 67 % of sets kept all, 83 % covered.
    rejected, kept, covered = [], [], []
    for seed in range(300):
        x = overlapping(150, 5, seed)
        losses = dict(zip("abcde", x.T, strict=True))
        rejected.append(superior_ability(losses, "a", 3, draws=200, seed=seed).p_value <= 0.05)
        del losses["e"]
        kept.append(len(model_confidence_set(losses, 3, draws=200, seed=seed).included) == 4)
        part = make_forecasts(
            np.zeros(150), {"base": 20.0 + x[:, 0], "better": np.full(150, 20.0)}, overlap=3
        )
        outcome, models = series(part, LOG_SIGMA)
        w = SimpleNamespace(
            outcome=outcome, models=models, origins=by_origin(part.formed_at), overlap=3
        )
        found = gains(w, "mae_log", candidates=["better"], draws=300)["better"]
        covered.append(found.low <= 0.0 <= found.high)
    assert 0.02 < np.mean(rejected) < 0.09
    assert 0.85 < np.mean(kept) < 0.95
    assert 0.85 < np.mean(covered) < 0.95


def test_every_model_may_be_superior_to_the_baseline_in_several_steps():
    # arch's own StepM stops with an exception when a second step finds the last models.
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((400, 3))
    base = rng.standard_normal(400)
    gains = np.array([2.0, 0.2, 0.18])
    losses = {f"m{k}": base - gains[k] + 0.9 * noise[:, k] for k in range(3)}
    found = superior_ability({"base": base, **losses}, "base", 0, draws=400, seed=1)
    assert found.superior == ("m0", "m1", "m2")
    assert found.p_lower <= found.p_value <= found.p_upper < 0.05


def test_models_that_are_the_same_share_their_place_in_the_set():
    losses = losses_of_four(200)
    losses["twin"] = losses["better"]
    losses["shifted"] = losses["better"] + 0.3
    found = model_confidence_set(losses, 3, draws=200)
    assert found.p_values["twin"] == found.p_values["better"] > 0.0
    assert found.p_values["shifted"] == 0.0  # it is worse by a constant
    assert np.isfinite(list(found.p_values.values())).all()


@pytest.mark.parametrize("n", [30, 40, 57])
def test_pairs_that_are_exactly_as_far_apart_are_no_obstacle(n):
    rng = np.random.default_rng(n)
    for _ in range(20):
        wrong = rng.integers(0, 2, (n, 4)).astype(np.float64)
        losses = {"always": np.ones(n), **{f"m{k}": column for k, column in enumerate(wrong.T)}}
        found = model_confidence_set(losses, 0, draws=100)
        assert max(found.p_values.values()) == 1.0
    steps = {"a": np.zeros(n), "b": np.ones(n), "c": np.full(n, 2.0)}
    assert model_confidence_set(steps, 0).p_values == {"a": 1.0, "b": 0.0, "c": 0.0}


def test_nothing_is_superior_to_itself_nor_where_no_two_targets_are_apart():
    losses = losses_of_four(60)
    one = {"base": losses["base"], "same": losses["base"], "shifted": losses["base"] - 1.0}
    for found in (superior_ability(one, "base", 2), superior_ability(losses, "base", 60)):
        assert (found.best, found.statistic, found.p_value, found.superior) == (None, 0.0, 1.0, ())
    whole = model_confidence_set(losses, 60)
    assert set(whole.included) == set(losses)
    same = model_confidence_set({"a": losses["base"], "b": losses["base"]}, 0)
    assert same.p_values == {"a": 1.0, "b": 1.0}


def test_what_cannot_be_compared_is_refused():
    losses = losses_of_four(40)
    with pytest.raises(ValueError, match="two or more"):
        model_confidence_set({"base": losses["base"]}, 0)
    with pytest.raises(ValueError, match="no losses of the baseline nobody"):
        superior_ability(losses, "nobody", 0)
    losses["bad"] = losses["bad"] * np.nan
    with pytest.raises(ValueError, match="not finite"):
        model_confidence_set(losses, 0)
