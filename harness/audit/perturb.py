"""Bars whose future is another: noise, a scaled copy, or nothing after an origin.

It is the rows of the source that are replaced, before they are checked, adjusted, filled and
joined, and a row is known at the end of its bar by its own stamp, so whatever the stages between
make of it, or think of when it was known, is under test too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class Held:
    """A source of rows that are in memory."""

    raws: tuple[RawBars, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Their symbols."""
        return tuple(raw.symbol for raw in self.raws)

    def bars(self) -> Iterator[RawBars]:
        """The rows of each symbol."""
        yield from self.raws

    def only(self, symbols: tuple[str, ...]) -> Held:
        """Those of these symbols."""
        return Held(tuple(raw for raw in self.raws if raw.symbol in symbols))

    def identity(self) -> None:
        """Nothing made of them is to be kept."""


Change = Callable[[RawBars, int, int, np.random.Generator], RawBars]


def held(panel: Panel) -> Panel:
    """The same panel, its rows and those of its side series read once and held."""
    sides = {name: held(side) for name, side in panel.sides.items()}
    return replace(panel, source=Held(tuple(panel.source.bars())), sides=sides)


def changed(panel: Panel, change: Change, origin: int, seed: int) -> Panel:
    """A held panel with the rows known only after the origin (UTC ns) changed, sides included."""
    rng = np.random.default_rng([seed, origin // 1_000_000_000])
    bar = panel.spec.bar.ns
    raws = tuple(change(raw, bar, origin, rng) for raw in panel.source.bars())
    sides = {name: changed(side, change, origin, seed + 1) for name, side in panel.sides.items()}
    return replace(panel, source=Held(tuple(r for r in raws if len(r.ts))), sides=sides)


def noise(raw: RawBars, bar: int, origin: int, rng: np.random.Generator) -> RawBars:
    """Every later row times noise; a bar's prices share it, and its range is widened.

    Ten times as large as the returns of the symbol, so that what follows is another world. What a
    row says of the close before it goes with that close, or no return would change.
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
    """Every later row a scaled copy: returns twice as large, all else three times."""
    del rng
    before = int(np.searchsorted(raw.ts, origin - bar, "right"))
    # One level for all prices of a bar, so that their order stays.
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
    """No later row at all."""
    del rng
    before = raw.ts + bar <= origin
    return replace(raw, ts=raw.ts[before], columns={k: v[before] for k, v in raw.columns.items()})


def _later(raw: RawBars, bar: int, origin: int, of: Callable[[str, F64], F64]) -> RawBars:
    """The rows known after the origin made anew, column by column, by `of` (name, values)."""
    after = raw.ts + bar > origin
    if not after.any():
        return raw
    columns = {}
    for name, values in raw.columns.items():
        columns[name] = values
        # What only a condition on rows reads is no column of the panel: it stays.
        if _is_column(name):
            columns[name] = values.copy()
            with np.errstate(all="ignore"):
                columns[name][after] = of(name, values[after])
    return replace(raw, columns=columns)


def _is_column(name: str) -> bool:
    return name in ADJUSTING or not name.startswith("[")


def _spread(raw: RawBars) -> float:
    """The mean absolute log return from row to row, 0 where no price tells."""
    price = next((raw.columns[name] for name in ("close", *PRICES) if name in raw.columns), None)
    if price is None or price.size < 2 or not (price > 0.0).all():
        return 0.0
    return float(np.abs(np.diff(np.log(price))).mean())
