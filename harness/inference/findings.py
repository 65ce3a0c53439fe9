"""The tests of one horizon's forecasts, each model against the baseline: what a card shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.inference.bootstrap import DRAWS, bootstrap_gains
from harness.inference.comparison import (
    adjusted_differences,
    clark_west,
    giacomini_white,
    lagged,
)
from harness.inference.evidence import GainAs
from harness.inference.rationality import encompassing, mincer_zarnowitz
from harness.scores.forecast_origins import ForecastOrigins, by_origin
from harness.scores.losses import Values
from harness.scores.metrics import METRICS
from harness.types import F64, I64

_MOST = 1e150  # sums of squares of what a test can compute with
_LINEAR = ("ols", "wls", "log-ols", "harq")


@dataclass(frozen=True)
class Finding:
    """One test of one model, as ability/table.py defines its figures.

    `quantity` says of what: the metric, `ln sigma`, `ln variance`, `sigma` or `variance`. `r2`
    and `a` are Mincer & Zarnowitz's; the interval, `block` (mean length in decisions) and `draws`
    the bootstrap's; `instruments` those of the conditional test. None where there is none.
    """

    test: str
    model: str
    baseline: str | None
    quantity: str
    effect: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    cosines: int | None = None
    a: float | None = None
    r2: float | None = None
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    block: float | None = None
    draws: int | None = None
    instruments: str | None = None


@dataclass(frozen=True)
class Compared:
    """What the tests read of one horizon: series of n rows in time order, and the settings.

    `nested` are the candidates that hold all features of the baseline; `log_target` says that
    the target is a logarithm, `unit` whether its measure is a `sigma` or a `variance`.
    """

    outcome: Values
    models: Mapping[str, Values]
    formed_at: I64
    overlap: int
    baseline: str
    candidates: tuple[str, ...]
    metric: str
    gain_as: GainAs
    log_target: bool
    unit: str
    nested: tuple[str, ...] = ()
    level: float = 0.9
    draws: int = DRAWS
    seed: int = 0


def findings(c: Compared, known: Mapping[str, F64] | None = None) -> tuple[Finding, ...]:
    """Every cheap test: the bootstrap, Giacomini-White, Clark-West, encompassing, calibration.

    `known` are instruments by their names, (n,) each, known at each row's decision, instead of
    the lagged loss difference (`lag` among the names asks for it too; its values do not count).
    A model whose losses or forecasts are not finite, or too large to be squared, is left out of
    the tests that would need them.
    """
    dates = by_origin(c.formed_at)
    with np.errstate(over="ignore", invalid="ignore"):
        found = [*_bootstrap(c, dates)]
        for name in c.candidates:
            found += _giacomini_white(c, name, dates, known)
        for name in c.candidates:
            found += _pairs(c, name, dates)
        for name in c.models:
            found += _calibration(c, name, dates)
    return tuple(found)


def nests(candidate: Mapping[str, Any], baseline: Mapping[str, Any]) -> bool:
    """Whether a linear model holds all of another's features and more, all else being equal.

    Both as a record's settings state models: `kind`, `features` and parameters. A `harq` adds a
    term to the `ols` on its features.
    """
    own, its = set(candidate.get("features") or ()), set(baseline.get("features") or ())
    kinds = candidate["kind"], baseline["kind"]
    if kinds == ("harq", "ols"):
        same = ("intercept", "scope", "refit")
        alike = all(candidate.get(key) == baseline.get(key) for key in same)
        return its <= own and bool(its) and alike
    rest = (
        {key: value for key, value in model.items() if key != "features"}
        for model in (candidate, baseline)
    )
    first, second = rest
    return kinds[0] in _LINEAR and its < own and bool(its) and first == second


def loss_series(outcome: Values, f: Values, metric: str) -> F64:
    """The loss of every row (n,), less for better, whose mean orders models as the metric does.

    A metric without a loss of its own, a correlation say, has one to first order: its influence
    values, turned round, about the figure itself.
    """
    m = METRICS[metric]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if m.loss is not None:
            return m.losses(outcome, f)
        to_first_order = m.influence(outcome, f) + m.figure(outcome, f)
        return -to_first_order if m.higher else to_first_order


def _bootstrap(c: Compared, dates: ForecastOrigins) -> Iterator[Finding]:
    gains = bootstrap_gains(
        c.outcome,
        c.models,
        baseline=c.baseline,
        candidates=c.candidates,
        metric=c.metric,
        gain_as=c.gain_as,
        overlap=c.overlap,
        dates=dates,
        level=c.level,
        draws=c.draws,
        seed=c.seed,
    )
    for name, g in gains.items():
        yield Finding(
            "bootstrap", name, c.baseline, c.metric, g.gain, g.statistic, g.p_value, g.n, g.overlap,
            standard_error=g.standard_error, low=g.low, high=g.high, level=g.level, block=g.block,
            draws=g.draws,
        )  # fmt: skip


def _giacomini_white(
    c: Compared, name: str, dates: ForecastOrigins, known: Mapping[str, F64] | None
) -> Iterator[Finding]:
    losses = (loss_series(c.outcome, c.models[m], c.metric) for m in (c.baseline, name))
    d = np.subtract(*losses)
    if not _usable(d):
        return
    d = dates.averages(d)
    given, words = _instruments(d, c.overlap, dates, known)
    for test, h, what in (
        ("giacomini-white", None, None),
        ("giacomini-white-conditional", given, words),
    ):
        g = giacomini_white(d, c.overlap, h)
        yield Finding(
            test, name, c.baseline, c.metric, g.difference, g.statistic, g.p_value, g.n, c.overlap,
            g.cosines, instruments=what,
        )  # fmt: skip


def _instruments(
    d: F64, overlap: int, dates: ForecastOrigins, known: Mapping[str, F64] | None
) -> tuple[F64, str]:
    """The instruments by decision time (t, q), those of a panel averaged, and their names."""
    default = lagged(d, overlap)
    if known is None:
        return default, "constant, lag"
    columns = [default[:, 0]]
    for name, values in known.items():
        columns.append(default[:, 1] if name == "lag" else _averages(dates, values))
    return np.column_stack(columns), ", ".join(("constant", *known))


def _averages(dates: ForecastOrigins, values: F64) -> F64:
    """Averages by decision time of what is known there; NaN where nothing is."""
    there = np.isfinite(values)
    count = dates.sums(there.astype(np.float64))
    sums = dates.sums(np.where(there, values, 0.0))
    return np.divide(sums, count, out=np.full(dates.n, np.nan), where=count > 0.0)


def _pairs(c: Compared, name: str, dates: ForecastOrigins) -> Iterator[Finding]:
    """Clark-West where the baseline is nested, and encompassing, on the target's scale."""
    y, base, own = (v.y for v in (c.outcome, c.models[c.baseline], c.models[name]))
    if not _usable(y, base, own):
        return
    on = _scale(c)
    if name in c.nested:
        adjusted = dates.averages(adjusted_differences(y, base, own))
        w = clark_west(adjusted, c.overlap)
        yield Finding(
            "clark-west", name, c.baseline, on, w.adjusted, w.statistic, w.p_value, w.n, c.overlap,
            w.cosines,
        )  # fmt: skip
    e = encompassing(y, base, own, c.overlap, dates)
    yield Finding(
        "encompassing", name, c.baseline, on, e.weight, e.statistic, e.p_value, e.n, c.overlap,
        e.cosines, standard_error=e.standard_error,
    )  # fmt: skip


def _calibration(c: Compared, name: str, dates: ForecastOrigins) -> Iterator[Finding]:
    """Mincer-Zarnowitz: of a log target in ln sigma and in variance, else in its own unit."""
    series: dict[str, Callable[[Values], F64]] = {
        "ln sigma": lambda v: v.log_sigma,
        "sigma": lambda v: v.sigma,
        "variance": lambda v: v.variance,
    }
    for on in ("ln sigma", "variance") if c.log_target else (c.unit,):
        y, f = series[on](c.outcome), series[on](c.models[name])
        if _usable(y, f):
            z = mincer_zarnowitz(y, f, c.overlap, dates)
            yield Finding(
                "mincer-zarnowitz", name, None, on, z.b, z.statistic, z.p_value, z.n, c.overlap,
                z.cosines, a=z.a, r2=z.r2,
            )  # fmt: skip


def _scale(c: Compared) -> str:
    return f"ln {c.unit}" if c.log_target else c.unit


def _usable(*series: F64) -> bool:
    return all(values @ values < _MOST for values in series)
