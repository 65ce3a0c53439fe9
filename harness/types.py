"""Frozen records that pass between the stages, with shapes and units; times are int64 UTC ns.

Records that exist by the thousand are named tuples, created ten times as fast as dataclasses.
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
Progress = Callable[[str], None]  # receives a message for people


@dataclass(frozen=True)
class Gap:
    """A run of missing bars: the start of the first missing bar and of the last, and how many."""

    symbol: str
    start: int
    end: int
    missing: int


@dataclass(frozen=True)
class Excluded:
    """A symbol that is left out, and the reason in words."""

    symbol: str
    reason: str


@dataclass(frozen=True)
class Bars:
    """One symbol's bars, checked: ascending, unique, finite, on the grid of `bar` ns.

    `ts` (n,) is each bar's start, or None where the grid is regular from `start` on (every
    24/7 panel after filling). A bar is known at its end, `known_at`. `columns` maps `close`,
    `high`, … and extra columns to float64 (n,). `rows` is how many bars were read, so
    `n - rows` were filled. `fingerprint` is a hash of the data read, before filling. A side
    series is NaN where it was not known. `left_out` counts rows of the file that are not bars, by
    reason. `read` are the starts (rows,) and columns (rows,) of the bars read, before filling.
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
    read: tuple[I64, Mapping[str, F64]] | None = None

    def known_at(self, position: I64) -> I64:
        """When the bars at `position` (any shape) are known: their end, UTC ns."""
        if self.ts is None:
            return self.start + (position + 1) * self.bar
        return self.ts[position] + self.bar


@dataclass(frozen=True)
class Measured:
    """One symbol's measures at the end of every block of bars.

    `known_at` (K,) UTC ns ascending; `columns` maps `rv_1h`, … to float64 (K,), NaN before
    their window is full; `origins` (D,) are the positions of the forecast origins;
    `block` bars to a block, `bar` ns to a bar.
    """

    symbol: str
    known_at: I64
    columns: Mapping[str, F64]
    origins: I64
    block: int
    bar: int


@dataclass(frozen=True)
class History:
    """Features at every forecast origin, also at origins without a row: by symbol, then by time.

    values (q, T) float64, NaN where a feature is missing; `names` are the q expressions; symbol s
    has the columns begins[s] to begins[s + 1] - 1.
    """

    values: F64
    names: tuple[str, ...]
    begins: I64


@dataclass(frozen=True)
class Steps:
    """Features at k consecutive forecast origins: values (k, p), `symbol` (k,) int32 codes."""

    values: F64
    symbol: I32


@dataclass(frozen=True)
class Rows:
    """What a model may see at n forecast origins: features, without the target.

    X (n, p) float64, stored column by column; `names` are the p feature expressions; `symbol`
    (n,) int32 codes; `formed_at` (n,) UTC ns, ascending. Where a model looks back, `at` (n,) is
    each row's column in `history`: everything before it there was known when the row was formed.
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
        """The features at each row's last `length` forecast origins (n, length, p), its own last.

        Complete for every row when `length` is at most the model's `look_back`.
        """
        steps, places = self.steps(length)
        return steps.values[places]

    def steps(self, length: int) -> tuple[Steps, I64]:
        """The steps of all sequences, each stored once, and their places in them (n, length).

        A step belongs to `length` sequences, so this form takes the least memory.
        """
        assert self.history is not None, "a model that looks back declares it by look_back"
        assert self.at is not None, "rows with a history have their places in it"
        columns = [self.history.names.index(name) for name in self.names]
        places = self.at[:, None] + np.arange(1 - length, 1, dtype=np.int64)
        first, last = (places.min(), places.max() + 1) if places.size else (0, 0)
        values = np.ascontiguousarray(self.history.values[columns, first:last].T)
        symbol = np.searchsorted(self.history.begins, np.arange(first, last), "right") - 1
        return Steps(values, symbol.astype(np.int32)), places - first


@dataclass(frozen=True)
class Samples:
    """Rows with their targets: y (n,) on the declared scale, resolved_at (n,) UTC ns.

    `last` (n,) is the target's own measure over the last horizon, known at the forecast origin, on
    the same scale; NaN where its window was not full. `horizon` is the horizon's name, `dropped`
    the number of origins without complete features or target, `overlap` the number of later
    origins whose targets share bars with a target. `returns` (n,) is the log return over the
    target's span, NaN where unknown; None where the hypothesis does not use it.
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

    Test rows have `cut <= formed_at < end`; limit = cut - embargo. Models that stop early hold out
    the training rows formed from `validation` on. `position` counts windows from 0. UTC ns.
    """

    position: int
    train_start: int
    limit: int
    cut: int
    end: int
    validation: int | None = None


@dataclass(frozen=True)
class Training:
    """How a fit went, for models that report it.

    `parameters` fitted; `converged` is false where the optimiser failed and a fallback is used;
    `epochs` run and the `best` one, whose weights are used (from 1; 0 if those of pretraining are
    used as they came, since no epoch was better on the held-out rows); `batch` the rows of a step
    and `most_epochs` the epochs allowed, of nets trained on rows; losses after every epoch;
    `attention` the mean weight by step of the sequence, oldest first; `lesson_` losses are those
    of pretraining; `weights` are the weights of a net's parts after every epoch, by name, averaged
    over the held-out rows; `notes` are the model's own counts, named in models.table.NOTES;
    `cut_short` are the keys of its settings that ended it while the held-out loss still fell.
    """

    parameters: int
    converged: bool = True
    epochs: int = 0
    best: int = 0
    batch: int = 0
    most_epochs: int = 0
    train_loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    attention: tuple[float, ...] = ()
    lesson_train_loss: tuple[float, ...] = ()
    lesson_validation_loss: tuple[float, ...] = ()
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    cut_short: tuple[str, ...] = ()


@dataclass(frozen=True)
class FitTime:
    """Seconds per fit: `typical`, and `most` without early stopping; `epoch` is one epoch's."""

    typical: float
    most: float
    epoch: float


class Fold(NamedTuple):
    """A window's rows in one horizon's samples: slices, or positions where not contiguous."""

    window: Window
    train: slice | I64
    test: slice


class LeakProof(NamedTuple):
    """What was checked for one fold: `slack` = cut - embargo - latest training resolution, ns.

    `refit` is how often the model is refitted: `window` means once per test window.
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
    """The fits of one model in one window: how many, how long they took and how they went.

    `fits` is 1, or one per symbol; `failed` did not converge; `kept` came from the fit cache, with
    the seconds of then. Seconds are wall time, shared evenly by windows fitted at once. `training`
    has means over the fits, and losses of a single fit; `cut_short` counts fits by the keys of
    Training's, `alone` by the part whose forecasts are the model's; `weights`: the final ones of a
    net's parts, one a fit. `residuals`, `unseen`: of which rows, and why (walk/residual_rows.py).
    """

    fits: int
    failed: int
    fit_seconds: float
    predict_seconds: float
    training: Training | None = None
    kept: int = 0
    cut_short: Mapping[str, int] = field(default_factory=dict)
    alone: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    residuals: str = "training"
    unseen: str = ""


@dataclass(frozen=True)
class ModelFit:
    """One model's w fits for a horizon: coefficients, back-transformation and reports.

    `coefficients` (w, len(names)), NaN where a fit has no such coefficient; for a model fitted by
    symbol they are medians over the symbols. With a log target, forecast variance =
    exp(2 f + var_shift) and forecast sigma = exp(f + sigma_shift), f the forecast of ln sigma;
    both shifts, (w,) or by symbol (w, s), are 0 for a target in levels. `cuts` (w,) are the times
    of the fits (UTC ns); fit k forecasts rows edges[k] to edges[k + 1] - 1, edges (w + 1,).
    `scope` says for which symbols a fit is, `refit` how often it is repeated. Where asked for,
    `tails`, (w, …) or by symbol (w, s, …), summarise each fit's standardised residuals
    (walk/residuals/tails.py), and `laws` its residual distribution (walk/residuals/laws.py).
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
        """The names of the values a fit stores in the log: coefficients, then the two shifts."""
        return (*self.names, "var_shift", "sigma_shift")

    @property
    def shifted(self) -> F64:
        """The values of `stated` (w, len(names) + 2)."""
        shifts = (middle(s) if s.ndim > 1 else s for s in (self.var_shift, self.sigma_shift))
        return np.column_stack((self.coefficients, *shifts))

    def shifts(self, symbol: I32) -> tuple[F64, F64]:
        """(var_shift, sigma_shift) of every forecast (n,), given the symbol of each."""
        repeat = np.diff(self.edges)
        if self.var_shift.ndim == 1:
            return np.repeat(self.var_shift, repeat), np.repeat(self.sigma_shift, repeat)
        fit = np.repeat(np.arange(repeat.size), repeat)
        return self.var_shift[fit, symbol], self.sigma_shift[fit, symbol]


def middle(values: F64) -> F64:
    """The median over the second axis, ignoring NaN; NaN where all values are NaN."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(axis=1)[:, None]
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[1] - 1), axis=1)
    return np.where(count > 0, 0.5 * (low + high), np.nan).squeeze(1)


@dataclass(frozen=True)
class Repeat:
    """Models refitted with another seed: `yhat` and `fits` as in Forecasts, of these only."""

    seed: int
    yhat: Mapping[str, F64]
    fits: Mapping[str, ModelFit]


@dataclass(frozen=True)
class Forecasts:
    """Out-of-sample forecasts of one horizon, n test rows in time order.

    `window` (n,) int32 is each row's position in `windows`; rows of window w are
    edges[w]:edges[w + 1]; `y`, `last` and `returns` as in Samples; `yhat` maps a model to its
    forecasts (n,) on the target's scale, `fits` to its fits. `proofs` cover every fit of every
    refit schedule. `unfitted` maps a symbol to the number of its test rows left out because it had
    too few training rows. `repeats` are the seed-dependent models with further seeds, on the same
    rows.
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
        """Only the models that were refitted with another seed."""
        return replace(self, yhat=again.yhat, fits=again.fits, repeats=())


PRICES = ("open", "high", "low", "close")
VOLUME = "volume"
