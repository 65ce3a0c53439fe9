"""Losses and backtests of every model's VaR and ES: over all rows, then by symbol."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.scores.losses import Values
from harness.scores.risk.backtests import (
    UNDEFINED,
    Tested,
    acerbi_szekely,
    conditional_coverage,
    dynamic_quantile,
    independence,
    kupiec,
)
from harness.scores.risk.definitions import P_VALUES
from harness.scores.risk.few_violations import few
from harness.scores.risk.forecasts import TailForecast, tail_forecast
from harness.scores.risk.losses import fz_loss, joint_loss, quantile_loss
from harness.types import F64, I64, Forecasts
from harness.walk.residuals.tails import Tails

REJECTED = 0.05  # a p-value below this rejects, when symbols are counted
ALL = "all"
_ROUNDING = 1e-12  # of a rate over its level
_MOST_PATH = 1_000  # forecast origins of a path, for the figure


class RiskRow(NamedTuple):
    """One row of the table `risk`; definitions.py defines the figures.

    `expected` is the number of violations expected in the `tested` rows; `p_values` says what those
    of Kupiec, independence, coverage and DQ are: one of P_VALUES.
    """

    horizon: str
    model: str
    residuals: str
    level: float
    symbol: str
    n: int
    violations: int
    rate: float
    quantile_loss: float
    joint_loss: float
    fz_loss: float
    scale: float
    dof: float
    tested: int
    kupiec: float
    kupiec_p: float
    independence: float
    independence_p: float
    coverage: float
    coverage_p: float
    dq: float
    dq_p: float
    z1: float
    z1_p: float
    z2: float
    z2_p: float
    expected: float
    p_values: str


class WinRow(NamedTuple):
    """One row of the table `risk_wins`: a model against the baseline, over the symbols.

    Of `symbols`, `wins` have a lower joint loss, `quantile_wins` a lower quantile loss, `rate_wins`
    a violation rate closer to the level and `rate_ties` one equally close. Kupiec's test rejects
    the rate for `rejected` of `tested`.
    """

    horizon: str
    model: str
    residuals: str
    level: float
    baseline: str
    wins: int
    symbols: int
    rejected: int
    tested: int
    quantile_wins: int
    rate_wins: int
    rate_ties: int


class PathRow(NamedTuple):
    """One row of the table `risk_path`: the return over the horizon, its VaR and ES."""

    horizon: str
    model: str
    residuals: str
    level: float
    symbol: str
    formed_at: int
    realised: float
    var: float
    es: float


@dataclass(frozen=True)
class Risk:
    """All tables of one horizon; `paths` are the last origins of one symbol, for a figure."""

    rows: tuple[RiskRow, ...]
    wins: tuple[WinRow, ...]
    paths: tuple[PathRow, ...]


def assess(
    forecasts: Forecasts,
    models: Mapping[str, Values],
    tails: Tails,
    *,
    baseline: str,
    seed: int,
    drawn: Collection[str] = (),
    shown: tuple[int, int] = (0, 0),
) -> Risk:
    """Losses, backtests and wins of every model, residual distribution and level.

    Paths are kept for the models `drawn`, with the distribution and at the level `shown`, by their
    places in `tails`: by default the first distribution at the lowest level.

    Rates and losses cover every row whose return is known. Tests use origins whose targets do not
    overlap, and one symbol each: a test across the symbols of a day would assume that they are
    independent, which they are not.
    """
    rows: list[RiskRow] = []
    paths: list[PathRow] = []
    for model, values in models.items():
        for law, residuals in enumerate(tails.residuals):
            for place, level in enumerate(tails.levels):
                found = tail_forecast(forecasts, model, values, tails, law, place)
                head = forecasts.horizon, model, residuals, level
                rows += _rows(head, forecasts, found, seed)
                if model in drawn and (law, place) == shown:
                    paths += _path(head, forecasts, found)
    return Risk(tuple(rows), tuple(_wins(rows, baseline)), tuple(paths))


def _rows(
    head: tuple[str, str, str, float], forecasts: Forecasts, found: TailForecast, seed: int
) -> Iterator[RiskRow]:
    """Over all rows, then by symbol if there are several."""
    y = _returns(forecasts)
    known = np.isfinite(y) & np.isfinite(found.var)
    several = len(forecasts.symbols) > 1
    groups = {ALL: np.flatnonzero(known)}
    if several:
        groups |= {
            symbol: np.flatnonzero(known & (forecasts.symbol == code))
            for code, symbol in enumerate(forecasts.symbols)
        }
    for symbol, rows in groups.items():
        apart = rows[:0] if several and symbol == ALL else _apart(forecasts, rows)
        figures, tests = _figures(y[rows], found, rows), _tests(y, found, apart, seed)
        yield RiskRow(
            *head,
            symbol,
            n=figures.n,
            violations=figures.violations,
            rate=figures.rate,
            quantile_loss=figures.quantile_loss,
            joint_loss=figures.joint_loss,
            fz_loss=figures.fz_loss,
            scale=figures.scale,
            dof=figures.dof,
            tested=apart.size,
            kupiec=tests.kupiec.statistic,
            kupiec_p=tests.kupiec.p_value,
            independence=tests.independence.statistic,
            independence_p=tests.independence.p_value,
            coverage=tests.coverage.statistic,
            coverage_p=tests.coverage.p_value,
            dq=tests.dq.statistic,
            dq_p=tests.dq.p_value,
            z1=tests.z1.statistic,
            z1_p=tests.z1.p_value,
            z2=tests.z2.statistic,
            z2_p=tests.z2.p_value,
            expected=apart.size * found.level,
            p_values=_kind(apart.size, found.level),
        )


def _kind(tested: int, level: float) -> str:
    none, own, chi2 = P_VALUES
    if not tested:
        return none
    return own if few(tested, level) else chi2


def _returns(forecasts: Forecasts) -> F64:
    assert forecasts.returns is not None, "a hypothesis with [risk] reads returns"
    return forecasts.returns


def _apart(forecasts: Forecasts, rows: I64) -> I64:
    """The rows of one symbol whose targets do not overlap: each starts when the last has ended."""
    if not forecasts.overlap or not rows.size:
        return rows
    formed, resolved = forecasts.formed_at[rows], forecasts.resolved_at[rows]
    following = np.searchsorted(formed, resolved).tolist()
    taken, at = [], 0
    while at < rows.size:
        taken.append(at)
        at = following[at]
    return rows[taken]


class _Figures(NamedTuple):
    """The columns of RiskRow from `n` to `dof`; the defaults are those of no row."""

    n: int = 0
    violations: int = 0
    rate: float = math.nan
    quantile_loss: float = math.nan
    joint_loss: float = math.nan
    fz_loss: float = math.nan
    scale: float = math.nan
    dof: float = math.nan


def _figures(y: F64, found: TailForecast, rows: I64) -> _Figures:
    if not rows.size:
        return _Figures()
    var, es, level = found.var[rows], found.es[rows], found.level
    violations = int(np.sum(y < var))
    return _Figures(
        n=rows.size,
        violations=violations,
        rate=violations / rows.size,
        quantile_loss=float(np.mean(quantile_loss(y, level, var))),
        joint_loss=float(np.mean(joint_loss(y, level, var, es))),
        fz_loss=float(np.mean(fz_loss(y, level, var, es))),
        scale=float(np.mean(found.scale[rows])),
        dof=float(np.mean(found.dof[rows])),
    )


class _Tests(NamedTuple):
    """The backtests of RiskRow, from `kupiec` to `z2`."""

    kupiec: Tested = UNDEFINED
    independence: Tested = UNDEFINED
    coverage: Tested = UNDEFINED
    dq: Tested = UNDEFINED
    z1: Tested = UNDEFINED
    z2: Tested = UNDEFINED


def _tests(y: F64, found: TailForecast, rows: I64, seed: int) -> _Tests:
    if not rows.size:
        return _Tests()
    y, var, es = y[rows], found.var[rows], found.es[rows]
    hits, level = y < var, found.level
    z1, z2 = acerbi_szekely(y, hits, level, es, found.shapes(rows), seed)
    return _Tests(
        kupiec=kupiec(hits, level),
        independence=independence(hits, level),
        coverage=conditional_coverage(hits, level),
        dq=dynamic_quantile(hits, level, var, seed),
        z1=z1,
        z2=z2,
    )


def _wins(rows: list[RiskRow], baseline: str) -> Iterator[WinRow]:
    """Wins over the symbols by horizon, model, distribution and level; none for one symbol."""
    groups: dict[tuple[str, str, str, float], list[RiskRow]] = {}
    for row in rows:
        if row.symbol != ALL:
            groups.setdefault(row[:4], []).append(row)
    for (horizon, model, residuals, level), own in groups.items():
        against = groups[horizon, baseline, residuals, level]
        pairs = list(zip(own, against, strict=True))
        losses = np.array([(r.joint_loss, b.joint_loss) for r, b in pairs])
        compared = np.isfinite(losses).all(axis=1)
        ticks = np.array([(r.quantile_loss, b.quantile_loss) for r, b in pairs])[compared]
        off = np.abs(np.array([(r.rate, b.rate) for r, b in pairs])[compared] / level - 1.0)
        tied = np.abs(off[:, 0] - off[:, 1]) <= _ROUNDING
        p = np.array([r.kupiec_p for r in own])
        yield WinRow(
            horizon,
            model,
            residuals,
            level,
            baseline,
            wins=int(np.sum(losses[compared, 0] < losses[compared, 1])),
            symbols=int(compared.sum()),
            rejected=int(np.sum(p < REJECTED)),
            tested=int(np.isfinite(p).sum()),
            quantile_wins=int(np.sum(ticks[:, 0] < ticks[:, 1])),
            rate_wins=int(np.sum((off[:, 0] < off[:, 1]) & ~tied)),
            rate_ties=int(np.sum(tied)),
        )


def _path(
    head: tuple[str, str, str, float], forecasts: Forecasts, found: TailForecast
) -> Iterator[PathRow]:
    """The last origins of the symbol with the most rows; the first such symbol in a tie."""
    code = int(np.bincount(forecasts.symbol).argmax())
    rows = np.flatnonzero(forecasts.symbol == code)[-_MOST_PATH:]
    columns = (forecasts.formed_at, _returns(forecasts), found.var, found.es)
    values = zip(*(column[rows].tolist() for column in columns), strict=True)
    return (PathRow(*head, forecasts.symbols[code], *own) for own in values)
