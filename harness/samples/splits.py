"""Walk-forward windows on the calendar, and their rows, purged and embargoed by time.

A row is a training row iff it was formed in the training span and `resolved_at <= cut - embargo`;
it is a test row iff `cut <= formed_at < end`. So the purge follows from the label's own times: it
is right for any horizon, for gaps and for ragged panels, and is never a count of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.durations import Duration, show_moment
from harness.errors import RunError, UsageError
from harness.types import I64, Fold, LeakProof, Samples, Window

Moments = NDArray[np.datetime64]


NO_EMBARGO = Duration(0, "d")  # rows are purged by the resolution of their targets alone


def effective_embargo(embargo: Duration, horizon_ns: int) -> int:
    """The larger of the declared embargo and the horizon, in ns; 0 if none is declared."""
    return 0 if embargo == NO_EMBARGO else max(embargo.ns, horizon_ns)


@dataclass(frozen=True)
class Scheme:
    """Training spans: rolling, of length `train` up to each cut, or expanding from `train_from`.

    `validation` is the length of the held-out end of each, a duration or ns. Moments are UTC ns.
    """

    first_test: int
    train: Duration | None = None
    train_from: int | None = None
    validation: Duration | int | None = None

    def starts(self, cuts: Moments) -> Moments:
        """The starts of the training spans of these cuts."""
        if self.train_from is not None:
            return np.full(cuts.size, np.datetime64(self.train_from, "ns").astype("M8[us]"))
        assert self.train is not None, "without train_from a scheme has a training span"
        return after(self.train, cuts, -1)

    def held_out(self, cuts: Moments) -> list[int | None]:
        """The start of the held-out rows before each cut, UTC ns."""
        if self.validation is None:
            return [None] * cuts.size
        if isinstance(self.validation, int):
            begins = cuts - np.timedelta64(self.validation // 1_000, "us")
        else:
            begins = after(self.validation, cuts, -1)
        return begins.astype("M8[ns]").view(np.int64).tolist()


def make_windows(
    scheme: Scheme,
    *,
    test: Duration,
    step: Duration,
    span_end: int,
    embargo: int,
    beyond: bool = False,
) -> tuple[Window, ...]:
    """Every window whose test span ends by `span_end` (UTC ns); a last partial window is left out.

    `beyond`: continue while the training span (the test span where training spans expand) starts
    by `span_end`, even where nothing is left to test; models/linear.py says why.
    """
    # In microseconds, which do not overflow however many windows are tried.
    first, last = np.datetime64(scheme.first_test, "ns").astype("M8[us]"), span_end // 1_000
    number = 64
    while True:
        cut = after(step, np.full(number + 1, first), np.arange(number + 1))
        # Counted from first_test like the cuts, so that month ends leave no day without a test.
        end = cut[1:] if step == test else after(test, cut[:-1])
        cut = cut[:-1]
        start = scheme.starts(cut)
        reach = end if not beyond else start if scheme.train_from is None else cut
        inside = int(np.searchsorted(reach.view(np.int64), last, side="right"))
        if inside < number:
            times = (t[:inside].astype("M8[ns]").view(np.int64) for t in (start, cut, end))
            held_out = scheme.held_out(cut[:inside])
            rows = zip(*(t.tolist() for t in times), held_out, strict=True)
            return tuple(Window(i, s, c - embargo, c, e, v) for i, (s, c, e, v) in enumerate(rows))
        number *= 4


@dataclass(frozen=True)
class Fitting:
    """When a model is fitted and for which symbols: `windows` have the rows each fit forecasts.

    `beyond` as in make_windows; `refit` is `window`, `never` or a duration: the refit schedule;
    `scope` is `pooled` (one fit for all symbols), `effects` (shared slopes, own intercepts) or
    `asset` (one fit per symbol).
    """

    windows: tuple[Window, ...]
    beyond: tuple[Window, ...]
    refit: str = "window"
    scope: str = "pooled"


def alike(
    models: Iterable[str], fittings: Mapping[str, Fitting]
) -> list[tuple[Fitting, list[str]]]:
    """Groups of models that are fitted at the same times for the same symbols."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in models:
        fitting = fittings[name]
        found.setdefault((fitting.refit, fitting.scope), []).append(name)
    return [(fittings[names[0]], names) for names in found.values()]


def make_refits(
    scheme: Scheme, windows: Sequence[Window], refit: Duration | None, span_end: int, embargo: int
) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
    """Windows of models refitted every `refit` (None: fitted once) over adjoining test `windows`.

    The first fit is at the first cut; the last forecasts up to the last window's end. Returned
    with the windows `beyond` the span, as in make_windows.
    """
    end = windows[-1].end
    if refit is None:
        return (windows[0]._replace(end=end),), (windows[0],)
    every = make_windows(
        scheme, test=refit, step=refit, span_end=span_end, embargo=embargo, beyond=True
    )
    used = tuple(w._replace(end=min(w.end, end)) for w in every if w.cut < end)
    return used, every


def after(duration: Duration, moments: Moments, times: I64 | int = 1) -> Moments:
    """Duration.after for many moments (n,), datetime64[us]."""
    if not duration.is_calendar:
        return moments + times * np.timedelta64(duration.ns // 1_000, "us")
    days = moments.astype("M8[D]")
    months = days.astype("M8[M]")
    moved = months + times * duration.months
    first, following = moved.astype("M8[D]"), (moved + 1).astype("M8[D]")
    day = np.minimum(days - months.astype("M8[D]"), following - first - 1)
    return first + day + (moments - days)


def make_folds(samples: Samples, windows: Sequence[Window]) -> list[Fold]:
    """The rows of each window: test rows as a slice, training rows as a slice where contiguous."""
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    start = np.searchsorted(formed, [w.train_start for w in windows])
    cut = np.searchsorted(formed, [w.cut for w in windows])
    end = np.searchsorted(formed, [w.end for w in windows])
    tests = [slice(int(a), int(b)) for a, b in zip(cut, end, strict=True)]
    trains: list[slice | I64]
    if (resolved[1:] >= resolved[:-1]).all():
        stop = np.searchsorted(resolved, [w.limit for w in windows], side="right")
        stop = np.maximum(start, stop)
        trains = [slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)]
    else:
        trains = [
            _run(int(a), resolved[a:b] <= w.limit)
            for a, b, w in zip(start, cut, windows, strict=True)
        ]
    return list(map(Fold, windows, trains, tests))


def _run(first: int, inside: NDArray[np.bool_]) -> slice | I64:
    """The positions from `first` on that are inside: a slice where they are contiguous from there.

    The positions of a thousand refits on a million rows each would not fit into memory.
    """
    count = int(np.count_nonzero(inside))
    if inside[:count].all():
        return slice(first, first + count)
    return first + np.flatnonzero(inside)


def hold_out(samples: Samples, fold: Fold, embargo: int) -> tuple[I64, I64]:
    """The fold's training rows, split into rows to train on and held-out rows for early stopping.

    The two are purged like training and test: a row to train on resolves at least the embargo
    before the first held-out row is formed. RunError when either is empty.
    """
    rows = np.arange(samples.y.size)[fold.train]
    begin = fold.window.validation
    assert begin is not None, "the walk sets validation for models that stop early"
    held_out = rows[samples.rows.formed_at[rows] >= begin]
    train = rows[samples.resolved_at[rows] <= begin - embargo]
    if not (train.size and held_out.size):
        side = "rows held out" if train.size else "training rows before those held out"
        raise RunError(f"{where(samples, fold.window)}: no {side}, from {show_moment(begin)} on")
    return train, held_out


def in_stages(samples: Samples, train: slice | I64, share: float, embargo: int) -> tuple[I64, I64]:
    """These rows, split in time: the earlier `share` of them and the later ones, with a purge.

    An earlier row resolves at least the embargo before the first later row is formed. Either part
    may be empty.
    """
    rows = np.arange(samples.y.size)[train]
    if not rows.size:
        return rows, rows
    formed = samples.rows.formed_at[rows]
    begin = formed[min(int(share * rows.size), rows.size - 1)]
    return rows[samples.resolved_at[rows] <= begin - embargo], rows[formed >= begin]


def left_out_in_turn(
    samples: Samples, train: slice | I64, parts: int, embargo: int
) -> list[tuple[I64, I64]]:
    """These rows in `parts` spans of time: for each the rows left to train on, and its own.

    A row left to train on resolves at least the embargo before the first row of the span is formed,
    or is formed at least the embargo after the last one has resolved. Rows of one moment stay
    together, so fewer rows may have fewer spans.
    """
    rows = np.arange(samples.y.size)[train]
    formed, resolved = samples.rows.formed_at[rows], samples.resolved_at[rows]
    begins = np.unique(formed[np.arange(parts) * rows.size // parts]) if rows.size else formed
    found = []
    for k, begin in enumerate(begins):
        inside = formed >= begin
        if k + 1 < begins.size:
            inside &= formed < begins[k + 1]
        apart = resolved <= begin - embargo
        apart |= formed >= resolved[inside].max() + embargo
        found.append((rows[apart & ~inside], rows[inside]))
    return found


def prove_no_leak(
    samples: Samples, folds: Sequence[Fold], embargo: int, refit: str = "window"
) -> tuple[LeakProof, ...]:
    """Check, from the stored times alone, that no training label overlaps the test span.

    Independent of make_folds: RunError names the first window in which a training row resolves
    after cut - embargo or was formed outside the training span, a test row was formed outside
    its window, or either side is empty.
    """
    formed, resolved = _Times(samples.rows.formed_at), _Times(samples.resolved_at)
    trains, tests = [f.train for f in folds], [f.test for f in folds]
    n_train, n_test = formed.counts(trains), formed.counts(tests)
    empty = np.flatnonzero((n_train == 0) | (n_test == 0))
    if empty.size:
        side = "test" if n_train[empty[0]] else "training"
        place = where(samples, folds[empty[0]].window)
        raise RunError(f"{place}: no {side} rows: the panel does not reach it")
    windows = [f.window for f in folds]
    starts, cuts, ends = np.array([(w.train_start, w.cut, w.end) for w in windows], np.int64).T
    latest = resolved.spans(trains)[:, 1]
    slack = cuts - embargo - latest
    first, last = formed.spans(tests).T
    early = (slack < 0) | (formed.spans(trains)[:, 0] < starts)
    outside = (first < cuts) | (last >= ends)
    leak = np.flatnonzero(early | outside)
    if leak.size:
        rows = "training rows outside span or embargo"
        if not early[leak[0]]:
            rows = "test rows outside the window"
        raise RunError(f"{where(samples, windows[leak[0]])}: leak: {rows}")
    measured = np.column_stack((latest, slack, n_train, n_test)).tolist()
    return tuple(
        LeakProof(
            window=w.position,
            horizon=samples.horizon,
            train_start=w.train_start,
            cut=w.cut,
            end=w.end,
            embargo=embargo,
            latest_resolution=latest_ns,
            slack=slack_ns,
            n_train=train_rows,
            n_test=test_rows,
            refit=refit,
        )
        for w, (latest_ns, slack_ns, train_rows, test_rows) in zip(windows, measured, strict=True)
    )


class _Times:
    """Times by row: the earliest and the latest of given rows; fast where the times ascend."""

    def __init__(self, times: I64) -> None:
        self._times, self._ascending = times, bool((times[1:] >= times[:-1]).all())

    def counts(self, parts: Sequence[slice | I64]) -> I64:
        """The number of rows of each part (w,)."""
        return np.array([self._times[rows].size for rows in parts])

    def spans(self, parts: Sequence[slice | I64]) -> I64:
        """The earliest and the latest time of each part (w, 2); no part is empty."""
        slices = [rows for rows in parts if isinstance(rows, slice)]
        if self._ascending and len(slices) == len(parts):
            ends = [(rows.start, rows.stop - 1) for rows in slices]
            return self._times[np.array(ends, np.int64)]
        return np.array([(self._times[r].min(), self._times[r].max()) for r in parts])


def where(samples: Samples, window: Window) -> str:
    """A window and its horizon, for messages."""
    return f"window {window.position + 1} ({show_moment(window.cut)}), horizon {samples.horizon}"


def require_windows(windows: Sequence[Window], path: object, first_test: int, end: int) -> None:
    """UsageError when the span holds no whole test window."""
    if not windows:
        raise UsageError(
            f"{path}: walk_forward: no whole test window between first_test "
            f"{show_moment(first_test)} and the span's end {show_moment(end)}"
        )
