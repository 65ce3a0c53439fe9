"""One symbol's bars in blocks, and the windows over the blocks that measures use.

A local measure of order k sums a contribution f(r_i, ..., r_{i-k+1}) of every bar. The first
k - 1 contributions of a block straddle its left edge and are summed separately, so that a window
can leave out, or count, those that straddle its own edge. Every sum is computed once, on first
use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from harness.kernels import cascade as loops
from harness.types import F64, PRICES

MOST_ORDER = 3  # the longest product of neighbouring returns
_CHUNK_BARS = 1_440  # a chunk of returns that stays in the first-level cache
_NUMPY_CHUNK_BARS = 8_192  # long enough to make calls cheap, short enough for the cache

_MERGE: dict[str, Callable[[F64], F64]] = {
    "open": lambda rows: rows[:, 0].copy(),
    "high": lambda rows: rows.max(axis=1),
    "low": lambda rows: rows.min(axis=1),
    "close": lambda rows: rows[:, -1].copy(),
}

T = TypeVar("T")

# The contributions of bars first ... last - 1, (last - first,).
Contributions = Callable[[int, int], F64]


class _Once(dict[str, Any]):
    """Values by name, each computed when it is first asked for."""

    def __call__(self, name: str, make: Callable[[], T]) -> T:
        if name not in self:
            self[name] = make()
        made: T = self[name]
        return made


class Blocks:
    """One symbol's bars in `count` blocks, with every `interval` bars merged into one.

    A merged bar has the first open, the last close and the range of all its bars. A block has
    `size` merged bars, or `raw_size` of the panel's bars; `length` is that of a merged bar in ns;
    `a_day` is the number of merged bars, and so of returns, in a trading day; `straddle` says
    whether a window counts products across its left edge; `jump_alpha` is the significance level
    of a jump.
    """

    def __init__(
        self,
        raw: Mapping[str, F64],
        *,
        count: int,
        raw_size: int,
        interval: int,
        bar: int,
        bars_a_day: float,
        straddle: bool,
        jump_alpha: float,
    ) -> None:
        self.raw, self.count, self.raw_size = raw, count, raw_size
        self.interval, self.size = interval, raw_size // interval
        self.length, self.straddle, self.jump_alpha = interval * bar, straddle, jump_alpha
        self.a_day = bars_a_day / interval
        self.once = _Once()

    def merged(self, name: str) -> F64:
        """A price of the merged bars (count * size,), contiguous."""
        if self.interval == 1:
            return self.raw[name]
        return self.once(name, lambda: _MERGE[name](self.raw[name].reshape(-1, self.interval)))

    @cached_property
    def variations(self) -> tuple[F64, F64, F64]:
        """Per block: sum r_i^2, sum |r_i||r_{i-1}| inside it, and across its left edge."""
        out = np.empty(self.count), np.empty(self.count), np.empty(self.count)
        room = np.empty(max(_CHUNK_BARS // self.size, 1) * self.size)
        loops.block_sums(self.merged("close"), self.size, room, *out)
        return out

    @cached_property
    def returns(self) -> F64:
        """r_i = ln(c_i / c_{i-1}) of the merged bars (n,); NaN for bar 0."""
        return self._led[MOST_ORDER - 1 :]

    @cached_property
    def log_prices(self) -> F64:
        """ln c_i of the merged bars (n,)."""
        return np.log(self.merged("close"))

    @cached_property
    def _led(self) -> F64:
        """The returns, after NaN for the neighbours that bar 0 does not have."""
        close = self.merged("close")
        out = np.full(close.size + MOST_ORDER - 1, np.nan)
        for first in range(1, close.size, _NUMPY_CHUNK_BARS):
            last = min(first + _NUMPY_CHUNK_BARS, close.size)
            moves = log_move(close[first:last], close[first - 1 : last - 1])
            out[MOST_ORDER - 1 + first : MOST_ORDER - 1 + last] = moves
        return out

    def of_returns(self, f: Callable[..., F64], order: int, *, signed: bool) -> Contributions:
        """f of each merged bar's return and the order - 1 returns before it, newest first.

        f gets absolute values unless `signed`.
        """
        before = order - 1

        def contributions(first: int, last: int) -> F64:
            values = self._led[MOST_ORDER - 1 + first - before : MOST_ORDER - 1 + last]
            values = values if signed else np.abs(values)
            return f(*(values[before - d : values.size - d] for d in range(order)))

        return contributions

    def of_bars(self, f: Callable[..., F64], names: tuple[str, ...]) -> Contributions:
        """f of these prices, for each merged bar."""
        columns = [self.merged(name) for name in names]
        return lambda first, last: f(*(column[first:last] for column in columns))

    def sums(
        self, name: str, contributions: Contributions, order: int, size: int
    ) -> tuple[F64, F64]:
        """Per block of `size` bars: the sum inside it, and the sum across its left edge."""
        return self.once(name, lambda: self._sums(contributions, min(order - 1, size), size))

    def _sums(self, contributions: Contributions, head: int, size: int) -> tuple[F64, F64]:
        inside, straddling = np.empty(self.count), np.empty(self.count)
        step = max(_NUMPY_CHUNK_BARS // size, 1)
        for first in range(0, self.count, step):
            last = min(first + step, self.count)
            rows = contributions(first * size, last * size).reshape(-1, size)
            rows[:, head:].sum(axis=1, out=inside[first:last])
            rows[:, :head].sum(axis=1, out=straddling[first:last])
        return inside, straddling


class Window:
    """Windows of `width` blocks ending at every block: `bars` of the panel, `n` merged bars."""

    def __init__(self, blocks: Blocks, width: int) -> None:
        self.blocks, self.width = blocks, width
        self.n, self.bars = width * blocks.size, width * blocks.raw_size
        self.once = _Once()

    def over(self, blocks: F64, width: int | None = None) -> F64:
        """Sums over the last `width` blocks (default: the window's own width); (count,)."""
        out = np.empty(blocks.size)
        loops.window_sums(blocks, self.width if width is None else width, out)
        return out

    def total(self, inside: F64, straddling: F64, order: int, size: int, *, straddle: bool) -> F64:
        """Sum of the window's contributions, with those across its left edge if `straddle`."""
        out = self.over(inside)
        edge = self.width if straddle else self.width - -(-(order - 1) // size)
        if order > 1 and edge > 0:
            out += self.over(straddling, edge)
        return out

    def mean_of_returns(
        self, name: str, f: Callable[..., F64], order: int, *, signed: bool = False
    ) -> F64:
        """Mean of f over the products counted: n, or the n - order + 1 inside the window."""
        blocks = self.blocks
        contributions = blocks.of_returns(f, order, signed=signed)
        sums = blocks.sums(name, contributions, order, blocks.size)
        total = self.total(*sums, order, blocks.size, straddle=blocks.straddle)
        return total / (self.n if blocks.straddle else self.n - order + 1)

    def mean_of_bars(self, name: str, f: Callable[..., F64], names: tuple[str, ...]) -> F64:
        """Mean of f of these prices over the merged bars of the window."""
        blocks = self.blocks
        sums = blocks.sums(name, blocks.of_bars(f, names), 1, blocks.size)
        return self.over(sums[0]) / self.n


def log_move(now: F64, before: F64) -> F64:
    """ln(now / before), accurate to a few units in the last place even for tiny moves."""
    return np.log1p((now - before) / before)


def never_moves(columns: Mapping[str, F64]) -> bool:
    """Whether the columns (n,) include prices and all of them are constant."""
    prices = [columns[name] for name in PRICES if name in columns]
    return bool(prices) and all(values.min() == values.max() for values in prices)
