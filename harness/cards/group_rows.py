"""Card tables of the groups, shifts and sweeps in a record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.scores.groups import caught_up
from harness.scores.metrics import METRICS
from harness.tables import rows_of

_MOST_GROUPS = 40  # rows shown of one table; the log has all
_SHOWN_ORIGINS = (1, 2, 3, 5, 10, 15, 20, 40, 60, 100, 250)


def group_rows(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Kind -> the verdict's metric of every model by group, at the verdict's horizon."""
    v = record["verdict"]
    kinds: dict[str, dict[str, dict[str, Any]]] = {}
    models: dict[str, None] = {}
    for row in rows_of(record["tables"].get("group_scores", {})):
        if row["horizon"] == v["horizon"] and row["metric"] == v["metric"]:
            group = kinds.setdefault(row["kind"], {}).setdefault(row["name"], {})
            group |= {"name": row["name"], "n": row["n"], row["model"]: row["value"]}
            models[row["model"]] = None
    wins = [
        w for w in rows_of(record["tables"].get("group_wins", {})) if w["horizon"] == v["horizon"]
    ]
    return {
        kind: {
            "models": list(models),
            "all": len(groups),
            "shown": list(groups.values())[:_MOST_GROUPS],
            "wins": [w for w in wins if (w["kind"], w["metric"]) == (kind, v["metric"])],
            "nll": [w for w in wins if (w["kind"], w["metric"]) == (kind, "nll")],
        }
        for kind, groups in kinds.items()
    }


def deciding_rows(record: Mapping[str, Any], pooled: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The verdict's metric of every model over the rows that the verdict is about."""
    v = record["verdict"]
    if v.get("regime") is None:
        return [
            {"model": r["model"], "value": r[v["metric"]]}
            for r in pooled
            if r["horizon"] == v["horizon"]
        ]
    wanted = "regime", v["regime"], v["horizon"], v["metric"]
    return [
        row
        for row in rows_of(record["tables"]["group_scores"])
        if (row["kind"], row["name"], row["horizon"], row["metric"]) == wanted
    ]


def adaptation_rows(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Regime -> cumulative losses at some origins after a shift, at the verdict's horizon."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows_of(record["tables"].get("adaptation", {})):
        if row["horizon"] != record["verdict"]["horizon"]:
            continue
        table = found.setdefault(
            row["regime"],
            {
                "loss": row["loss"],
                "shifts": row["shifts"],
                "models": {},
                "usual": {},
                "origins": {},
            },
        )
        table["models"].setdefault(row["model"], []).append(row["cumulative"])
        table["usual"][row["model"]] = row.get("usual")
        at = table["origins"].setdefault(row["decision"], {"decision": row["decision"]})
        at[row["model"]] = row["cumulative"]
    for table in found.values():
        origins, losses = table.pop("origins"), table["models"]
        table["caught_up"] = {
            model: caught_up(np.array(losses[model]), usual)
            for model, usual in table["usual"].items()
            if usual is not None
        }
        table["models"] = list(losses)
        table["rows"] = [origins[k] for k in origins if k in _SHOWN_ORIGINS or k == max(origins)]
    return found


def sweep_rows(record: Mapping[str, Any], pooled: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The verdict's metric and the held-out loss by the swept value; None without a [sweep]."""
    sweep, v = record["settings"].get("sweep"), record["verdict"]
    if not sweep:
        return None
    figures = {r["model"]: r[v["metric"]] for r in pooled if r["horizon"] == v["horizon"]}
    values = [figures[model] for model in sweep["models"]]
    known = [x for x in values if x is not None and math.isfinite(x)]
    best = (max if METRICS[v["metric"]].higher else min)(known, default=None)
    held_out = [_held_out(record, model) for model in sweep["models"]]
    least = min((x for x in held_out if x is not None), default=None)
    rows = [
        {
            "value": value,
            "figure": figure,
            "best": figure is not None and figure == best,
            "held_out": loss,
            "least": loss is not None and loss == least,
        }
        for value, figure, loss in zip(sweep["values"], values, held_out, strict=True)
    ]
    trained = least is not None
    return {"model": sweep["model"], "key": sweep["key"], "rows": rows, "trained": trained}


def _held_out(record: Mapping[str, Any], model: str) -> float | None:
    """The mean held-out loss of a model's fits and seeds at the verdict's horizon, if any has."""
    wanted = model, record["verdict"]["horizon"]
    losses = [
        row["validation_loss"]
        for row in rows_of(record["tables"].get("seed_training", {}))
        if (row["model"], row["horizon"]) == wanted and row["validation_loss"] is not None
    ]
    return float(np.mean(losses)) if losses else None
