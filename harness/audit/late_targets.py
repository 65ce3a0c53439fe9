"""Replaces targets that resolve too late by noise: forecasts up to then must not change.

The walk forecasts around a sampled window twice, with every model on its usual path (sweep over
shared sums, fold by fold, or symbol by symbol): once with the true targets and once with noise for
all targets that resolve after the window's cut less the declared embargo. So the check relies
neither on folds nor on the sums of a sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.audit.embargo import declared_embargo
from harness.audit.findings import Check, Failure
from harness.audit.stretch import FEWEST, with_rows
from harness.errors import HarnessError
from harness.models.linear import Linear
from harness.models.protocol import Forecaster
from harness.samples.splits import Fitting
from harness.study.study import Study
from harness.types import F64, ModelFit, Samples, Window
from harness.walk.residuals.kept import NOTHING
from harness.walk.walk_forward import walk_forward

NAME = "late targets"
_SYMBOLS = 4  # enough for models by symbol to differ from pooled ones
_LINEAR, OTHERS = 500, 250  # training rows per symbol: fast to fit twice
_HELD_OUT = 4  # one training row in 4 is held out for early stopping


@dataclass(frozen=True)
class Scene:
    """The rows around a window and the windows to walk; the sampled one is number `place`."""

    samples: Samples
    windows: tuple[Window, ...]
    place: int


def late_check(
    study: Study,
    samples: Samples,
    models: Mapping[str, Forecaster],
    windows: Sequence[Window],
    rng: np.random.Generator,
) -> tuple[list[Check], list[str]]:
    """The check around one random window, and the reasons why models were left out."""
    number = int(rng.integers(len(windows)))
    linear = {n: m for n, m in models.items() if isinstance(m, Linear) and m.swept}
    others = {n: m for n, m in models.items() if n not in linear}
    # Sweeps share sums between windows, so the neighbouring windows are walked too.
    near = windows[max(number - 1, 0) : number + 2]
    checks: list[Check] = []
    left_out: list[str] = []
    for part, rows, beside in ((linear, _LINEAR, near), (others, OTHERS, [windows[number]])):
        scene = scene_of(samples, windows[number], beside, rows, rng) if part else None
        if scene is not None:
            found, why = _of_models(study, scene, part, rng)
            checks += found
            left_out += why
        elif part:
            left_out.append(f"{NAME} at {samples.horizon}: too few training rows in its window")
    return checks, left_out


def scene_of(
    samples: Samples,
    window: Window,
    beside: Sequence[Window],
    most: int,
    rng: np.random.Generator,
) -> Scene | None:
    """A few symbols: `most` training rows each in the first window, all rows to the last one's end.

    None if there are too few rows to fit a model.
    """
    chosen = _symbols(samples, window, rng)
    if chosen is None:
        return None
    formed = samples.rows.formed_at
    own = np.ones(formed.size, bool) if chosen.all() else chosen[samples.rows.symbol]
    own &= (formed >= beside[0].train_start) & (formed < beside[-1].end)
    rows = np.flatnonzero(own)
    limit = int(np.searchsorted(formed[rows], beside[0].limit))
    most *= int(chosen.sum())
    rows = rows[max(limit - most, 0) :]
    part = _recoded(samples.of(rows), chosen)
    begin = int(formed[rows[0]])
    held_out = int(part.rows.formed_at[max(min(limit, most) * (_HELD_OUT - 1) // _HELD_OUT, 0)])
    walked = with_rows(part, [_cut_down(w, begin, held_out) for w in beside])
    places = [k for k, w in enumerate(walked) if w.position == window.position]
    return Scene(part, walked, places[0]) if places else None


def _symbols(samples: Samples, window: Window, rng: np.random.Generator) -> np.ndarray | None:
    """Which symbols (s,): a few with test rows in the window and enough training rows."""
    formed, symbol, count = samples.rows.formed_at, samples.rows.symbol, len(samples.symbols)
    trained = (formed >= window.train_start) & (samples.resolved_at <= window.limit)
    tested = (formed >= window.cut) & (formed < window.end)
    fit = np.bincount(symbol[trained], minlength=count) >= FEWEST
    fit &= np.bincount(symbol[tested], minlength=count) > 0
    if not fit.any():
        return None
    codes = np.flatnonzero(fit)
    if count > _SYMBOLS:
        codes = rng.choice(codes, min(_SYMBOLS, codes.size), replace=False)
    chosen = np.zeros(count, bool)
    chosen[codes] = True
    return chosen


def _recoded(part: Samples, chosen: np.ndarray) -> Samples:
    """The rows of these symbols alone, with new symbol codes."""
    if chosen.all():
        return part
    codes = (np.cumsum(chosen) - 1).astype(np.int32)
    symbols = tuple(s for s, there in zip(part.symbols, chosen, strict=True) if there)
    rows = replace(part.rows, symbol=codes[part.rows.symbol])
    if rows.history is not None:
        sizes = np.diff(rows.history.begins)
        kept = np.repeat(chosen, sizes)
        begins = np.cumsum([0, *sizes[chosen]], dtype=np.int64)
        history = replace(rows.history, values=rows.history.values[:, kept], begins=begins)
        rows = replace(rows, history=history, at=(np.cumsum(kept) - 1)[rows.at])
    return replace(part, rows=rows, symbols=symbols)


def _cut_down(window: Window, begin: int, held_out: int) -> Window:
    """A window that trains from `begin` on and holds out no rows before `held_out`."""
    validation = None if window.validation is None else max(window.validation, held_out)
    return window._replace(train_start=max(window.train_start, begin), validation=validation)


def _of_models(
    study: Study, scene: Scene, models: Mapping[str, Forecaster], rng: np.random.Generator
) -> tuple[list[Check], list[str]]:
    """All models in one walk; one by one if one of them cannot be fitted on these rows."""
    y, horizon = scene.samples.y, scene.samples.horizon
    declared = declared_embargo(study, horizon)
    late = scene.samples.resolved_at > scene.windows[scene.place].cut - declared
    noised = np.where(late, y * np.exp(rng.standard_normal(y.size)), y)
    try:
        return [_compared(study, scene, noised, models)], []
    except HarnessError:
        checks, left_out = [], []
        for name, model in models.items():
            try:
                checks.append(_compared(study, scene, noised, {name: model}))
            except HarnessError as error:
                left_out.append(f"{NAME}, model {name} at {horizon}: {error}")
        return checks, left_out


def _compared(study: Study, scene: Scene, noised: F64, models: Mapping[str, Forecaster]) -> Check:
    """Compare the forecasts up to the sampled window's end under both sets of targets."""
    samples, windows = scene.samples, scene.windows
    h, horizon = study.hypothesis, samples.horizon
    settings = replace(study.settings(horizon), min_train=FEWEST, keep=NOTHING)
    fittings = {n: Fitting(windows, windows, scope=h.models[n].scope) for n in models}
    was = walk_forward(models, samples, windows, fittings, settings)
    now = walk_forward(models, replace(samples, y=noised), windows, fittings, settings)
    end = int(was.edges[scene.place + 1])
    failures = []
    for name in models:
        differs = np.flatnonzero(was.yhat[name][:end] != now.yhat[name][:end])
        if differs.size:
            row = int(differs[0])
            failures.append(
                Failure(
                    f"model {name} at {horizon}",
                    "its forecast changes with targets that resolve after the cut less the embargo",
                    samples.symbols[was.symbol[row]],
                    int(was.formed_at[row]),
                )
            )
        elif not _same_fits(was.fits[name], now.fits[name], windows[scene.place].cut):
            reason = "what it is fitted to changes with targets that resolve after the cut less"
            failures.append(
                Failure(
                    f"model {name} at {horizon}",
                    f"{reason} the embargo: coefficients, or the back-transformation",
                    None,
                    windows[scene.place].cut,
                )
            )
    window = windows[scene.place].position + 1
    covered = f"{', '.join(models)} at {horizon}, window {window}"
    return Check(NAME, covered, end * len(models), tuple(failures))


def _same_fits(was: ModelFit, now: ModelFit, until: int) -> bool:
    """Whether the fits up to this time are the same to the bit, their shifts included."""
    known = was.cuts <= until
    return np.array_equal(was.shifted[known], now.shifted[known], equal_nan=True)
