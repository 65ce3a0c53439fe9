"""Samples of one horizon from measures: features, targets, and when each is known.

Features are evaluated (features.py) on one symbol's forecast origins in time order. The target of
an origin is the measure over the horizon that starts there: the same column, read where that
window has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import RunError
from harness.samples.features import Across, Expression, evaluate
from harness.samples.target_scale import TargetScale
from harness.types import F64, I64, History, Measured, Rows, Samples


class OriginMeasures:
    """One symbol's columns at its forecast origins, and features of them, each computed once.

    Functions across symbols are NaN unless it is `among` others.
    """

    def __init__(self, measured: Measured, units: Mapping[str, str], floor: float) -> None:
        self.measured, self._units, self._floor = measured, units, floor
        self._across: Across | None = None
        at = measured.origins
        every = at.size == measured.known_at.size
        self._columns = {n: v if every else v[at] for n, v in measured.columns.items()}
        self._features: dict[str, F64] = {}

    def feature(self, expression: Expression) -> F64:
        """The feature at every forecast origin (D,)."""
        found = self._features.get(expression.text)
        if found is None:
            found = evaluate(expression, self._columns, self._units, self._floor, self._across)
            self._features[expression.text] = found
        return found

    def among(self, across: Across) -> None:
        """Take functions across symbols from here on by `across`."""
        self._across = across


@dataclass(frozen=True)
class LookBack:
    """How far models look back: `features` at the last `origins` origins, a row's own included."""

    origins: int
    features: Collection[Expression]


def build_samples(
    by_symbol: Sequence[OriginMeasures],
    *,
    horizon: str,
    bars: int,
    target: str,
    window: int | None = None,
    scale: TargetScale,
    features: Collection[Expression],
    look_back: Collection[LookBack] = (),
    returns: bool = False,
) -> Samples:
    """Rows and targets of one horizon over all symbols, sorted by forecast origin, then symbol.

    The horizon has `bars` bars; `target` is the column read at its end, a measure over `window`
    bars (default: the horizon's); `returns` asks for the returns over its span. An origin is
    dropped and counted where a feature, the target, or a feature that a model looks back on is not
    finite; an unknown return drops no row. RunError when no row is left.
    """
    parts = [_symbol_rows(d, target, bars, scale, features, look_back) for d in by_symbol]
    moves = np.concatenate([p.column(f"ret_{horizon}") for p in parts]) if returns else None
    formed = np.concatenate([p.formed_at for p in parts])
    resolved = np.concatenate([p.resolved_at for p in parts])
    last = np.concatenate([p.last for p in parts])
    z = parts[0].z if len(parts) == 1 else np.concatenate([p.z for p in parts], axis=1)
    symbol = np.repeat(
        np.arange(len(parts), dtype=np.int32), np.array([p.formed_at.size for p in parts])
    )
    history, at = _history(by_symbol, parts, look_back) if look_back else (None, None)
    if len(parts) > 1:
        order = np.lexsort((symbol, formed))
        formed, resolved, symbol = formed[order], resolved[order], symbol[order]
        last = last[order]
        moves = None if moves is None else moves[order]
        z = np.take(z, order, axis=1)  # unlike z[:, order], stored row by row
        at = None if at is None else at[order]
    if not formed.size:
        raise RunError(
            f"horizon {horizon}: no forecast origin has complete features and a target: "
            + _why_none(by_symbol, features)
        )
    measured = [d.measured for d in by_symbol]
    names = tuple(e.text for e in features)
    return Samples(
        horizon=horizon,
        rows=Rows(z[:-1].T, names, symbol, formed, history, at),
        y=z[-1],
        last=last,
        resolved_at=resolved,
        symbols=tuple(m.symbol for m in measured),
        dropped=sum(m.origins.size for m in measured) - formed.size,
        overlap=max(-(-max(bars, window or 0) // _step(measured)) - 1, 0),
        returns=moves,
    )


def _why_none(by_symbol: Sequence[OriginMeasures], features: Collection[Expression]) -> str:
    for expression in features:
        if not any(np.isfinite(d.feature(expression)).any() for d in by_symbol):
            return f"{expression.text} is not finite at any (does it look back beyond the span?)"
    return "the span is shorter than the longest window or look-back"


@dataclass(frozen=True)
class _SymbolRows:
    """One symbol's n rows: z (p + 1, n) has the features and, last, the target.

    `kept` are their positions among the forecast origins; `end` (n,) are the positions in
    `measured` at which the target's span has ended.
    """

    measured: Measured
    end: I64
    formed_at: I64
    resolved_at: I64
    last: F64
    z: F64
    kept: slice | I64

    def column(self, name: str) -> F64:
        """A measure over the target's span (n,)."""
        return self.measured.columns[name][self.end]


def _symbol_rows(
    by_symbol: OriginMeasures,
    target: str,
    bars: int,
    scale: TargetScale,
    features: Collection[Expression],
    look_back: Collection[LookBack],
) -> _SymbolRows:
    measured = by_symbol.measured
    at = measured.origins
    end = at + bars // measured.block
    inside = end < measured.known_at.size
    end = np.minimum(end, measured.known_at.size - 1)
    z = np.empty((len(features) + 1, at.size))
    for j, expression in enumerate(features):
        z[j] = by_symbol.feature(expression)
    z[-1] = scale.target(measured.columns[target][end])
    keep = inside & np.isfinite(z).all(axis=0)
    for past in look_back:
        keep &= _complete(by_symbol, past)
    kept = np.flatnonzero(keep)
    rows: slice | I64
    if kept.size and kept[-1] - kept[0] + 1 == kept.size:  # as usual, only the ends are dropped
        rows = slice(kept[0], kept[-1] + 1)
        z = z[:, rows]
    else:
        rows, z = kept, np.take(z, kept, axis=1)
    known, begin = measured.known_at, at[rows]
    last = scale.target(measured.columns[target][begin])
    return _SymbolRows(measured, end[rows], known[begin], known[end[rows]], last, z, rows)


def _complete(by_symbol: OriginMeasures, past: LookBack) -> NDArray[np.bool_]:
    """Whether every feature is finite at the last `past.origins` forecast origins (D,)."""
    finite = np.ones(by_symbol.measured.origins.size, bool)
    for expression in past.features:
        finite &= np.isfinite(by_symbol.feature(expression))
    place = np.arange(finite.size)
    gap = np.maximum.accumulate(np.where(finite, -1, place))  # the last incomplete one so far
    return place - gap >= past.origins


def _history(
    by_symbol: Sequence[OriginMeasures],
    parts: Sequence[_SymbolRows],
    look_back: Collection[LookBack],
) -> tuple[History, I64]:
    """The features that models look back on, at every origin, and each row's place in them."""
    wanted = {e.text: e for past in look_back for e in past.features}
    sizes = [d.measured.origins.size for d in by_symbol]
    begins = np.cumsum([0, *sizes], dtype=np.int64)
    values = np.empty((len(wanted), begins[-1]))
    for d, a, b in zip(by_symbol, begins[:-1], begins[1:], strict=True):
        for j, expression in enumerate(wanted.values()):
            values[j, a:b] = d.feature(expression)
    at = [
        a + np.arange(size, dtype=np.int64)[part.kept]
        for a, size, part in zip(begins[:-1], sizes, parts, strict=True)
    ]
    return History(values, tuple(wanted), begins), np.concatenate(at)


def _step(measured: Sequence[Measured]) -> int:
    """Bars between forecast origins."""
    for m in measured:
        if m.origins.size > 1:
            return int(m.origins[1] - m.origins[0]) * m.block
    return 1
