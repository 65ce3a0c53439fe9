"""Reads time columns of files as UTC and explains cells that are not valid timestamps.

A cell that cannot be read becomes null in the expression and is explained afterwards, so that
valid columns cost nothing extra.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from harness.durations import NS_PER_MINUTE
from harness.errors import PanelError, one_line

_ZONE = r"\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})$"
_ISO_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
NS_PER_DAY = 1_440 * NS_PER_MINUTE
_NS_PER = {"ms": 1_000_000, "us": 1_000, "ns": 1}
_EXAMPLE = datetime(2024, 1, 31, 9, 30, tzinfo=UTC)  # how messages show a format


@dataclass(frozen=True)
class TimeColumn:
    """A file's time column as UTC: `physical * scale` is ns since 1970, null if unreadable.

    `comparable` is compared with the span, in the units of `physical`; it is the stored column
    itself where that lets a Parquet reader skip rows outside the span.
    """

    column: str
    physical: pl.Expr
    scale: int
    comparable: pl.Expr
    literal: pl.DataType
    timezone: str | None
    text: TextTimes | None

    def within(self, start: int | None, last: int | None) -> pl.Expr:
        """Whether a row's timestamp is in [start, last] (UTC ns) or unreadable."""
        inside = pl.lit(value=True)
        if start is not None:
            inside = inside & (
                self.comparable >= pl.lit(-(-start // self.scale)).cast(self.literal)
            )
        if last is not None:
            inside = inside & (self.comparable <= pl.lit(last // self.scale).cast(self.literal))
        return inside | self.comparable.is_null()

    def explain(self, cell: object) -> str:
        """Why this cell cannot be read."""
        if cell is None or cell == "":
            return "time stamp missing"
        if self.text is not None and (wrong := self.text.explain(str(cell))):
            return wrong
        return f"{one_line(cell)} does not exist or is ambiguous in {self.timezone}"


@dataclass(frozen=True)
class TextTimes:
    """The format of the first cell of a text column; all other cells must have it too."""

    format: str
    zone: str | None
    iso: bool

    def naive(self, text: pl.Expr) -> pl.Expr:
        """The cell's local time, null if it is not a timestamp or has another zone."""
        body = text.str.strip_chars()
        if not self.iso:
            return body.str.to_datetime(self.format, strict=False, time_unit="ns")
        zone = _same_zone(body.str.extract(_ZONE, 1))
        fits = zone.is_null() if self.zone is None else zone == self.zone
        body = body.str.replace(r"\s*(Z|UTC|[+-]\d{2}:?\d{2})$", "") if self.zone else body
        clock = body.str.replace("T", " ").str.to_datetime(
            self.format, strict=False, time_unit="ns"
        )
        return pl.when(fits).then(clock)

    def explain(self, cell: str) -> str | None:
        """What is wrong with a cell's text, or None if it is a valid timestamp."""
        zone = _zone_of(cell) if self.iso else None
        if zone != self.zone:
            return (
                f"mixed time zones: {one_line(cell)} has {zone or 'no zone'} "
                f"where the first row has {self.zone or 'no zone'}"
            )
        if pl.select(self.naive(pl.lit(cell))).item() is None:
            example = _EXAMPLE.strftime(self.format.replace("%.f", ""))
            return f"{one_line(cell)} is not a timestamp like {example}"
        return None


def time_column(
    where: str,
    column: str,
    dtype: pl.DataType,
    timezone: str | None,
    first: str | None,
    date_format: str | None,
) -> TimeColumn:
    """How to read a time column of this dtype; `first` is the first cell of a text column.

    Raises PanelError, starting with `where`, for a column that holds no times, and for timestamps
    without a time zone if the panel does not name one.
    """
    if isinstance(dtype, pl.String):
        return _text_column(where, column, timezone, first, date_format)
    stored = pl.col(column)
    if isinstance(dtype, pl.Date) and timezone == "UTC":
        days = stored.to_physical().cast(pl.Int64)
        return TimeColumn(column, days, NS_PER_DAY, stored, dtype, timezone, None)
    if isinstance(dtype, pl.Date):
        return _naive_column(where, column, pl.col(column).cast(pl.Datetime("ns")), timezone, None)
    if not isinstance(dtype, pl.Datetime):
        raise PanelError(f"{where}: column '{column}' holds {dtype}, wanted dates or times")
    if dtype.time_zone is None and timezone != "UTC":
        clock = pl.col(column).dt.cast_time_unit("ns")
        return _naive_column(where, column, clock, timezone, None)
    return TimeColumn(
        column, stored.to_physical(), _NS_PER[dtype.time_unit], stored, dtype, timezone, None
    )


def _text_column(
    where: str, column: str, timezone: str | None, first: str | None, date_format: str | None
) -> TimeColumn:
    first = (first or "").strip()
    if date_format is not None:
        text = TextTimes(date_format, None, iso=False)
        return _naive_column(where, column, text.naive(pl.col(column)), timezone, text)
    zone = _zone_of(first)
    for form in _ISO_FORMATS:
        text = TextTimes(form, zone, iso=True)
        if pl.select(text.naive(pl.lit(first))).item() is not None:
            break
    else:
        # An unreadable first cell is reported like any other; assume the most common format.
        text = TextTimes(_ISO_FORMATS[0], zone, iso=True)
    clock = text.naive(pl.col(column))
    if zone is None:
        return _naive_column(where, column, clock, timezone, text)
    utc = clock.to_physical() - _minutes(zone) * NS_PER_MINUTE
    return TimeColumn(column, utc, 1, utc, pl.Int64(), timezone, text)


def _naive_column(
    where: str, column: str, clock: pl.Expr, timezone: str | None, text: TextTimes | None
) -> TimeColumn:
    if timezone is None:
        raise PanelError(
            f"{where}: column '{column}' has timestamps without a time zone; "
            "set panel.timezone, such as timezone = 'UTC'"
        )
    zoned = clock.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
    utc = zoned.to_physical()
    return TimeColumn(column, utc, 1, utc, pl.Int64(), timezone, text)


def _same_zone(zone: pl.Expr) -> pl.Expr:
    return zone.str.replace("^(Z|UTC)$", "+00:00").str.replace(r"^(...)(\d\d)$", "$1:$2")


def _zone_of(text: str) -> str | None:
    found = re.search(_ZONE, text.strip())
    if found is None:
        return None
    zone = "+00:00" if found[1] in ("Z", "UTC") else found[1]
    return zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"


def _minutes(zone: str) -> int:
    hours, minutes = zone[1:].split(":")
    return (-1 if zone[0] == "-" else 1) * (int(hours) * 60 + int(minutes))
