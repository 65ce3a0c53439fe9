"""Every metric against another computation, what it elicits, and how much each row moves it."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from support import workspace
from support.worlds import LOG_SIGMA, close_to, make_forecasts

from harness.samples.target_scale import TargetScale
from harness.scores import scoring
from harness.scores.losses import Values
from harness.scores.metrics import METRICS, metrics_of, of_volatility
from harness.scores.scoring import Scores, score, score_groups, series
from harness.types import Forecasts

NAIVE = TargetScale("log", "sigma", "naive", 1e-12)


def some_forecasts(
    n: int = 211, *, windows: int = 3, seed: int = 0, decimals: int = 1
) -> Forecasts:
    """Log forecasts that are skewed, wrong by a scale, and tied where they are rounded."""
    rng = np.random.default_rng(seed)
    y = 0.5 * rng.gumbel(size=n) - 1.0
    near = 0.6 * y + 0.3 * rng.gumbel(size=n) - 0.2
    far = np.round(0.2 * y + 0.7 * rng.exponential(size=n), decimals) - 1.5
    y[:8] = y[8:16]
    shifts = {"near": (0.11, 0.05), "far": (-0.2, -0.12)}
    return make_forecasts(y, {"near": near, "far": far}, windows=windows, shifts=shifts)


def scored(forecasts: Forecasts, scale: TargetScale = NAIVE) -> Scores:
    return score(forecasts, scale, *series(forecasts, scale))


def directly(
    y: np.ndarray, f: np.ndarray, last: np.ndarray, shifts: tuple[float, float]
) -> dict[str, float]:
    """Every metric of log forecasts by SciPy, scikit-learn and NumPy."""
    s_y, s_f = np.exp(y), np.exp(f + shifts[1])
    v_y, v_f = np.exp(2 * y), np.exp(2 * f + shifts[0])
    return {
        "ic": scipy.stats.spearmanr(y, f).statistic,
        "r2_log": sklearn.metrics.r2_score(y, f),
        "mae_log": sklearn.metrics.mean_absolute_error(y, f),
        "rmse": sklearn.metrics.root_mean_squared_error(s_y, s_f),
        "mae": sklearn.metrics.mean_absolute_error(s_y, s_f),
        "mse": sklearn.metrics.mean_squared_error(s_y, s_f),
        "mse_var": sklearn.metrics.mean_squared_error(v_y, v_f),
        # The gamma deviance is twice x - ln x - 1.
        "qlike": 0.5 * sklearn.metrics.mean_gamma_deviance(v_y, v_f),
        "corr": scipy.stats.pearsonr(s_y, s_f).statistic,
        "direction": sklearn.metrics.accuracy_score(np.sign(y - last), np.sign(f - last)),
        "mape": sklearn.metrics.mean_absolute_percentage_error(s_y, s_f),
        "nll": -scipy.stats.norm.logpdf(s_y, 0.0, np.sqrt(v_f)).mean(),
    }


@pytest.mark.parametrize("metric", of_volatility())
@pytest.mark.parametrize("model", ["near", "far"])
def test_a_metric_is_what_other_software_computes_pooled_and_per_window(metric, model):
    forecasts = some_forecasts()
    scores, fit = scored(forecasts), forecasts.fits[model]
    shifts = fit.var_shift[0], fit.sigma_shift[0]
    y, f, last = forecasts.y, forecasts.yhat[model], forecasts.last
    want = directly(y, f, last, shifts)[metric]
    assert scores.value(model, metric) == pytest.approx(want, rel=1e-10)
    for k in range(3):
        rows = slice(forecasts.edges[k], forecasts.edges[k + 1])
        want = directly(y[rows], f[rows], last[rows], shifts)[metric]
        assert scores.by_window(model, metric)[k] == pytest.approx(want, rel=1e-10)
    assert scores.n == 211
    assert scores.window_n == tuple(np.diff(forecasts.edges))


@pytest.mark.parametrize("metric", [m for m in of_volatility() if METRICS[m].loss])
def test_a_metric_with_a_loss_is_a_function_of_its_mean(metric):
    forecasts = some_forecasts()
    outcome, models = series(forecasts, NAIVE)
    mean = METRICS[metric].losses(outcome, models["near"]).mean()
    figure = {"rmse": math.sqrt(mean), "r2_log": 1 - mean / outcome.log_sigma.var()}
    figure["direction"] = 1 - mean
    assert scored(forecasts).value("near", metric) == pytest.approx(
        figure.get(metric, mean), rel=1e-12
    )


@pytest.mark.parametrize("metric", of_volatility())
@pytest.mark.parametrize("model", ["near", "far"])
def test_the_compiled_figure_is_that_of_the_metrics_entry(metric, model):
    forecasts = some_forecasts()
    forecasts.last[::7] = np.nan
    outcome, models = series(forecasts, NAIVE)
    figure = METRICS[metric].figure(outcome, models[model])
    assert scored(forecasts).value(model, metric) == pytest.approx(figure, rel=1e-10)


def test_a_metric_without_a_compiled_column_is_scored_like_the_others(monkeypatch):
    forecasts = some_forecasts()
    outcome, models = series(forecasts, NAIVE)
    groups = [np.arange(0, 211, 3), np.arange(5), np.empty(0, np.int64)]
    compiled = scored(forecasts), score_groups(outcome, models, groups)
    every = [(k, METRICS[name]) for k, name in enumerate(metrics_of(outcome))]
    monkeypatch.setattr(scoring, "_others", lambda _: every)
    plain = scored(forecasts), score_groups(outcome, models, groups)
    for name in models:
        assert close_to(plain[0].pooled[name], compiled[0].pooled[name], 1e-10)
        assert close_to(plain[0].windows[name], compiled[0].windows[name], 1e-10)
        np.testing.assert_allclose(plain[1][name], compiled[1][name], rtol=1e-10)
    assert np.isnan(plain[1]["near"][2]).all()
    unranked = score_groups(outcome, models, groups, ranked=False)["near"]
    assert np.isnan(unranked[:, list(METRICS).index("ic")]).all()
    assert np.isfinite(np.delete(unranked[:2], list(METRICS).index("ic"), axis=1)).all()


# What somebody adds who follows CONTRIBUTING, before anything else of the harness is imported.
ADDED = """
import sys
import numpy as np
from harness.scores.metrics import METRICS, _mean

METRICS["mae_var"] = _mean(
    "mae_var", "MAE σ²", "variance", "variance per bar", "mean |sigma^2 - forecast variance|",
    lambda o, f: np.abs(o.variance - f.variance), "qlike",
)
from harness.cli.main import main

main(sys.argv[1:])
"""


def test_a_metric_that_is_added_as_one_entry_works_in_every_command(in_workspace):
    hypothesis = workspace.changed(('metric = "r2_log"', 'metric = "mae_var"'))
    (in_workspace / "hypotheses/tiny-har.toml").write_text(hypothesis)

    def added(*arguments: str) -> str:
        code = f"import sys; sys.path.insert(0, {str(workspace.ROOT)!r})\n{ADDED}"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run = json.loads(added("run", "hypotheses/tiny-har.toml", "--json"))
    run = run[0] if isinstance(run, list) else run
    card = Path(run["card"]).read_text()
    assert "MAE σ²" in card
    scores = "select value from scores where metric = 'mae_var' and scope = 'pooled'"
    assert json.loads(added("query", scores, "--json"))
    assert "mae_var, " not in added("metrics")
    for command in ("tests", "fragility", "figures", "verify", "show"):
        assert added(command, run["run_id"])
    assert "MAE σ²" in added("tests", run["run_id"])


@pytest.mark.parametrize("metric", of_volatility())
def test_forecasts_that_differ_by_rounding_tie_in_every_metric(metric):
    y, f = np.random.default_rng(8).gumbel(size=(2, 60)) - 5.0
    order = np.arange(60)
    same = f * (1.0 + 1e-15 * np.where(order % 2, 1.0, -1.0))
    other = f * (1.0 + 1e-9)
    part = make_forecasts(y, {"base": f, "same": same, "other": other}, windows=2)
    assert not np.array_equal(f, same)
    outcome, models = series(part, NAIVE)
    scores = score(part, NAIVE, outcome, models)
    assert scores.value("same", metric) == scores.value("base", metric)
    assert np.array_equal(scores.by_window("same", metric), scores.by_window("base", metric))
    assert models["other"].y is not models["base"].y


def mean_loss(metric: str, y: np.ndarray, forecast: float) -> float:
    """The mean loss of one log forecast for all outcomes y."""
    forecasts = make_forecasts(y, {"m": np.full(y.size, forecast)})
    outcome, models = series(forecasts, NAIVE)
    return METRICS[metric].losses(outcome, models["m"]).mean()


def weighted_median(y: np.ndarray, weights: np.ndarray) -> float:
    """The least of y at which half of the weight is reached."""
    order = np.argsort(y)
    total = np.cumsum(weights[order])
    return float(y[order][np.searchsorted(total, 0.5 * total[-1])])


# The log forecast at which the expected loss is least, for outcomes ln sigma = y.
ELICITS = {
    "r2_log": lambda y: y.mean(),
    "mae_log": np.median,
    "rmse": lambda y: math.log(np.exp(y).mean()),
    "mae": np.median,
    "mse": lambda y: math.log(np.exp(y).mean()),
    "mse_var": lambda y: 0.5 * math.log(np.exp(2 * y).mean()),
    "qlike": lambda y: 0.5 * math.log(np.exp(2 * y).mean()),
    "mape": lambda y: weighted_median(y, np.exp(-y)),
    "nll": lambda y: 0.5 * math.log(np.exp(2 * y).mean()),
}


def test_every_loss_says_here_what_it_elicits():
    # Any forecast on the right side of the last value is as good as another.
    losses = {m for m in of_volatility() if METRICS[m].loss} - {"direction"}
    assert set(ELICITS) == losses, "add the new loss to ELICITS"


@pytest.mark.parametrize("metric", ELICITS)
def test_the_training_loss_that_fits_a_metric_elicits_what_it_does(metric):
    y = 0.4 * np.random.default_rng(1).gumbel(size=4_001) - 2.0
    # Of medians, which none of them elicits, log-mse is the nearest.
    by = {"qlike": ELICITS["qlike"](y), "mse": ELICITS["rmse"](y)}
    fits = next((loss for loss, found in by.items() if found == ELICITS[metric](y)), "log-mse")
    assert METRICS[metric].trains == fits


@pytest.mark.parametrize("metric", ELICITS)
def test_the_truth_scores_better_than_every_other_forecast(metric):
    # An odd number of skewed outcomes: mean, median and log of the mean variance all differ.
    y = 0.4 * np.random.default_rng(1).gumbel(size=4_001) - 2.0
    truth = ELICITS[metric](y)
    grid = truth + np.linspace(-0.5, 0.5, 41)
    losses = [mean_loss(metric, y, f) for f in grid]
    assert int(np.argmin(losses)) == 20
    assert all(a > b for a, b in itertools.pairwise(losses[:21]))
    assert all(a < b for a, b in itertools.pairwise(losses[20:]))


@pytest.mark.parametrize("metric", ELICITS)
def test_only_robust_metrics_put_the_true_variance_first_when_the_outcome_is_noisy(metric):
    rng = np.random.default_rng(3)
    log_variance = rng.normal(-9.0, 0.7, 40_001)
    proxy = np.exp(log_variance) * rng.chisquare(4, log_variance.size) / 4.0
    grid = np.linspace(0.6, 1.4, 17)
    losses = []
    for share in grid:
        forecasts = make_forecasts(
            0.5 * np.log(proxy), {"m": 0.5 * (log_variance + math.log(share))}
        )
        outcome, models = series(forecasts, NAIVE)
        losses.append(METRICS[metric].losses(outcome, models["m"]).mean())
    best = grid[int(np.argmin(losses))]
    assert (abs(best - 1.0) < 0.04) == METRICS[metric].robust, best


def resampled(forecasts: Forecasts, rows: np.ndarray) -> Forecasts:
    """The forecasts with these rows instead, all in one window."""
    shifts = {
        name: (float(fit.var_shift[0]), float(fit.sigma_shift[0]))
        for name, fit in forecasts.fits.items()
    }
    yhat = {name: values[rows] for name, values in forecasts.yhat.items()}
    return make_forecasts(forecasts.y[rows], yhat, shifts=shifts, last=forecasts.last[rows])


@pytest.mark.parametrize("metric", of_volatility())
def test_influence_is_how_much_one_more_copy_of_a_row_moves_the_figure(metric):
    n, copies = 60, 40
    # Whole numbers: most forecasts are tied, and a row moves the share of ties too.
    forecasts = some_forecasts(n, windows=1, seed=2, decimals=0)
    outcome, models = series(forecasts, NAIVE)
    influence = METRICS[metric].influence(outcome, models["far"])
    assert abs(influence.mean()) < 1e-12 * np.abs(influence).max()
    # Weights n: every row `copies` times, one of them once more or once less.
    base, moved = np.repeat(np.arange(n), copies), np.empty(n)
    for row in range(n):
        more = scored(resampled(forecasts, np.append(base, row))).value("far", metric)
        less = np.delete(base, row * copies)
        less = scored(resampled(forecasts, less)).value("far", metric)
        moved[row] = (more - less) / 2.0 * base.size
    assert np.max(np.abs(moved - influence)) < 2e-3 * np.max(np.abs(influence))


@pytest.mark.parametrize("metric", of_volatility())
@pytest.mark.parametrize("flat", ["outcome", "forecast"])
def test_a_constant_series_gives_nan_and_never_an_exception(metric, flat):
    n = 50
    moving, constant = np.random.default_rng(3).gumbel(size=n), np.full(n, math.log(0.1))
    y, f = (constant, moving) if flat == "outcome" else (moving, constant)
    forecasts = make_forecasts(y, {"m": f}, windows=2)
    scores = scored(forecasts)
    undefined = {"ic", "corr"} | ({"r2_log"} if flat == "outcome" else set())
    assert math.isnan(scores.value("m", metric)) == (metric in undefined)
    assert np.isnan(scores.by_window("m", metric)).all() == (metric in undefined)
    outcome, models = series(forecasts, NAIVE)
    assert METRICS[metric].influence(outcome, models["m"]).shape == (n,)


def test_a_perfect_forecast_has_no_loss_and_full_marks():
    y = np.random.default_rng(4).gumbel(size=30)
    scores = scored(make_forecasts(y, {"m": y.copy()}))
    for name in of_volatility():
        best = float(METRICS[name].higher)
        if name == "nll":  # it has no best figure but by the outcomes
            best = 0.5 * math.log(2.0 * math.pi) + 0.5 + y.mean()
        assert scores.value("m", name) == pytest.approx(best, abs=1e-12)


def test_the_way_back_moves_variance_and_sigma_but_never_the_log():
    y, f = np.random.default_rng(5).gumbel(size=(2, 40))
    forecasts = make_forecasts(y, {"m": f}, windows=2, shifts={"m": (0.3, 0.1)})
    _, models = series(forecasts, LOG_SIGMA)
    assert np.array_equal(models["m"].log_sigma, f)
    assert close_to(models["m"].variance, np.exp(2 * f + 0.3), 1e-12)
    assert close_to(models["m"].sigma, np.exp(f + 0.1), 1e-12)


def test_scores_of_a_level_target_count_forecasts_under_the_floor():
    y = np.array([0.5, 0.4, 0.9, 0.3])
    f = np.array([0.4, -0.2, 0.8, 0.05])
    scale = TargetScale("level", "sigma", "none", 0.1)
    scores = scored(make_forecasts(y, {"m": f}), scale)
    assert scores.floored == {"m": 2}
    sigma = np.maximum(f, 0.1)
    assert scores.value("m", "mae") == pytest.approx(np.abs(y - sigma).mean(), rel=1e-12)
    x = y**2 / sigma**2
    assert scores.value("m", "qlike") == pytest.approx(np.mean(x - np.log(x) - 1), rel=1e-12)
    assert scores.value("m", "ic") == pytest.approx(scipy.stats.spearmanr(y, f).statistic)


def test_ranks_are_those_of_each_series_over_all_rows_and_within_windows():
    forecasts = some_forecasts()
    _, models = series(forecasts, NAIVE)
    values: Values = models["far"]
    assert np.unique(values.y).size < values.y.size
    assert np.array_equal(values.pooled, scipy.stats.rankdata(values.y))
    parts = np.split(values.y, forecasts.edges[1:-1])
    assert np.array_equal(
        values.within, np.concatenate([scipy.stats.rankdata(part) for part in parts])
    )


def test_ranks_are_exact_for_values_that_differ_in_their_last_bits_only():
    # Beside so wide a range the last bits find no room in the keys that are sorted.
    rng = np.random.default_rng(4)
    y = np.concatenate((1.0 + rng.permutation(50) * 2.0**-52, [-1e300, 1e300]))
    outcome, _ = series(
        make_forecasts(y, {"far": y}, windows=2), TargetScale("level", "variance", "none", 1e-12)
    )
    assert np.array_equal(outcome.pooled, scipy.stats.rankdata(y))
    halves = scipy.stats.rankdata(y[:26]), scipy.stats.rankdata(y[26:])
    assert np.array_equal(outcome.within, np.concatenate(halves))


def test_a_row_whose_last_value_is_not_known_counts_for_no_direction():
    y, f = np.array([0.0, 1.0, 2.0, 1.0]), np.array([9.0, 0.5, 1.5, 1.5])
    last = np.array([np.nan, 0.0, 1.0, 2.0])
    scores = scored(make_forecasts(y, {"m": f, "same": last}, last=last))
    assert scores.value("m", "direction") == 1.0
    assert scores.value("same", "direction") == 0.0
    last[3] = 1.2
    forecasts = make_forecasts(y, {"m": f}, last=last)
    assert scored(forecasts).value("m", "direction") == pytest.approx(2 / 3)
    outcome, models = series(forecasts, NAIVE)
    loss = METRICS["direction"].losses(outcome, models["m"])
    assert loss.tolist() == pytest.approx([1 / 3, 0.0, 0.0, 1.0])


def test_groups_are_scored_as_if_their_rows_were_all_there_is():
    forecasts = some_forecasts(windows=1)
    groups = [np.arange(211), np.arange(50, 130), np.empty(0, np.int64), np.array([7, 9, 3, 180])]
    found = score_groups(*series(forecasts, NAIVE), groups)
    for g, rows in enumerate(groups):
        if rows.size:
            alone = scored(resampled(forecasts, rows))
            for name in ("near", "far"):
                assert close_to(found[name][g], alone.pooled[name], 1e-12), (g, name)
        else:
            assert np.isnan(found["near"][g]).all()


FLOOR = 1e-3


def with_still_rows(unit: str = "sigma", n: int = 90) -> tuple[Forecasts, TargetScale, np.ndarray]:
    """Log forecasts of outcomes a third of which, not at random, lie at the floor."""
    rng = np.random.default_rng(6)
    sigma, forecast = 0.01 * np.exp(0.5 * rng.normal(size=(2, n)))
    sigma[rng.random(n) < 1 / 3] = 0.0
    scale = TargetScale("log", unit, "naive", FLOOR)
    power = 2.0 if unit == "variance" else 1.0
    y = scale.target(sigma**power)
    return make_forecasts(y, {"m": np.log(forecast**power)}, windows=2), scale, sigma


@pytest.mark.parametrize("unit", ["sigma", "variance"])
def test_mape_leaves_out_the_rows_at_the_floor(unit):
    forecasts, scale, sigma = with_still_rows(unit)
    outcome, models = series(forecasts, scale)
    counted = sigma > 0.0
    assert 15 < np.sum(~counted) < 45
    share = np.abs(sigma - models["m"].sigma)[counted] / sigma[counted]
    want = sklearn.metrics.mean_absolute_percentage_error(
        sigma[counted], models["m"].sigma[counted]
    )
    assert scored(forecasts, scale).value("m", "mape") == pytest.approx(want, rel=1e-12)
    mape = METRICS["mape"]
    loss, influence = mape.losses(outcome, models["m"]), mape.influence(outcome, models["m"])
    assert loss.mean() == pytest.approx(want, rel=1e-12)
    assert np.sum(loss[counted]) / np.sum(counted) == pytest.approx(want, rel=1e-12)
    assert np.allclose(loss[~counted], want, rtol=1e-12, atol=0.0)
    assert not influence[~counted].any()
    # The standard error of the mean over all rows is that over the rows that count.
    error = share.std() / math.sqrt(share.size)
    assert loss.std() / math.sqrt(loss.size) == pytest.approx(error, rel=1e-12)


def test_mape_of_rows_that_never_moved_is_not_defined():
    y = np.full(20, math.log(FLOOR))
    forecasts = make_forecasts(y, {"m": y + 1.0}, windows=2)
    scale = TargetScale("log", "sigma", "naive", FLOOR)
    scores = scored(forecasts, scale)
    outcome, models = series(forecasts, scale)
    assert math.isnan(scores.value("m", "mape"))
    assert np.isnan(METRICS["mape"].influence(outcome, models["m"])).all()
    assert not METRICS["mape"].losses(outcome, models["m"]).any()
    assert math.isfinite(scores.value("m", "nll"))


def test_nll_is_that_of_the_return_whose_square_the_outcome_is():
    rng = np.random.default_rng(7)
    h = np.exp(rng.normal(-9.0, 0.5, 40))
    returns = rng.normal(0.0, np.sqrt(h))
    scale = TargetScale("level", "variance", "none", 1e-12)
    forecasts = make_forecasts(np.square(returns), {"m": h})
    outcome, models = series(forecasts, scale)
    density = scipy.stats.norm.logpdf(returns, 0.0, np.sqrt(h))
    assert close_to(METRICS["nll"].losses(outcome, models["m"]), -density, 1e-12)
    assert scored(forecasts, scale).value("m", "nll") == pytest.approx(-density.mean(), rel=1e-12)
    assert scored(forecasts, scale).value("m", "nll") < 0.0
