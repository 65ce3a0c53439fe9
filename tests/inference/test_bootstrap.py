"""The bootstrap of gains against arch's, and the sets of models against arch called directly."""

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
from harness.inference.confidence_set import in_runs, model_confidence_set, superior_ability
from harness.inference.diebold_mariano import cosine_terms, standard_error
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
    assert found.standard_error == pytest.approx(oracle.std(ddof=1), rel=0.1)
    spread = found.standard_error
    # IC is drawn by its influence values, to first order: its skew is not.
    loose = 0.4 if metric == "ic" else 0.25
    low, high = 2.0 * found.gain - np.quantile(oracle, (0.975, 0.025))
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
    low, high = 2.0 * d.mean() - np.quantile(drawn, (0.95, 0.05))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    beyond = np.sum(drawn - d.mean() >= d.mean())
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


def test_the_model_confidence_set_is_that_of_arch():
    from arch.bootstrap import MCS

    losses = losses_of_four(300)
    found = model_confidence_set(losses, 3, size=0.1, draws=500, seed=3)
    table = np.column_stack(list(losses.values()))
    runs, length = in_runs(table, found.block)
    wanted = MCS(runs, 0.1, reps=500, block_size=length, seed=3)
    wanted.compute()
    for k, name in enumerate(losses):
        assert found.p_values[name] == wanted.pvalues["Pvalue"].loc[k]
    assert found.included == tuple(list(losses)[k] for k in sorted(wanted.included))
    means = table.mean(axis=0)
    assert list(found.excess.values()) == pytest.approx((means - means.min()).tolist())


def test_short_samples_are_not_put_into_runs_and_long_ones_keep_their_means():
    table = np.random.default_rng(1).gumbel(size=(1003, 3))
    same, length = in_runs(table, 15.9)
    assert same.shape == table.shape
    assert length == 16
    runs, length = in_runs(table, 40.0)
    assert runs.shape == (200, 3)
    assert length == 8
    np.testing.assert_allclose(runs.mean(axis=0), table.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(runs[0], table[:5].mean(axis=0) * 5 / 5.015, rtol=0.2)


def test_superior_ability_is_that_of_arch_on_studentised_differences():
    from arch.bootstrap import SPA, StepM

    losses = losses_of_four(250)
    found = superior_ability(losses, "base", 3, size=0.05, draws=400, seed=7)
    others = ["better", "rival", "bad"]
    d = np.column_stack([losses["base"] - losses[name] for name in others])
    errors = np.array([standard_error(column, cosine_terms(250, 3)) for column in d.T])
    studentised = d / (np.sqrt(250) * errors)
    runs, length = in_runs(studentised, found.block)
    settings = {"block_size": length, "reps": 400, "nested": True, "seed": 7}
    spa = SPA(np.zeros(len(runs)), -runs, **settings)
    spa.compute()
    step = StepM(np.zeros(len(runs)), -runs, 0.05, **settings)
    step.compute()
    assert found.statistic == pytest.approx((d.mean(axis=0) / errors).max(), rel=1e-9)
    assert (found.p_lower, found.p_value, found.p_upper) == tuple(spa.pvalues)
    assert found.superior == tuple(others[k] for k in step.superior_models)
    assert found.best in ("better", "rival")
    assert found.gain == pytest.approx(d[:, others.index(found.best)].mean())


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
