"""Evidence in a record as rows of the card: tests, VaR and ES, forecast distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.scores.distribution import definitions as distribution
from harness.scores.risk import definitions as risk
from harness.tables import rows_of

WORDS = {
    "giacomini-white": "Giacomini-White",
    "giacomini-white-conditional": "Giacomini-White, conditional",
    "clark-west": "Clark-West",
    "encompassing": "encompassing",
}
_SIGNS = {"ln sigma": "ln σ", "ln variance": "ln σ²", "sigma": "σ", "variance": "σ²"}


def ability_rows(record: Mapping[str, Any]) -> dict[str, Any]:
    """The tests by table of the card: `pairs`, `calibration`, `bootstrap`; {} for none.

    Records from before there were such tests have none.
    """
    rows = [
        row | {"quantity": _SIGNS.get(row["quantity"], row["quantity"])}
        for row in rows_of(record["tables"].get("ability", {}))
    ]
    if not rows:
        return {}
    found = {"calibration": "mincer-zarnowitz", "bootstrap": "bootstrap"}
    by = {kind: [row for row in rows if row["test"] == test] for kind, test in found.items()}
    pairs = [row | {"words": WORDS[row["test"]]} for row in rows if row["test"] in WORDS]
    nested = any(row["test"] == "clark-west" for row in pairs)
    return {"pairs": pairs, "nested": nested, **by}


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
        "symbols": risk.SYMBOLS,
        "figures": [f for name, f in risk.FIGURES.items() if name not in _IN_THE_LOG],
    }


def _place(asked: Mapping[str, Any]) -> Any:
    """Level after level, law after law; models stay in their order."""
    return lambda row: (row["level"], asked["residuals"].index(row["residuals"]))


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
        "symbols": distribution.SYMBOLS,
        "figures": list(distribution.FIGURES.values()),
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
