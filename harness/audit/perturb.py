"""Bars with another future: noise, a scaled copy, or nothing after an origin.

Source rows are replaced before they are checked, adjusted, filled and joined. When a row is known
follows from its own time stamp alone: the end of its bar. So the stages in between, and their
notion of when a bar is known, are tested too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from harness.panel.adjust import ADJUSTING
from harness.panel.panel import Panel
from harness.panel.sources.table import RawBars
from harness.types import F64, PRICES

_QUOTED = ("adj_close", "pre_close")  # adjusting columns that are prices too
_SIDES = {"high": 1.0, "low": -1.0}
_LEAST_NOISE, _MOST_NOISE = 0.02, 0.3
_TIMES_RETURNS = 10.0
_NOISE_OF_OTHERS = 1.0
_SCALED = 3.0


class Held:
    """A source of rows in memory."""

    def __init__(self, raws: tuple[RawBars, ...]) -> None:
        self.raws = raws
        self.symbols = tuple(raw.symbol for raw in raws)

    def bars(self) -> Iterator[RawBars]:
        """The rows, symbol by symbol."""
        yield from self.raws

    def only(self, symbols: tuple[str, ...]) -> Held:
        """The rows of these symbols alone."""
        return Held(tuple(raw for raw in self.raws if raw.symbol in symbols))

    def identity(self) -> None:
        """None: nothing computed from these rows is cached."""


Change = Callable[[RawBars, int, int, np.random.Generator], RawBars]


def held(panel: Panel) -> Panel:
    """The same panel with its rows and those of its side series in memory."""
    sides = {name: held(side) for name, side in panel.sides.items()}
    return replace(panel, source=Held(tuple(panel.source.bars())), sides=sides)


def changed(panel: Panel, change: Change, origin: int, seed: int) -> Panel:
    """A panel in memory with the rows known after the origin (UTC ns) changed, in sides too."""
    rng = np.random.default_rng([seed, origin // 1_000_000_000])
    bar = panel.spec.bar.ns
    raws = tuple(change(raw, bar, origin, rng) for raw in panel.source.bars())
    sides = {name: changed(side, change, origin, seed + 1) for name, side in panel.sides.items()}
    return replace(panel, source=Held(tuple(r for r in raws if len(r.ts))), sides=sides)


def noise(raw: RawBars, bar: int, origin: int, rng: np.random.Generator) -> RawBars:
    """Every later row times noise; a bar's prices share it, and its range is widened.

    The noise is ten times as large as the symbol's returns, so the future is very different. A
    row's previous close changes with that close, otherwise no return would change.
    """
    n = int((raw.ts + bar > origin).sum())
    size = np.clip(_TIMES_RETURNS * _spread(raw), _LEAST_NOISE, _MOST_NOISE)
    moved = size * rng.standard_normal(n)

    def noised(name: str, values: F64) -> F64:
        if name == "return":
            return np.expm1(np.log1p(values) + moved)
        if name not in PRICES and name not in _QUOTED:
            return values * np.exp(_NOISE_OF_OTHERS * rng.standard_normal(n))
        if name == "pre_close":
            return values * np.exp(np.concatenate(([0.0], moved[:-1])))
        wider = _SIDES[name] * size * np.abs(rng.standard_normal(n)) if name in _SIDES else 0.0
        return values * np.exp(moved + wider)

    return _later(raw, bar, origin, noised)


def scaled(raw: RawBars, bar: int, origin: int, rng: np.random.Generator) -> RawBars:
    """Every later row as a scaled copy: returns doubled, everything else tripled."""
    del rng
    before = int(np.searchsorted(raw.ts, origin - bar, "right"))
    # One level for all prices of a bar, which keeps their order.
    price = next((raw.columns[p] for p in ("close", *PRICES) if p in raw.columns), None)

    def copied(name: str, values: F64) -> F64:
        if name == "return":
            return np.square(1.0 + values) - 1.0
        if name not in PRICES and name not in _QUOTED:
            return _SCALED * values
        level = raw.columns[name] if price is None or name not in PRICES else price
        last = level[max(before - 1, 0)]
        return last * np.square(values / last)

    return _later(raw, bar, origin, copied)


def truncated(raw: RawBars, bar: int, origin: int, rng: np.random.Generator) -> RawBars:
    """No later rows."""
    del rng
    before = raw.ts + bar <= origin
    return replace(raw, ts=raw.ts[before], columns={k: v[before] for k, v in raw.columns.items()})


def _later(raw: RawBars, bar: int, origin: int, of: Callable[[str, F64], F64]) -> RawBars:
    """Replace the rows known after the origin, column by column, by `of(name, values)`."""
    after = raw.ts + bar > origin
    if not after.any():
        return raw
    columns = {}
    for name, values in raw.columns.items():
        columns[name] = values
        # A column that only the row filter reads is no column of the panel: it stays.
        if _is_column(name):
            columns[name] = values.copy()
            with np.errstate(all="ignore"):
                columns[name][after] = of(name, values[after])
    return replace(raw, columns=columns)


def _is_column(name: str) -> bool:
    return name in ADJUSTING or not name.startswith("[")


def _spread(raw: RawBars) -> float:
    """The mean absolute log return from row to row, 0 without a usable price."""
    price = next((raw.columns[name] for name in ("close", *PRICES) if name in raw.columns), None)
    if price is None or price.size < 2 or not (price > 0.0).all():
        return 0.0
    return float(np.abs(np.diff(np.log(price))).mean())
