"""Tables as records store them: column by column; values that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Table = dict[str, list[Any]]


def table(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Table:
    """A table from rows that have a value for every column."""
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return {name: list(column) for name, column in zip(columns, values, strict=True)}


def rows_of(table: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """The rows of a table, as dicts."""
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def finite(value: Any) -> Any:
    """The value with None for every NaN and infinity in it, and lists for tuples."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
