"""Forecast distributions of a record as rows of the card's section, at the verdict's horizon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cards.group_rows import rows_of
from harness.scores.distribution.definitions import FIGURES, SYMBOLS

_TABLES = ("distribution", "quantiles", "coverage", "pit")


def distribution_rows(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The section's rows over all symbols and windows, and what the figures mean.

    None for a run without [distribution].
    """
    asked = record["settings"].get("distribution")
    if not asked:
        return None
    horizon = record["verdict"]["horizon"]
    tables = {name: _pooled(record["tables"][name], horizon, asked) for name in _TABLES}
    stated = sorted({row["stated"] for row in tables["coverage"]}, reverse=True)
    return {
        "rows": [
            {
                **row,
                "intervals": _own(tables["coverage"], row),
                "levels": _own(tables["quantiles"], row),
            }
            for row in tables["distribution"]
        ],
        "pits": [
            {**row, "shares": [cell["share"] for cell in _own(tables["pit"], row)]}
            for row in tables["distribution"]
        ],
        "stated": stated,
        "tenths": [(cell["low"], cell["high"]) for cell in _first(tables["pit"])],
        "asked": asked,
        "seeds": len(set(record["tables"]["seeds"]["seed"])) > 1,
        "several": len(record["panel"]["symbols"]) > 1,
        "symbols": SYMBOLS,
        "figures": list(FIGURES.values()),
    }


def _pooled(
    table: Mapping[str, list[Any]], horizon: str, asked: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Law after law; models stay in their order."""
    rows = [
        row
        for row in rows_of(table)
        if row["horizon"] == horizon and row.get("scope", "pooled") == "pooled"
    ]
    return sorted(rows, key=lambda row: asked["laws"].index(row["law"]))


def _own(rows: list[dict[str, Any]], of: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [row for row in rows if (row["law"], row["model"]) == (of["law"], of["model"])]


def _first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return _own(rows, rows[0]) if rows else []
