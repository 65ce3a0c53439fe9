"""The fragility table of a record, as the card and `harness fragility` show it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.inference.evidence import no_gain
from harness.tables import rows_of
from harness.verdict.words import Show, p_value

_PARTS = ("year", "regime")
_WORDS = {True: "yes", False: "no", None: ""}


def fragility_rows(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The rows as text and how many agree; None for a record from before there was the table."""
    table = record["tables"].get("fragility")
    if table is None:
        return None
    rows = rows_of(table)
    held = [row for row in rows if row["agrees"] is not None and _has_interval(row)]
    parts = [row for row in held if row["kind"] in _PARTS]
    choices = [row for row in held if row["kind"] not in _PARTS]
    signs = [row["same_sign"] for row in rows if row["same_sign"] is not None]
    words = f"{_agree(choices)} other choices, {_agree(parts)} years and regimes"
    inconclusive = sum(not row["agrees"] and row["status"] == "inconclusive" for row in held)
    if inconclusive:
        be = "is" if inconclusive == 1 else "are"
        words += f"; {inconclusive} of the others {be} inconclusive, which is no contradiction"
    if signs:
        words += f"; {sum(signs)} of {len(signs)} have a gain of the same sign"
    return {
        "agree": sum(row["agrees"] for row in held),
        "of": len(held),
        "words": words,
        "same_sign": sum(signs),
        "signs": len(signs),
        "rows": [_shown(row) for row in rows],
        "notes": [row for row in rows if row["note"]],
        "any_gain": _any_gain(rows),
        "unmade": sum(row["gain"] is None for row in rows),
    }


def _has_interval(row: Mapping[str, Any]) -> bool:
    """Whether the variant could show anything; an open interval has no ends."""
    low = row["gain_low"]
    return bool(row.get("unbounded")) or (low is not None and not math.isnan(low))


def _agree(rows: list[dict[str, Any]]) -> str:
    return f"{sum(row['agrees'] for row in rows)} of {len(rows)}"


def _any_gain(rows: list[dict[str, Any]]) -> str | None:
    """The registered metric's verdict for any gain, if a variant is compared with it."""
    own = [row["status"] for row in rows if row["kind"] == "registered"]
    others = any(_asks_any_gain(row) for row in rows if row["kind"] != "registered")
    return own[1] if len(own) > 1 and others else None


def _asks_any_gain(row: Mapping[str, Any]) -> bool:
    return row["min_gain"] == no_gain(row["gain_as"])


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    show = Show(row["metric"], row["gain_as"])
    computed, registered = row["gain"] is not None, row["kind"] == "registered"
    least = row["min_gain"]
    return {
        "variant": row["variant"],
        "gain": show(row["gain"]) if computed else "",
        "unit": show.unit if computed else "",
        "interval": show.interval(row) if computed else "",
        "p": p_value(row["p_value"]) if computed else "",
        "n": f"{row['n']:,}" if computed else "",
        "required": "any gain" if _asks_any_gain(row) else show(least) if least is not None else "",
        "verdict": row["status"] or ("none" if computed else "not computed"),
        "agrees": "" if registered else _WORDS[row["agrees"]],
        "same_sign": "" if registered else _WORDS[row["same_sign"]],
    }
