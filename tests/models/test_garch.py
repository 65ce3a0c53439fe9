"""GARCH, GJR and EGARCH: likelihood, gradient and fits against arch, refits against cold fits."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from arch import arch_model
from support.garch import MODELS, TRUTH, simulated, true_params

from harness.kernels import garch
from harness.models import garch_likelihood as volatility
from harness.models.garch_likelihood import (
    fit,
    log_likelihood,
    outlook,
    parameter_names,
    recursion,
    refit_chain,
    score,
)
from harness.models.protocol import ModelError
from harness.types import F64

DATA = os.environ.get("HARNESS_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="HARNESS_DATA is not set")

BOTH = [(model, dist) for model in MODELS for dist in ("normal", "t")]
AS_ARCH = {
    "garch": {"vol": "GARCH"},
    "gjr": {"vol": "GARCH", "o": 1},
    "egarch": {"vol": "EGARCH", "o": 1},
}


def theirs(returns: F64, model: str, dist: str):
    """The arch package's model of these returns."""
    return arch_model(returns, mean="Constant", dist=dist, rescale=False, **AS_ARCH[model])


@cache
def stocks() -> dict[str, F64]:
    """Four stocks' percentage log returns over the last 1,500 days."""
    frame = pl.read_parquet(Path(DATA) / "sp500_daily.parquet", columns=["symbol", "adj_close"])
    found = {}
    for symbol in ("AAPL", "BBY", "CSCO", "XOM"):
        price = frame.filter(pl.col("symbol") == symbol)["adj_close"].cast(pl.Float64).to_numpy()
        found[symbol] = 100.0 * np.diff(np.log(price))[-1_500:]
    return found


# --- the loops ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "dist"), BOTH)
@pytest.mark.parametrize("backcast", ["arch", "sample"])
def test_the_gradient_is_that_of_central_differences(model, dist, backcast):
    r, params = simulated(model, dist), true_params(model, dist)
    _, gradient = score(params, r, model, dist, backcast)
    for i, found in enumerate(gradient):
        step = np.zeros(params.size)
        step[i] = 1e-5 * max(abs(params[i]), 0.05)
        up, down = (log_likelihood(params + s, r, model, dist, backcast) for s in (step, -step))
        want = (up - down) / (2.0 * step[i])
        assert found == pytest.approx(want, rel=2e-5, abs=2e-3), parameter_names(model, dist)[i]


@pytest.mark.parametrize(("model", "dist"), BOTH)
def test_the_information_is_the_mean_outer_product_of_the_scores_at_the_truth(model, dist):
    # The scores of disjoint stretches are independent: their covariance is the information.
    r, n, params = simulated(model, dist, 60_000), 300, true_params(model, dist)
    h = recursion(params, r, model, dist).over(r)
    scores, expected = np.zeros((r.size // n, 6)), np.zeros((6, 6))
    for row, start in zip(scores, range(0, r.size, n), strict=True):
        info = np.zeros((6, 6))
        code, stretch = MODELS.index(model), r[start : start + n]
        garch.log_likelihood(
            TRUTH[model], code, dist == "t", stretch, h[start], 0.0, row, info, np.zeros(6)
        )
        expected += info / len(scores)
    used = np.ix_(*2 * [volatility._slots(model, dist)])
    size = np.sqrt(np.diag(expected[used]))
    difference = np.cov(scores.T)[used] - expected[used]
    assert np.abs(difference / np.outer(size, size)).max() < 0.25


# --- against arch, and published ---------------------------------------------------------------


@pytest.mark.parametrize(("model", "dist"), BOTH)
def test_the_likelihood_and_the_variances_are_archs_at_the_same_parameters(model, dist):
    r, params = simulated(model, dist), true_params(model, dist)
    fixed = theirs(r, model, dist).fix(params)
    assert log_likelihood(params, r, model, dist) == pytest.approx(fixed.loglikelihood, rel=1e-10)
    path = recursion(params, r, model, dist).over(r)
    assert path[:-1] == pytest.approx(fixed.conditional_volatility**2, rel=1e-9)
    want = fixed.forecast(horizon=1).variance.to_numpy()[-1, 0]
    assert path[-1] == pytest.approx(want, rel=1e-9)


def agree(r: F64, model: str, dist: str) -> None:
    """Our maximum is arch's or higher, and one that arch's own likelihood confirms."""
    ours, arch = fit(r, model, dist), theirs(r, model, dist).fit(disp="off", show_warning=False)
    assert ours.converged
    assert ours.loglik >= arch.loglikelihood - 1e-6 * abs(arch.loglikelihood)
    confirmed = theirs(r, model, dist).fix(ours.params).loglikelihood
    assert confirmed == pytest.approx(ours.loglik, rel=1e-9)
    if ours.loglik - arch.loglikelihood < 1e-3:
        errors = np.sqrt(np.diag(arch.param_cov.to_numpy()))
        assert (np.abs(ours.params - arch.params.to_numpy()) / errors).max() < 0.1


@pytest.mark.parametrize(("model", "dist"), BOTH)
def test_a_fit_on_a_simulated_series_is_archs(model, dist):
    agree(simulated(model, dist), model, dist)


@needs_data
@pytest.mark.parametrize(("model", "dist"), BOTH)
def test_fits_on_stocks_are_archs(model, dist):
    for returns in stocks().values():
        agree(returns, model, dist)


@needs_data
def test_garch_on_the_dmbp_returns_is_the_published_one():
    # Bollerslev & Ghysels (1996); the recursion starts at the mean squared deviation from mu.
    r = pl.read_parquet(Path(DATA) / "reference" / "rugarch_dmbp.parquet")["ret"].to_numpy()
    found = fit(r, "garch", "normal", backcast="sample")
    want = [-0.00619041, 0.0107613, 0.153134, 0.805974]
    assert found.params == pytest.approx(want, rel=1e-5, abs=6e-8)
    assert fit(r, "garch", "normal").params[2] == pytest.approx(0.1455, abs=5e-5)


def test_an_egarch_that_would_run_away_is_held_where_its_training_path_was():
    # A large return lowers this one's variance, so the next is larger still in its units.
    r = simulated("egarch", "normal", 400)
    params = np.array([0.0, 0.0, -0.3, 0.0, 0.9])
    calm = np.clip(r[:300], -1.2, 1.2)
    model = recursion(params, calm, "egarch", "normal")
    path = model.over(np.concatenate((calm, [9.0], r[300:])))
    assert np.array_equal(path[:301], model.path)
    assert path.min() == pytest.approx(0.5 * model.path.min())
    assert path.max() <= 10.0 * model.path.max() * (1.0 + 1e-12)
    assert model.sane(np.array([0.0, 1e9])).tolist() == [math.exp(model.low), math.exp(model.high)]
    garch_like = recursion(true_params("garch", "normal"), calm, "garch", "normal")
    assert garch_like.sane(np.array([1e9])) == 1e9


@pytest.mark.parametrize("model", ["garch", "gjr"])
def test_the_mean_variance_of_the_next_days_is_the_mean_of_archs_forecasts(model):
    r, params = simulated(model, "t"), true_params(model, "t")
    want = theirs(r, model, "t").fix(params).forecast(horizon=22).variance.to_numpy()[-1]
    ahead = recursion(params, r, model, "t").over(r)[-1:]
    for horizon in (1, 5, 22):
        found = outlook(params, horizon, model, "t")(ahead)
        assert found == pytest.approx([want[:horizon].mean()], rel=1e-9)


def test_egarch_forecasts_are_nelsons_expectation_and_the_same_for_one_seed():
    params = true_params("egarch", "normal")
    _, omega, alpha, gamma, beta = params
    h = np.array([0.4, 1.0, 6.0])

    def half(b: float) -> float:  # E exp(b |z|) over one side of the normal
        return math.exp(0.5 * b * b) * 0.5 * math.erfc(-b / math.sqrt(2.0))

    def step(kept: float) -> float:  # E exp(kept (omega + alpha (|z| - E|z|) + gamma z))
        sides = half(kept * (alpha + gamma)) + half(kept * (alpha - gamma))
        return sides * math.exp(kept * (omega - alpha * math.sqrt(2.0 / math.pi)))

    want = [h, step(1.0) * h**beta, step(1.0) * step(beta) * h ** (beta * beta)]
    found = outlook(params, 3, "egarch", "normal", seed=3)(h)
    assert found == pytest.approx(np.mean(want, axis=0), rel=3e-3)
    again = outlook(params, 3, "egarch", "normal", seed=3)(h)
    assert np.array_equal(found, again)
    other = outlook(params, 3, "egarch", "normal", seed=4)(h)
    assert not np.array_equal(found, other)


# --- fits and chains ---------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "dist"), BOTH)
def test_a_fit_stands_at_a_maximum_that_a_start_of_ones_own_finds_too(model, dist):
    r = simulated(model, dist)
    found = fit(r, model, dist)
    assert found.loglik == pytest.approx(log_likelihood(found.params, r, model, dist), rel=1e-12)
    assert found.loglik > log_likelihood(true_params(model, dist), r, model, dist)
    near = fit(r, model, dist, start=true_params(model, dist))
    assert near.loglik == pytest.approx(found.loglik, abs=1e-6)
    assert near.iterations < found.iterations


@pytest.mark.parametrize("model", MODELS)
def test_the_unit_of_the_returns_changes_nothing_but_the_units(model):
    r = simulated(model, "t")
    ours, small = fit(r, model, "t"), fit(r * 1e-4, model, "t")
    assert small.loglik - r.size * math.log(1e4) == pytest.approx(ours.loglik, abs=1e-6)
    assert small.params[2:] == pytest.approx(ours.params[2:], rel=1e-3, abs=1e-5)
    h, small_h = (recursion(f.params, x, model, "t").over(x)[-1] for f, x in
                  ((ours, r), (small, r * 1e-4)))  # fmt: skip
    assert small_h * 1e8 == pytest.approx(h, rel=1e-4)


def rolling(n: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.arange(n - window + 1)
    return first, first + window


@pytest.mark.parametrize(("model", "dist"), BOTH)
def test_a_warm_chain_has_the_likelihoods_of_cold_fits(model, dist):
    # EGARCH's likelihood has a kink wherever mu passes a return: what is left of a climb there.
    r = simulated(model, dist, 840)
    first, last = rolling(r.size, 800)
    chain = refit_chain(r, first, last, model, dist)
    assert chain.converged.all()
    assert chain.guarded.sum() == 8  # the first window is cold
    assert not chain.fallback.any()
    near = 1e-2 if model == "egarch" else 1e-6
    for k in range(0, first.size, 8):
        cold = fit(r[first[k] : last[k]], model, dist)
        assert chain.loglik[k] == pytest.approx(cold.loglik, abs=near), k
        own = log_likelihood(chain.params[k], r[first[k] : last[k]], model, dist)
        assert chain.loglik[k] == pytest.approx(own, rel=1e-12), k


def test_a_chain_is_the_same_again_and_whatever_comes_after_it():
    r = simulated("gjr", "t", 830)
    first, last = rolling(r.size, 800)
    whole, again = (refit_chain(r, first, last, "gjr", "t") for _ in "12")
    noise = r.copy()
    noise[820:] = np.random.default_rng(5).normal(0.0, 9.0, 10)
    early = refit_chain(noise, first[:21], last[:21], "gjr", "t")
    assert np.array_equal(whole.params, again.params)
    assert np.array_equal(whole.params[:21], early.params)
    assert np.array_equal(whole.loglik[:21], early.loglik)


def test_the_guard_counts_its_starts():
    r = simulated("garch", "normal", 812)
    first, last = rolling(r.size, 800)
    assert refit_chain(r, first, last, "garch", "normal", guard=4).starts.tolist() == [
        5, 1, 1, 1, 6, 1, 1, 1, 6, 1, 1, 1, 6,
    ]  # fmt: skip
    unguarded = refit_chain(r, first, last, "garch", "normal", guard=0)
    assert unguarded.starts.tolist() == [5] + [1] * 12
    assert (unguarded.iterations[1:] < 10).all()


def test_a_climb_that_does_not_converge_falls_back_and_is_counted(monkeypatch):
    monkeypatch.setattr(volatility, "_MOST", 2)
    r = simulated("garch", "normal", 812)
    first, last = rolling(r.size, 800)
    chain = refit_chain(r, first, last, "garch", "normal", guard=0)
    assert not chain.converged[0]
    assert chain.fallback.any()
    assert (chain.starts[1:] == np.where(chain.starts[1:] > 1, 6, 1)).all()
    assert np.sum(chain.starts[1:] == 6) == chain.fallback.sum()
    assert np.isfinite(chain.loglik).all()


@pytest.mark.parametrize("model", MODELS)
def test_independent_returns_leave_parameters_inside_their_bounds(model):
    r = np.random.default_rng(11).standard_normal(700)
    found = dict(zip(parameter_names(model, "t"), fit(r, model, "t").params, strict=True))
    assert 2.05 <= found["nu"] <= 500.0 + 1e-9
    assert 0.0 <= found["beta"] < 1.0
    if model != "egarch":
        assert found["omega"] > 0.0
        assert found["alpha"] >= 0.0
        assert found["alpha"] + found.get("gamma", 0.0) >= -1e-12
        assert found["alpha"] + 0.5 * found.get("gamma", 0.0) + found["beta"] < 1.0


# --- what cannot be fitted ---------------------------------------------------------------------


def test_returns_that_cannot_be_fitted_are_named_errors():
    r = simulated("garch", "normal").copy()
    with pytest.raises(ModelError, match=r"all 500 returns are 0\.1: no variance"):
        fit(np.full(500, 0.1), "garch", "normal")
    with pytest.raises(ModelError, match="99 returns, wanted 100 or more"):
        fit(r[:99], "garch", "normal")
    r[17] = np.nan
    with pytest.raises(ModelError, match="return 17 is nan"):
        fit(r, "gjr", "t")
    first, last = np.array([20, 10]), np.array([300, 290])
    with pytest.raises(ModelError, match="window 1: return 7 is nan"):
        refit_chain(r, first, last, "gjr", "t")
    with pytest.raises(ModelError, match="windows must lie within the 1500 returns"):
        refit_chain(r, first, np.array([300, 1_501]), "gjr", "t")


def test_parameters_and_names_that_are_wrong_are_named_errors():
    r = simulated("garch", "normal")
    with pytest.raises(ModelError, match="wanted mu, omega, alpha, beta, all finite"):
        log_likelihood(np.ones(3), r, "garch", "normal")
    with pytest.raises(ModelError, match="got model 'figarch', wanted one of garch, gjr, egarch"):
        fit(r, "figarch", "normal")
    with pytest.raises(ModelError, match="got errors 'ged', wanted one of normal, t"):
        fit(r, "garch", "ged")
    with pytest.raises(ModelError, match="got backcast 'mean', wanted one of arch, sample"):
        fit(r, "garch", "normal", backcast="mean")
    for wrong in ([0.0, -5.0, 0.1, 0.1], [0.0, 0.1, -0.1, 0.1], [0.0, 0.1, 0.1, -0.1]):
        with pytest.raises(ModelError, match="wanted omega > 0, alpha, alpha"):
            log_likelihood(np.array(wrong), r, "garch", "normal")
    with pytest.raises(ModelError, match="wanted nu > 2"):
        log_likelihood(np.array([0.0, 0.1, 0.1, 0.1, 1.9]), r, "garch", "t")
    with pytest.raises(ModelError, match="give no finite likelihood"):
        log_likelihood(np.array([0.0, 1e308, 9e307, 9e307]), r, "garch", "normal")
