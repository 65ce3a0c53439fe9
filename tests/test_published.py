"""Coefficients that other software publishes, through our panels, features and least squares."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from arch import arch_model
from worlds import DAY, LEVEL_SIGMA, daily_panel, make_plan, make_task, sessions

from harness.features import parse_feature
from harness.measures.cascade import measure
from harness.models.protocol import Forecaster, make_model
from harness.models.table import KINDS
from harness.models.volatility import log_likelihood, parameter_names
from harness.panel import PanelSpec, find_panel, open_panel
from harness.samples import Decided, LookBack, build_samples
from harness.scale import TargetScale
from harness.splits import Fitting
from harness.types import F64, Bars, Samples, Window
from harness.walk import Settings, walk_forward

PANELS = Path(__file__).parent.parent / "panels"
DATA = os.environ.get("HARNESS_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="HARNESS_DATA is not set")


Asked = Mapping[str, tuple[str, Mapping[str, object]]]


def one_day_ahead(
    spec: PanelSpec, target: str, scale: TargetScale, asked: Asked
) -> tuple[dict[str, Forecaster], Samples]:
    """Models by name of kind and parameters, unfitted, and every day's rows for all of them."""
    plan = make_plan(
        every="1d", scales=["1d", "5d", "22d"], horizons=["1d"], calendar="sessions",
        measures=list(spec.extra_units), target=target, extra=dict(spec.extra_units),
    )  # fmt: skip
    (bars,) = open_panel(spec, start=None, end=None, columns=plan.inputs).bars()
    task = make_task("1d", measure=target, every="1d", steps=1, bars=1, scale=scale)
    models = {name: make_model(k, KINDS[k].params(**p), task) for name, (k, p) in asked.items()}
    texts = dict.fromkeys(text for model in models.values() for text in model.features)
    samples = build_samples(
        [Decided(measure(bars, plan), plan.units, 1e-6)],
        horizon="1d",
        bars=1,
        measure=target,
        scale=scale,
        features=[parse_feature(text) for text in texts],
    )
    return models, samples


def in_sample(
    spec: PanelSpec, target: str, features: list[str], kind: str = "ols", **more: object
) -> tuple[list[float], F64, F64]:
    """Coefficients, targets and residuals of one fit on every day, one day ahead, in levels."""
    scale = TargetScale("level", spec.extra_units[target], "none", 1e-6)
    asked = {"m": (kind, {"features": features, **more})}
    models, samples = one_day_ahead(spec, target, scale, asked)
    fitted = models["m"].fit(samples.rows, samples.y)
    residuals = samples.y - fitted.predict(samples.rows)
    return list(fitted.coefficients.values()), samples.y, residuals


def har(name: str) -> list[str]:
    """Corsi's day, week and month."""
    return [f"{name}_1d", f"{name}_5d", f"{name}_22d"]


def r_squared(y: F64, residuals: F64) -> float:
    return 1.0 - float(np.mean(residuals**2) / y.var())


@needs_data
def test_har_on_spy_has_the_coefficients_of_the_highfrequency_package(tmp_path):
    file = Path(DATA).resolve() / "reference" / "highfrequency_spyrm.parquet"
    spec = daily_panel(tmp_path, file, {"rvar": ("RV5", "variance")})
    found, _, _ = in_sample(spec, "rvar", har("rvar"))
    want = [1.160000921e-05, 0.2953165771, 0.2813334173, 0.1471632893]
    assert found == pytest.approx(want, rel=5e-9)


@needs_data
def test_har_and_harj_on_the_sp500_are_those_of_the_harmodel_package(tmp_path):
    # HARJ: HAR and the jump variation of the last day.
    file = Path(DATA).resolve() / "reference" / "bpq2016_sp500rm.parquet"
    extra = {"rvar": ("RV", "variance"), "jump": ("RJ", "none")}
    spec = daily_panel(tmp_path, file, extra)
    found, y, e = in_sample(spec, "rvar", har("rvar"))
    assert found == pytest.approx([0.1123142, 0.2273436, 0.4903494, 0.1863766], abs=6e-8)
    assert y.size == 4_074
    assert r_squared(y, e) == pytest.approx(0.5224, abs=5e-5)
    _, _, with_jump = in_sample(spec, "rvar", [*har("rvar"), "jump_1d"])
    assert np.mean(with_jump**2) / np.mean(e**2) == pytest.approx(0.96833979, abs=2e-8)


@needs_data
def test_harq_on_spy_has_the_coefficients_of_the_highfrequency_package(tmp_path):
    file = Path(DATA).resolve() / "reference" / "highfrequency_spyrm.parquet"
    spec = daily_panel(tmp_path, file, {"rvar": ("RV5", "variance"), "quart": ("RQ5", "none")})
    asked = {"features": har("rvar"), "kind": "harq", "quarticity": "quart_1d"}
    plain, _, _ = in_sample(spec, "rvar", **asked, centre="none")
    assert plain[1] == pytest.approx(1.0858, abs=5e-5)
    # The package's mean of RQ is of all days, ours of the training rows, which lack the first
    # month and the last day; forecasts do not depend on it.
    quarticity = pl.read_parquet(file)["RQ5"].to_numpy()
    want = [3.285615865e-06, 0.9754440119, 7.909932136e-03, 2.366579823e-02, -0.3881445184]
    everywhere = [*plain]
    everywhere[1] += plain[4] * np.sqrt(quarticity.mean())
    assert everywhere == pytest.approx(want, rel=5e-9)
    found, _, _ = in_sample(spec, "rvar", **asked)
    apart = np.sqrt(quarticity[21:-1].mean()) - np.sqrt(quarticity.mean())
    want[1] += want[4] * apart
    assert found == pytest.approx(want, rel=5e-9)


def rolled(
    spec: PanelSpec, scale: TargetScale, asked: Asked, days: int = 1_000, last: int = 3_096
) -> dict[str, tuple[float, float]]:
    """MSE and QLIKE by model of the last one-day forecasts, refitted every day on `days` days.

    MSE is in squared units of the file's variance; QLIKE is RV/f - ln(RV/f) - 1.
    """
    models, samples = one_day_ahead(spec, "rvar", scale, asked)
    formed, n = samples.rows.formed_at, samples.y.size
    rows = days - 22  # the first month of the days has no monthly mean, or no target left
    windows = [
        Window(k, int(formed[i - rows]), int(formed[i]), int(formed[i]), int(formed[i]) + 1)
        for k, i in enumerate(range(n - last, n))
    ]
    fittings = dict.fromkeys(models, Fitting(tuple(windows), tuple(windows)))
    found = walk_forward(models, samples, windows, fittings, Settings(0, scale))
    assert found.y.size == last
    assert {p.n_train for p in found.proofs} == {rows}
    level = np.exp if scale.is_log else np.asarray
    y = level(found.y)
    losses = {}
    for name, yhat in found.yhat.items():
        ratio = y / level(yhat)
        losses[name] = np.mean((y - level(yhat)) ** 2), np.mean(ratio - np.log(ratio) - 1.0)
    return losses


@needs_data
def test_rolling_forecasts_of_the_sp500_are_those_of_bollerslev_patton_and_quaedvlieg(tmp_path):
    file = Path(DATA).resolve() / "reference" / "bpq2016_sp500rm.parquet"
    extra = {"rvar": ("RV", "variance"), "quart": ("RQ", "none"), "bvar": ("BPV", "none")}
    spec = daily_panel(tmp_path, file, extra)
    asked = {
        "har": ("ols", {"features": har("rvar"), "insanity": True}),
        "char": ("ols", {"features": har("bvar"), "insanity": True}),
        "harq": ("harq", {"features": har("rvar"), "insanity": True, "quarticity": "quart_1d"}),
        "walk": ("persistence", {}),
    }
    found = rolled(spec, TargetScale("level", "variance", "none", 1e-6), asked)
    assert found["har"] == pytest.approx((3.219311, 0.139826), abs=6e-7)
    assert found["harq"] == pytest.approx((2.661419, 0.142193), abs=6e-7)
    assert found["walk"] == pytest.approx((3.695778, 0.168509), abs=6e-7)
    ratios = np.divide(found["char"], found["har"])
    assert ratios == pytest.approx([0.95830776, 1.02005358], abs=2e-8)
    logs = ["log(rvar_1d)", "mean(log(rvar_1d), 5)", "mean(log(rvar_1d), 22)"]
    asked = {"log": ("ols", {"features": logs, "insanity": True})}
    found = rolled(spec, TargetScale("log", "variance", "naive", 1e-6), asked)
    assert found["log"] == pytest.approx((2.612362, 0.132988), abs=6e-7)


def test_har_on_the_vix_is_the_harx_of_the_arch_package():
    found, y, e = in_sample(find_panel("vix-daily", [PANELS]), "vix", har("vix"))
    assert found == pytest.approx([0.6335117, 0.9286753, -0.0317589, 0.0612488], abs=6e-8)
    assert r_squared(y, e) == pytest.approx(0.876346, abs=6e-7)


def fitted_by_the_kind(bars: Bars, kind: str, **params: object) -> tuple[F64, F64]:
    """Parameters of a model on all rows, as of returns in per cent, and these returns."""
    plan = make_plan(
        every="1d", scales=["1d"], horizons=["1d"], measures=["rv"], calendar="sessions",
        stepwise=["ret"],
    )  # fmt: skip
    task = make_task("1d", every="1d", steps=1, bars=1, scale=LEVEL_SIGMA)
    model = make_model(kind, KINDS[kind].params(**params), task)
    features = [parse_feature(text) for text in model.features]
    samples = build_samples(
        [Decided(measure(bars, plan), plan.units, 1e-6)],
        horizon="1d",
        bars=1,
        measure="rv",
        scale=LEVEL_SIGMA,
        features=features,
        look_back=[LookBack(model.look_back, features)],
    )
    found = model.fit(samples.rows, samples.y)
    assert found.training.converged
    theta = dict(found.coefficients)
    theta["mu"] *= 100.0
    if kind == "egarch":
        theta["omega"] += (1.0 - theta["beta"]) * np.log(1e4)
    else:
        theta["omega"] *= 1e4
    names = parameter_names(kind, params.get("dist", "normal"))
    return np.array([theta[name] for name in names]), 100.0 * samples.rows.X[:, 0]


@needs_data
def test_garch_on_the_mark_and_pound_is_that_of_bollerslev_and_ghysels():
    # Bollerslev & Ghysels (1996) and the benchmark of Fiorentini, Calzolari & Panattoni (1996),
    # whose recursion starts at the mean squared deviation from mu; returns are in per cent.
    r = pl.read_parquet(Path(DATA) / "reference" / "rugarch_dmbp.parquet")["ret"].to_numpy()
    # The first price has no return and the last day's target needs one more.
    close = np.exp(0.01 * np.cumsum([0.0, *r, 0.0]))
    ts = sessions(close.size)
    bars = Bars("DMBP", int(ts[0]), DAY, close.size, ts, {"close": close}, close.size, (), "")
    found, returns = fitted_by_the_kind(bars, "garch", backcast="sample")
    assert returns == pytest.approx(r, abs=1e-11)
    assert found == pytest.approx([-0.00619041, 0.0107613, 0.153134, 0.805974], rel=1e-5)
    default, _ = fitted_by_the_kind(bars, "garch")
    assert default[2] == pytest.approx(0.1455, abs=5e-5)


@pytest.mark.parametrize("dist", ["normal", "t"])
@pytest.mark.parametrize("kind", ["garch", "gjr", "egarch"])
def test_on_the_sp500_the_kinds_have_archs_log_likelihood(kind, dist):
    spec = find_panel("sp500-daily", [PANELS])
    start, end = (
        int(np.datetime64(day, "ns").astype(np.int64)) for day in ("2007-01-01", "2011-01-01")
    )
    (bars,) = open_panel(spec, start=start, end=end, columns=["close"]).bars()
    params, returns = fitted_by_the_kind(bars, kind, dist=dist)
    assert returns.size == pytest.approx(1_006, abs=5)
    asked = {"vol": "EGARCH" if kind == "egarch" else "GARCH", "o": int(kind != "garch")}
    theirs = arch_model(returns, mean="Constant", dist=dist, rescale=False, **asked)
    best = theirs.fit(disp="off", show_warning=False).loglikelihood
    ours = log_likelihood(params, returns, kind, dist)
    assert ours == pytest.approx(best, rel=1e-6)
    assert theirs.fix(params).loglikelihood == pytest.approx(ours, rel=1e-10)
