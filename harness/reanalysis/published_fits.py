"""Fits to published series with this project's panels, features and models, one day ahead."""

from __future__ import annotations

import glob
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.durations import Duration
from harness.measures.cascade import CascadePlan, measure, plan_cascade
from harness.models.garch_likelihood import Dist, Model, parameter_names
from harness.models.protocol import Forecaster, Task, make_model
from harness.models.table import KINDS
from harness.panel.panel import open_panel
from harness.panel.reading import read_panel
from harness.panel.spec import PanelSpec
from harness.samples.features import parse_feature
from harness.samples.rows import LookBack, OriginMeasures, build_samples
from harness.samples.splits import Fitting
from harness.samples.target_scale import TargetScale
from harness.types import F64, Bars, Samples, Window
from harness.walk.fold_fit import Settings
from harness.walk.walk_forward import walk_forward

_DAY_NS = 86_400_000_000_000
_FLOOR = 1e-6
Asked = Mapping[str, tuple[str, Mapping[str, object]]]
# Extra column -> (the file's column, its unit).
Columns = Mapping[str, tuple[str, str]]


def har(name: str) -> list[str]:
    """The features of Corsi's HAR: day, week and month."""
    return [f"{name}_1d", f"{name}_5d", f"{name}_22d"]


def panel_of(source: str, columns: Columns, ts: str = "date") -> PanelSpec:
    """A panel of one daily series; `source` are the lines of its [source]."""
    extra = (f'{k} = {{ column = "{c}", unit = "{u}" }}' for k, (c, u) in columns.items())
    words = [
        "[panel]", 'name = "published"', 'title = "a published series"', 'bar = "1d"',
        'calendar = "sessions"', 'timezone = "UTC"', 'how_to_get = "set HARNESS_DATA"',
        "[source]", source, "[columns]", f'ts = "{ts}"', "[columns.extra]", *extra,
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="harness-published-") as folder:
        file = Path(folder) / "published.toml"
        file.write_text("\n".join(words) + "\n", encoding="utf-8")
        return replace(
            read_panel(file), file=Path(file.name)
        )  # errors name the file, which is gone by then


def parquet(file: Path) -> str:
    """The [source] of a Parquet file."""
    path = json.dumps(glob.escape(str(file)), ensure_ascii=False)  # no character is a wildcard
    return f'kind = "parquet"\npath = {path}\nsymbol = "X"'


def one_day_ahead(
    spec: PanelSpec, target: str, scale: TargetScale, asked: Asked
) -> tuple[dict[str, Forecaster], Samples]:
    """Unfitted models, each asked for by kind and parameters, and one row per day for all."""
    plan = _plan(measures=list(spec.extra_units), target=target, extra=dict(spec.extra_units))
    (bars,) = open_panel(spec, start=None, end=None, columns=plan.inputs).bars()
    task = _task(target, scale)
    models = {name: make_model(k, KINDS[k].params(**p), task) for name, (k, p) in asked.items()}
    texts = dict.fromkeys(text for model in models.values() for text in model.features)
    samples = build_samples(
        [OriginMeasures(measure(bars, plan), plan.units, _FLOOR)],
        horizon="1d",
        bars=1,
        target=f"{target}_1d",
        scale=scale,
        features=[parse_feature(text) for text in texts],
    )
    return models, samples


def in_sample(
    spec: PanelSpec, target: str, features: Sequence[str], kind: str = "ols", **more: object
) -> tuple[list[float], F64, F64]:
    """Coefficients, targets and residuals of one fit on every day, one day ahead, in levels."""
    scale = TargetScale("level", spec.extra_units[target], "none", _FLOOR)
    asked = {"m": (kind, {"features": list(features), **more})}
    models, samples = one_day_ahead(spec, target, scale, asked)
    fitted = models["m"].fit(samples.rows, samples.y)
    residuals = samples.y - fitted.predict(samples.rows)
    return list(fitted.coefficients.values()), samples.y, residuals


def r_squared(y: F64, residuals: F64) -> float:
    """1 - mean squared residual over the variance of y (n,)."""
    return 1.0 - float(np.mean(residuals**2) / y.var())


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
    level = np.exp if scale.is_log else np.asarray
    y = level(found.y)
    losses = {}
    for name, yhat in found.yhat.items():
        ratio = y / level(yhat)
        qlike = np.mean(ratio - np.log(ratio) - 1.0)
        losses[name] = float(np.mean((y - level(yhat)) ** 2)), float(qlike)
    return losses


def volatility_model(
    bars: Bars, kind: Model, dist: Dist = "normal", **params: object
) -> tuple[F64, F64]:
    """Parameters of a garch, gjr or egarch fitted to all rows, and the returns, in per cent."""
    asked: dict[str, object] = {"dist": dist, **params}
    scale = TargetScale("level", "sigma", "none", _FLOOR)
    plan = _plan(measures=["rv"], target="rv", scales=[1], stepwise=["ret"])
    model = make_model(kind, KINDS[kind].params(**asked), _task("rv", scale))
    features = [parse_feature(text) for text in model.features]
    samples = build_samples(
        [OriginMeasures(measure(bars, plan), plan.units, _FLOOR)],
        horizon="1d",
        bars=1,
        target="rv_1d",
        scale=scale,
        features=features,
        look_back=[LookBack(model.look_back, tuple(features))],
    )
    theta = dict(model.fit(samples.rows, samples.y).coefficients)
    theta["mu"] *= 100.0
    if kind == "egarch":
        theta["omega"] += (1.0 - theta["beta"]) * np.log(1e4)
    else:
        theta["omega"] *= 1e4
    names = parameter_names(kind, dist)
    return np.array([theta[name] for name in names]), 100.0 * samples.rows.X[:, 0]


def bars_of_returns(returns: F64) -> Bars:
    """Daily bars on weekdays with these log returns (n,).

    The first price has no return, and the target of the last day needs one more.
    """
    close = np.exp(np.cumsum([0.0, *returns, 0.0]))
    days = np.arange(2 * close.size, dtype=np.int64)
    ts = _DAY_NS * days[(days + 3) % 7 < 5][: close.size]  # 1 January 1970 was a Thursday
    return Bars("X", int(ts[0]), _DAY_NS, close.size, ts, {"close": close}, close.size, (), "")


def _plan(
    *,
    measures: Sequence[str],
    target: str,
    extra: Mapping[str, str] | None = None,
    scales: Sequence[int] = (1, 5, 22),
    stepwise: Sequence[str] = (),
) -> CascadePlan:
    day = Duration(1, "d")
    return plan_cascade(
        "published",
        bar=_DAY_NS,
        calendar="sessions",
        every=day,
        scales=[Duration(count, "d") for count in scales],
        horizons=[day],
        measures=measures,
        target=target,
        extra=extra or {},
        bipower_edge="inside",
        stepwise=stepwise,
    )


def _task(target: str, scale: TargetScale) -> Task:
    back = "sqrt({})"
    return Task(
        "1d",
        own=f"log({target}_1d)" if scale.is_log else f"{target}_1d",
        variance=f"square({target}_1d)",
        back=f"log({back})" if scale.is_log else back,
        steps=1,
        every="1d",
        bars=1,
        scale=scale,
    )
