"""Fits with epochs as the rows of the card's table of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cards.group_rows import rows_of

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
