"""The tests of one horizon's forecasts against the baseline, as the card shows them."""

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

_MOST = 1e150  # largest sum of squares that a test can use
_LINEAR = ("ols", "wls", "log-ols", "harq")


@dataclass(frozen=True)
class Finding:
    """One test of one model; inference/table.py defines its figures.

    `quantity` is what is tested: the metric, `ln sigma`, `ln variance`, `sigma` or `variance`. `r2`
    and `a` are Mincer & Zarnowitz's; the interval, `block` (mean length in origins) and `draws` are
    the bootstrap's; `instruments` are those of the conditional test. None if not applicable.
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
    """The input of the tests at one horizon: series of n rows in time order, and settings.

    `nested` are the candidates that have all features of the baseline; `log_target`: the target is
    a logarithm; `unit`: its measure is a `sigma` or a `variance`.
    """

    outcome: Values
    models: Mapping[str, Values]
    formed_at: I64
    resolved_at: I64
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
    """All fast tests: bootstrap, Giacomini-White, Clark-West, encompassing, Mincer-Zarnowitz.

    `known` are instruments by name, (n,) each, known at each row's origin; they replace the lagged
    loss difference (the name `lag` adds it back; its values are ignored). A model whose losses or
    forecasts are not finite, or too large to square, is left out of the tests that need them.
    """
    origins = by_origin(c.formed_at)
    with np.errstate(over="ignore", invalid="ignore"):
        found = [*_bootstrap(c, origins)]
        for name in c.candidates:
            found += _giacomini_white(c, name, origins, known)
        for name in c.candidates:
            found += _pairs(c, name, origins)
        for name in c.models:
            found += _calibration(c, name, origins)
    return tuple(found)


def nests(candidate: Mapping[str, Any], baseline: Mapping[str, Any]) -> bool:
    """Whether a linear model has all of another's features and more, with all else equal.

    Both are as in a record's settings: `kind`, `features` and parameters. A `harq` adds a term to
    the `ols` on its features.
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
    """The loss of every row (n,), lower is better, whose mean orders models as the metric does.

    A metric without a loss, such as a correlation, has one to first order: the figure plus its
    influence values, with the sign changed if higher is better.
    """
    m = METRICS[metric]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if m.loss is not None:
            return m.losses(outcome, f)
        to_first_order = m.influence(outcome, f) + m.figure(outcome, f)
        return -to_first_order if m.higher else to_first_order


def _bootstrap(c: Compared, origins: ForecastOrigins) -> Iterator[Finding]:
    gains = bootstrap_gains(
        c.outcome,
        c.models,
        baseline=c.baseline,
        candidates=c.candidates,
        metric=c.metric,
        gain_as=c.gain_as,
        overlap=c.overlap,
        origins=origins,
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
    c: Compared, name: str, origins: ForecastOrigins, known: Mapping[str, F64] | None
) -> Iterator[Finding]:
    losses = (loss_series(c.outcome, c.models[m], c.metric) for m in (c.baseline, name))
    d = np.subtract(*losses)
    if not _usable(d):
        return
    d = origins.averages(d)
    last = origins.last_known(c.formed_at, c.resolved_at)
    given, words = _instruments(d, last, origins, known)
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
    d: F64, last: I64, origins: ForecastOrigins, known: Mapping[str, F64] | None
) -> tuple[F64, str]:
    """Instruments by forecast origin (t, q), those of a panel averaged, and their names."""
    default = lagged(d, last)
    if known is None:
        return default, "constant, lag"
    columns = [default[:, 0]]
    for name, values in known.items():
        columns.append(default[:, 1] if name == "lag" else _averages(origins, values))
    return np.column_stack(columns), ", ".join(("constant", *known))


def _averages(origins: ForecastOrigins, values: F64) -> F64:
    """Averages by forecast origin of the finite values; NaN where there is none."""
    there = np.isfinite(values)
    count = origins.sums(there.astype(np.float64))
    sums = origins.sums(np.where(there, values, 0.0))
    return np.divide(sums, count, out=np.full(origins.n, np.nan), where=count > 0.0)


def _pairs(c: Compared, name: str, origins: ForecastOrigins) -> Iterator[Finding]:
    """Clark-West if the baseline is nested, and encompassing, on the target's scale."""
    y, base, own = (v.y for v in (c.outcome, c.models[c.baseline], c.models[name]))
    if not _usable(y, base, own):
        return
    on = _scale(c)
    if name in c.nested:
        adjusted = origins.averages(adjusted_differences(y, base, own))
        w = clark_west(adjusted, c.overlap)
        yield Finding(
            "clark-west", name, c.baseline, on, w.adjusted, w.statistic, w.p_value, w.n, c.overlap,
            w.cosines,
        )  # fmt: skip
    e = encompassing(y, base, own, c.overlap, origins)
    yield Finding(
        "encompassing", name, c.baseline, on, e.weight, e.statistic, e.p_value, e.n, c.overlap,
        e.cosines, standard_error=e.standard_error,
    )  # fmt: skip


def _calibration(c: Compared, name: str, origins: ForecastOrigins) -> Iterator[Finding]:
    """Mincer-Zarnowitz: for a log target in ln sigma and in variance, else in its own unit."""
    series: dict[str, Callable[[Values], F64]] = {
        "ln sigma": lambda v: v.log_sigma,
        "sigma": lambda v: v.sigma,
        "variance": lambda v: v.variance,
    }
    for on in ("ln sigma", "variance") if c.log_target else (c.unit,):
        y, f = series[on](c.outcome), series[on](c.models[name])
        if _usable(y, f):
            z = mincer_zarnowitz(y, f, c.overlap, origins)
            yield Finding(
                "mincer-zarnowitz", name, None, on, z.b, z.statistic, z.p_value, z.n, c.overlap,
                z.cosines, a=z.a, r2=z.r2,
            )  # fmt: skip


def _scale(c: Compared) -> str:
    return f"ln {c.unit}" if c.log_target else c.unit


def _usable(*series: F64) -> bool:
    return all(values @ values < _MOST for values in series)
