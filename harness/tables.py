"""Tables as records store them: column by column."""

from __future__ import annotations

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
