"""Key types shared by all files: names, durations, moments, tables without unknown keys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainValidator
from pydantic_core import PydanticKnownError

from harness.durations import EXAMPLES, FIXED_EXAMPLES, Duration, parse_duration, parse_moment

_DAY_NS = 86_400_000_000_000
# With moments from 1900 to 2199 and spans up to 50 years every sum stays within int64 nanoseconds.
_YEARS = range(1900, 2200)
_LONGEST_MONTHS, _LONGEST_NS = 600, 50 * 366 * _DAY_NS
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
NAME_WANTED = "a name of a-z, 0-9 and '-' that starts with a letter or digit, at most 60 long"
REFIT_WANTED = "'never' or a duration above 0 such as '1d', '3mo' or '1y'"
MOMENT_WANTED = "a date such as 2021-01-02 or 2021-01-02T06:00Z, from 1900 to 2199"


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(NAME_WANTED)
    return value


def _duration(value: object) -> Duration:
    duration = parse_duration(value if isinstance(value, str) else "")
    months = duration.count * (12 if duration.unit == "y" else 1)
    if months > _LONGEST_MONTHS if duration.is_calendar else duration.ns > _LONGEST_NS:
        raise ValueError(f"{EXAMPLES}, at most 50 years")
    return duration


def fixed_duration(value: object) -> Duration:
    """A duration without months and years; ValueError with the words of what is wanted."""
    try:
        duration = _duration(value)
    except ValueError:
        raise ValueError(FIXED_EXAMPLES) from None
    if duration.is_calendar:
        raise ValueError(f"{FIXED_EXAMPLES} (months and years have no fixed length)")
    return duration


def _refit(value: object) -> Duration | str:
    if value == "never":
        return "never"
    try:
        return _duration(value)
    except ValueError:
        raise ValueError(REFIT_WANTED) from None


def _moment(value: object) -> int:
    text = value.isoformat() if isinstance(value, date) else value
    try:
        moment = parse_moment(text if isinstance(text, str) else "")
    except (ValueError, OverflowError):
        raise ValueError(MOMENT_WANTED) from None
    year = datetime.fromtimestamp(moment // 1_000_000_000, UTC).year
    if year not in _YEARS:
        raise ValueError(MOMENT_WANTED)
    return moment


def whole(most: int, *words: str | None) -> PlainValidator:
    """Accept one of these words, or a whole number from 1 to `most`."""
    shown = "".join(f"{word!r} or " for word in words if word)
    wanted = f"{shown}a whole number from 1 to {most:,}"

    def check(value: object) -> object:
        number = type(value) is int and 1 <= value <= most
        if not (number or value in words):
            raise ValueError(wanted)
        return value

    return PlainValidator(check)


Name = Annotated[str, PlainValidator(_name)]
AnyDuration = Annotated[Duration, PlainValidator(_duration)]
FixedDuration = Annotated[Duration, PlainValidator(fixed_duration)]
Moment = Annotated[int, PlainValidator(_moment)]
Refit = Annotated[Duration | str, PlainValidator(_refit)]


def one_of(words: Iterable[str]) -> PlainValidator:
    """Accept one of these words; any other value gives the same error as a `Literal` of them.

    For words from a table, which a type checker cannot read as a `Literal`.
    """
    known = tuple(words)
    expected = ", ".join(f"'{word}'" for word in known)

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value

    return PlainValidator(check)


class Section(BaseModel):
    """One table of a file: frozen, refuses unknown keys, converts no value silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
