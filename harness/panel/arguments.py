"""Arguments that callers give in Python: folders and moments, checked in words."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from harness.durations import parse_moment
from harness.errors import UsageError, one_line

Moment = int | str | date  # UTC nanoseconds, ISO 8601, or a date or datetime (UTC without a zone)


def argument_moment(name: str, value: object) -> int | None:
    """UTC nanoseconds of an argument called `name`, None for None; UsageError for no moment."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    try:
        if isinstance(value, str | date):
            return parse_moment(value if isinstance(value, str) else value.isoformat())
    except (ValueError, OverflowError):
        pass
    wanted = "UTC nanoseconds, a text such as 2021-01-02T06:00, or a datetime"
    raise UsageError(f"{name}: got {one_line(value)}, wanted {wanted}")


def folder_list(search: object) -> list[Path]:
    """The folders of an argument `search`; UsageError if it is no list of folders."""
    if not isinstance(search, list | tuple) or not all(isinstance(f, str | Path) for f in search):
        raise UsageError(f"search: got {one_line(search)}, wanted a list of folders")
    return [Path(folder) for folder in search]
