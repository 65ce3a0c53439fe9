"""The tests of predictive ability as a record's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from harness.inference.findings import Finding
from harness.tables import Table, table

_COLUMNS = tuple(field.name for field in fields(Finding))


def ability_table(horizon: str, findings: Sequence[Finding]) -> Table:
    """One row a test and model, its figures as ability/table.py defines them."""
    rows = [(horizon, *(getattr(f, name) for name in _COLUMNS)) for f in findings]
    return table(("horizon", *_COLUMNS), rows)
