"""A logged run's forecasts, as metrics read them, from its record and stored forecasts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.durations import parse_moment
from harness.errors import RunError, UsageError, nearest
from harness.samples.target_scale import TargetScale
from harness.scores.metrics import METRICS, of_volatility
from harness.types import F64, I64, Forecasts, ModelFit

if TYPE_CHECKING:
    import polars as pl

    from harness.log.store import Log


def stored_forecasts(log: Log, run: str, horizon: str) -> tuple[Forecasts, TargetScale]:
    """One horizon of a run, n rows in time order, without windows and leak proofs.

    `last`, the outcome over the horizon before, is that of the symbol's row that resolved at the
    forecast origin; NaN where there is no such test row. UsageError for an unknown run or horizon.
    """
    record = log.read(run)
    s = record["settings"]
    known = list(record["forecasts"])
    if horizon not in known:
        near = nearest(horizon, known)
        hint = f"; did you mean '{near}'?" if near else ""
        raise UsageError(
            f"horizon: got '{horizon}', wanted one of run {record['run_id']}'s: "
            f"{', '.join(known)}{hint}"
        )
    part = log.read_forecasts(record["run_id"])
    part = part.filter(part["horizon"] == horizon)
    models = record["forecasts"][horizon]
    frames = {name: part.filter(part["model"] == name) for name in models}
    first = frames[models[0]]
    if not first.height:
        raise RunError(f"run {record['run_id']}: no forecasts at {horizon} are stored")
    codes = first["symbol"].unique(maintain_order=True)
    symbol = np.searchsorted(np.sort(codes.to_numpy()), first["symbol"].to_numpy())
    formed, resolved = (_nanoseconds(first[c]) for c in ("formed_at", "resolved_at"))
    y = first["y"].to_numpy()
    window = first["window"].to_numpy().astype(np.int32)
    windows = np.flatnonzero(np.diff(window, prepend=-1))
    return Forecasts(
        horizon=horizon,
        symbols=tuple(sorted(codes)),
        symbol=symbol.astype(np.int32),
        formed_at=formed,
        resolved_at=resolved,
        window=np.repeat(
            np.arange(windows.size, dtype=np.int32), np.diff(windows, append=window.size)
        ),
        windows=(),
        edges=np.append(windows, window.size).astype(np.int64),
        y=y,
        last=_last(symbol, formed, resolved, y),
        yhat={name: frame["yhat"].to_numpy() for name, frame in frames.items()},
        fits=_fits(record, horizon, models, formed),
        proofs=(),
        overlap=s["overlap"][horizon],
    ), TargetScale(s["scale"], s["unit"], s["back"] or "none", s["floor"])


def testable_metrics(record: Mapping[str, Any]) -> list[str]:
    """The metrics that the stored forecasts allow.

    The record holds the back-transformation of a log target by fit. For a model fitted symbol by
    symbol it holds the median only, so metrics of levels cannot be computed again.
    """
    s = record["settings"]
    fits = record["tables"]["fits"]
    by_symbol = "asset" in fits["scope"] and len(record["panel"]["symbols"]) > 1
    if s["scale"] == "log" and s["back"] not in ("naive", None) and by_symbol:
        return [name for name, m in METRICS.items() if m.of_the_target]
    return list(of_volatility())


def _last(symbol: np.ndarray, formed: I64, resolved: I64, y: F64) -> F64:
    place = {key: k for k, key in enumerate(zip(symbol.tolist(), resolved.tolist(), strict=True))}
    rows = (place.get(key) for key in zip(symbol.tolist(), formed.tolist(), strict=True))
    return np.array([np.nan if k is None else y[k] for k in rows])


def _fits(
    record: Mapping[str, Any], horizon: str, models: Sequence[str], formed: I64
) -> dict[str, ModelFit]:
    """Each model's back-transformation, fit by fit; its coefficients are not needed here."""
    table = record["tables"]["coefficients"]
    shifts: dict[str, dict[str, list[tuple[str, float]]]] = {
        name: {"var_shift": [], "sigma_shift": []} for name in models
    }
    columns = (table[c] for c in ("cut", "horizon", "model", "name", "value"))
    for cut, at, model, name, value in zip(*columns, strict=True):
        if at == horizon and name in ("var_shift", "sigma_shift"):
            shifts[model][name].append((cut, np.nan if value is None else value))
    found = {}
    for name, of in shifts.items():
        cuts = np.array([parse_moment(cut) for cut, _ in of["var_shift"]], dtype=np.int64)
        edges = np.append(np.searchsorted(formed, cuts), formed.size).astype(np.int64)
        edges[0] = 0
        found[name] = ModelFit(
            name,
            (),
            coefficients=np.empty((cuts.size, 0)),
            var_shift=np.array([value for _, value in of["var_shift"]]),
            sigma_shift=np.array([value for _, value in of["sigma_shift"]]),
            cuts=cuts,
            edges=edges,
        )
    return found


def _nanoseconds(times: pl.Series) -> I64:
    return times.dt.timestamp("ns").to_numpy()
