"""Figures made from residual distributions: VaR, the PIT, intervals of single forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from harness.cards.run_figure import (
    MOST_FORECASTS,
    Record,
    RunFigure,
    alone,
    number,
    of_first_seed,
    rows_at,
    series_of,
    times_of,
    what_is_forecast,
    with_words,
)
from harness.figures.distribution import fan_of_quantiles, pit_histogram
from harness.figures.risk import returns_and_var
from harness.types import F64


def risk_figures(record: Record) -> Iterator[RunFigure]:
    """VaR of the baseline and the best candidate: lowest level, first residual distribution."""
    v, rows = record["verdict"], rows_at(record, "risk_path")
    models = [m for m in (v["baseline"], v["candidate"]) if any(r["model"] == m for r in rows)]
    if not models:
        return
    moments = list(dict.fromkeys(row["formed_at"] for row in rows))
    returns = series_of(rows, "model", "formed_at", moments, "realised")[models[0]]
    var = series_of(rows, "model", "formed_at", moments, "var")
    level, law, symbol = (rows[0][key] for key in ("level", "residuals", "symbol"))
    whose = f", {symbol}" if len(record["panel"]["symbols"]) > 1 else ""
    words = f"Returns over {v['horizon']} and {100 * level:g} % VaR, {law} residuals{whose}"
    words = with_words(words, of_first_seed(record, models))
    shown = {model: var[model] for model in models}
    draw = partial(returns_and_var, times_of(moments), returns, shown, level)
    yield RunFigure("risk", words, alone(draw))


def pit_figures(record: Record) -> Iterator[RunFigure]:
    """One panel per residual distribution; the models of the figure of forecasts."""
    v, rows = record["verdict"], rows_at(record, "pit")
    if not rows:
        return
    every = list(record["settings"]["models"])
    models = list(dict.fromkeys((v["baseline"], v["candidate"], *every)))[:MOST_FORECASTS]
    lows = sorted({row["low"] for row in rows})
    shares = {
        law: {model: own[model] for model in models}
        for law in dict.fromkeys(row["law"] for row in rows)
        for own in [series_of([r for r in rows if r["law"] == law], "model", "low", lows, "share")]
    }
    draw = partial(pit_histogram, [*lows, 1.0], shares)
    words = "PIT: where outcomes lie in their forecast distributions"
    yield RunFigure("pit", with_words(words, of_first_seed(record, models)), alone(draw))


def fan_figures(record: Record) -> Iterator[RunFigure]:
    """Quantiles of the baseline and the best candidate at the last forecast origins.

    They are of the first residual distribution.
    """
    v, s, rows = record["verdict"], record["settings"], rows_at(record, "fan")
    models = [m for m in (v["baseline"], v["candidate"]) if any(r["model"] == m for r in rows)]
    if not models:
        return
    moments = list(dict.fromkeys(row["formed_at"] for row in rows))
    first = [row for row in rows if row["model"] == models[0] and row["level"] == rows[0]["level"]]
    log = s["scale"] == "log"
    back = np.exp if log else np.asarray
    fans: dict[str, dict[float, F64]] = {}
    for model in models:
        own = [row for row in rows if row["model"] == model]
        levels = series_of(own, "level", "formed_at", moments, "quantile")
        fans[model] = {p: back(q) for p, q in levels.items()}
    widths = sorted({row["stated"] for row in rows_at(record, "coverage")}, reverse=True)
    stated = ", ".join(f"{100 * width:g} %" for width in widths)
    unit = "σ² per bar" if s["unit"] == "variance" else "σ per bar"
    what, law, symbol = what_is_forecast(s, v["horizon"]), rows[0]["law"], rows[0]["symbol"]
    whose = f", {symbol}" if len(record["panel"]["symbols"]) > 1 else ""
    outcome = back(np.array([number(row["y"]) for row in first]))
    draw = partial(fan_of_quantiles, times_of(moments), outcome, fans, what, unit, log=log)
    words = (
        f"Outcomes and {law} intervals ({stated}), last {len(moments)} forecast origins{whose}; "
        "a cross marks an outcome outside the widest"
    )
    words = with_words(words, of_first_seed(record, models))
    yield RunFigure("fan", words, alone(draw))
