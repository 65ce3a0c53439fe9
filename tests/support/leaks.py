"""Leaks, planted on purpose: each looks ahead in its own way, and the audit must find every one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pytest

from harness.measures import cascade
from harness.models.params import OlsParams
from harness.models.protocol import Forecaster, Task, own_features
from harness.models.table import KINDS, Kind
from harness.panel import panel
from harness.panel.side_series import Series
from harness.panel.sources.simulated import Simulated
from harness.panel.sources.table import RawBars
from harness.samples import feature_functions, splits
from harness.samples import measured as store
from harness.samples.feature_functions import Function
from harness.study.stages import sample
from harness.study.study import Study
from harness.types import F64, I64, Bars, Fold, LeakProof, Measured, Rows, Samples, Window
from harness.walk import fit_rows, residual_rows
from harness.walk import linear_sweep as sweeps
from harness.walk import sweep_rows as swept_rows
from harness.walk import walk_forward as walk

HOUR = 3_600_000_000_000
Patch = pytest.MonkeyPatch


def function(name: str, apply: Callable[[F64], F64]) -> Callable[[Patch], None]:
    """Plant a feature function `name(x)`."""
    entry = Function(name, "a planted leak", apply)
    return lambda patch: patch.setitem(feature_functions.FUNCTIONS, name, entry)


def whole(x: F64) -> F64:
    """Over the mean and spread of the whole sample."""
    return (x - np.nanmean(x)) / np.nanstd(x)


def centred(x: F64) -> F64:
    """A mean of five around the decision."""
    return np.convolve(x, np.ones(5) / 5, mode="same")


def backward(x: F64) -> F64:
    """What is missing (here: below its median so far) filled with the next value."""
    out = np.where(x < np.nanmedian(x[: x.size // 2]), np.nan, x)
    for row in range(x.size - 2, -1, -1):
        if np.isnan(out[row]):
            out[row] = out[row + 1]
    return np.where(np.isnan(out), x, out)


def lead(x: F64) -> F64:
    """The value at the next decision, which is the target of an hourly horizon."""
    return np.append(x[1:], np.nan)


def scaled_measure(patch: Patch) -> None:
    """Realised volatility over its mean of the whole sample."""
    true = cascade.ESTIMATORS["rv"]

    def estimate(window: object) -> F64:
        rv = true(window)
        return rv / np.nanmean(rv)

    patch.setitem(cascade.ESTIMATORS, "rv", estimate)


def filled_backward(patch: Patch) -> None:
    """Prices in a gap are those of the bar after it."""
    true = panel.carry

    def carry(columns: dict[str, F64], breaks: I64, gaps: tuple[object, ...]) -> dict[str, F64]:
        out, shift = true(columns, breaks, gaps), 0
        for row, gap in zip(breaks.tolist(), gaps, strict=True):
            first = row + shift
            for name in out:
                out[name][first : first + gap.missing] = columns[name][row]
            shift += gap.missing
        return out

    patch.setattr(panel, "carry", carry)


@dataclass(frozen=True)
class Once:
    """Least squares on all rows there are, whatever the fold."""

    features: tuple[str, ...]
    beta: tuple[float, ...] = ()
    look_back: ClassVar[int] = 0
    validates: ClassVar[bool] = False
    training: ClassVar[None] = None

    @classmethod
    def build(cls, params: OlsParams, task: Task) -> Self:
        return cls(own_features(params.features, task))

    def fit(self, rows: Rows, y: F64, *, validation: object = None, seed: int = 0) -> Self:
        x = np.column_stack((np.ones(y.size), rows.X))
        return replace(self, beta=tuple(np.linalg.lstsq(x, y, rcond=None)[0]))

    def fit_chain(
        self, rows: Rows, y: F64, trains: Sequence[slice | I64], *, seed: int = 0
    ) -> Iterator[Once]:
        for _ in trains:
            yield self.fit(rows, y)

    def predict(self, rows: Rows) -> F64:
        return self.beta[0] + rows.X @ np.array(self.beta[1:])

    @property
    def coefficients(self) -> dict[str, float]:
        return {}


@dataclass(frozen=True)
class Selected(Once):
    """Fitted on its training rows, but with the eight features that are best over all rows."""

    def fit_chain(
        self, rows: Rows, y: F64, trains: Sequence[slice | I64], *, seed: int = 0
    ) -> Iterator[Once]:
        best = np.argsort([-abs(np.corrcoef(x, y)[0, 1]) for x in rows.X.T])[:8]
        for train in trains:
            x = np.column_stack((np.ones(y[train].size), rows.X[train][:, best]))
            level, *slopes = np.linalg.lstsq(x, y[train], rcond=None)[0]
            beta = np.zeros(rows.X.shape[1])
            beta[best] = slopes
            yield replace(self, beta=(level, *beta))


@dataclass(frozen=True)
class Bidirectional(Once):
    """A recurrent net over the rows it is asked for, read forwards and backwards."""

    def fit(self, rows: Rows, y: F64, *, validation: object = None, seed: int = 0) -> Self:
        return replace(self, beta=(float(y.mean()),))

    fit_chain = None  # type: ignore[assignment] - no chain any more

    def predict(self, rows: Rows) -> F64:
        import torch

        torch.manual_seed(1)
        net = torch.nn.GRU(rows.X.shape[1], 4, bidirectional=True)
        with torch.no_grad():
            states, _ = net(
                torch.tensor(np.ascontiguousarray(rows.X), dtype=torch.float32)[:, None]
            )
        return self.beta[0] + states[:, 0].sum(dim=1).double().numpy()


def kind(name: str, model: str) -> Callable[[Patch], None]:
    """Plant a kind of model."""
    entry = Kind(name, f"{__name__}:{model}", OlsParams, "a planted leak", "nowhere")
    return lambda patch: patch.setitem(KINDS, name, entry)


def unproven(patch: Patch) -> None:
    """The walk's own proof believes everything: only the audit looks."""

    def believe(
        samples: Samples, folds: Sequence[Fold], embargo: int, refit: str = "window"
    ) -> tuple[LeakProof, ...]:
        n = [samples.y[f.train].size for f in folds]
        return tuple(
            LeakProof(w.position, samples.horizon, w.train_start, w.cut, w.end, embargo, w.limit, 0,
                      k, f.test.stop - f.test.start, refit)
            for f, w, k in zip(folds, [f.window for f in folds], n, strict=True)
        )  # fmt: skip

    patch.setattr(walk, "prove_no_leak", believe)


def folds(change: Callable[[Samples, Fold], Fold]) -> Callable[[Patch], None]:
    """Plant what the rows of every fold are."""

    def plant(patch: Patch) -> None:
        def make(samples: Samples, windows: Sequence[Window]) -> list[Fold]:
            return [change(samples, fold) for fold in splits.make_folds(samples, windows)]

        unproven(patch)
        patch.setattr(walk, "make_folds", make)
        patch.setattr(sweeps, "make_folds", make)

    return plant


def sweeps_alone(change: Callable[[Samples, Fold], Fold]) -> Callable[[Patch], None]:
    """Plant what the rows of every fold of one symbol are: those of all rows are as they were."""

    def plant(patch: Patch) -> None:
        def make(samples: Samples, windows: Sequence[Window]) -> list[Fold]:
            return [change(samples, fold) for fold in splits.make_folds(samples, windows)]

        patch.setattr(sweeps, "make_folds", make)

    return plant


def swept_too_far(patch: Patch) -> None:
    """A sweep sums the row after its last training row too."""
    true = swept_rows._stop
    patch.setattr(swept_rows, "_stop", lambda fold: true(fold) + 1)


def one_step_short(samples: Samples, fold: Fold) -> Fold:
    """Training rows that resolve up to an hour after they may."""
    late = fold.window._replace(limit=fold.window.limit + HOUR)
    return fold._replace(train=splits.make_folds(samples, [late])[0].train)


def shuffled(samples: Samples, fold: Fold) -> Fold:
    """As many training rows as there were, taken from before and after the cut at random."""
    rows = np.arange(fold.train.start, fold.test.stop)
    chosen = np.random.default_rng(1).permutation(rows)[: fold.train.stop - fold.train.start]
    return fold._replace(train=np.sort(chosen))


def on_tested_rows(samples: Samples, fold: Fold) -> Fold:
    """Fitted on the very rows that are tested."""
    return fold._replace(train=fold.test)


def embargo_of_the_study(patch: Patch) -> None:
    """The study's own embargo is a step short, and so is everybody's who believes it."""
    true = Study.embargo
    patch.setattr(Study, "embargo", lambda self, horizon: true(self, horizon) - HOUR)


def validated_on_test(patch: Patch) -> None:
    """The rows held out to stop early are those that are tested."""
    true = splits.hold_out

    def hold_out(samples: Samples, fold: Fold, embargo: int) -> tuple[I64, I64]:
        train, _ = true(samples, fold, embargo)
        return train, np.arange(fold.test.start, fold.test.stop)

    patch.setattr(fit_rows, "hold_out", hold_out)


def residuals_without_purge(patch: Patch) -> None:
    """The fits that give residuals are trained right up to the rows that they forecast."""
    true = residual_rows.left_out_in_turn

    def touching(
        samples: Samples, train: slice | I64, parts: int, embargo: int
    ) -> list[tuple[I64, I64]]:
        rows = np.arange(samples.y.size)[train]
        found = true(samples, train, parts, embargo)
        return [(np.setdiff1d(rows, out), out) for _, out in found]

    patch.setattr(residual_rows, "left_out_in_turn", touching)


def residuals_of_the_test(patch: Patch) -> None:
    """The rows whose residuals count are those that are tested."""
    true = residual_rows.left_out

    def later(
        model: Forecaster, samples: Samples, fold: Fold, embargo: int
    ) -> list[tuple[fit_rows.FitRows, I64]]:
        tested = np.arange(fold.test.start, fold.test.stop)
        return [(part, tested) for part, _ in true(model, samples, fold, embargo)]

    patch.setattr(residual_rows, "left_out", later)


def target_among_features(patch: Patch) -> None:
    """Rows whose first feature is their own target."""

    def leaky(study: Study, by_symbol: Sequence[object], horizon: str) -> Samples:
        samples = sample(study, by_symbol, horizon)
        X = samples.rows.X.copy(order="F")
        X[:, 0] = samples.y
        return replace(samples, rows=replace(samples.rows, X=X))

    patch.setattr("harness.study.stages.sample", leaky)


def joined_without_lag(patch: Patch) -> None:
    """A side series joined by its own stamps, a bar before it is known."""
    true = panel.as_of

    def as_of(series: Series, moments: I64, max_age: int) -> F64:
        bar = int(np.diff(series.known_at).min())
        return true(replace(series, known_at=series.known_at - bar), moments, max_age)

    patch.setattr(panel, "as_of", as_of)


def known_too_early(patch: Patch) -> None:
    """A window said to be known a bar before its last bar ends."""
    true = cascade.measure

    def measure(bars: Bars, plan: cascade.CascadePlan) -> Measured:
        found = true(bars, plan)
        return replace(found, known_at=found.known_at - bars.bar)

    patch.setattr(cascade, "measure", measure)
    patch.setattr(store, "measure", measure)


def source(change: Callable[[F64], F64]) -> Callable[[Patch], None]:
    """Plant what a source makes of its closes."""

    def plant(patch: Patch) -> None:
        true = Simulated.bars

        def bars(self: Simulated) -> Iterator[RawBars]:
            for raw in true(self):
                yield replace(raw, columns={n: change(v) for n, v in raw.columns.items()})

        patch.setattr(Simulated, "bars", bars)

    return plant


def resampled(close: F64) -> F64:
    """Bars of two, stamped as if known when the first of them ends.

    Stamps are believed: what shows it is that the last bar, whose second half is not there yet,
    says another thing when bars are read to an origin. A source that always has the later half is
    not found.
    """
    return np.append(close[1:], close[-1])


def revised(close: F64) -> F64:
    """The last day is preliminary: a little off until later bars arrive."""
    out = close.copy()
    out[-288:] *= 1.0 + 1e-4 * np.sin(np.arange(out[-288:].size))
    return out
