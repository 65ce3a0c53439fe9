"""Durations such as `30m`, `4h`, `1d`, `2w`, `12mo`, `5y`, and moments in time.

Minutes, hours, days and weeks have a fixed length; months and years follow the calendar
(31 January + 1mo is the last day of February).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NS_PER_MINUTE = 60_000_000_000
NS_PER_DAY = 1_440 * NS_PER_MINUTE
_FIXED = {"m": 1, "h": 60, "d": 1_440, "w": 10_080}
_MONTHS = {"mo": 1, "y": 12}
_PATTERN = re.compile(r"([1-9][0-9]*)(mo|m|h|d|w|y)")
EXAMPLES = "a duration above 0 such as '30m', '4h', '1d', '2w', '12mo' or '5y'"
FIXED_EXAMPLES = "a fixed duration above 0 such as '30m', '4h', '1d' or '2w'"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Duration:
    """`count` of `unit`; `unit` one of m, h, d, w, mo, y."""

    count: int
    unit: str

    @property
    def is_calendar(self) -> bool:
        """Whether its length depends on the start date."""
        return self.unit in _MONTHS

    @property
    def ns(self) -> int:
        """Its length in nanoseconds; ValueError for months and years, which have none."""
        if self.is_calendar:
            raise ValueError(f"{self} has no fixed length")
        return self.count * _FIXED[self.unit] * NS_PER_MINUTE

    @property
    def months(self) -> int:
        """Its length in calendar months; KeyError for a fixed one."""
        return self.count * _MONTHS[self.unit]

    def after(self, moment_ns: int, times: int = 1) -> int:
        """`moment_ns` plus `times` durations, which may be negative; UTC nanoseconds.

        Months are counted from `moment_ns` in one step, so that 31 January + 2 × 1mo is
        31 March, not 28 March.
        """
        if not self.is_calendar:
            return moment_ns + times * self.ns
        seconds, rest = divmod(moment_ns, 1_000_000_000)
        date = _EPOCH + timedelta(seconds=seconds)
        months = date.year * 12 + date.month - 1 + times * self.months
        year, month = divmod(months, 12)
        day = min(date.day, calendar.monthrange(year, month + 1)[1])
        moved = date.replace(year=year, month=month + 1, day=day)
        return int((moved - _EPOCH) // timedelta(seconds=1)) * 1_000_000_000 + rest

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


def parse_duration(text: str) -> Duration:
    """Read a duration; ValueError says what is accepted."""
    found = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(EXAMPLES)
    return Duration(int(found[1]), found[2])


def length(duration: Duration) -> int:
    """Its length in months or minutes: the same for `12mo` and `1y`, and for `24h` and `1d`."""
    if duration.is_calendar:
        return duration.count * (12 if duration.unit == "y" else 1)
    return duration.ns // NS_PER_MINUTE


def parse_moment(text: str) -> int:
    """`2021-01-02` or `2021-01-02T06:00[Z]` as UTC nanoseconds; a moment without a zone is UTC."""
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return ns_of(moment)


def ns_of(moment: datetime) -> int:
    """An aware datetime as UTC nanoseconds since 1970."""
    return int((moment - _EPOCH) // timedelta(microseconds=1)) * 1_000


def show_moment(moment_ns: int) -> str:
    """`2021-01-02` at midnight UTC, `2021-01-02 06:00` otherwise."""
    moment = _EPOCH + timedelta(microseconds=int(moment_ns) // 1_000)
    if moment.hour == moment.minute == moment.second == 0:
        return moment.strftime("%Y-%m-%d")
    return moment.strftime("%Y-%m-%d %H:%M")


def iso_moment(moment_ns: int) -> str:
    """A moment in the format of records: ISO 8601, UTC."""
    return (_EPOCH + timedelta(microseconds=int(moment_ns) // 1_000)).isoformat()
