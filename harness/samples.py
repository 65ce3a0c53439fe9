"""Features and targets: measures in, rows of one horizon out, each known when it says.

Features come from features.py, evaluated on one symbol's decisions in time order; the target of
a decision is the measure over the horizon that starts there, so it is the same column, read
where that window has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from harness.errors import RunError
from harness.features import Expression, evaluate
from harness.scale import TargetScale
from harness.types import F64, I64, Measured, Rows, Samples


class Decided:
    """One symbol's columns at its decisions, and the features made of them, each made once."""

    def __init__(self, measured: Measured, units: Mapping[str, str], floor: float) -> None:
        self.measured, self._units, self._floor = measured, units, floor
        at = measured.decisions
        every = at.size == measured.known_at.size
        self._columns = {n: v if every else v[at] for n, v in measured.columns.items()}
        self._features: dict[str, F64] = {}

    def feature(self, expression: Expression) -> F64:
        """The feature at every decision (D,)."""
        found = self._features.get(expression.text)
        if found is None:
            found = evaluate(expression, self._columns, self._units, self._floor)
            self._features[expression.text] = found
        return found


def build_samples(
    decided: Sequence[Decided],
    *,
    horizon: str,
    bars: int,
    measure: str,
    scale: TargetScale,
    features: Collection[Expression],
) -> Samples:
    """Rows and targets of one horizon over all symbols, sorted by decision time then symbol.

    `bars` are the horizon's; `measure` the target's. A decision with a feature
    or a target that is not finite is dropped and counted. RunError when nothing is left.
    """
    parts = [_symbol_rows(d, f"{measure}_{horizon}", bars, scale, features) for d in decided]
    formed = np.concatenate([p[0] for p in parts])
    resolved = np.concatenate([p[1] for p in parts])
    z = parts[0][2] if len(parts) == 1 else np.concatenate([p[2] for p in parts], axis=1)
    symbol = np.repeat(np.arange(len(parts), dtype=np.int32), [p[0].size for p in parts])
    if len(parts) > 1:
        order = np.lexsort((symbol, formed))
        formed, resolved, symbol = formed[order], resolved[order], symbol[order]
        z = np.take(z, order, axis=1)  # unlike z[:, order], stored row by row
    if not formed.size:
        raise RunError(
            f"horizon {horizon}: no decision has complete features and a target: "
            "the span is shorter than the longest window"
        )
    measured = [d.measured for d in decided]
    return Samples(
        horizon=horizon,
        rows=Rows(z[:-1].T, tuple(e.text for e in features), symbol, formed),
        y=z[-1],
        resolved_at=resolved,
        symbols=tuple(m.symbol for m in measured),
        dropped=sum(m.decisions.size for m in measured) - formed.size,
        overlap=max(-(-bars // _step(measured)) - 1, 0),
    )


def _symbol_rows(
    decided: Decided,
    target: str,
    bars: int,
    scale: TargetScale,
    features: Collection[Expression],
) -> tuple[I64, I64, F64]:
    """formed_at (n,), resolved_at (n,) and the features with the target below them (p + 1, n)."""
    measured = decided.measured
    at = measured.decisions
    end = at + bars // measured.block
    inside = end < measured.known_at.size
    end = np.minimum(end, measured.known_at.size - 1)
    z = np.empty((len(features) + 1, at.size))
    for j, expression in enumerate(features):
        z[j] = decided.feature(expression)
    z[-1] = scale.target(measured.columns[target][end])
    keep = inside & np.isfinite(z).all(axis=0)
    kept = np.flatnonzero(keep)
    if kept.size and kept[-1] - kept[0] + 1 == kept.size:  # as a rule: only the ends are dropped
        rows = slice(kept[0], kept[-1] + 1)
        return measured.known_at[at[rows]], measured.known_at[end[rows]], z[:, rows]
    return measured.known_at[at[kept]], measured.known_at[end[kept]], np.take(z, kept, axis=1)


def _step(measured: Sequence[Measured]) -> int:
    """Bars between decisions."""
    for m in measured:
        if m.decisions.size > 1:
            return int(m.decisions[1] - m.decisions[0]) * m.block
    return 1
