"""One fit of the walk made again, with nothing that comes after its test rows.

Its rows are forecast in an order in which nothing can be remembered from a later one: each row by
itself, then ever longer parts, then all of them. A sound model gives a row the same forecast every
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from harness.models.foreign import in_words, require_fitted, require_forecasts, shown
from harness.models.linear import Linear
from harness.models.protocol import Chained, Forecaster, ModelError
from harness.samples.splits import Fitting
from harness.types import F64, I64, Fold, History, Rows, Samples
from harness.walk.fit_rows import fit_rows
from harness.walk.fold_fit import Settings, fitted_on
from harness.walk.walk_forward import walk_forward

# Another number of rows may change the last bits of a sum, also of one in single precision. What a
# forecast could learn from this is nothing.
_OF_SPREAD, _OF_SIZE = 1e-5, 1e-6


@dataclass(frozen=True)
class OneFit:
    """A model, its rows up to the last test row, and the fold of its fit, the last of `folds`.

    The folds before it are those that a chain of fits starts from. `scope` as of Fitting. The rows
    are forecast all at once, or so many `at_once`.
    """

    name: str
    model: Forecaster
    samples: Samples
    folds: tuple[Fold, ...]
    settings: Settings
    scope: str = "pooled"
    at_once: int | None = None

    @property
    def fold(self) -> Fold:
        """The fold of the fit."""
        return self.folds[-1]

    @property
    def swept(self) -> bool:
        """Whether the walk forecasts for the model, by its coefficients and row by row."""
        return isinstance(self.model, Linear) and self.model.swept

    @property
    def learned(self) -> I64:
        """The positions of the rows that the fits may learn from, also those held out."""
        resolved = self.samples.resolved_at[: self.fold.test.start]
        return np.flatnonzero(resolved <= self.fold.window.limit)

    def without_later(self) -> OneFit:
        """The same with the mean of the training targets for all targets that resolve later."""
        y = np.full(self.samples.y.size, self.samples.y[self.learned].mean())
        y[self.learned] = self.samples.y[self.learned]
        return replace(self, samples=replace(self.samples, y=y))


@dataclass(frozen=True)
class Answer:
    """The forecasts (m,) of a fit's test rows, and those of the same rows asked for in parts.

    `parts` are positions among the test rows and their forecasts. `symbol` and `formed_at` (m,)
    tell the rows.
    """

    yhat: F64
    symbol: I64
    formed_at: I64
    parts: tuple[tuple[I64, F64], ...] = ()


def one_fit(
    name: str,
    model: Forecaster,
    samples: Samples,
    folds: Sequence[Fold],
    settings: Settings,
    scope: str = "pooled",
) -> OneFit:
    """The fit of the last fold, on arrays of its own that end with its test rows."""
    last = folds[-1]
    first = min(_first(f) for f in folds)
    moved = tuple(
        f._replace(
            train=_moved(f.train, first), test=slice(f.test.start - first, f.test.stop - first)
        )
        for f in folds
    )
    return OneFit(name, model, _between(samples, first, last.test.stop), moved, settings, scope)


def _first(fold: Fold) -> int:
    train, other = fold.train, fold.test.start
    if isinstance(train, slice):
        return min(train.start, other)
    return min(int(train.min()), other) if train.size else other


def _moved(train: slice | I64, by: int) -> slice | I64:
    return slice(train.start - by, train.stop - by) if isinstance(train, slice) else train - by


def _between(samples: Samples, first: int, stop: int) -> Samples:
    """These rows as arrays of their own, in the same layout, with what was known by the last."""
    rows = until(samples.rows, np.arange(first, stop, dtype=np.int64), contiguous=True)
    part = slice(first, stop)
    return replace(
        samples,
        rows=rows,
        y=samples.y[part].copy(),
        last=samples.last[part].copy(),
        resolved_at=samples.resolved_at[part].copy(),
        returns=None,
    )


def until(rows: Rows, at: I64, *, contiguous: bool = False) -> Rows:
    """The rows at these positions, as arrays of their own, without the history after the last."""
    part: slice | I64 = slice(int(at[0]), int(at[-1]) + 1) if contiguous else at
    history, places = rows.history, rows.at
    if history is not None and places is not None:
        history, shift = _history_until(history, rows, int(rows.formed_at[at[-1]]))
        places = places[at] + shift[rows.symbol[at]]
    return Rows(
        np.array(rows.X[part], order="K"),
        rows.names,
        rows.symbol[part].copy(),
        rows.formed_at[part].copy(),
        history,
        places,
    )


def _history_until(history: History, rows: Rows, moment: int) -> tuple[History, I64]:
    """Every symbol's history up to its last row formed by the moment, and how columns moved."""
    assert rows.at is not None, "rows with a history have places in it"
    stop = int(np.searchsorted(rows.formed_at, moment, "right"))
    ends = history.begins[:-1].copy()
    np.maximum.at(ends, rows.symbol[:stop], rows.at[:stop] + 1)
    begins = np.concatenate(([0], np.cumsum(ends - history.begins[:-1]))).astype(np.int64)
    spans = zip(history.begins[:-1].tolist(), ends.tolist(), strict=True)
    values = np.concatenate([history.values[:, a:b] for a, b in spans], axis=1)
    return History(values, history.names, begins), begins[:-1] - history.begins[:-1]


def fit_again(one: OneFit, singles: Sequence[int] = (), share: float = 0.0) -> Answer:
    """Fit the model and forecast: these rows by themselves, ever longer parts, then all rows.

    `share` is the length of a part as a share of the next longer one; 0: no parts. A model that the
    walk sweeps is walked instead, and forecast at once. Raises ModelError, or what the walk raises.
    """
    if one.swept:
        return _swept(one)
    model, samples, fold = one.model, one.samples, one.fold
    rows, y = shown(model, samples.rows.columns(model.features), samples.y)
    with in_words(model):
        if isinstance(model, Chained):
            chain = model.fit_chain(rows, y, [f.train for f in one.folds], seed=one.settings.seed)
            *_, fitted = islice(chain, len(one.folds))
            require_fitted(model, fitted)
        else:
            seen = fit_rows(model, samples, fold, one.settings.embargo)
            fitted = fitted_on(model, rows, y, seen, one.settings, fold)
        count = fold.test.stop - fold.test.start
        places = [np.array([k]) for k in singles] + [np.arange(n) for n in _lengths(count, share)]
        parts = []
        for at in places:
            part, _ = shown(model, until(rows, fold.test.start + at), y[:0])
            parts.append((at, _predicted(fitted, part)))
        whole = rows.take(fold.test)
        step = one.at_once or count
        starts = range(fold.test.start, fold.test.stop, step)
        spans = (slice(a, min(a + step, fold.test.stop)) for a in starts)
        return Answer(
            np.concatenate([_predicted(fitted, rows.take(span)) for span in spans]),
            whole.symbol.astype(np.int64),
            whole.formed_at,
            tuple(parts),
        )


def _predicted(fitted: Forecaster, rows: Rows) -> F64:
    yhat = fitted.predict(rows)
    require_forecasts(yhat, len(rows.X))
    if not np.isfinite(yhat).all():
        raise ModelError("a forecast is not finite")
    return yhat.copy()


def _lengths(count: int, share: float) -> list[int]:
    """1, …, count times share, ascending, each about `share` of the next."""
    found = []
    while share and (count := int(count * share)) >= 1:
        found.append(count)
    return found[::-1]


def _swept(one: OneFit) -> Answer:
    window = one.fold.window
    fitting = {one.name: Fitting((window,), (window,), scope=one.scope)}
    made = walk_forward({one.name: one.model}, one.samples, [window], fitting, one.settings)
    return Answer(made.yhat[one.name], made.symbol.astype(np.int64), made.formed_at)


def rounding(yhat: F64) -> float:
    """How far two forecasts may lie apart that differ by rounding alone, given all of them (m,)."""
    return _OF_SPREAD * float(yhat.std()) + _OF_SIZE * float(np.abs(yhat).max(initial=0.0))


class Apart(NamedTuple):
    """A row (position among the test rows) that a part of so many rows forecasts differently."""

    row: int
    asked: int


def first_apart(answer: Answer) -> Apart | None:
    """The first row whose forecast in a part differs from that among all."""
    allowed = rounding(answer.yhat)
    for at, yhat in answer.parts:
        apart = np.flatnonzero(np.abs(yhat - answer.yhat[at]) > allowed)
        if apart.size:
            return Apart(int(at[apart[0]]), at.size)
    return None


def unlike(apart: Apart, rows: int) -> str:
    """The reason for a failure, in words; `rows` is the number of test rows."""
    alone = "by itself" if apart.asked == 1 else f"in the first {apart.asked:,} rows"
    return (
        f"its forecast {alone}, with nothing known after them, is another one than among all "
        f"{rows:,} test rows"
    )
