"""When a side series is known beside the bars that read it: is it late, is it dated alike?

Values are joined by the clock, so a day without a time zone ends at midnight UTC. Two exchanges
whose days are both dated so seem to close together, wherever they are; only their holidays tell
them apart. And a value that is missing at the end of a panel is replaced by the one before it,
which is right for a weekend and wrong for a file that is a day behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.durations import NS_PER_DAY, iso_moment, show_moment
from harness.panel.side_series import Series
from harness.panel.spec import PanelSpec
from harness.types import I64

_SAME_HOLIDAYS = 0.8  # of the side's; 0.98 within one country, at most 0.53 between two
_DAILY = 0.5  # share of weekdays with a value, from which a series has holidays
_FEWEST = 30  # bars at one time of day, to know what is usual
_UNUSUAL = 0.15  # share of bars at which a value may be as old and still late at the last
_MOVING = 6 * NS_PER_DAY  # a yearly holiday that keeps its weekday moves by as much
_LONGEST = 3  # periods that a holiday beside a weekend takes
_YEAR = 365.25 * NS_PER_DAY
_HOUR = NS_PER_DAY // 24
_NEARLY = 0.9  # of a period: a day of 23 hours
_SLOW = 7 * NS_PER_DAY  # from this period on, a value may be published a period later


@dataclass(frozen=True)
class SideTimes:
    """A side series at the newest bar of a panel: times in ns, moments in UTC ns.

    The newest value became known at `last` and is `age` old; `usual` is its age at most bars at the
    same time of the week, `period` the usual time between values. `late`: older than a weekend, a
    yearly holiday or a publication explains. `dated`: bars and values are all known at midnight
    UTC. Then `holidays` is the share of the weekdays without a value on which a symbol has no bar
    either: of `symbol`, which shares the fewest; None where the series has a value on all weekdays,
    or on few.
    """

    last: int
    age: int
    usual: int
    period: int
    late: bool
    dated: bool
    holidays: float | None
    symbol: str | None

    @property
    def record(self) -> dict[str, Any]:
        """As plain JSON values, for the record: times in hours."""
        return {
            "last": iso_moment(self.last),
            "age_hours": self.age / _HOUR,
            "usual_age_hours": self.usual / _HOUR,
            "period_hours": self.period / _HOUR,
            "late": self.late,
            "shared_holidays": self.holidays,
            "shared_holidays_of": self.symbol,
        }


class SideClock:
    """Collects the bars of a panel, symbol by symbol, beside one side series."""

    def __init__(self, series: Series) -> None:
        self._known = series.known_at
        self._dated = not np.any(self._known % NS_PER_DAY)
        self._moments = np.empty(0, np.int64)
        self._shares: list[tuple[float, str]] = []

    def add(self, symbol: str, moments: I64) -> None:
        """The moments (n,) at which a symbol's bars are known, ascending."""
        newest = (moments[-1], moments.size)
        if not self._moments.size or newest > (self._moments[-1], self._moments.size):
            self._moments = moments
        self._dated = self._dated and not np.any(moments % NS_PER_DAY)
        share = _shared_holidays(moments, self._known) if self._dated else None
        if share is not None:
            self._shares.append((share, symbol))

    def times(self) -> SideTimes | None:
        """What is known after the last symbol; None without bars, or values before the newest."""
        known, moments = self._known, self._moments
        if known.size < 2 or not moments.size or known[0] > moments[-1]:
            return None
        moments = moments[(moments[-1] - moments) % NS_PER_DAY == 0]
        place = np.searchsorted(known, moments, side="right") - 1
        moments, place = moments[place >= 0], place[place >= 0]
        ages = moments - known[place]
        weekday = moments // NS_PER_DAY % 7
        same = ages[weekday == weekday[-1]]
        period = int(np.median(np.diff(known)))
        shares = self._shares if self._dated else []
        share, symbol = min(shares, default=(None, None))
        return SideTimes(
            last=int(known[place[-1]]),
            age=int(ages[-1]),
            usual=int(np.median(same)),
            period=period,
            late=_late(moments, ages, weekday, period),
            dated=self._dated,
            holidays=share,
            symbol=symbol,
        )


def _late(moments: I64, ages: I64, weekday: I64, period: int) -> bool:
    """Whether the last age is beyond what weekends, yearly holidays and publication explain."""
    if moments.size < _FEWEST:
        return False
    beyond = np.empty(ages.size)
    for day in np.unique(weekday):
        beyond[weekday == day] = ages[weekday == day] - np.median(ages[weekday == day])
    closed = _NEARLY * (period if period < _SLOW else 2 * period)
    if beyond[-1] < closed or np.mean(beyond[:-1] >= beyond[-1]) >= _UNUSUAL:
        return False
    if beyond[-1] > _LONGEST * period:
        closed = beyond[-1]
    return not np.any(_yearly(moments, weekday) & (beyond[:-1] >= closed))


def _yearly(moments: I64, weekday: I64) -> NDArray[np.bool_]:
    """Of all moments but the last (n - 1,), those where a yearly holiday at the last would be.

    It keeps its date, or its weekday.
    """
    passed = moments[-1] - moments[:-1]
    years = np.round(passed / _YEAR)
    moving = (weekday[:-1] == weekday[-1]) & (np.abs(passed - years * _YEAR) <= _MOVING)
    days = (moments - 1).astype("datetime64[ns]").astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    date = np.stack([months.astype(np.int64) % 12, (days - months).astype(np.int64)])
    fixed = (date[:, :-1] == date[:, -1:]).all(axis=0)
    same: NDArray[np.bool_] = (years >= 1) & (moving | fixed)
    return same


def _shared_holidays(moments: I64, known: I64) -> float | None:
    """Of the weekdays without a value of a daily series, the share without a bar."""
    bars, values = moments // NS_PER_DAY - 1, known // NS_PER_DAY - 1
    first, last = max(bars[0], values[0]), min(bars[-1], values[-1])
    if last <= first:
        return None
    days = np.arange(first, last + 1)
    weekdays = days[(days + 3) % 7 < 5]  # 1970-01-01 was a Thursday
    closed = weekdays[~np.isin(weekdays, values)]
    if not closed.size or closed.size > (1.0 - _DAILY) * weekdays.size:
        return None
    return float(np.mean(~np.isin(closed, bars)))


def side_warnings(spec: PanelSpec, sides: Mapping[str, SideTimes]) -> list[str]:
    """Warnings of side series that are late, or whose days may end at another time."""
    return [
        *(w for name, times in sides.items() for w in _of_zones(spec, name, times)),
        *(w for name, times in sides.items() for w in _of_age(spec, name, times)),
    ]


def _of_zones(spec: PanelSpec, name: str, times: SideTimes) -> list[str]:
    side = spec.side[name].panel
    if not (times.dated and _without_zone(spec) and _without_zone(side)):
        return []
    if times.holidays is not None and times.holidays >= _SAME_HOLIDAYS:
        return []
    why = (
        "their holidays do not tell whether they are of one exchange"
        if times.holidays is None
        else f"{times.symbol} has a bar on {1 - times.holidays:.0%} of the holidays of {side.name}"
    )
    return [
        f"The days of panel {spec.name} and of its side series {name} (panel {side.name}) have no "
        f"time zone, or 'UTC', so both seem to end at midnight UTC; {why}. If their exchanges "
        "close at different times, a value may be read before it is known. Set panel.timezone in "
        f"{spec.name}.toml and in {side.name}.toml ('Etc/UTC' if a day does end at midnight UTC)."
    ]


def _without_zone(spec: PanelSpec) -> bool:
    """Whether bars are days of sessions that no key places on the clock."""
    daily = spec.bar.ns == NS_PER_DAY and spec.calendar == "sessions"
    return daily and not spec.exchange and spec.timezone in (None, "UTC")


def _of_age(spec: PanelSpec, name: str, times: SideTimes) -> list[str]:
    if not times.late:
        return []
    return [
        f"The side series {name} is late: at the panel's newest bar its newest value is "
        f"{_length(times.age)} old, known since {show_moment(times.last)} UTC; at this time of the "
        f"week it is usually {_length(times.usual)} old, and a new value comes every "
        f"{_length(times.period)}. The newest rows read an old value: update panel "
        f"{spec.side[name].panel.name}."
    ]


def _length(ns: int) -> str:
    """A length of time in days, hours or minutes."""
    for unit, size in (("d", NS_PER_DAY), ("h", _HOUR)):
        if ns >= size:
            return f"{round(ns / size, 1):,g} {unit}"
    return f"{round(ns / _HOUR * 60)} min"
