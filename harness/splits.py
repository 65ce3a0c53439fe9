"""Walk-forward windows on the calendar, and the rows of each: purge and embargo from times alone.

A row trains iff it was formed in the training span and `resolved_at <= cut - embargo`; it is
tested iff `cut <= formed_at < end`. So the purge follows from the label itself: right for any
horizon, for gaps and for ragged panels, never typed as a count of rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.durations import Duration, show_moment
from harness.errors import RunError, UsageError
from harness.types import Fold, LeakProof, Samples, Window


def effective_embargo(embargo: Duration, horizon_ns: int) -> int:
    """The larger of the declared embargo and the horizon, in ns."""
    return max(embargo.ns, horizon_ns)


def make_windows(
    *,
    scheme: str,
    train: Duration,
    test: Duration,
    step: Duration,
    first_test: int,
    span_end: int,
    embargo: int,
    beyond: bool = False,
) -> tuple[Window, ...]:
    """Every window whose test span ends within `span_end` (UTC ns); the last part-window is left.

    Rolling: the training span is `train` long and ends at the cut. Expanding: it always starts
    `train` before the first test. `beyond`: go on while the training span starts within the
    span, whether or not there is anything to test (see models/linear.py for what that is for).
    """
    windows: list[Window] = []
    while True:
        i = len(windows)
        cut = step.after(first_test, i)
        # Counted from first_test like the cuts, so that month ends leave no day untested.
        end = step.after(first_test, i + 1) if step == test else test.after(cut)
        start = train.after(cut if scheme == "rolling" else first_test, -1)
        reach = end if not beyond else start if scheme == "rolling" else cut
        if reach > span_end:
            return tuple(windows)
        windows.append(Window(i, start, cut - embargo, cut, end))


def make_folds(samples: Samples, windows: Sequence[Window]) -> list[Fold]:
    """The rows of each window: test rows as a slice, training rows as a slice where they allow."""
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    start = np.searchsorted(formed, [w.train_start for w in windows])
    cut = np.searchsorted(formed, [w.cut for w in windows])
    end = np.searchsorted(formed, [w.end for w in windows])
    tests = [slice(int(a), int(b)) for a, b in zip(cut, end, strict=True)]
    if (resolved[1:] >= resolved[:-1]).all():
        stop = np.searchsorted(resolved, [w.limit for w in windows], side="right")
        stop = np.maximum(start, stop)
        trains = [slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)]
    else:
        trains = [
            a + np.flatnonzero(resolved[a:b] <= w.limit)
            for a, b, w in zip(start, cut, windows, strict=True)
        ]
    return [Fold(*parts) for parts in zip(windows, trains, tests, strict=True)]


def prove_no_leak(samples: Samples, folds: Sequence[Fold], embargo: int) -> tuple[LeakProof, ...]:
    """Prove again, from the stored times alone, that no training label saw the test span.

    Independent of make_folds: RunError names the first window in which a training row resolves
    after cut - embargo or was formed outside the training span, a test row was formed outside
    its window, or either side is empty.
    """
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    proofs = []
    for fold in folds:
        window = fold.window
        train = resolved[fold.train]
        test = formed[fold.test]
        if not train.size or not test.size:
            side = "training" if not train.size else "test"
            raise RunError(
                f"{_where(samples, window)}: no {side} rows: the panel does not reach it"
            )
        latest = int(train.max())
        if latest > window.cut - embargo or int(formed[fold.train].min()) < window.train_start:
            raise RunError(
                f"{_where(samples, window)}: leak: training rows outside span or embargo"
            )
        if int(test.min()) < window.cut or int(test.max()) >= window.end:
            raise RunError(f"{_where(samples, window)}: leak: test rows outside the window")
        slack = window.cut - embargo - latest
        proofs.append(
            LeakProof(
                window=window.index,
                horizon=samples.horizon,
                train_start=window.train_start,
                cut=window.cut,
                end=window.end,
                embargo=embargo,
                latest_resolution=latest,
                slack=slack,
                n_train=train.size,
                n_test=test.size,
            )
        )
    return tuple(proofs)


def _where(samples: Samples, window: Window) -> str:
    return f"window {window.index + 1} ({show_moment(window.cut)}), horizon {samples.horizon}"


def require_windows(windows: Sequence[Window], path: object, first_test: int, end: int) -> None:
    """UsageError when the span holds no whole test window."""
    if not windows:
        raise UsageError(
            f"{path}: walk_forward: no whole test window between first_test "
            f"{show_moment(first_test)} and the span's end {show_moment(end)}"
        )
