"""Scores of every model's forecast distributions: over all rows, by symbol, by window."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from harness.scores.distribution.adaptive import adapted_rows, quantiles_of_rows
from harness.scores.distribution.scores import crps_and_pit, interval_score, laws_of_rows, pinball
from harness.types import F64, I64, Forecasts
from harness.walk.residuals.laws import ADAPTIVE, COUNT, MIDDLES, Laws

BINS = 10  # of the PIT
_MOST_FAN = 120  # forecast origins of a fan chart


class DistributionRow(NamedTuple):
    """One row of `distribution`: CRPS, and pinball loss over the levels; see definitions.py.

    `scope` is pooled, symbol or window; `name` is all, the symbol or the window from 0.
    `calibrated` is the mean number of residuals behind the distributions of these n rows.
    """

    horizon: str
    model: str
    law: str
    scope: str
    name: str
    n: int
    calibrated: float
    crps: float
    pinball: float


class QuantileRow(NamedTuple):
    """One row of `quantiles`: one level, over all rows or those of a symbol."""

    horizon: str
    model: str
    law: str
    level: float
    scope: str
    name: str
    n: int
    below: float
    pinball: float


class CoverageRow(NamedTuple):
    """One row of `coverage`: the central interval of nominal coverage `stated`."""

    horizon: str
    model: str
    law: str
    stated: float
    scope: str
    name: str
    n: int
    covered: float
    width: float
    interval_score: float


class PitRow(NamedTuple):
    """One row of `pit`: the bin from `low` to `high`, over all rows."""

    horizon: str
    model: str
    law: str
    low: float
    high: float
    count: int  # type: ignore[assignment]  # the log's column; tuple.count is hidden
    share: float


class FanRow(NamedTuple):
    """One row of `fan`: the quantile at a level, the forecast and the outcome y at an origin."""

    horizon: str
    model: str
    law: str
    symbol: str
    formed_at: int
    level: float
    quantile: float
    yhat: float
    y: float


@dataclass(frozen=True)
class Distributions:
    """All tables of one horizon; `fans` are the last origins of one symbol, for a figure."""

    rows: tuple[DistributionRow, ...]
    quantiles: tuple[QuantileRow, ...]
    coverage: tuple[CoverageRow, ...]
    pits: tuple[PitRow, ...]
    fans: tuple[FanRow, ...]


class Interval(NamedTuple):
    """A central interval: its nominal coverage, the positions of its two levels."""

    stated: float
    low: int
    high: int


def intervals(levels: tuple[float, ...]) -> list[Interval]:
    """The pairs of levels p and 1 - p among the ascending levels, the widest interval first."""
    found = []
    for low, p in enumerate(levels):
        high = [k for k, q in enumerate(levels) if abs(1.0 - p - q) < 1e-9]
        if p < 0.5 and high:
            found.append(Interval(round(1.0 - 2.0 * p, 9), low, high[0]))
    return found


def assess(forecasts: Forecasts, laws: Laws, *, drawn: Collection[str] = ()) -> Distributions:
    """Scores of every model's distributions; rows of fits with too few residuals are left out.

    Fans are kept for the models `drawn`, with the first distribution.
    """
    found = Distributions((), (), (), (), ())
    for model in forecasts.yhat:
        for law in range(len(laws.laws)):
            scored = _Scored.of(forecasts, model, laws, law)
            head = forecasts.horizon, model, laws.laws[law]
            fan = _fan(head, forecasts, scored) if model in drawn and law == 0 else ()
            found = Distributions(
                (*found.rows, *_rows(head, forecasts, scored)),
                (*found.quantiles, *_quantiles(head, forecasts, scored)),
                (*found.coverage, *_coverage(head, forecasts, scored)),
                (*found.pits, *_pits(head, scored)),
                (*found.fans, *fan),
            )
    return found


@dataclass(frozen=True)
class _Scored:
    """Scores of one model and distribution by row (n, …), NaN where there is no distribution.

    `r` (n,) are residuals, `quantiles` (n, L) their quantiles; `intervals` (n, I, 3) hold covered,
    width and interval score.
    """

    laws: Laws
    calibrated: F64
    r: F64
    quantiles: F64
    crps: F64
    pit: F64
    pinball: F64
    intervals: F64

    @classmethod
    def of(cls, forecasts: Forecasts, model: str, laws: Laws, law: int) -> _Scored:
        own, place = laws_of_rows(forecasts.fits[model], forecasts, law)
        r = forecasts.y - forecasts.yhat[model]
        quantiles = quantiles_of_rows(forecasts, model, laws, law)
        central = intervals(laws.levels)
        columns = np.empty((r.size, len(central), 3))
        for k, (_, low, high) in enumerate(central):
            ends = quantiles[:, low], quantiles[:, high]
            columns[:, k, 0] = (ends[0] <= r) & (r <= ends[1])
            columns[:, k, 1] = ends[1] - ends[0]
            columns[:, k, 2] = interval_score(r, *ends, laws.levels[low])
        return cls(
            laws,
            own[place, COUNT],
            r,
            quantiles,
            *_whole(forecasts, model, laws, law),
            pinball(r, quantiles, np.array(laws.levels)),
            columns,
        )

    @property
    def known(self) -> np.ndarray:
        """Which rows have a distribution (n,)."""
        return np.isfinite(self.calibrated)


def _whole(forecasts: Forecasts, model: str, laws: Laws, law: int) -> tuple[F64, F64]:
    """CRPS and PIT of every row (n,); an adaptive distribution is made symbol by symbol."""
    own, place = laws_of_rows(forecasts.fits[model], forecasts, law)
    own, r = own[:, 1 + len(laws.levels) :], forecasts.y - forecasts.yhat[model]
    if laws.laws[law] != ADAPTIVE:
        return crps_and_pit(r, own, place)
    crps, pit = np.empty(r.size), np.empty(r.size)
    for code in range(len(forecasts.symbols)):
        rows = np.flatnonzero(forecasts.symbol == code)
        shares = adapted_rows(forecasts, r, own, place, rows, MIDDLES)
        crps[rows], pit[rows] = crps_and_pit(r[rows], shares, np.arange(rows.size))
    return crps, pit


def _groups(
    forecasts: Forecasts, known: np.ndarray, *, windows: bool
) -> Iterator[tuple[str, str, I64]]:
    """All rows with a distribution, then by symbol if there are several, then by window."""
    yield "pooled", "all", np.flatnonzero(known)
    if len(forecasts.symbols) > 1:
        for code, symbol in enumerate(forecasts.symbols):
            yield "symbol", symbol, np.flatnonzero(known & (forecasts.symbol == code))
    if windows:
        for k, (a, b) in enumerate(pairwise(forecasts.edges.tolist())):
            yield "window", str(k), a + np.flatnonzero(known[a:b])


def _mean(values: F64, rows: I64) -> F64:
    """The mean over some rows of (n, …); NaN over none."""
    return values[rows].mean(axis=0) if rows.size else np.full(values.shape[1:], np.nan)


_Head = tuple[str, str, str]


def _rows(head: _Head, forecasts: Forecasts, s: _Scored) -> Iterator[DistributionRow]:
    each = np.column_stack((s.calibrated, s.crps, s.pinball.mean(axis=1)))
    for scope, name, rows in _groups(forecasts, s.known, windows=True):
        yield DistributionRow(*head, scope, name, rows.size, *_mean(each, rows).tolist())


def _quantiles(head: _Head, forecasts: Forecasts, s: _Scored) -> Iterator[QuantileRow]:
    below = (s.r[:, None] <= s.quantiles).astype(np.float64)
    for scope, name, rows in _groups(forecasts, s.known, windows=False):
        figures = zip(_mean(below, rows).tolist(), _mean(s.pinball, rows).tolist(), strict=True)
        for level, own in zip(s.laws.levels, figures, strict=True):
            yield QuantileRow(*head, level, scope, name, rows.size, *own)


def _coverage(head: _Head, forecasts: Forecasts, s: _Scored) -> Iterator[CoverageRow]:
    central = intervals(s.laws.levels)
    for scope, name, rows in _groups(forecasts, s.known, windows=True):
        for one, own in zip(central, _mean(s.intervals, rows).tolist(), strict=True):
            yield CoverageRow(*head, one.stated, scope, name, rows.size, *own)


def _pits(head: _Head, s: _Scored) -> Iterator[PitRow]:
    ends = np.arange(BINS + 1) / BINS
    counts = np.histogram(s.pit[s.known], ends)[0].tolist()
    total = sum(counts)
    for low, high, count in zip(ends[:-1].tolist(), ends[1:].tolist(), counts, strict=True):
        yield PitRow(*head, low, high, count, count / total if total else float("nan"))


def _fan(head: _Head, forecasts: Forecasts, s: _Scored) -> Iterator[FanRow]:
    """The last origins of the symbol with the most rows; the first such symbol in a tie."""
    code = int(np.bincount(forecasts.symbol).argmax())
    rows = np.flatnonzero(forecasts.symbol == code)[-_MOST_FAN:]
    yhat = forecasts.yhat[head[1]]
    for k, level in enumerate(s.laws.levels):
        columns = forecasts.formed_at, yhat + s.quantiles[:, k], yhat, forecasts.y
        for formed, *own in zip(*(c[rows].tolist() for c in columns), strict=True):
            yield FanRow(*head, forecasts.symbols[code], formed, level, *own)
