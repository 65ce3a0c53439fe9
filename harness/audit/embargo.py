"""The embargo, checked on the rows that models are actually given by the walk.

A witness is a model whose only feature is the row number, so it records which rows it is trained
on, which are held out for it and which it forecasts. Their formation and resolution times are then
looked up in the samples, and the embargo is computed from the hypothesis: the check relies neither
on the folds of splits.py nor on its leak proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import ClassVar, Self

import numpy as np

from harness.audit.findings import Check, Failure
from harness.errors import RunError
from harness.samples.splits import Fitting
from harness.study.study import Span, Study
from harness.types import F64, I64, Rows, Samples, Window
from harness.walk.fold_fit import Settings, leaves_out
from harness.walk.walk_forward import walk_forward

NAME = "embargo"
_BY_SYMBOL = 3  # fits of each symbol
_LATE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Seen:
    """The rows (positions) of one fit, and those that it forecasts."""

    train: I64
    held_out: I64
    test: I64


@dataclass
class Witness:
    """A model that records the rows it is given; its forecasts are zeros.

    If it `overfits`, further fits follow each fit, on some of its rows, to forecast others of them.
    """

    validates: bool
    overfits: bool = False
    seen: list[list[I64]] = field(default_factory=list)
    features: ClassVar[tuple[str, ...]] = ("row",)
    look_back: ClassVar[int] = 0
    training: ClassVar[None] = None
    coefficients: ClassVar[dict[str, float]] = {}

    def fit(
        self,
        rows: Rows,
        y: F64,
        *,
        validation: tuple[Rows, F64] | None = None,
        seed: int = 0,
    ) -> Self:
        """Record the training rows and the held-out rows."""
        held_out = _numbers(validation[0]) if validation else np.empty(0, np.int64)
        self.seen.append([_numbers(rows), held_out])
        return self

    def predict(self, rows: Rows) -> F64:
        """Zeros; the first rows to predict after a fit are its test rows."""
        if len(self.seen[-1]) == 2:
            self.seen[-1].append(_numbers(rows))
        return np.zeros(len(rows.X))


def _numbers(rows: Rows) -> I64:
    return rows.X[:, 0].astype(np.int64)


def declared_embargo(study: Study, horizon: str) -> int:
    """The embargo (ns) of a horizon from the hypothesis: none, the declared one or the horizon."""
    declared = study.hypothesis.walk_forward.embargo.ns
    return max(declared, study.horizon_ns(horizon)) if declared else 0


def embargo_check(study: Study, samples: Samples, span: Span, most: int | None) -> Check:
    """Check every fit of a horizon, or `most` of each refit cadence, evenly spread to the last."""
    h, horizon = study.hypothesis, samples.horizon
    declared = declared_embargo(study, horizon)
    scored = study.windows(horizon, span)
    cadences = {f.refit: f.windows for f in study.fittings(horizon, span, scored).values()}
    numbers = np.arange(samples.y.size, dtype=np.float64)[:, None]
    rows = replace(samples.rows, X=numbers, names=Witness.features)
    marked = replace(samples, rows=rows)
    settings = replace(study.settings(horizon), source=None)
    models = study.models(horizon).values()
    validates = any(model.validates for model in models)
    overfits = any(leaves_out(model, settings) for model in models)
    plain = Settings(study.embargo(horizon), study.scale, h.run.seed, h.walk_forward.min_train)
    failures: list[Failure] = []
    fits = pairs = 0
    # Folds of one symbol's rows are made by other code than pooled folds.
    apart = len(samples.symbols) > 1 and any(s.scope != "pooled" for s in h.models.values())
    for (refit, every), scope in product(cadences.items(), ["pooled", *["asset"] * apart]):
        windows = _spread([w for w in every if _tested(samples, w)], most)
        if not windows:
            continue
        if scope == "asset":
            windows = _spread(windows, _BY_SYMBOL)
        fitting = {"witness": Fitting(tuple(windows), tuple(windows), scope=scope)}
        held_out = validates and windows[0].validation is not None
        witness, further = Witness(held_out), Witness(validates=False, overfits=True)
        try:
            walk_forward({"witness": witness}, marked, windows, fitting, plain)
            if overfits:
                walk_forward({"witness": further}, marked, windows, fitting, settings)
        except RunError as error:  # a run would fail in the same way
            failures.append(Failure(f"folds at {horizon}", str(error)))
        whole = [Seen(*found) for found in witness.seen if len(found) == 3]
        failures += _wrong_further(samples, further.seen, whole, declared)
        of = windows if scope == "pooled" else [_window(samples, s, windows) for s in whole]
        for window, found in zip(of, whole, strict=False):
            fits += 1
            pairs += found.train.size + found.held_out.size
            failures += _wrong(samples, window, found, declared, refit)
    covered = f"{fits:,} fits at {horizon}, every symbol"
    return Check(NAME, covered, pairs, tuple(failures[:20]))


def _window(samples: Samples, seen: Seen, windows: Sequence[Window]) -> Window:
    """The window of a fit of one symbol, from its first test row."""
    first = samples.rows.formed_at[seen.test[0]]
    return windows[max(int(np.searchsorted([w.cut for w in windows], first, "right")) - 1, 0)]


def _tested(samples: Samples, window: Window) -> bool:
    formed = samples.rows.formed_at
    return bool(np.searchsorted(formed, window.cut) < np.searchsorted(formed, window.end))


def _spread(windows: list[Window], most: int | None) -> list[Window]:
    if most is None or len(windows) <= most:
        return windows
    return [windows[k] for k in np.linspace(0, len(windows) - 1, most).astype(int)]


def _wrong(
    samples: Samples, window: Window, seen: Seen, embargo: int, refit: str
) -> Iterator[Failure]:
    """Rows that a fit must not have, the first of each sort."""
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    fit = f"fit {window.position + 1}" + ("" if refit == "window" else f" (refit {refit})")
    subject = f"{fit} at {samples.horizon}"

    def first(rows: I64, bad: np.ndarray, reason: str) -> Iterator[Failure]:
        found = rows[bad]
        if found.size:
            row = int(found.min())
            symbol = samples.symbols[samples.rows.symbol[row]]
            yield Failure(subject, reason, symbol, int(formed[row]))

    tested = np.zeros(formed.size, bool)
    tested[seen.test] = True
    limit = window.cut - embargo
    begun = _first_tests(samples, seen.test)
    for rows, kind in ((seen.train, "training"), (seen.held_out, "held-out")):
        known = resolved[rows]
        late = known > limit
        yield from first(rows, late, f"a {kind} row resolves after the cut less the embargo")
        yield from first(rows, tested[rows], f"a {kind} row is also a test row")
        yield from first(
            rows, formed[rows] < window.train_start, f"a {kind} row is before the training span"
        )
        over = known > (begun[0] if begun.size == 1 else begun[samples.rows.symbol[rows]])
        reason = f"a {kind} target extends beyond its symbol's first test row"
        yield from first(rows, over & ~late, reason)
    outside = (formed[seen.test] < window.cut) | (formed[seen.test] >= window.end)
    yield from first(seen.test, outside, "a test row is outside its window")
    if seen.held_out.size:
        begin = int(formed[seen.held_out].min())
        reaches = resolved[seen.train] > begin - embargo
        reason = "a training target resolves after the first held-out row less the embargo"
        yield from first(seen.train, reaches, reason)


def _wrong_further(
    samples: Samples, seen: Sequence[Sequence[I64]], fits: Sequence[Seen], embargo: int
) -> Iterator[Failure]:
    """Rows that a further fit must not have, if it is to forecast others of its fit's rows.

    Of the fits `seen` those come first that have forecast nothing yet; without further ones they
    have forecast the test rows of `fits`.
    """
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    tests = {(int(fit.test[0]), fit.test.size) for fit in fits if fit.test.size}
    whole = np.empty(0, np.int64)
    for train, _, *asked in seen:
        if not asked or (int(asked[0][0]), asked[0].size) in tests:
            whole = train
            continue
        (out,) = asked
        late = resolved[train] > formed[out].min() - embargo
        early = formed[train] < resolved[out].max() + embargo
        foreign = ~np.isin(train, whole)
        for rows, wrong, reason in (
            (train, late & early, "a training row is nearer than the embargo to its own rows"),
            (train, foreign, "a training row is none of the fit that it follows"),
            (out, ~np.isin(out, whole), "a row is no training row of the fit that it follows"),
        ):
            if wrong.any():
                row = int(rows[wrong].min())
                symbol = samples.symbols[samples.rows.symbol[row]]
                subject = f"fit for residuals at {samples.horizon}"
                yield Failure(subject, reason, symbol, int(formed[row]))


def _first_tests(samples: Samples, test: I64) -> I64:
    """When each symbol's first test row is formed (s,); far in the future if it has none."""
    formed = samples.rows.formed_at[test]
    if len(samples.symbols) == 1:
        return np.array([formed.min() if formed.size else _LATE])
    first = np.full(len(samples.symbols), _LATE)
    np.minimum.at(first, samples.rows.symbol[test], formed)
    return first


def stored_check(samples: Samples, windows: Sequence[Window]) -> Check:
    """Check that rows are formed, then resolved, with one row per symbol and moment."""
    formed, resolved, symbol = samples.rows.formed_at, samples.resolved_at, samples.rows.symbol
    failures = []
    early = np.flatnonzero(resolved <= formed)
    if early.size:
        row = int(early[0])
        reason = "it resolves before it is formed"
        failures.append(
            Failure(
                f"target at {samples.horizon}",
                reason,
                samples.symbols[symbol[row]],
                int(formed[row]),
            )
        )
    order = np.lexsort((formed, symbol)) if len(samples.symbols) > 1 else slice(None)
    times, codes = formed[order], symbol[order]
    twice = np.flatnonzero((times[1:] <= times[:-1]) & (codes[1:] == codes[:-1]))
    if twice.size:
        where = int(twice[0]) + 1
        failures.append(
            Failure(
                f"rows at {samples.horizon}",
                "two rows of one symbol and moment, or rows out of time order",
                samples.symbols[codes[where]],
                int(times[where]),
            )
        )
    covered = f"formed and resolved of every row, {len(windows)} windows"
    return Check("times of rows", covered, samples.y.size, tuple(failures))
