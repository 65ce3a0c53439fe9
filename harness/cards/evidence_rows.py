"""Card tables of the evidence in a record: tests, VaR and ES, forecast distributions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.inference.table import TESTS, of_few_targets
from harness.scores.distribution import definitions as distribution
from harness.scores.risk import definitions as risk
from harness.scores.risk.definitions import P_VALUES
from harness.scores.risk.few_violations import DRAWS, FEW
from harness.tables import rows_of

TEST_NAMES = {name: test.heading for name, test in TESTS.items() if test.heading}
_SYMBOLS = {"ln sigma": "ln σ", "ln variance": "ln σ²", "sigma": "σ", "variance": "σ²"}
_ALL = "all"
_NOT_ON_THE_CARD = ("scale", "dof")  # the log has them
_DISTRIBUTION_TABLES = ("distribution", "quantiles", "coverage", "pit")


def ability_rows(record: Mapping[str, Any]) -> dict[str, Any]:
    """The tests of predictive ability by card table: `pairs`, `calibration`, `bootstrap`.

    `few` says what the forecast origins are too few for.

    {} for a record from before there were such tests.
    """
    rows = [
        row | {"quantity": _SYMBOLS.get(row["quantity"], row["quantity"])}
        for row in rows_of(record["tables"].get("ability", {}))
    ]
    if not rows:
        return {}
    found = {"calibration": "mincer-zarnowitz", "bootstrap": "bootstrap"}
    by = {kind: [row for row in rows if row["test"] == test] for kind, test in found.items()}
    pairs = [row | {"words": TEST_NAMES[row["test"]]} for row in rows if row["test"] in TEST_NAMES]
    nested = any(row["test"] == "clark-west" for row in pairs)
    few = next((of_few_targets(row["n"], row["overlap"]) for row in by["bootstrap"]), None)
    return {"pairs": pairs, "nested": nested, "few": few, **by}


def difference_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The loss differences of every candidate, `share` in percent; [] for older records."""
    rows = rows_of(record["tables"].get("differences", {}))
    return [
        row | {"share": None if row["top_share"] is None else 100.0 * row["top_share"]}
        for row in rows
    ]


def risk_rows(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """VaR and ES: rows over all symbols, wins by symbol, definitions of the columns.

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
        "rows": sorted(rows, key=_level_then_residuals(asked)),
        "wins": sorted(tables["risk_wins"], key=_level_then_residuals(asked)),
        "asked": asked,
        "overlap": record["settings"]["overlap"][horizon],
        "several": len(record["panel"]["symbols"]) > 1,
        "symbols": risk.SYMBOLS,
        "own": sorted({row["level"] for row in rows if row.get("p_values") == P_VALUES[1]}),
        "few": FEW,
        "draws": DRAWS,
        "notes": list(_notes(rows)),
        "figures": [f for name, f in risk.FIGURES.items() if name not in _NOT_ON_THE_CARD],
    }


def decided_tail(verdict: Mapping[str, Any]) -> str:
    """The VaR and ES that the verdict is on, in words; empty for a verdict on volatility."""
    return risk.tail_words(verdict["metric"], verdict.get("level"), verdict.get("residuals"))


def _notes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Sentences about levels at which hardly a violation, or none, can be expected or was seen."""
    for level in sorted({row["level"] for row in rows}):
        of_level = [row for row in rows if row["level"] == level]
        n = max(row["n"] for row in of_level)
        at, expected = f"At {100 * level:g} %", f"{n * level:.3g} in {n:,} forecasts"
        if not n:
            yield f"{at} no return or no VaR is known, so nothing is tested."
        elif n * level < 1.0:
            yield (
                f"{at} fewer than one violation is expected, {expected}: whether VaR and ES at "
                "this level are right cannot be seen from so few."
            )
        still = [row for row in of_level if row["n"] and not row["violations"]]
        none = [f"{row['model']} ({row['residuals']})" for row in still]
        if none:
            yield (
                f"{at} no return fell below VaR of {', '.join(none)}; expected were {expected}. "
                "Independence cannot be rejected there, and Z1 is not defined (n/a)."
            )


def _level_then_residuals(
    asked: Mapping[str, Any],
) -> Callable[[Mapping[str, Any]], tuple[Any, int]]:
    """Sorts by level, then residual distribution; models stay in their order."""
    return lambda row: (row["level"], asked["residuals"].index(row["residuals"]))


def distribution_rows(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Forecast distributions: rows over all symbols and windows, definitions of the columns.

    None for a run without [distribution].
    """
    asked = record["settings"].get("distribution")
    if not asked:
        return None
    horizon = record["verdict"]["horizon"]
    tables = {
        name: _pooled_by_law(record["tables"][name], horizon, asked)
        for name in _DISTRIBUTION_TABLES
    }
    stated = sorted({row["stated"] for row in tables["coverage"]}, reverse=True)
    return {
        "rows": [
            {
                **row,
                "intervals": _same_law_and_model(tables["coverage"], row),
                "levels": _same_law_and_model(tables["quantiles"], row),
            }
            for row in tables["distribution"]
        ],
        "pits": [
            {**row, "shares": [cell["share"] for cell in _same_law_and_model(tables["pit"], row)]}
            for row in tables["distribution"]
        ],
        "stated": stated,
        "tenths": [(cell["low"], cell["high"]) for cell in _of_the_first(tables["pit"])],
        "asked": asked,
        "seeds": len(set(record["tables"]["seeds"]["seed"])) > 1,
        "several": len(record["panel"]["symbols"]) > 1,
        "symbols": distribution.SYMBOLS,
        "figures": list(distribution.FIGURES.values()),
    }


def _pooled_by_law(
    table: Mapping[str, list[Any]], horizon: str, asked: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The pooled rows at the horizon, sorted by residual distribution; models keep their order."""
    rows = [
        row
        for row in rows_of(table)
        if row["horizon"] == horizon and row.get("scope", "pooled") == "pooled"
    ]
    return sorted(rows, key=lambda row: asked["laws"].index(row["law"]))


def _same_law_and_model(rows: list[dict[str, Any]], of: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [row for row in rows if (row["law"], row["model"]) == (of["law"], of["model"])]


def _of_the_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return _same_law_and_model(rows, rows[0]) if rows else []
