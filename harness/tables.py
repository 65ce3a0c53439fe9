"""A table as a record keeps it: column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Table = dict[str, list[Any]]


def table(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Table:
    """Rows, each with a value for every column, as columns."""
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return {name: list(column) for name, column in zip(columns, values, strict=True)}
