"""VaR and ES of a record as the rows of the card's section, at the verdict's horizon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cards.group_rows import rows_of
from harness.scores.risk.definitions import FIGURES, SYMBOLS

_ALL = "all"
_IN_THE_LOG = ("scale", "dof")  # not on the card


def risk_rows(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The section's rows over all symbols, wins over the symbols, and what the figures mean.

    None for a run without [risk].
    """
    asked = record["settings"].get("risk")
    if not asked:
        return None
    horizon = record["verdict"]["horizon"]
    tables = {
        name: [r for r in rows_of(record["tables"][name]) if r["horizon"] == horizon]
        for name in ("risk", "risk_wins")
    }
    rows = [row for row in tables["risk"] if row["symbol"] == _ALL]
    return {
        "rows": sorted(rows, key=_place(asked)),
        "wins": sorted(tables["risk_wins"], key=_place(asked)),
        "asked": asked,
        "overlap": record["settings"]["overlap"][horizon],
        "several": len(record["panel"]["symbols"]) > 1,
        "symbols": SYMBOLS,
        "figures": [f for name, f in FIGURES.items() if name not in _IN_THE_LOG],
    }


def _place(asked: Mapping[str, Any]) -> Any:
    """Level after level, law after law; models stay in their order."""
    return lambda row: (row["level"], asked["residuals"].index(row["residuals"]))
