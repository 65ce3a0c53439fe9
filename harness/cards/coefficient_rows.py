"""Coefficients over the fits as the rows of the card's table of them, and what they are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from harness.cards.group_rows import rows_of


def coefficient_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How each coefficient at the verdict's horizon moved over the windows."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows_of(record["tables"]["coefficients"]):
        shift = row["name"] in ("var_shift", "sigma_shift")
        if row["horizon"] == record["verdict"]["horizon"] and not shift:
            path = values.setdefault((row["model"], row["name"]), [])
            if row["value"] is not None and math.isfinite(row["value"]):
                path.append(row["value"])
    return [
        {
            "model": model,
            "name": name,
            "mean": statistics.fmean(path),
            "sd": statistics.stdev(path) if len(path) > 1 else None,
            "least": min(path),
            "most": max(path),
            "first": path[0],
            "last": path[-1],
        }
        for (model, name), path in values.items()
        if path
    ]


def medians(record: Mapping[str, Any], coefficients: list[dict[str, Any]]) -> list[str]:
    """The models among them whose coefficients are medians over symbols."""
    fits = record["tables"]["fits"]
    asset = {m for m, s in zip(fits["model"], fits["scope"], strict=True) if s == "asset"}
    several = len(record["panel"]["symbols"]) > 1
    return list(dict.fromkeys(c["model"] for c in coefficients if several and c["model"] in asset))


def coefficient_words(record: Mapping[str, Any], coefficients: list[dict[str, Any]]) -> list[str]:
    """What the coefficients are of models that have no slopes, or more than those."""
    kinds = {name: model["kind"] for name, model in record["settings"]["models"].items()}
    names: dict[str, set[str]] = {}
    for row in coefficients:
        names.setdefault(row["model"], set()).add(row["name"])
    trees = [m for m in names if kinds.get(m) in ("lightgbm", "stacked")]
    shares = [m for m in names if kinds.get(m) == "sklearn" and "intercept" not in names[m]]
    hybrids = [m for m in names if kinds.get(m) == "hybrid"]
    found = []
    if trees:
        found.append(
            f"Of {', '.join(trees)}: each feature's share of what all splits of the trees took off "
            "the training loss (sum 1)."
        )
    if shares:
        found.append(f"Of {', '.join(shares)}: importances, as the class defines them (sum 1).")
    if hybrids:
        found.append(
            f"Of {', '.join(hybrids)}: intercept and slopes of its HAR; `weight of HAR` is the "
            "share of HAR in a forecast, `regime 1` and on how likely each regime is, means over "
            "the rows held out."
        )
    return found
