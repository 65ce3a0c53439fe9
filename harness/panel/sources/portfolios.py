"""Random portfolios of another panel's symbols; they have a close only.

A portfolio's symbols and weights depend on the seed and the panel's symbols, not on the span. It
has a bar where all its members have one. Its simple return from bar to bar is the weighted sum of
its members' returns, so it is rebalanced to its weights at every close, without costs. Its close
is 100 at the first bar of the span and compounds from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import reduce

import numpy as np

from harness.durations import parse_moment
from harness.errors import PanelError
from harness.measures.portfolios import draw_portfolio, portfolio_returns
from harness.panel.selection import Selection
from harness.panel.sources.table import OpenMembers, PortfolioParams, RawBars, Request, cells
from harness.types import F64, I64, Bars, Excluded

_FIRST = 100.0


class Portfolios:
    """The source of the portfolios P0001, P0002, …"""

    def __init__(self, params: PortfolioParams, request: Request, members: OpenMembers) -> None:
        self._params, self._request, self._members = params, request, members
        self._stocks = self._eligible()
        if len(self._stocks) < params.most:
            raise PanelError(
                f"{request.file}: source.most: too few assets for a portfolio: {len(self._stocks)} "
                f"symbols of {params.panel} can be taken, wanted {params.most}"
            )
        self.symbols = tuple(f"P{number:04d}" for number in range(1, params.count + 1))

    @property
    def made_of(self) -> tuple[str, ...]:
        """The symbols that the portfolios hold, sorted."""
        return tuple(sorted({s for name in self.symbols for s in self._holding(name)[0]}))

    def bars(self) -> Iterator[RawBars]:
        """Each portfolio's bars of the span; PanelError if the bars of a member are refused."""
        request = self._request
        closes = self._closes()
        for name in self.symbols:
            stocks, weights = self._holding(name)
            ts, close = _index([closes[s] for s in stocks if s in closes], weights, len(stocks))
            columns = dict.fromkeys(request.columns, close)
            yield RawBars(name, ts, columns, (), _place, cells(columns))

    def _closes(self) -> dict[str, tuple[I64, F64]]:
        """Timestamps and closes of each member that has bars in the span."""
        request, params, wanted = self._request, self._params, set(self.made_of)
        panel = self._members(start=request.start, end=request.end)
        closes = {}
        for found in panel.only(tuple(s for s in panel.symbols if s in wanted)).read():
            if isinstance(found, Excluded):
                raise PanelError(
                    f"{request.file}: source.panel: {found.symbol} of {params.panel} is in a "
                    f"portfolio and is excluded: {found.reason}"
                )
            closes[found.symbol] = _stamps(found), found.columns["close"]
        return closes

    def only(self, symbols: tuple[str, ...]) -> Portfolios:
        """Only these portfolios; members of the others are not read."""
        part = copy(self)
        part.symbols = symbols
        return part

    def identity(self) -> object:
        """The parameters, the members' data, and the version of the random generator."""
        members = self._members(start=None, end=None).identity()
        return [self._params.model_dump(), members, np.__version__]

    def _eligible(self) -> tuple[str, ...]:
        params, every = self._params, self._members(start=None, end=None).symbols
        until = None if params.began_by is None else parse_moment(params.began_by)
        begun = set(self._members(start=None, end=until).symbols)
        seen: set[str] = set()
        if params.without_draw is not None:
            if params.without_draw > len(every):
                raise PanelError(
                    f"{self._request.file}: source.without_draw: got {params.without_draw}, wanted "
                    f"at most {len(every)}, the symbols of {params.panel}"
                )
            drawn = Selection(draw=params.without_draw, draw_seed=params.without_draw_seed)
            seen = set(drawn.of(params.panel, every))
        return tuple(s for s in every if s in begun and s not in seen)

    def _holding(self, name: str) -> tuple[tuple[str, ...], F64]:
        """A portfolio's members and weights, which depend on its own number only."""
        params = self._params
        rng = np.random.default_rng([params.seed, int(name.removeprefix("P"))])
        places, weights = draw_portfolio(rng, len(self._stocks), params.least, params.most)
        return tuple(self._stocks[k] for k in places), weights


def _index(held: list[tuple[I64, F64]], weights: F64, size: int) -> tuple[I64, F64]:
    """The timestamps (n,) that all `size` members share, and the portfolio's closes."""
    if len(held) < size:  # a member has no bar in the span
        return np.empty(0, np.int64), np.empty(0)
    ts = reduce(lambda a, b: np.intersect1d(a, b, assume_unique=True), (t for t, _ in held))
    prices = np.column_stack([close[np.searchsorted(t, ts)] for t, close in held])
    if not ts.size:
        return ts, np.empty(0)
    moves = portfolio_returns(prices[1:] / prices[:-1] - 1.0, weights)
    growth = np.concatenate((np.ones(1), 1.0 + moves))
    return ts, _FIRST * growth.cumprod()


def _stamps(bars: Bars) -> I64:
    return bars.ts if bars.ts is not None else bars.start + np.arange(bars.n) * bars.bar


def _place(row: int) -> str:
    return f"bar {row + 1:,} of the portfolio"
