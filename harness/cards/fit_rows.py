"""Card tables of the fits in a record: training by epochs, coefficients, seeds."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from harness.cards.run_figure import of_first_seed, seeds_of
from harness.tables import rows_of
from harness.walk.residuals.laws import HELD_OUT

# The training loss in a model's settings -> its name and its unit.
_LOSSES = {
    "qlike": ("QLIKE", "nats"),
    "log-mse": ("squared error of ln σ", "no unit"),
    "mse": ("squared error", "share of the squared training mean"),
    "l2": ("squared error", "the target's unit, squared"),
    "l1": ("absolute error", "the target's unit"),
}
_LIKELIHOOD = (
    "negative log likelihood under a normal distribution",
    "nats, of returns over their scale",
)
SPLITS = ("train", "validation")
# What FitReport.residuals says, for the card.
_RESIDUALS = {
    "training": "the training rows",
    "held out": "the held-out rows",
    "left out": "the training rows, left out a third at a time and forecast by fits without them",
}


def trained_by(record: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """A model's settings, with the training loss that was used where they say `auto`."""
    settings = record["settings"]
    found: Mapping[str, Any] = settings.get("trained", {}).get(model)
    return found or settings["models"].get(model, {})


def shown_settings(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Every model's settings as the card shows them: `log-mse (auto)`."""
    models = record["settings"]["models"]
    return {name: _shown(words, trained_by(record, name)) for name, words in models.items()}


def _shown(words: Mapping[str, Any], used: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(words)
    for key, value in words.items():
        if isinstance(value, Mapping):
            found[key] = _shown(value, used[key])
        elif value == "auto" != used[key]:
            found[key] = f"{used[key]} (auto)"
    return found


def loss_words(model: Mapping[str, Any]) -> tuple[str, str]:
    """The training loss of a model by its settings: its name and its unit."""
    if model.get("kind") == "stacked":
        return _of_stages(model)
    if model.get("kind") == "deepvol":
        return _LIKELIHOOD
    named = model.get("loss") or model.get("objective")
    return _LOSSES.get(str(named), ("its own training loss", "as its class defines it"))


def _of_stages(model: Mapping[str, Any]) -> tuple[str, str]:
    """The loss of the first stage if it trains in epochs, else that of the trees."""
    if "loss" not in model["first"]:
        return loss_words({"objective": model["objective"]})
    name, unit = loss_words(model["first"])
    return f"first stage: {name}", unit


def training_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per model with epochs, at the verdict's horizon, over all its fits and seeds.

    `epochs` and `best` are ranges. The losses are those after the best epoch of the last fit that
    has losses, means over the seeds, with `least` and `most` by split where there are several.
    """
    fits: dict[str, list[dict[str, Any]]] = {}
    for row in _trained(record):
        fits.setdefault(row["model"], []).append(row)
    seconds = Counter[str]()
    for row in rows_of(record["tables"]["fit_times"]):
        if row["horizon"] == record["verdict"]["horizon"]:
            seconds[row["model"]] += row["fit_seconds"]
    # Older records lack the epochs of the further seeds, but not their seconds.
    untimed = set() if "seed_training" in record["tables"] else set(seeds_of(record))
    untimed |= {m for m, words in record["settings"]["models"].items() if _pretrained(words)}
    found = []
    for model, rows in fits.items():
        settings = trained_by(record, model)
        with_losses = [row for row in rows if row["train_loss"] is not None]
        last = max((row["fit"] for row in with_losses), default=None)
        ended = [row for row in with_losses if row["fit"] == last]
        name, unit = loss_words(settings)
        found.append(
            {
                "model": model,
                "fits": sum(row["fits"] for row in rows),
                "seeds": len({row["seed"] for row in rows}),
                "epochs": _span([row["epochs"] for row in rows]),
                "allowed": _counts(record, model, "most_epochs"),
                "batch": _counts(record, model, "batch"),
                "best": _span([row["best_epoch"] for row in rows]),
                "mean_epochs": _mean_of(rows, "epochs"),
                "mean_best": _mean_of(rows, "best_epoch"),
                "loss": f"{name} ({unit})",
                "speed": None if model in untimed else seconds[model] / _epochs(rows),
                **{split: _over_seeds(ended, split, statistics.fmean) for split in SPLITS},
                "least": {split: _over_seeds(ended, split, min) for split in SPLITS},
                "most": {split: _over_seeds(ended, split, max) for split in SPLITS},
            }
        )
    return found


def _trained(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of `seed_training` at the verdict's horizon.

    Older records have epochs and losses of the first seed alone, which stands for all.
    """
    horizon, tables = record["verdict"]["horizon"], record["tables"]
    if "seed_training" in tables:
        return [row for row in rows_of(tables["seed_training"]) if row["horizon"] == horizon]
    losses = {
        (row["model"], row["fit"], row["split"], row["epoch"]): row["loss"]
        for row in rows_of(tables["training"])
        if row["horizon"] == horizon
    }
    return [
        row
        | {"seed": record["seed"]}
        | {
            f"{split}_loss": losses.get((row["model"], row["fit"], split, row["best_epoch"]))
            for split in SPLITS
        }
        for row in rows_of(tables["fits"])
        if row["horizon"] == horizon and row["epochs"]
    ]


def _counts(record: Mapping[str, Any], model: str, column: str) -> str:
    """The range of a count of `fits` over the model's fits that have it; empty in older records."""
    horizon = record["verdict"]["horizon"]
    rows = rows_of(record["tables"]["fits"])
    own = [row for row in rows if (row["model"], row["horizon"]) == (model, horizon)]
    found = [row[column] for row in own if row.get(column)]
    return _span(found) if found else ""


def _span(counts: list[int]) -> str:
    least, most = min(counts), max(counts)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _mean_of(rows: list[dict[str, Any]], key: str) -> float:
    """The mean of a count over all fits; a row may stand for several."""
    return sum(row["fits"] * row[key] for row in rows) / sum(row["fits"] for row in rows)


def _over_seeds(
    rows: list[dict[str, Any]], split: str, of: Callable[[list[float]], float]
) -> float | None:
    known = [row[f"{split}_loss"] for row in rows if row[f"{split}_loss"] is not None]
    return of(known) if known else None


def _pretrained(settings: Mapping[str, Any]) -> bool:
    """Whether its fits may train on the source too, which other fits then need not."""
    tuned = settings.get("strategy", "scratch") != "scratch"
    return tuned or settings.get("trains_on") == "source"


def _epochs(rows: list[dict[str, Any]]) -> int:
    """The epochs of all fits together."""
    return sum(row["fits"] * row["epochs"] for row in rows)


def speed_rows(record: Mapping[str, Any], training: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The baseline and the best candidate with their speeds, if both train in epochs."""
    speeds = {row["model"]: row["speed"] for row in training}
    models = record["verdict"]["baseline"], record["verdict"]["candidate"]
    if any(speeds.get(model) is None for model in models):
        return []
    return [{"model": model, "speed": speeds[model]} for model in models]


def residual_words(record: Mapping[str, Any]) -> list[str]:
    """Which rows' residuals the shifts, VaR and quantiles of each model are made of, in sentences.

    None for a record in which nothing is made of residuals, or which does not say so.
    """
    settings, fits = record["settings"], rows_of(record["tables"]["fits"])
    asked = settings.get("distribution") or {}
    made = [
        ("the back-transformation", settings["scale"] == "log" and settings["back"] != "naive"),
        ("VaR and ES", settings.get("risk")),
        ("quantiles", set(asked.get("laws", ())) - set(HELD_OUT)),
    ]
    uses = [what for what, used in made if used]
    if not uses or not all("residuals" in row for row in fits):
        return []
    of: dict[str, set[str]] = {}
    for row in fits:
        of.setdefault(row["model"], set()).update(row["residuals"].split(" and "))
    models: dict[str, list[str]] = {}
    for model, which in of.items():
        rows = " or ".join(_RESIDUALS[w] for w in sorted(which))
        models.setdefault(rows, []).append(model)
    said = "; ".join(f"of {rows} ({', '.join(names)})" for rows, names in models.items())
    return [f"Residuals for {_listed(uses)}: {said}.", *_unseen_words(fits)]


def _listed(uses: list[str]) -> str:
    *before, last = uses
    return f"{', '.join(before)} and {last}" if before else last


def _unseen_words(fits: list[dict[str, Any]]) -> list[str]:
    """A sentence per model whose residuals are too small in some fits, with the first reason."""
    found = []
    for model in dict.fromkeys(row["model"] for row in fits if row["unseen"]):
        own = [row for row in fits if row["model"] == model]
        short = [row for row in own if row["unseen"]]
        found.append(
            f"{model}: residuals of its training rows, which are too small, in {len(short)} of "
            f"{len(own)} fits ({short[0]['unseen']})."
        )
    return found


def coefficient_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Mean, spread, first and last value of each coefficient at the verdict's horizon."""
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
    """The models whose coefficients are medians over symbols."""
    fits = record["tables"]["fits"]
    asset = {m for m, s in zip(fits["model"], fits["scope"], strict=True) if s == "asset"}
    several = len(record["panel"]["symbols"]) > 1
    return list(dict.fromkeys(c["model"] for c in coefficients if several and c["model"] in asset))


def coefficient_words(record: Mapping[str, Any], coefficients: list[dict[str, Any]]) -> list[str]:
    """Sentences on the coefficients of models that are not just an intercept and slopes."""
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
            f"{', '.join(trees)}: each feature's share of the total reduction of the training loss "
            "by the splits of the trees (sum 1)."
        )
    if shares:
        found.append(f"{', '.join(shares)}: importances as the class defines them (sum 1).")
    if hybrids:
        found.append(
            f"{', '.join(hybrids)}: intercept and slopes of the HAR part; `weight of HAR` is the "
            "share of HAR in a forecast, `regime 1` and so on are the probabilities of the "
            "regimes, all means over the held-out rows; `sd of the net / sd of HAR` is the "
            "standard deviation of the net's own forecast, or of what the net adds to HAR, over "
            "that of HAR's forecast on the same rows."
        )
    if drawn := [m for m in names if m in seeds_of(record)]:
        found.append(f"{', '.join(drawn)}: with {of_first_seed(record, drawn[:1])}.")
    return found


def seed_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per model, in the verdict's metric and horizon: seeds, mean, deviation, minimum, maximum."""
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
