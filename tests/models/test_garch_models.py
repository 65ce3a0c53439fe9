"""GARCH, GJR and EGARCH as models of the walk: what they are fitted on and what they forecast."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from support import workspace
from support.garch import MODELS, simulated, true_params
from support.worlds import DAY, LEVEL_SIGMA, LOG_SIGMA, make_plan, make_task, sessions

import harness
from harness.measures.cascade import measure
from harness.models.garch_likelihood import fit, parameter_names, refit_chain
from harness.models.protocol import Chained, Forecaster, ModelError, make_model
from harness.models.table import KINDS
from harness.samples.features import parse_feature
from harness.samples.rows import LookBack, OriginMeasures, build_samples
from harness.samples.target_scale import TargetScale
from harness.types import F64, Bars, Rows, Samples

VARIANCE = TargetScale("level", "variance", "none", 1e-9)


def bars_of(returns: F64, symbol: str = "A") -> Bars:
    """Days that close as these returns in per cent have it; the day's range is half of the move."""
    close = 100.0 * np.exp(np.concatenate(([0.0], np.cumsum(0.01 * returns))))
    columns = {"close": close, "high": close * 1.01, "low": close * 0.99, "open": close}
    ts = sessions(close.size, seed=3)
    return Bars(symbol, int(ts[0]), DAY, close.size, ts, columns, close.size, (), "xxh3:0")


def samples_of(bars: list[Bars], model: Forecaster, scale: TargetScale, horizon: str) -> Samples:
    plan = make_plan(
        every="1d", scales=["1d"], horizons=[horizon], measures=["rv"], calendar="sessions",
        stepwise=["ret"],
    )  # fmt: skip
    features = [parse_feature(text) for text in model.features]
    return build_samples(
        [OriginMeasures(measure(b, plan), plan.units, 1e-6) for b in bars],
        horizon=horizon,
        bars=plan.windows[horizon],
        target=f"rv_{horizon}",
        scale=scale,
        features=features,
        look_back=[LookBack(model.look_back, features)],
    )


def model_of(
    kind: str, scale: TargetScale = LOG_SIGMA, steps: int = 1, bars: int = 1, **params: object
) -> Forecaster:
    task = make_task(f"{steps}d", every="1d", steps=steps, bars=bars, scale=scale)
    return make_model(kind, KINDS[kind].params(**params), task)


def by_hand(r: F64, fitted: int, params: F64, kind: str, steps: int) -> list[float]:
    """The mean variance of the next returns after each of r, by the textbook's recursion."""
    named = dict(zip(parameter_names(kind, "normal"), params, strict=True))
    mu, omega, alpha, beta = (named[k] for k in ("mu", "omega", "alpha", "beta"))
    gamma = named.get("gamma", 0.0)
    squares = (r[: min(75, fitted)] - r[:fitted].mean()) ** 2
    weights = 0.94 ** np.arange(squares.size)
    start = float(weights @ squares / weights.sum())
    h = omega + (alpha + 0.5 * gamma + beta) * start
    if kind == "egarch":
        h = math.exp(omega + beta * math.log(start))
    out = []
    for e in r - mu:
        if kind == "egarch":
            z = e / math.sqrt(h)
            news = alpha * (abs(z) - math.sqrt(2.0 / math.pi)) + gamma * z
            h = math.exp(omega + news + beta * math.log(h))
        else:
            h = omega + (alpha + gamma * (e < 0.0)) * e * e + beta * h
        path = [h]
        for _ in range(steps - 1):
            path.append(omega + (alpha + 0.5 * gamma + beta) * path[-1])
        out.append(float(np.mean(path)))
    return out


def split(samples: Samples, train: int) -> tuple[Rows, F64, Rows]:
    return (
        samples.rows.take(slice(0, train)),
        samples.y[:train],
        samples.rows.take(slice(train, None)),
    )


@pytest.mark.parametrize(
    ("kind", "scale", "steps"),
    [
        ("garch", LOG_SIGMA, 1), ("garch", LEVEL_SIGMA, 5), ("garch", VARIANCE, 1),
        ("gjr", LOG_SIGMA, 5), ("egarch", LEVEL_SIGMA, 1),
    ],
)  # fmt: skip
def test_forecasts_are_the_recursion_over_all_returns_up_to_their_row(kind, scale, steps):
    r = 0.01 * simulated(kind, "normal", 520)
    model = model_of(kind, scale, steps, bars=4, rescale=False)
    samples = samples_of([bars_of(100.0 * r)], model, scale, f"{steps}d")
    train, y, test = split(samples, 400)
    fitted = model.fit(train, y)
    assert list(fitted.coefficients) == list(parameter_names(kind, "normal"))
    params = np.array(list(fitted.coefficients.values()))
    assert params == pytest.approx(fit(r[:400], kind, "normal").params, rel=2e-3, abs=2e-3)
    want = np.array(by_hand(r, 400, params, kind, steps)) / 4.0
    want = want if scale.unit == "variance" else np.sqrt(want)
    want = np.log(want) if scale.is_log else want
    assert fitted.predict(train) == pytest.approx(want[:400], rel=1e-9)
    assert fitted.predict(test) == pytest.approx(want[400 : 400 + len(test.X)], rel=1e-9)


@pytest.mark.parametrize("kind", MODELS)
def test_a_forecast_has_the_same_bits_whatever_rows_are_asked_for_with_it(kind):
    model = model_of(kind, steps=5)
    samples = samples_of([bars_of(simulated(kind, "t", 420))], model, LOG_SIGMA, "5d")
    train, y, test = split(samples, 300)
    fitted = model.fit(train, y, seed=4)
    together = fitted.predict(samples.rows)
    assert np.array_equal(together, [*fitted.predict(train), *fitted.predict(test)])
    one = [fitted.predict(samples.rows.take(np.array([k])))[0] for k in range(290, 330)]
    assert np.array_equal(together[290:330], one)


def test_forecasts_of_a_simulated_series_are_near_its_true_variances():
    # The true variance is that of the simulation's own parameters, not of those estimated.
    r = simulated("gjr", "normal", 1_500)
    model = model_of("gjr", VARIANCE, rescale=False)
    samples = samples_of([bars_of(r)], model, VARIANCE, "1d")
    train, y, test = split(samples, 1_200)
    found = 1e4 * model.fit(train, y).predict(test)
    true = by_hand(r, 1_200, true_params("gjr", "normal"), "gjr", 1)[1_200 : 1_200 + found.size]
    assert np.corrcoef(np.log(found), np.log(true))[0, 1] > 0.97
    assert np.mean(np.log(found / true)) == pytest.approx(0.0, abs=0.15)


@pytest.mark.parametrize("scale", [LOG_SIGMA, LEVEL_SIGMA, VARIANCE])
def test_rescaled_forecasts_have_the_level_of_the_training_targets(scale):
    model = model_of("garch", scale)
    samples = samples_of([bars_of(simulated("garch", "t", 500))], model, scale, "1d")
    train, y, test = split(samples, 400)
    y = y - 0.3 if scale.is_log else 0.7 * y  # a target that leaves the night out, say
    fitted, plain = model.fit(train, y), model_of("garch", scale, rescale=False).fit(train, y)
    assert fitted.predict(train).mean() == pytest.approx(y.mean(), rel=1e-9)
    offset = fitted.coefficients["offset"]
    move = (lambda f: f + offset) if scale.is_log else (lambda f: f * offset)
    assert fitted.predict(test) == pytest.approx(move(plain.predict(test)), rel=1e-12)
    assert "offset" not in plain.coefficients


@pytest.mark.parametrize("dist", ["normal", "t"])
@pytest.mark.parametrize("kind", MODELS)
def test_a_chain_is_that_of_the_daily_refits_and_leaves_the_model_as_it_was(kind, dist):
    r = simulated(kind, "t", 330)
    model = model_of(kind, dist=dist, guard=3)
    samples = samples_of([bars_of(r)], model, LOG_SIGMA, "1d")
    trains = [slice(k, k + 300) for k in range(8)]
    fits = list(model.fit_chain(samples.rows, samples.y, trains))
    first = np.arange(8)
    decimals = samples.rows.history.values[0, 1:]
    chain = refit_chain(decimals, first, first + 300, kind, dist, guard=3)
    names = parameter_names(kind, dist)
    got = np.array([[f.coefficients[name] for name in names] for f in fits])
    assert np.array_equal(got, chain.params)
    assert [f.training.converged for f in fits] == chain.converged.tolist()
    assert [f.training.notes["guarded"] for f in fits] == [0, 0, 0, 1, 0, 0, 1, 0]
    assert {f.training.parameters for f in fits} == {len(names)}
    assert isinstance(model, Chained)
    assert model.coefficients == {}
    assert model.training is None
    again = model.fit(samples.rows.take(trains[0]), samples.y[trains[0]])
    assert again.coefficients == fits[0].coefficients


def test_returns_that_are_missing_are_skipped_and_the_known_ones_stand_in_a_row():
    # A suspension: ten days without a price; the return after it is from the last price.
    model = model_of("garch")
    samples = samples_of([bars_of(simulated("garch", "t", 400))], model, LOG_SIGMA, "1d")
    rows, missing = samples.rows, slice(150, 160)
    values = rows.history.values.copy()
    values[:, missing] = np.nan
    kept = np.flatnonzero(~np.isin(rows.at, np.arange(400)[missing]))
    gappy = replace(rows, history=replace(rows.history, values=values)).take(kept)
    y = samples.y[kept]
    known = values[0][np.isfinite(values[0])]
    train = slice(0, 300)
    found = model.fit(gappy.take(train), y[train])
    chain = refit_chain(known, np.zeros(1, int), np.full(1, 300), "garch", "normal")
    names = parameter_names("garch", "normal")
    assert [found.coefficients[n] for n in names] == chain.params[0].tolist()
    want = np.array(by_hand(known, 300, chain.params[0], "garch", 1))
    got = found.predict(gappy) - found.coefficients["offset"]
    assert got == pytest.approx(0.5 * np.log(want[: got.size]), rel=1e-9)


def test_a_symbol_of_a_panel_is_fitted_and_forecast_as_if_it_were_alone():
    model = model_of("gjr", steps=5)
    one, two = bars_of(simulated("gjr", "t", 350)), bars_of(simulated("gjr", "t", 300, 2), "B")
    panel = samples_of([one, two], model, LOG_SIGMA, "5d")
    for code, bars in enumerate((one, two)):
        own = np.flatnonzero(panel.rows.symbol == code)
        rows, y = panel.rows.take(own), panel.y[own]
        alone = samples_of([bars], model, LOG_SIGMA, "5d")
        (got,) = model.fit_chain(rows, y, [np.arange(200)])
        (want,) = model.fit_chain(alone.rows, alone.y, [slice(0, 200)])
        assert got.coefficients == want.coefficients
        assert np.array_equal(got.predict(rows), want.predict(alone.rows))
    with pytest.raises(ModelError, match="rows of 2 symbols, wanted one"):
        model.fit(panel.rows, panel.y)
    with pytest.raises(ModelError, match="a symbol that the model was not fitted on"):
        got.predict(panel.rows.take(np.flatnonzero(panel.rows.symbol == 0)))


def test_egarch_is_the_same_for_one_seed_and_another_for_another():
    model = model_of("egarch", steps=5)
    samples = samples_of([bars_of(simulated("egarch", "t", 300))], model, LOG_SIGMA, "5d")
    first, again, other = (
        model.fit(samples.rows, samples.y, seed=s).predict(samples.rows) for s in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_cannot_be_fitted_is_named_where_its_turn_comes():
    r = simulated("garch", "t", 500).copy()
    r[300:] = 0.0
    model = model_of("garch", LEVEL_SIGMA)
    samples = samples_of([bars_of(r)], model, LEVEL_SIGMA, "1d")
    chain = model.fit_chain(samples.rows, samples.y, [slice(0, 150), slice(320, 450)])
    assert next(chain).training.converged
    with pytest.raises(ModelError, match=r"all 130 returns are 0\.0: no variance to model"):
        next(chain)
    with pytest.raises(ModelError, match="99 returns, wanted 100 or more"):
        model.fit(samples.rows.take(slice(0, 99)), samples.y[:99])
    with pytest.raises(ModelError, match="rows of 0 symbols, wanted one"):
        model.fit(samples.rows.take(slice(0, 0)), samples.y[:0])


def test_a_series_that_begins_flat_is_fitted():
    # The backcast is the mean of the first squares: a listing that does not trade at first.
    r = simulated("egarch", "t", 400).copy()
    r[:80] = 0.0
    for kind in MODELS:
        model = model_of(kind)
        samples = samples_of([bars_of(r)], model, LOG_SIGMA, "1d")
        fitted = model.fit(samples.rows, samples.y)
        assert np.isfinite(fitted.predict(samples.rows)).all()


def test_the_return_from_decision_to_decision_is_measured_where_a_model_asks_for_it():
    plain = make_plan(
        every="1d", scales=["5d"], measures=["rv"], horizons=["1d"], calendar="sessions"
    )
    asked = make_plan(
        every="1d", scales=["5d"], measures=["rv"], horizons=["1d"], calendar="sessions",
        stepwise=["ret"],
    )  # fmt: skip
    assert set(asked.columns) - set(plain.columns) == {"ret_1d"}


# --- through the whole pipeline ----------------------------------------------------------------

TWO = (
    workspace.PANEL.replace("seed = 7\n", "seed = 7\nsymbols = 2\n")
    .replace('bar = "5m"', 'bar = "2h"')
    .replace("days = 30", "days = 330")
)
DAILY = workspace.changed(
    ('every = "1h"', 'every = "1d"'),
    ('scales = ["1h", "4h", "1d"]', 'scales = ["1d", "5d"]'),
    ('horizons = ["1h", "4h"]', 'horizons = ["1d", "5d"]'),
    ('train = "10d"', 'train = "200d"'),
    ('test = "5d"', 'test = "40d"'),
    ('first_test = "2021-01-13"', 'first_test = "2021-08-01"'),
    (workspace.HYPOTHESIS[workspace.HYPOTHESIS.index("[models.persistence]") :], """\
[models.har]
kind = "ols"
features = ["log(rv_1d)", "log(rv_5d)"]

[models.garch]
kind = "garch"
refit = "1d"
guard = 7

[models.egarch]
kind = "egarch"

[models.memory]
kind = "arfima"
filter = 20

[verdict]
baseline = "garch"
candidates = ["har", "egarch", "memory"]
metric = "qlike"
horizon = "5d"
min_gain = 0.01
alpha = 0.05
"""),
)  # fmt: skip


def test_a_panel_of_two_symbols_runs_with_daily_refits(tmp_path):
    workspace.lay_out(tmp_path)
    (tmp_path / "panels/tiny.toml").write_text(TWO)
    file = tmp_path / "hypotheses/tiny-har.toml"
    file.write_text(DAILY)
    log = harness.open_log(tmp_path / "reports")
    outcome = harness.run(harness.load_hypothesis(file), log, search=[tmp_path / "panels"])
    record = log.read(outcome.run_id)
    fits = pl.DataFrame(record["tables"]["fits"]).filter(pl.col("horizon") == "5d")
    by_model = {name: part for (name,), part in fits.group_by("model")}
    assert by_model["garch"].height > 70  # a day each
    assert by_model["egarch"].height == 2
    assert set(by_model["garch"]["fits"]) == {2}  # one per symbol
    assert set(by_model["garch"]["scope"]) == {"asset"}
    assert set(by_model["egarch"]["parameters"]) == {5}
    notes = pl.DataFrame(record["tables"]["fit_notes"])
    guarded = notes.filter(
        (pl.col("model") == "garch") & (pl.col("horizon") == "5d") & (pl.col("note") == "guarded")
    )
    assert guarded["fit"].to_list() == list(range(7, by_model["garch"].height, 7))
    assert f"- garch: {guarded['count'].sum()} guarded (maximised from" in record["card"]
    assert "guard 7" in record["card"]
    forecasts = log.read_forecasts(outcome.run_id)
    assert forecasts["yhat"].is_finite().all()
    # Two hundred days of these jumps are few to learn from: no forecast is absurd.
    for (_, name), part in forecasts.group_by("horizon", "model"):
        error = (part["y"] - part["yhat"]).std()
        assert error < 2.0 * part["y"].std(), name
