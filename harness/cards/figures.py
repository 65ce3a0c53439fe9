"""The figures of a run beside its card, from its record and its stored forecasts alone.

The record decides which figures a run has, their names and their captions. A card refers to them
by these names, and drawing them again gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.cards.fit_rows import SPLITS, loss_words, trained_by
from harness.cards.group_rows import group_rows, sweep_rows
from harness.cards.render import pooled_rows
from harness.cards.residual_figures import fan_figures, pit_figures, risk_figures
from harness.cards.run_figure import (
    MOST_FORECASTS,
    Record,
    RunFigure,
    alone,
    number,
    of_all_seeds,
    of_first_seed,
    rows_at,
    series_of,
    times_of,
    what_is_forecast,
    with_words,
)
from harness.errors import one_line
from harness.figures.fits import (
    attention_by_lag,
    coefficients_through_time,
    training_history,
    weights_by_epoch,
)
from harness.figures.scores import (
    adaptation_curves,
    by_group_bars,
    calibration_by_decile,
    forecast_against_outcome,
    loss_over_windows,
    memory_curve,
)
from harness.log.store import Log
from harness.scores.metrics import METRICS
from harness.types import F64

if TYPE_CHECKING:
    import polars as pl

_MOST_COEFFICIENTS = 8
_NOT_COEFFICIENTS = ("var_shift", "sigma_shift")


@dataclass(frozen=True)
class Illustrated:
    """The files that were written, and by figure name why others were not."""

    paths: tuple[Path, ...]
    failed: Mapping[str, str]


def figure_words(record: Record) -> list[dict[str, str]]:
    """The name and the caption of every figure that this record allows, for the card."""
    return [{"name": figure.name, "words": figure.words} for figure in run_figures(record)]


def illustrate(log: Log, run: str) -> Illustrated:
    """Draw every figure of a stored run into the folder beside its card.

    A figure that cannot be drawn is reported and the others are still drawn. UsageError for an
    unknown run, RecordError for a damaged record, RunError if a file cannot be written.
    """
    record = log.read(run)
    forecasts = log.read_forecasts(record["run_id"])
    paths: list[Path] = []
    failed: dict[str, str] = {}
    for figure in run_figures(record):
        try:
            svg = figure.draw(forecasts)
        except Exception as error:  # whatever it is, the other figures are still drawn
            failed[figure.name] = one_line(error, 200)
        else:
            paths.append(log.write_figure(record, figure.name, svg))
    return Illustrated(tuple(paths), failed)


def run_figures(record: Record) -> Iterator[RunFigure]:
    """Every figure that the record allows, all at the verdict's horizon."""
    for family in (
        _loss, _forecasts, _calibration, _regimes, _adaptation, _memory, _training, _pretraining,
        _net_weights, _coefficients, _attention, risk_figures, pit_figures,
        fan_figures,
    ):  # fmt: skip
        yield from family(record)


def _loss(record: Record) -> Iterator[RunFigure]:
    metric = record["verdict"]["metric"]
    rows = [
        row
        for row in rows_at(record, "scores")
        if row["scope"] == "window" and row["metric"] == metric
    ]
    starts = list(dict.fromkeys(row["window_start"] for row in rows))
    if len(starts) < 2:
        return
    losses = series_of(rows, "model", "window_start", starts, "value")
    draw = partial(loss_over_windows, times_of(starts), losses, *_metric(metric))
    words = f"{METRICS[metric].heading} of every model by test window"
    yield RunFigure("loss", with_words(words, of_all_seeds(record)), alone(draw))


def _forecasts(record: Record) -> Iterator[RunFigure]:
    v, s = record["verdict"], record["settings"]
    every = list(s["models"])
    models = list(dict.fromkeys((v["baseline"], v["candidate"], *every)))[:MOST_FORECASTS]
    what = what_is_forecast(s, v["horizon"])
    some = f", {len(models)} of {len(every)} models" if len(models) < len(every) else ""
    words = with_words(f"Forecast against outcome: {what}{some}", of_first_seed(record, models))
    draw = partial(_draw_forecasts, record, models, what)
    yield RunFigure("forecasts", words, draw)


def _draw_forecasts(
    record: Record, models: Sequence[str], what: str, forecasts: pl.DataFrame
) -> bytes:
    """For the symbol with the most forecasts, the first one in a tie."""
    import polars as pl

    part = forecasts.filter(
        (pl.col("horizon") == record["verdict"]["horizon"]) & pl.col("model").is_in(models)
    )
    counts = part.group_by("symbol", maintain_order=True).len()
    most = counts["len"].arg_max()
    assert most is not None, "a run has forecasts at the verdict's horizon"
    symbol = counts["symbol"][most]
    part = part.filter(pl.col("symbol") == symbol)
    frames = {m: part.filter(pl.col("model") == m).sort("formed_at") for m in models}
    first = next(iter(frames.values()))
    log = record["settings"]["scale"] == "log"

    def level(values: pl.Series) -> F64:
        with np.errstate(over="ignore"):
            return np.exp(values.to_numpy()) if log else values.to_numpy()

    unit = "σ² per bar" if record["settings"]["unit"] == "variance" else "σ per bar"
    named = f"{what}, {symbol}" if len(record["panel"]["symbols"]) > 1 else what
    return forecast_against_outcome(
        first["formed_at"].dt.replace_time_zone(None).to_numpy(),
        level(first["y"]),
        {model: level(frame["yhat"]) for model, frame in frames.items()},
        f"{named}{' (exp of its log)' if log else ''}",
        unit,
    )


def _calibration(record: Record) -> Iterator[RunFigure]:
    """On the target's scale, all symbols; the models of the figure of forecasts."""
    v, s = record["verdict"], record["settings"]
    if "ability" not in record["tables"]:
        return
    models = list(dict.fromkeys((v["baseline"], v["candidate"], *s["models"])))[:MOST_FORECASTS]
    unit = "σ²" if s["unit"] == "variance" else "σ"
    log = s["scale"] == "log"
    what = f"{'ln ' * log}{what_is_forecast(s, v['horizon'])}"
    unit = f"ln {unit}" if log else f"{unit} per bar"
    draw = partial(_draw_calibration, v["horizon"], models, what, unit)
    words = f"Calibration: mean outcome by decile of the forecast of {what}"
    yield RunFigure("calibration", with_words(words, of_first_seed(record, models)), draw)


def _draw_calibration(
    horizon: str, models: Sequence[str], what: str, unit: str, forecasts: pl.DataFrame
) -> bytes:
    part = forecasts.filter(forecasts["horizon"] == horizon)
    frames = {model: part.filter(part["model"] == model) for model in models}
    first = next(iter(frames.values()))
    values = {model: frame["yhat"].to_numpy() for model, frame in frames.items()}
    return calibration_by_decile(first["y"].to_numpy(), values, what, unit)


def _regimes(record: Record) -> Iterator[RunFigure]:
    found = group_rows(record).get("regime")
    if not found:
        return
    groups = {
        row["name"]: {m: number(row.get(m)) for m in found["models"]} for row in found["shown"]
    }
    metric = record["verdict"]["metric"]
    draw = partial(by_group_bars, groups, *_metric(metric))
    words = with_words(f"{METRICS[metric].heading} by regime", of_all_seeds(record))
    yield RunFigure("regimes", words, alone(draw))


def _adaptation(record: Record) -> Iterator[RunFigure]:
    rows = rows_at(record, "adaptation")
    for regime in dict.fromkeys(row["regime"] for row in rows):
        own = [row for row in rows if row["regime"] == regime]
        days = sorted({row["decision"] for row in own})
        losses = series_of(own, "model", "decision", days, "cumulative")
        loss = METRICS[own[0]["loss"]].loss
        assert loss is not None, "only the loss of a row is summed after a shift"
        name, unit = loss.words, loss.unit
        draw = partial(adaptation_curves, days, losses, name, unit)
        words = f"Cumulative {name} of every model after a shift, {regime}"
        words = with_words(words, of_first_seed(record, list(losses)))
        yield RunFigure(f"adaptation-{regime}", words, alone(draw))


def _memory(record: Record) -> Iterator[RunFigure]:
    sweep, metric = sweep_rows(record, pooled_rows(record)), record["verdict"]["metric"]
    if sweep is None:
        return
    values = [row["value"] for row in sweep["rows"]]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return  # text values have no place on an axis
    order = np.argsort(values, kind="stable")
    scores = np.array([number(row["figure"]) for row in sweep["rows"]])[order]
    draw = partial(
        memory_curve,
        np.array(values, dtype=np.float64)[order],
        {sweep["model"]: scores},
        sweep["key"],
        *_metric(metric),
        higher_is_better=METRICS[metric].higher,
    )
    words = f"{METRICS[metric].heading} of {sweep['model']} by {sweep['key']}"
    yield RunFigure("memory", words, alone(draw))


def _training(record: Record) -> Iterator[RunFigure]:
    """One figure per trained model: its last fit, with the best epoch marked."""
    rows = [row for row in rows_at(record, "training") if row["split"] in SPLITS]
    for model, own, best in _last_fits(record, rows):
        epochs = sorted({row["epoch"] for row in own})
        losses = series_of(own, "split", "epoch", epochs, "loss")
        name, unit = loss_words(trained_by(record, model))
        draw = partial(training_history, epochs, losses, name, unit, kept=best)
        words = f"Training of {model}: loss by epoch, last fit"
        words = with_words(words, of_first_seed(record, [model]))
        yield RunFigure(f"training-{model}", words, alone(draw))


def _pretraining(record: Record) -> Iterator[RunFigure]:
    """One figure per pretrained model: the pretraining of its last fit."""
    splits = {f"lesson_{split}": split for split in SPLITS}
    rows = [
        row | {"split": splits[row["split"]]}
        for row in rows_at(record, "training")
        if row["split"] in splits
    ]
    for model, own, _ in _last_fits(record, rows):
        epochs = sorted({row["epoch"] for row in own})
        losses = series_of(own, "split", "epoch", epochs, "loss")
        name, unit = loss_words(trained_by(record, model))
        draw = partial(training_history, epochs, losses, name, unit)
        words = f"Pretraining of {model}: loss by epoch, before its last fit"
        words = with_words(words, of_first_seed(record, [model]))
        yield RunFigure(f"lesson-{model}", words, alone(draw))


def _net_weights(record: Record) -> Iterator[RunFigure]:
    """One figure per model that reports the weights of its parts: its last fit."""
    for model, own, best in _last_fits(record, rows_at(record, "net_weights")):
        epochs = sorted({row["epoch"] for row in own})
        weights = series_of(own, "name", "epoch", epochs, "weight")
        draw = partial(weights_by_epoch, epochs, weights, kept=best)
        words = f"Weights of the parts of {model} by epoch: mean over the held-out rows, last fit"
        words = with_words(words, of_first_seed(record, [model]))
        yield RunFigure(f"weights-{model}", words, alone(draw))


def _last_fits(
    record: Record, rows: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, list[dict[str, Any]], int | None]]:
    """Each model's rows of its last fit that has any, and its best epoch."""
    kept = {
        (row["model"], row["fit"]): row["best_epoch"] if row["epochs"] else None
        for row in rows_at(record, "fits")
    }
    for model in dict.fromkeys(row["model"] for row in rows):
        last = max(row["fit"] for row in rows if row["model"] == model)
        own = [row for row in rows if row["model"] == model and row["fit"] == last]
        yield model, own, kept.get((model, last))


def _coefficients(record: Record) -> Iterator[RunFigure]:
    """For models with two or more fits and few enough coefficients to tell apart."""
    models: dict[str, list[dict[str, Any]]] = {}
    for row in rows_at(record, "coefficients"):
        if row["name"] not in _NOT_COEFFICIENTS:
            models.setdefault(row["model"], []).append(row)
    for model, rows in models.items():
        cuts = list(dict.fromkeys(row["cut"] for row in rows))
        paths = series_of(rows, "name", "cut", cuts, "value")
        omitted = ""
        if "intercept" in paths and len(paths) > 1:  # far from the slopes: it would flatten them
            del paths["intercept"]
            omitted = ", without its intercept"
        if len(cuts) >= 2 and len(paths) <= _MOST_COEFFICIENTS:
            draw = partial(coefficients_through_time, times_of(cuts), paths)
            words = f"Coefficients of {model} through time{omitted}"
            words = with_words(words, of_first_seed(record, [model]))
            yield RunFigure(f"coefficients-{model}", words, alone(draw))


def _attention(record: Record) -> Iterator[RunFigure]:
    models: dict[str, dict[int, list[float]]] = {}
    for row in rows_at(record, "attention"):
        models.setdefault(row["model"], {}).setdefault(row["step"], []).append(
            number(row["weight"])
        )
    for model, lags in models.items():
        steps = sorted(lags)
        draw = partial(attention_by_lag, steps, [float(np.mean(lags[k])) for k in steps])
        words = f"Attention of {model} by lag, mean over its fits"
        words = with_words(words, of_first_seed(record, [model]))
        yield RunFigure(f"attention-{model}", words, alone(draw))


def _metric(name: str) -> tuple[str, str]:
    return METRICS[name].heading, METRICS[name].unit
