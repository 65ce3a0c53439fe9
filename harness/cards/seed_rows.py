"""Models fitted with several seeds as the rows of the card's table of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from harness.cards.group_rows import rows_of


def seed_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per model, in the verdict's metric and horizon: how many seeds, mean, deviation, extremes."""
    verdict, found = record["verdict"], {}
    for row in rows_of(record["tables"].get("seeds", {"model": []})):
        if (row["horizon"], row["metric"]) == (verdict["horizon"], verdict["metric"]):
            found.setdefault(row["model"], []).append(row["value"])
    return [
        {
            "model": model,
            "seeds": len(values),
            "mean": None,
            "deviation": None,
            "least": None,
            "greatest": None,
            **(_spread(values) if None not in values else {}),
        }
        for model, values in found.items()
    ]


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": statistics.fmean(values),
        "deviation": statistics.stdev(values),
        "least": min(values),
        "greatest": max(values),
    }
