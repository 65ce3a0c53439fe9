"""Describes a panel's volatility: a measure over time, its statistics and its roughness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from harness.describe import roughness
from harness.describe.statistics import Statistics, describe_values
from harness.durations import Duration, show_moment
from harness.errors import SpecError, UsageError, nearest
from harness.measures.cascade import CascadePlan, plan_cascade
from harness.measures.table import MEASURES
from harness.panel.panel import Panel, open_panel
from harness.panel.selection import Selection
from harness.panel.spec import PanelSpec
from harness.samples.measured import PanelFacts, measure_panel
from harness.types import F64, I64, Measured

_WHO = "harness describe"
_OPTIONS = {
    "sample.every": "--every",
    "sample.scales[0]": "--scale",
    "target.horizons[0]": "--scale",
    "sample.measures": "--measure",
}


@dataclass(frozen=True)
class Question:
    """What to describe: `measure` over windows of `scale`, one value at every multiple of `every`.

    `start` inclusive, `end` exclusive, UTC ns or None; `symbol` is one of the panel's, None: all.
    """

    measure: str
    scale: Duration
    every: Duration
    start: int | None = None
    end: int | None = None
    symbol: str | None = None


@dataclass(frozen=True)
class SymbolFacts:
    """One symbol: ln sigma (n,) at `times` (n,) UTC ns, and its statistics.

    `zeros` values of 0 were left out (0 has no logarithm); the values before and after count as
    one step apart. `moments` is H from the moments 0.5 to 3, `zeta` their exponents.
    """

    symbol: str
    times: I64
    log_sigma: F64
    zeros: int
    level: Statistics
    log: Statistics
    laws: Mapping[str, roughness.Scaling]
    moments: float
    zeta: Mapping[float, float]

    def as_dict(self) -> dict[str, Any]:
        """The statistics as JSON values, without the series."""
        laws = {
            name: {
                "exponent": law.exponent,
                "standard_error": law.standard_error,
                "r2": law.r2,
                "hurst": law.hurst if np.isfinite(law.hurst) else None,
            }
            for name, law in self.laws.items()
        }
        return {
            "symbol": self.symbol,
            "start": show_moment(int(self.times[0])),
            "end": show_moment(int(self.times[-1])),
            "zeros": self.zeros,
            "sigma": asdict(self.level),
            "log_sigma": asdict(self.log),
            "roughness": laws,
            "hurst_by_moments": self.moments,
        }


@dataclass(frozen=True)
class Description:
    """All described symbols, and by name the reason why the others were left out."""

    spec: PanelSpec
    question: Question
    facts: PanelFacts
    symbols: tuple[SymbolFacts, ...]
    left_out: Mapping[str, str]


def default_measure(spec: PanelSpec, scale: Duration) -> str:
    """rv if the scale has two or more bars, else the best range that the columns allow, or rv.

    For a panel without prices it is the first extra column that is a volatility.
    """
    columns = set(spec.columns)
    if "close" in columns and scale.ns > spec.bar.ns:
        return "rv"
    for name in ("gk", "pk", "rv"):
        if set(MEASURES[name].inputs) <= columns:
            return name
    fit = [name for name, unit in spec.extra_units.items() if unit != "none"]
    return fit[0] if fit else "rv"


def describe_volatility(
    spec: PanelSpec, question: Question, *, progress: Callable[[str], None] = lambda _: None
) -> Description:
    """Measure the panel and describe ln sigma of every symbol.

    A symbol with bad bars is left out with its reason, also if the panel says `on_bad = "refuse"`.
    Raises UsageError for a measure, duration, span or symbol that does not fit, and if no symbol
    has 500 values; PanelError for files that cannot be read.
    """
    plan, spec = _plan(spec, question), replace(spec, on_bad="exclude")
    panel = _open(spec, question, plan)
    measured, facts, _ = measure_panel(panel, plan, progress=progress)
    found = []
    left_out = {e.symbol: e.reason for e in facts.excluded}
    for one in measured:
        try:
            found.append(_describe(one, plan))
        except ValueError as error:
            left_out[one.symbol] = str(error)
        progress(f"described {one.symbol}")
    if not found:
        symbol, why = next(iter(left_out.items()))
        raise UsageError(f"{spec.file}: {symbol}: {why}")
    return Description(spec, question, facts, tuple(found), left_out)


def _plan(spec: PanelSpec, question: Question) -> CascadePlan:
    """One measure over one scale; errors name the command's options."""
    units = {**{m.name: m.unit for m in MEASURES.values()}, **spec.extra_units}
    name = question.measure
    fit = [m for m, unit in units.items() if unit != "none"]
    if name not in fit:
        close = nearest(name, fit)
        wanted = f"a volatility or a variance: {', '.join(fit)}"
        raise SpecError(_WHO, "--measure", got=name, wanted=wanted, nearest=close)
    try:
        plan = plan_cascade(
            _WHO,
            bar=spec.bar.ns,
            calendar=spec.calendar,
            every=question.every,
            scales=[question.scale],
            horizons=[question.scale],
            measures=[name],
            target="rv",
            extra=spec.extra_units,
            bipower_edge="inside",
        )
    except SpecError as error:
        raise UsageError(str(error).replace(error.key, _OPTIONS[error.key])) from None
    # The plan of a run also has a target measured from one origin to the next; not needed here.
    scale = str(question.scale)
    return replace(
        plan, columns={f"{name}_{scale}": (name, scale)}, windows={scale: plan.windows[scale]}
    )


def _open(spec: PanelSpec, question: Question, plan: CascadePlan) -> Panel:
    select = None if question.symbol is None else Selection(_WHO, (question.symbol,))
    try:
        return open_panel(
            spec, start=question.start, end=question.end, columns=plan.inputs, select=select
        )
    except SpecError as error:
        raise UsageError(str(error).replace("panel.symbols[0]", "--symbol")) from None


def _describe(measured: Measured, plan: CascadePlan) -> SymbolFacts:
    """ValueError with a reason for the user if ln sigma cannot be described."""
    ((column, unit),) = plan.units.items()
    at = measured.origins
    values, times = measured.columns[column][at], measured.known_at[at]
    full = np.isfinite(values) & (values >= 0)
    values, times = values[full], times[full]
    sigma = np.sqrt(values) if unit == "variance" else values
    moves = sigma > 0
    zeros = int(values.size - moves.sum())
    if values.size and not moves.any():
        raise ValueError(f"every {column} is 0: the price never moves")
    if moves.sum() < roughness.LEAST:
        without = f" and {zeros:,} of 0, which has no logarithm" if zeros else ""
        raise ValueError(
            f"got {int(moves.sum()):,} values of {column}{without}, wanted {roughness.LEAST} or "
            "more: take a longer span or a shorter --every"
        )
    sigma, times = sigma[moves], times[moves]
    if sigma.min() == sigma.max():
        raise ValueError(f"every {column} is {sigma[0]:.6g}: nothing to describe")
    log_sigma = np.log(sigma)
    moments, zeta = roughness.moment_scaling(log_sigma)
    return SymbolFacts(
        symbol=measured.symbol,
        times=times,
        log_sigma=log_sigma,
        zeros=zeros,
        level=describe_values(sigma),
        log=describe_values(log_sigma),
        laws={name: law(log_sigma) for name, law in roughness.METHODS.items()},
        moments=moments,
        zeta=zeta,
    )
