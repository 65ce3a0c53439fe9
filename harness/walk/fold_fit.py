"""Fits one model on one fold and forecasts its test rows, with a report of the fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np

from harness.durations import show_moment
from harness.errors import RunError
from harness.kernels.loader import clock
from harness.models.foreign import in_words, require_fitted, shown
from harness.models.pretraining import (
    PretrainedForecaster,
    PretrainedModel,
    PretrainedWeights,
    PretrainingRows,
    pretraining_rows,
)
from harness.models.protocol import (
    Contextual,
    Forecaster,
    Kept,
    ModelError,
    Recursive,
    Staged,
    looked_back,
    overfits,
)
from harness.samples.target_scale import TargetScale
from harness.types import F64, I64, Fold, Rows, Samples
from harness.walk.fit_cache import Entry, FitCache
from harness.walk.fit_rows import FitRows, fit_rows
from harness.walk.fold_result import FoldResult, packed, result_of, unpacked
from harness.walk.residual_rows import TooFewRows, Unseen, left_out, unseen_forecasts
from harness.walk.residuals.kept import NOTHING, ResidualPlan

MIN_TRAIN = 100  # training rows that a symbol needs for a fit of its own


@dataclass(frozen=True)
class Settings:
    """What all fits of a walk share: the embargo (ns), the target scale, the seed.

    `min_train` is the number of training rows that a symbol needs for a fit of its own. `keep` says
    which summaries of its residuals each fit keeps. `store` is the cache of fits, if any. Models
    whose fits depend on the seed are fitted with `seeds` seeds, from `seed` on. `source` are the
    source-panel rows for pretraining.
    """

    embargo: int
    scale: TargetScale
    seed: int = 0
    min_train: int = MIN_TRAIN
    keep: ResidualPlan = NOTHING
    store: FitCache | None = None
    seeds: int = 1
    source: Samples | None = None

    @property
    def uses_residuals(self) -> bool:
        """Whether the shifts, or something that each fit keeps, are made of its residuals."""
        return self.scale.shifted or self.keep.in_sample


def without_residuals(settings: Settings) -> Settings:
    """The settings of fits of which forecasts alone are used, with one seed."""
    return replace(settings, scale=replace(settings.scale, back="naive"), keep=NOTHING, seeds=1)


def fit_fold(
    name: str, model: Forecaster, samples: Samples, settings: Settings, fold: Fold
) -> FoldResult:
    """Fit one model on one fold and forecast its test rows, or read both from the fit cache.

    A model that stops early never trains on its held-out rows. RunError names the window and the
    model if it cannot be fitted or a forecast is not finite, or names a damaged cache file.
    """
    entry = _entry(name, model, samples, settings, fold)
    if entry is not None and (found := entry.read()) is not None:
        return unpacked(*found)
    rows, y = shown(model, samples.rows.columns(model.features), samples.y)
    seen = fit_rows(model, samples, fold, settings.embargo)
    with named(name, model, samples, fold):
        began = clock()
        fitted = fitted_on(model, rows, y, seen, settings, fold)
        unseen = unseen_by(fitted, model, rows, y, samples, seen, settings, fold)
        seconds = clock() - began
        result = result_of(
            fitted, rows, samples, fold, seen, settings.scale, settings.keep, seconds, unseen
        )
        if entry is not None:
            assert isinstance(fitted, Kept), "a fitted copy has the methods of its model"
            entry.write(*packed(result, fitted.weights()))
    return result


def fitted_on(
    model: Forecaster, rows: Rows, y: F64, seen: FitRows, settings: Settings, fold: Fold
) -> Forecaster:
    """A fitted copy of the model, pretrained and with its first stage fitted if it has them.

    `rows` and targets `y` are all of the samples, as the model may see them (models.foreign.shown).
    """
    validation = _taken(rows, y, seen.held_out)
    model = _with_pretraining(model, settings, fold)
    model = _with_first_stage(model, rows, y, seen, settings.seed)
    train = seen.train
    fitted = model.fit(rows.take(train), y[train], validation=validation, seed=settings.seed)
    require_fitted(model, fitted)
    return fitted


def unseen_by(
    fitted: Forecaster,
    model: Forecaster,
    rows: Rows,
    y: F64,
    samples: Samples,
    seen: FitRows,
    settings: Settings,
    fold: Fold,
) -> Unseen | str | None:
    """Forecasts of rows that a fitted copy was not trained on, or why there are none.

    None if they are not needed. `rows`, `y` as of fitted_on, `seen` the rows of the fit.
    """
    if not settings.uses_residuals:
        return None

    def refit(others: FitRows) -> Forecaster:
        return fitted_on(model, rows, y, others, settings, fold)

    fewest = settings.keep.fewest
    try:
        return unseen_forecasts(
            fitted, model, rows, samples, fold, seen, settings.embargo, fewest, refit
        )
    except TooFewRows as error:
        return str(error)


def _taken(rows: Rows, y: F64, part: I64 | None) -> tuple[Rows, F64] | None:
    return None if part is None else (rows.take(part), y[part])


def _with_first_stage(
    model: Forecaster, rows: Rows, y: F64, seen: FitRows, seed: int
) -> Forecaster:
    """A two-stage model with its first stage fitted; any other model unchanged."""
    if seen.first is None or not isinstance(model, Staged):
        return model
    validation = _taken(rows, y, seen.first_held_out)
    return model.begun(rows.take(seen.first), y[seen.first], validation=validation, seed=seed)


def wants_pretraining(model: Forecaster, settings: Settings) -> TypeGuard[PretrainedForecaster]:
    """Whether the model is to be pretrained, and there is a source panel."""
    return (
        settings.source is not None
        and isinstance(model, PretrainedModel)
        and model.wants_pretraining
    )


def _with_pretraining(model: Forecaster, settings: Settings, fold: Fold) -> Forecaster:
    """The model with weights pretrained on the source, from the cache if they are there."""
    if not wants_pretraining(model, settings):
        return model
    given = pretraining_rows_of(model, settings, fold)
    if settings.store is None:
        return model.with_pretrained(model.pretrained(given, seed=settings.seed))
    entry = settings.store.entry(
        f"lesson: {model.pretraining_key}",
        made_by=model.made_by(),
        rows=_lesson_rows(given),
        numbers={"y": given.y, "held out": given.held_out_y},
        look_back=_seen(model),
        settings={"seed": settings.seed},
    )
    with entry.alone():
        if (found := entry.read()) is None:
            pretrained = model.pretrained(given, seed=settings.seed)
            entry.write(pretrained.weights, pretrained.words())
        else:
            pretrained = PretrainedWeights.of(*found)
    return model.with_pretrained(pretrained)


def pretraining_rows_of(
    model: PretrainedForecaster, settings: Settings, fold: Fold
) -> PretrainingRows:
    """The source rows for one fit's pretraining; ModelError if there are too few."""
    assert settings.source is not None, "wants_pretraining is true only with a source"
    limit, held = fold.window.limit, model.holds_out
    return pretraining_rows(
        settings.source, looked_back(model), limit, settings.embargo, holds_out=held
    )


def _seen(model: Kept | PretrainedModel) -> int | None:
    """How many forecast origins of a row's history a fit and its forecasts see; None: all."""
    return None if isinstance(model, Recursive) and model.recursive else model.look_back


def _lesson_rows(given: PretrainingRows) -> dict[str, tuple[Rows, tuple[str, ...]]]:
    return {
        "lesson": (given.rows, given.symbols),
        "lesson held out": (given.held_out, given.symbols),
    }


def is_cached(
    name: str, model: Forecaster, samples: Samples, settings: Settings, fold: Fold
) -> bool:
    """Whether this fit is in the cache, so that it takes no time."""
    entry = _entry(name, model, samples, settings, fold)
    return entry is not None and entry.path.exists()


def _entry(
    name: str, model: Forecaster, samples: Samples, settings: Settings, fold: Fold
) -> Entry | None:
    """The fit's place in the cache, by all inputs of the fit and its forecasts, or None."""
    store = settings.store
    if store is None or name not in store.models or not isinstance(model, Kept):
        return None
    past = looked_back(model)
    rows = samples.rows.columns(past)
    seen = fit_rows(model, samples, fold, settings.embargo)
    taken = {"train": seen.train} | {
        key: part
        for key, part in (
            ("held out", seen.held_out),
            ("first", seen.first),
            ("first held out", seen.first_held_out),
        )
        if part is not None
    }
    numbers = {"y" if key == "train" else key: samples.y[at] for key, at in taken.items()}
    taken["test"] = fold.test
    parts = {key: rows.take(at) for key, at in taken.items()}
    if isinstance(model, Contextual):
        context = samples.rows.columns(model.context)
        numbers |= {f"context, {key}": context.take(at).X for key, at in taken.items()}
    named_parts = {key: (part, samples.symbols) for key, part in parts.items()}
    if wants_pretraining(model, settings):
        with named(name, model, samples, fold):
            given = pretraining_rows_of(model, settings, fold)
        named_parts |= _lesson_rows(given)
        numbers |= {"lesson": given.y, "lesson held out": given.held_out_y}
    for k, part in enumerate(_left_out(model, samples, settings, fold)):
        named_parts[f"left out {k}"] = rows.take(part), samples.symbols
        numbers[f"left out {k}"] = samples.y[part]
    if (returns := settings.keep.returns(samples, fold.train)) is not None:
        numbers["returns"] = returns
    asked = {"seed": settings.seed, "scale": repr(settings.scale), "keep": repr(settings.keep)}
    with named(name, model, samples, fold):
        return store.entry(
            store.models[name],
            made_by=model.made_by(),
            rows=named_parts,
            numbers=numbers,
            look_back=_seen(model),
            settings=asked,
        )


def _left_out(model: Forecaster, samples: Samples, settings: Settings, fold: Fold) -> Iterator[I64]:
    """All rows that further fits for residuals are fitted on, and those left out of them."""
    if not leaves_out(model, settings):
        return
    with suppress(TooFewRows):
        for part, out in left_out(model, samples, fold, settings.embargo):
            yield from (rows for rows in (part.first, part.first_held_out) if rows is not None)
            yield np.arange(samples.y.size)[part.train]
            yield out


def leaves_out(model: Forecaster, settings: Settings) -> bool:
    """Whether each fit is followed by further ones, without part of its rows, for residuals.

    A model may find only when fitted that it has few parameters: then there are none.
    """
    return settings.uses_residuals and not model.validates and overfits(model)


@contextmanager
def named(name: str, model: object, samples: Samples, fold: Fold) -> Iterator[None]:
    """Turns what a model raises (a plug-in: anything) into a RunError naming model and window."""
    try:
        with in_words(model):
            yield
    except ModelError as error:
        raise failed(name, samples, fold, error) from None


def failed(name: str, samples: Samples, fold: Fold, error: Exception) -> RunError:
    """The error with model, horizon, symbol (if it is one of several) and window named."""
    window = fold.window
    whose = f", {samples.symbols[samples.rows.symbol[0]]}" if _single(samples) else ""
    return RunError(
        f"model {name}, horizon {samples.horizon}{whose}, window {window.position + 1} "
        f"({show_moment(window.cut)} to {show_moment(window.end)}): {error}"
    )


def _single(samples: Samples) -> bool:
    """Whether these are the rows of one symbol from a panel of several."""
    symbol = samples.rows.symbol
    return len(samples.symbols) > 1 and bool((symbol == symbol[0]).all())
