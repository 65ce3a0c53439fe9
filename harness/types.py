"""What passes between the stages: frozen, with shapes and units; times are int64 UTC ns.

What there are thousands of (windows, folds, their proofs) are named tuples, which are made ten
times as fast as frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
Progress = Callable[[str], None]  # is told in words what is done


@dataclass(frozen=True)
class Gap:
    """A run of missing bars: the first missing bar's start, the last one's, how many."""

    symbol: str
    start: int
    end: int
    missing: int


@dataclass(frozen=True)
class Excluded:
    """A symbol that takes no part, and why in words."""

    symbol: str
    reason: str


@dataclass(frozen=True)
class Bars:
    """One symbol's bars, checked: ascending, unique, finite, on the grid of `bar` ns.

    `ts` (n,) is each bar's start, or None where the grid is regular from `start` on (every
    24/7 panel after filling). A bar is known at its end, `known_at`. `columns` maps `close`,
    `high`, … and extra columns to float64 (n,). `rows` is how many bars were read, so
    `n - rows` were filled. `fingerprint` hashes what was read, before filling. A side series
    is NaN where it was not known. `left_out` counts rows of the file that are no bars, by why.
    """

    symbol: str
    start: int
    bar: int
    n: int
    ts: I64 | None
    columns: Mapping[str, F64]
    rows: int
    gaps: tuple[Gap, ...]
    fingerprint: str
    left_out: Mapping[str, int] = field(default_factory=dict)

    def known_at(self, position: I64) -> I64:
        """When the bars at `position` (any shape) are known: their end, UTC ns."""
        if self.ts is None:
            return self.start + (position + 1) * self.bar
        return self.ts[position] + self.bar


@dataclass(frozen=True)
class Measured:
    """One symbol's measures at the end of every block of bars.

    `known_at` (K,) UTC ns ascending; `columns` maps `rv_1h`, … to float64 (K,), NaN before
    their window is full; `decisions` (D,) positions at which the hypothesis decides;
    `block` bars to a block, `bar` ns to a bar.
    """

    symbol: str
    known_at: I64
    columns: Mapping[str, F64]
    decisions: I64
    block: int
    bar: int


@dataclass(frozen=True)
class History:
    """Features at every decision, also those that became no rows: symbol after symbol, in time.

    values (q, T) float64, NaN where a feature is missing; `names` its q expressions; symbol s has
    the columns begins[s] to begins[s + 1] - 1 of it.
    """

    values: F64
    names: tuple[str, ...]
    begins: I64


@dataclass(frozen=True)
class Steps:
    """Features at k decisions that follow each other: values (k, p), `symbol` (k,) int32 codes."""

    values: F64
    symbol: I32


@dataclass(frozen=True)
class Rows:
    """What a model may see of n decisions: no target in it.

    X (n, p) float64, stored column after column; `names` its p feature expressions; `symbol`
    (n,) int32 codes; `formed_at` (n,) UTC ns, ascending. Where a model looks back, `at` (n,) is
    each row's place in `history`: what lies before it there was known when the row was formed.
    """

    X: F64
    names: tuple[str, ...]
    symbol: I32
    formed_at: I64
    history: History | None = None
    at: I64 | None = None

    def take(self, rows: slice | I64) -> Rows:
        """The rows at these positions."""
        at = None if self.at is None else self.at[rows]
        return Rows(
            self.X[rows], self.names, self.symbol[rows], self.formed_at[rows], self.history, at
        )

    def columns(self, names: tuple[str, ...]) -> Rows:
        """The same rows with only these features, in this order."""
        if names == self.names:
            return self
        X = self.X.T[[self.names.index(name) for name in names]].T
        return Rows(X, names, self.symbol, self.formed_at, self.history, self.at)

    def sequences(self, length: int) -> F64:
        """The features at each row's last `length` decisions (n, length, p), its own the last.

        Complete for every row when `length` is at most the model's `look_back`.
        """
        steps, places = self.steps(length)
        return steps.values[places]

    def steps(self, length: int) -> tuple[Steps, I64]:
        """What the sequences are made of, each decision once, and their places in it (n, length).

        A step is in `length` sequences, so this is the form to keep many sequences in.
        """
        assert self.history is not None, "a model that looks back declares it by look_back"
        assert self.at is not None, "rows with a history know their place in it"
        columns = [self.history.names.index(name) for name in self.names]
        places = self.at[:, None] + np.arange(1 - length, 1, dtype=np.int64)
        first, last = (places.min(), places.max() + 1) if places.size else (0, 0)
        values = np.ascontiguousarray(self.history.values[columns, first:last].T)
        symbol = np.searchsorted(self.history.begins, np.arange(first, last), "right") - 1
        return Steps(values, symbol.astype(np.int32)), places - first


@dataclass(frozen=True)
class Samples:
    """Rows with their targets: y (n,) on the declared scale, resolved_at (n,) UTC ns.

    `last` (n,) is the target's own measure over the last horizon, known at the decision, on the
    same scale; NaN where its window was not full.
    `horizon` is its name, `dropped` how many decisions had no
    complete feature or target, `overlap` over how many decisions after it a target shares bars.
    `returns` (n,) is the log return over the target's span, NaN where unknown; None where a
    hypothesis has no use for it.
    """

    horizon: str
    rows: Rows
    y: F64
    last: F64
    resolved_at: I64
    symbols: tuple[str, ...]
    dropped: int
    overlap: int
    returns: F64 | None = None

    def of(self, positions: I64) -> Samples:
        """The rows at these positions."""
        return replace(
            self,
            rows=self.rows.take(positions),
            y=self.y[positions],
            last=self.last[positions],
            resolved_at=self.resolved_at[positions],
            returns=None if self.returns is None else self.returns[positions],
        )


class Window(NamedTuple):
    """A test window and its training span: `train_start <= formed_at`, `resolved_at <= limit`.

    `cut <= formed_at < end` is tested; limit = cut - embargo. Rows formed from `validation` on
    are held out by models that stop early. UTC ns.
    """

    position: int
    train_start: int
    limit: int
    cut: int
    end: int
    validation: int | None = None


@dataclass(frozen=True)
class Training:
    """How a fit went, where there is something to tell.

    `parameters` fitted; `converged` false where an optimiser gave up and a fall-back stands;
    `epochs` run and `best` the one kept (from 1); losses after every epoch; `attention` the mean
    weight by step of the sequence, oldest first; `lesson_` losses those of what was learned from a
    source before; `weights` after every epoch what weighs the parts of a net, by name, mean over
    the rows held out; `notes` counts of its own, by their names in models.table.NOTES.
    """

    parameters: int
    converged: bool = True
    epochs: int = 0
    best: int = 0
    train_loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    attention: tuple[float, ...] = ()
    lesson_train_loss: tuple[float, ...] = ()
    lesson_validation_loss: tuple[float, ...] = ()
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FitTime:
    """Seconds a fit takes: `typical`, and `most` where nothing stops it early; `epoch` of one."""

    typical: float
    most: float
    epoch: float


class Fold(NamedTuple):
    """A window's rows in one horizon's samples: slices, or positions where rows are ragged."""

    window: Window
    train: slice | I64
    test: slice


class LeakProof(NamedTuple):
    """What was checked of one fold: `slack` = cut - embargo - latest training resolution, ns.

    `refit` is how often such fits are made: `window` for one per test window.
    """

    window: int
    horizon: str
    train_start: int
    cut: int
    end: int
    embargo: int
    latest_resolution: int
    slack: int
    n_train: int
    n_test: int
    refit: str = "window"


@dataclass(frozen=True)
class FitReport:
    """The fits of one model in one window: how many, what they took and how they went.

    `fits` is 1, or one per symbol; `failed` of them did not converge; the rest as in Training,
    its counts averaged over the fits and its losses of a single fit only. Seconds of wall time,
    shared evenly where many windows are fitted at once; of `kept` fits, which were taken from an
    earlier run, those that they took there.
    """

    fits: int
    failed: int
    fit_seconds: float
    predict_seconds: float
    training: Training | None = None
    kept: int = 0


@dataclass(frozen=True)
class ModelFit:
    """One model over its w fits of a horizon: what it states of itself, and the way back.

    `coefficients` (w, len(names)), NaN where a fit has no such coefficient; of a model fitted by
    symbol they are medians over the symbols. With a log target, forecast variance =
    exp(2 f + var_shift) and forecast sigma = exp(f + sigma_shift), f the forecast of ln sigma;
    both shifts, (w,) or by symbol (w, s), are 0 for a target in levels. `cuts` (w,) are when the
    fits were made (UTC ns), `edges` (w + 1,) where the rows that each forecasts begin and end.
    `scope` and `refit` say for whom and how often. `tails` are those of each fit's standardised
    training residuals (risk/tails.py), (w, …) or by symbol (w, s, …), where they are asked for;
    `laws` likewise those of its residuals (distribution/laws.py).
    """

    model: str
    names: tuple[str, ...]
    coefficients: F64
    var_shift: F64
    sigma_shift: F64
    cuts: I64
    edges: I64
    reports: tuple[FitReport, ...] = ()
    scope: str = "pooled"
    refit: str = "window"
    tails: F64 | None = None
    laws: F64 | None = None

    @property
    def stated(self) -> tuple[str, ...]:
        """The names of everything a fit leaves for the log: coefficients, then the way back."""
        return (*self.names, "var_shift", "sigma_shift")

    @property
    def shifted(self) -> F64:
        """The values of `stated` (w, len(names) + 2)."""
        shifts = (middle(s) if s.ndim > 1 else s for s in (self.var_shift, self.sigma_shift))
        return np.column_stack((self.coefficients, *shifts))

    def shifts(self, symbol: I32) -> tuple[F64, F64]:
        """(var_shift, sigma_shift) of every forecast (n,), whose symbols are given."""
        repeat = np.diff(self.edges)
        if self.var_shift.ndim == 1:
            return np.repeat(self.var_shift, repeat), np.repeat(self.sigma_shift, repeat)
        fit = np.repeat(np.arange(repeat.size), repeat)
        return self.var_shift[fit, symbol], self.sigma_shift[fit, symbol]


def middle(values: F64) -> F64:
    """The median over the second axis of those that are numbers; NaN where none is."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(axis=1)[:, None]
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[1] - 1), axis=1)
    return np.where(count > 0, 0.5 * (low + high), np.nan).squeeze(1)


@dataclass(frozen=True)
class Repeat:
    """Models fitted again with another seed: `yhat` and `fits` as in Forecasts, of these alone."""

    seed: int
    yhat: Mapping[str, F64]
    fits: Mapping[str, ModelFit]


@dataclass(frozen=True)
class Forecasts:
    """Out-of-sample forecasts of one horizon, n test rows in time order.

    `window` (n,) int32 codes `windows` from 0; rows of window w are edges[w]:edges[w + 1];
    `y`, `last` and `returns` as in Samples; `yhat` model -> (n,) on the target's scale; `fits`
    model -> its fits; `proofs` are of every fit, by how often they are made. `unfitted` symbol ->
    how many of its test rows were left out because its own training rows were too few. `repeats`
    are the models whose fits depend on the seed, with further seeds, over the same rows.
    """

    horizon: str
    symbols: tuple[str, ...]
    symbol: I32
    formed_at: I64
    resolved_at: I64
    window: I32
    windows: tuple[Window, ...]
    edges: I64
    y: F64
    last: F64
    yhat: Mapping[str, F64]
    fits: Mapping[str, ModelFit]
    proofs: tuple[LeakProof, ...]
    overlap: int
    unfitted: Mapping[str, int] = field(default_factory=dict)
    returns: F64 | None = None
    repeats: tuple[Repeat, ...] = ()

    def of_seed(self, again: Repeat) -> Forecasts:
        """The models that were fitted again with another seed, alone."""
        return replace(self, yhat=again.yhat, fits=again.fits, repeats=())


PRICES = ("open", "high", "low", "close")
VOLUME = "volume"
