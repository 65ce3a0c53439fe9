"""Bars of an exchange's sessions: which lie inside, and a grid with equally many for each session.

Sessions differ in length, but measures sum over blocks of equal length. So every session gets as
many bars as the longest session of its exchange. Bars without a quote, in a break or after an
early close carry the last close. A carried bar has a zero return, so it adds nothing to the
session's sum of squares; sigma per bar is per bar of the longest session. A session counts as
known when its grid ends: after an early close that is later than necessary, never too early.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.types import F64, I64, PRICES, Gap

_FIRST, _LAST = "1990-01-01", "2035-12-31"


@dataclass(frozen=True)
class Sessions:
    """An exchange's sessions (S,), UTC ns: open, close, break (start = end if there is none).

    The longest session has `bars` bars of `bar` ns.
    """

    opens: I64
    closes: I64
    break_starts: I64
    break_ends: I64
    bar: int
    bars: int

    def place(self, ts: I64) -> tuple[I64, I64, NDArray[np.bool_]]:
        """For each timestamp (n,): its session, ns since its open, if it is in trading hours."""
        session = np.maximum(np.searchsorted(self.opens, ts, side="right") - 1, 0)
        since = ts - self.opens[session]
        return session, since, self._trades(session, ts) & (since >= 0)

    def trading(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which bars of the grid of sessions first … last are in trading hours; flat."""
        session = np.repeat(np.arange(first, last + 1), self.bars)
        return self._trades(session, self.grid(first, last))

    def grid(self, first: int, last: int) -> I64:
        """The starts of all bars of sessions first … last, UTC ns; flat."""
        return (self.opens[first : last + 1, None] + np.arange(self.bars) * self.bar).ravel()

    def _trades(self, session: I64, ts: I64) -> NDArray[np.bool_]:
        pause = (self.break_starts[session] <= ts) & (ts < self.break_ends[session])
        return (ts + self.bar <= self.closes[session]) & ~pause


@cache
def exchange_sessions(exchange: str, bar: int) -> Sessions:
    """The sessions of an exchange from 1990 to 2035, as far as exchange_calendars has them."""
    calendar = _calendar(exchange)
    opens, closes = calendar.opens_nanos, calendar.closes_nanos
    breaks = [np.asarray(b) for b in (calendar.break_starts_nanos, calendar.break_ends_nanos)]
    none = breaks[0] < opens  # NaT: no break
    starts, ends = (np.where(none, opens, b) for b in breaks)
    longest = int((closes - opens).max())
    return Sessions(opens, closes, starts, ends, bar, longest // bar)


def _calendar(exchange: str) -> Any:
    from exchange_calendars import get_calendar

    with warnings.catch_warnings():
        # The library itself calls deprecated functions of pandas.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return get_calendar(exchange, start=_FIRST, end=_LAST)
        except ValueError:  # some calendars have fewer years
            kind = type(get_calendar(exchange))
            low, high = kind.bound_min(), kind.bound_max()
            first = _FIRST if low is None else max(_FIRST, str(low.date()))
            last = _LAST if high is None else min(_LAST, str(high.date()))
            return get_calendar(exchange, start=first, end=last)


def exchanges() -> list[str]:
    """The names of exchanges with sessions."""
    from exchange_calendars import get_calendar_names

    return [name for name in get_calendar_names() if name not in ("24/7", "24/5")]


def whole_sessions(sessions: Sessions, ts: I64) -> tuple[NDArray[np.bool_], int, int]:
    """Which timestamps lie in whole sessions, how many outside, how many in an incomplete session.

    ts (n,) ascending. The first session is complete if it has its first bar, the last one if it
    has its last bar; what came before or after is not known.
    """
    session, since, inside = sessions.place(ts)
    begin = np.flatnonzero(inside & (since < sessions.bar))
    end = np.flatnonzero(inside & (ts + 2 * sessions.bar > sessions.closes[session]))
    whole = inside.copy()
    if begin.size and end.size:
        whole &= (session >= session[begin[0]]) & (session <= session[end[-1]])
    else:
        whole[:] = False
    return whole, int((~inside).sum()), int((inside & ~whole).sum())


def nights(sessions: Sessions, ts: I64, close: F64) -> tuple[F64, I64]:
    """The log return over each night, and the row of ts (n,), all in sessions, where it ends.

    From the last close of one session with bars to the first close of the next.
    """
    session, _, _ = sessions.place(ts)
    rows = 1 + np.flatnonzero(session[1:] != session[:-1])
    return np.log(close[rows] / close[rows - 1]), rows


def without_nights(sessions: Sessions, ts: I64, close: F64) -> F64:
    """The close (n,) without overnight moves: each session starts where the last one ended."""
    _, rows = nights(sessions, ts, close)
    firsts = np.concatenate([[0], rows])
    lasts = np.concatenate([rows, [len(close)]]) - 1
    counts = lasts - firsts + 1
    starts = close[0] * np.concatenate([[1.0], np.cumprod(close[lasts[:-1]] / close[firsts[:-1]])])
    return np.repeat(starts, counts) * (close / np.repeat(close[firsts], counts))


def overnight_column(sessions: Sessions, ts: I64, close: F64, first: int, last: int) -> F64:
    """Overnight returns on the grid of sessions first … last; a session's mean is its night.

    The value is the same at all bars from the session's first quote on, scaled up for the bars
    before, which are 0. It is 0 in the first session and in a session without a quote.
    """
    moves, rows = nights(sessions, ts, close)
    session, since, _ = sessions.place(ts[rows])
    out = np.zeros((last - first + 1, sessions.bars))
    for s, k, move in zip(
        (session - first).tolist(), (since // sessions.bar).tolist(), moves, strict=True
    ):
        out[s, k:] = move * sessions.bars / (sessions.bars - k)
    return out.ravel()


def fill_sessions(
    sessions: Sessions, symbol: str, ts: I64, columns: Mapping[str, F64]
) -> tuple[I64, dict[str, F64], tuple[Gap, ...]]:
    """Timestamps and columns on the grid of all sessions, from the first to the last with bars.

    ts (n,) are in sessions and on their grid, the first at its session's start. Prices without a
    quote are the last close, volume is 0. Gaps are runs of missing bars in trading hours.
    """
    session, since, _ = sessions.place(ts)
    first, last = int(session[0]), int(session[-1])
    at = (session - first) * sessions.bars + since // sessions.bar
    grid = sessions.grid(first, last)
    source = np.zeros(len(grid), np.int64)
    source[at] = np.arange(len(ts))
    source = np.maximum.accumulate(source)
    carried = np.ones(len(grid), bool)
    carried[at] = False
    filled = {}
    for name, values in columns.items():
        filled[name] = values[source]
        filled[name][carried] = columns["close"][source[carried]] if name in PRICES else 0.0
    return grid, filled, _gaps(symbol, grid, carried & sessions.trading(first, last), sessions.bars)


def _gaps(symbol: str, grid: I64, missing: NDArray[np.bool_], bars: int) -> tuple[Gap, ...]:
    """Runs of missing bars; a run ends with its session."""
    starts = missing & ~np.concatenate([[False], missing[:-1]])
    starts[::bars] = missing[::bars]
    ends = missing & ~np.concatenate([missing[1:], [False]])
    ends[bars - 1 :: bars] = missing[bars - 1 :: bars]
    a, b = np.flatnonzero(starts), np.flatnonzero(ends)
    return tuple(
        Gap(symbol, start, end, count)
        for start, end, count in zip(
            grid[a].tolist(), grid[b].tolist(), (b - a + 1).tolist(), strict=True
        )
    )
