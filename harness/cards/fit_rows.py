"""Fits with epochs as the rows of the card's table of training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from harness.tables import rows_of

# The loss a model is told to train on -> what it is, and its unit.
_LOSSES = {
    "qlike": ("QLIKE", "nats"),
    "log-mse": ("squared error of ln σ", "no unit"),
    "mse": ("squared error", "share of the squared training mean"),
    "l2": ("squared error", "the target's unit, squared"),
    "l1": ("absolute error", "the target's unit"),
}
_LIKELIHOOD = "negative log likelihood under a normal law", "nats, of returns over their scale"
SPLITS = ("train", "validation")


def loss_words(model: Mapping[str, Any]) -> tuple[str, str]:
    """The training loss of a model, by its settings, and its unit."""
    if model.get("kind") == "stacked":
        return _of_stages(model)
    if model.get("kind") == "deepvol":
        return _LIKELIHOOD
    named = model.get("loss") or model.get("objective")
    return _LOSSES.get(str(named), ("its own training loss", "as its class defines it"))


def _of_stages(model: Mapping[str, Any]) -> tuple[str, str]:
    """The first stage's where that trains in epochs, else that of its trees."""
    if "loss" not in model["first"]:
        return loss_words({"objective": model["objective"]})
    name, unit = loss_words(model["first"])
    return f"first stage: {name}", unit


def training_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per model with epochs, at the verdict's horizon: its epochs over the fits, its last losses.

    The losses are those after the epoch kept by the last fit that has any.
    """
    horizon = record["verdict"]["horizon"]
    fits: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of(record["tables"]["fits"]):
        if row["horizon"] == horizon and row["epochs"]:
            fits.setdefault(row["model"], []).append(row)
    losses = {
        (row["model"], row["fit"], row["split"], row["epoch"]): row["loss"]
        for row in rows_of(record["tables"]["training"])
        if row["horizon"] == horizon
    }
    found = []
    for model, rows in fits.items():
        told = {key[1] for key in losses if key[0] == model}
        last = next((r for r in reversed(rows) if r["fit"] in told), rows[-1])
        at = {s: losses.get((model, last["fit"], s, last["best_epoch"])) for s in SPLITS}
        name, unit = loss_words(record["settings"]["models"].get(model, {}))
        found.append(
            {
                "model": model,
                "fits": sum(row["fits"] for row in rows),
                "epochs": _span([row["epochs"] for row in rows]),
                "best": _span([row["best_epoch"] for row in rows]),
                "loss": f"{name} ({unit})",
                **at,
            }
        )
    return found


def _span(counts: list[int]) -> str:
    least, most = min(counts), max(counts)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


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


def seed_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per model, in the verdict's metric and horizon: how many seeds, mean, deviation, extremes."""
    verdict = record["verdict"]
    found: dict[str, list[float]] = {}
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
