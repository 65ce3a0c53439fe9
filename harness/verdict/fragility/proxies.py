"""A proxy: another measure of the target's volatility, against which forecasts are scored again.

The proxy has another level (bipower variation excludes jumps, a range excludes the night), so a
forecast of the target is biased for it. It is therefore multiplied by one constant: the ratio of
the means of target and proxy over the first training window, which precedes every forecast. The
mean is of the quantity that the metric reads: ln sigma, sigma or variance. A forecast that is
unbiased there for the target is then unbiased for the proxy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.measures.table import MEASURES
from harness.samples.measured import measure_panel
from harness.samples.target_scale import TargetScale
from harness.scores.metrics import METRICS
from harness.study.study import on_panel
from harness.types import F64, I32, I64, Forecasts, Measured, Samples

if TYPE_CHECKING:
    from harness.panel.spec import PanelSpec
    from harness.samples.rows import OriginMeasures
    from harness.study.study import Study

# The proxies of a measure; the first that the panel's columns and the horizon allow is used.
_BUILT_IN = {
    "rv": ("bv", "pk"),
    **dict.fromkeys(("rvss", "tsrv", "rk"), ("rv", "pk")),
    **dict.fromkeys(("bv", "minrv", "medrv", "jc"), ("rv", "pk")),
    **dict.fromkeys(("cc", "absret"), ("pk", "rv")),
    **dict.fromkeys(("pk", "gk", "rs", "yz"), ("rv",)),
}
# The same for a panel's own columns, by the prefix of their names: rv5 -> a column bv5, medrv, ….
_OWN = {
    "rv": ("bv", "medrv", "rk"),
    **dict.fromkeys(("bv", "medrv", "minrv", "rk", "tsrv"), ("rv",)),
}
_VOLATILITIES = ("sigma", "variance")
_SQUARED = "variance"


@dataclass(frozen=True)
class Proxy:
    """A measure over the verdict's horizon, in `unit`: its column and each symbol's measures.

    `noisy`: it is computed from a single return.
    """

    measure: str
    column: str
    unit: str
    measured: tuple[Measured, ...]
    noisy: bool

    def sigma(self, symbols: Sequence[str], symbol: I32, moments: I64, least: float) -> F64:
        """Sigma per bar over the horizon that ended at each row's moment (n,).

        NaN if unknown or at most `least`: no price moved, or too little for logarithms.
        """
        out = np.full(moments.size, np.nan)
        by_name = {m.symbol: m for m in self.measured}
        for code, name in enumerate(symbols):
            if name in by_name:
                rows = np.flatnonzero(symbol == code)
                out[rows] = _ended_at(by_name[name], self.column, moments[rows])
        if self.unit == _SQUARED:
            out = np.sqrt(np.maximum(out, 0.0))
        out[~(out > least)] = np.nan
        return out


def _ended_at(measured: Measured, column: str, moments: I64) -> F64:
    place = np.searchsorted(measured.known_at, moments)
    place = np.minimum(place, measured.known_at.size - 1)
    there = measured.known_at[place] == moments
    return np.where(there, measured.columns[column][place], np.nan)


def find_proxy(
    study: Study, by_symbol: Sequence[OriginMeasures], horizon: str, *, keep: bool
) -> str | Proxy:
    """The proxy at this horizon, measured if the run has not; or the reason why there is none."""
    target = study.hypothesis.target.measure
    if study.hypothesis.target.window:
        return "none: the target has its own window, which is partly known at the forecast origin"
    bars = study.plan.windows[horizon] // study.plan.interval
    name = choose(study.panel_spec, target, bars)
    if name is None:
        return f"the panel has no other measure of what {target} measures over {horizon}"
    column, noisy = f"{name}_{horizon}", name == "rv" and bars == 1
    if column in study.plan.columns:
        known = tuple(d.measured for d in by_symbol)
        return Proxy(name, column, study.plan.units[column], known, noisy)
    other = _alone(study, name, horizon)
    measured, _, _ = measure_panel(other.panel, other.plan, keep=keep)
    return Proxy(name, column, other.plan.units[column], tuple(measured), noisy)


def choose(spec: PanelSpec, target: str, bars: int) -> str | None:
    """The proxy of `target` over this number of bars; None if there is none."""
    if target in spec.extra_units:
        family = next((f for f in sorted(_OWN, key=len, reverse=True) if target.startswith(f)), "")
        fit = sorted(n for n, unit in spec.extra_units.items() if unit in _VOLATILITIES)
        for begin in _OWN.get(family, ()):
            own = [name for name in fit if name.startswith(begin)]
            if own:
                return own[0]
        return "pk" if family and _allowed(spec, "pk", bars) else None
    return next((name for name in _BUILT_IN.get(target, ()) if _allowed(spec, name, bars)), None)


def _allowed(spec: PanelSpec, name: str, bars: int) -> bool:
    measure = MEASURES[name]
    return set(measure.inputs) <= set(spec.columns) and bars >= measure.minimum_bars


def _alone(study: Study, measure: str, horizon: str) -> Study:
    """The hypothesis on the same panel with this measure alone."""
    h = study.hypothesis
    duration = next(d for d in h.target.horizons if str(d) == horizon)
    sample = h.sample.model_copy(update={"measures": (measure,), "scales": (duration,)})
    target = h.target.model_copy(update={"measure": measure, "horizons": (duration,)})
    return on_panel(replace(h, sample=sample, target=target, models={}), study.panel_spec)


@dataclass(frozen=True)
class Standing:
    """The forecasts with the proxy as outcome, where it is `known` (n,); how it was computed."""

    forecasts: Forecasts
    known: NDArray[np.bool_]
    note: str


def stand_in(
    proxy: Proxy, forecasts: Forecasts, samples: Samples, scale: TargetScale, metric: str
) -> str | Standing:
    """The same forecasts with the proxy as outcome; or the reason why that is impossible."""
    first = forecasts.windows[0]
    train = np.flatnonzero(
        (samples.rows.formed_at >= first.train_start) & (samples.resolved_at <= first.limit)
    )
    where = samples.symbols, samples.rows.symbol[train], samples.resolved_at[train]
    before = proxy.sigma(*where, scale.floor)
    target = scale.sigma(samples.y[train])
    known = np.isfinite(before) & (target > scale.floor)
    if not known.any():
        return f"{proxy.column} is unknown over the first training window"
    kind = METRICS[metric].reads
    factor = _ratio(kind, target[known], before[known])
    rows = forecasts.symbols, forecasts.symbol
    came = proxy.sigma(*rows, forecasts.resolved_at, scale.floor)
    kept = np.isfinite(came)
    if not kept.any():
        return f"{proxy.column} is unknown at every forecast"
    last = proxy.sigma(*rows, forecasts.formed_at, scale.floor)
    y, before = (scale.of_variance(np.square(factor * sigma)) for sigma in (came, last))
    words = {"log": "mean ln σ", "sigma": "mean σ", "variance": "mean variance"}[kind]
    note = "one return per horizon is very noisy, which lowers R² and gains; " * proxy.noisy
    note += f"{proxy.column} times {factor:.4g}, to match the target's {words} on "
    note += f"{int(known.sum()):,} rows of the first training window"
    if not kept.all():
        note += f"; {int(np.sum(~kept)):,} rows left out where it is unknown or at the floor"
    y = np.where(kept, y, forecasts.y)  # rows that are left out need any value but NaN
    return Standing(replace(forecasts, y=y, last=before), kept, note)


def _ratio(kind: str, target: F64, proxy: F64) -> float:
    """The factor from the proxy's sigma to the target's level, by this kind of mean."""
    if kind == "log":
        return math.exp(float(np.log(target).mean() - np.log(proxy).mean()))
    if kind == "sigma":
        return float(target.mean() / proxy.mean())
    return math.sqrt(float(np.square(target).mean() / np.square(proxy).mean()))
