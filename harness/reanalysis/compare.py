"""Two runs side by side, from their records."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from harness.log.run_digests import sealed_holm

_HEAD = ("run_id", "hypothesis", "started", "status", "seconds", "spec_hash", "seed")
_VERDICT = (
    "candidate",
    "baseline",
    "metric",
    "horizon",
    "gain",
    "gain_low",
    "gain_high",
    "gain_as",
    "gain_shown",
    "claim_shown",
    "rule_version",
)
_TAIL = ("level", "residuals")  # of a verdict on VaR or ES
_PANEL = ("name", "fingerprint", "start", "end", "bars", "filled")
_CODE = ("code_version",)


def compare_records(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Heads, verdicts, data and code of both; how the specs differ; the pooled scores of both.

    A difference of scores is second - first, in the metric's unit.
    """
    runs = [_row(key, first.get(key), second.get(key)) for key in _HEAD]
    tail = [key for key in _TAIL if any(r["verdict"].get(key) for r in (first, second))]
    for part, keys in (
        ("verdict", (*_VERDICT, *tail)),
        ("panel", _PANEL),
        ("environment", _CODE),
    ):
        runs += [_row(f"{part} {key}", first[part].get(key), second[part].get(key)) for key in keys]
    runs += [
        _row("family comparisons", *(_tried(record) for record in (first, second))),
        _row("family p_holm", sealed_holm(first), sealed_holm(second)),
    ]
    difference = difflib.unified_diff(
        first["spec"].splitlines(), second["spec"].splitlines(), "first", "second", lineterm="", n=1
    )
    ours, theirs = _pooled(first), _pooled(second)
    scores = [
        {
            "horizon": key[0],
            "model": key[1],
            "metric": key[2],
            "first": ours[key],
            "second": theirs[key],
            "difference": _minus(theirs[key], ours[key]),
        }
        for key in ours
        if key in theirs
    ]
    return {"runs": runs, "spec_difference": list(difference), "scores": scores}


def _tried(record: Mapping[str, Any]) -> int | None:
    tried: int | None = (record.get("family") or {}).get("comparisons")
    return tried


def _row(key: str, first: Any, second: Any) -> dict[str, Any]:
    return {"what": key, "first": first, "second": second}


def _pooled(record: Mapping[str, Any]) -> dict[tuple[str, str, str], float | None]:
    table = record["tables"]["scores"]
    keys = zip(table["horizon"], table["model"], table["metric"], strict=True)
    return {
        key: value
        for key, scope, value in zip(keys, table["scope"], table["value"], strict=True)
        if scope == "pooled"
    }


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
