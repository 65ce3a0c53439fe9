"""Bars of an exchange's sessions: which lie inside, and the grid that every session fills.

Sessions differ in length, measures sum over blocks of equal length. So every session takes as
many bars as the longest of its exchange: bars that no quote came for, and those after an early
close or in a break, carry the last close. A carried bar is a zero return, so the sum of squares of
a session is its own, and sigma per bar is per bar of the longest session. A session is known when
its grid ends, after an early close later than need be, never earlier.
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
    """An exchange's sessions (S,), UTC ns: open, close, break (equal where there is none).

    `bars` of `bar` ns fill the longest.
    """

    opens: I64
    closes: I64
    break_starts: I64
    break_ends: I64
    bar: int
    bars: int

    def place(self, ts: I64) -> tuple[I64, I64, NDArray[np.bool_]]:
        """Of each stamp (n,): its session, ns since that opened, and whether it is in trading."""
        session = np.maximum(np.searchsorted(self.opens, ts, side="right") - 1, 0)
        since = ts - self.opens[session]
        return session, since, self._trades(session, ts) & (since >= 0)

    def trading(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which bars of the grid of sessions first ... last are in trading; flat."""
        session = np.repeat(np.arange(first, last + 1), self.bars)
        return self._trades(session, self.grid(first, last))

    def grid(self, first: int, last: int) -> I64:
        """The starts of all bars of sessions first ... last, UTC ns; flat."""
        return (self.opens[first : last + 1, None] + np.arange(self.bars) * self.bar).ravel()

    def _trades(self, session: I64, ts: I64) -> NDArray[np.bool_]:
        pause = (self.break_starts[session] <= ts) & (ts < self.break_ends[session])
        return (ts + self.bar <= self.closes[session]) & ~pause


@cache
def exchange_sessions(exchange: str, bar: int) -> Sessions:
    """The sessions of an exchange from 1990 to 2035, as far as exchange_calendars knows them."""
    calendar = _calendar(exchange)
    opens, closes = calendar.opens_nanos, calendar.closes_nanos
    breaks = [np.asarray(b) for b in (calendar.break_starts_nanos, calendar.break_ends_nanos)]
    none = breaks[0] < opens  # not a time
    starts, ends = (np.where(none, opens, b) for b in breaks)
    longest = int((closes - opens).max())
    return Sessions(opens, closes, starts, ends, bar, longest // bar)


def _calendar(exchange: str) -> Any:
    from exchange_calendars import get_calendar

    with warnings.catch_warnings():
        # The library's own calls of pandas, of which a user can change nothing.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return get_calendar(exchange, start=_FIRST, end=_LAST)
        except ValueError:  # some are known for fewer years
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
    """Which stamps lie in sessions, how many do not, how many lie in a first or last one cut short.

    ts (n,) ascending. The first session counts when its first bar is there, the last when its
    last is: what came before or after is not known.
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
    """The log return over each night, and the rows (of ts (n,), all inside) that it ends at.

    From the last close of one session with bars to the first close of the next.
    """
    session, _, _ = sessions.place(ts)
    rows = 1 + np.flatnonzero(session[1:] != session[:-1])
    return np.log(close[rows] / close[rows - 1]), rows


def without_nights(sessions: Sessions, ts: I64, close: F64) -> F64:
    """The close (n,) without any night's move: each session starts where the last one ended."""
    _, rows = nights(sessions, ts, close)
    firsts = np.concatenate([[0], rows])
    lasts = np.concatenate([rows, [len(close)]]) - 1
    counts = lasts - firsts + 1
    starts = close[0] * np.concatenate([[1.0], np.cumprod(close[lasts[:-1]] / close[firsts[:-1]])])
    return np.repeat(starts, counts) * (close / np.repeat(close[firsts], counts))


def overnight_column(sessions: Sessions, ts: I64, close: F64, first: int, last: int) -> F64:
    """Each session's night on the grid of sessions first ... last: the mean over a session is it.

    It stands at every bar from the session's first quote on, in as much as makes up for the bars
    before; 0 before, in the first session and where a session has no quote.
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
    """Stamps and columns on the grid of all sessions from the first to the last with bars.

    ts (n,) inside sessions, on their grid, the first at its session's start. Prices without a
    quote are the last close, volume is 0. Gaps are runs of missing bars in trading.
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
