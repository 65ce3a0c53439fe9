"""The fragility table of a record as the card shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.cards.group_rows import rows_of
from harness.verdict import Show, p_value

_WORDS = {True: "yes", False: "no", None: ""}
_KINDS = ("loss", "training", "proxy", "windows", "year", "regime")


def fragility_rows(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rows with their figures in words and how many agree; None for a record from before."""
    table = record["tables"].get("fragility")
    if table is None:
        return None
    rows = rows_of(table)
    verdicts = [row["agrees"] for row in rows if row["agrees"] is not None]
    signs = [row["same_sign"] for row in rows if row["same_sign"] is not None]
    return {
        "agree": sum(verdicts),
        "of": len(verdicts),
        "same_sign": sum(signs),
        "signs": len(signs),
        "rows": [_shown(row) for row in rows],
        "notes": [row for row in rows if row["note"]],
        "unmade": sum(row["gain"] is None for row in rows),
    }


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    show = Show(row["metric"], row["gain_as"] == "relative")
    made, registered = row["gain"] is not None, row["kind"] == "registered"
    low, high = row["gain_low"], row["gain_high"]
    sure = made and None not in (low, high) and not math.isnan(low)
    least = "any gain" if row["min_gain"] == 0.0 else f"at least {_at_least(row, show)}"
    return {
        "variant": row["variant"],
        "gain": show(row["gain"]) if made else "",
        "unit": show.unit if made else "",
        "interval": f"{show(low)} to {show(high)}" if sure else "n/a" if made else "",
        "p": p_value(row["p_value"]) if made else "",
        "n": f"{row['n']:,}" if made else "",
        "rule": "" if row["min_gain"] is None else least,
        "verdict": row["status"] or ("none" if made else "not made"),
        "agrees": "" if registered else _WORDS[row["agrees"]],
        "same_sign": "" if registered else _WORDS[row["same_sign"]],
    }


def _at_least(row: Mapping[str, Any], show: Show) -> str:
    return show(row["min_gain"])
