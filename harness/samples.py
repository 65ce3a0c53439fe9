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
from harness.types import F64, Measured, Rows, Samples


def build_samples(
    measured: Sequence[Measured],
    *,
    horizon: str,
    bars: int,
    length: int,
    measure: str,
    scale: TargetScale,
    units: Mapping[str, str],
    features: Collection[Expression],
    floor: float,
) -> Samples:
    """Rows and targets of one horizon over all symbols, sorted by decision time then symbol.

    `bars` and `length` (ns) are the horizon's; `measure` the target's. A decision with a feature
    or a target that is not finite is dropped and counted. RunError when nothing is left.
    """
    names = tuple(e.text for e in features)
    parts = [
        _symbol_rows(m, f"{measure}_{horizon}", bars, scale, units, features, floor)
        for m in measured
    ]
    sizes = [len(p[1]) for p in parts]
    formed = np.concatenate([p[0] for p in parts])
    resolved = np.concatenate([p[1] for p in parts])
    z = np.concatenate([p[2] for p in parts])
    symbol = np.repeat(np.arange(len(parts), dtype=np.int32), sizes)
    if len(parts) > 1:
        order = np.lexsort((symbol, formed))
        formed, resolved, z, symbol = formed[order], resolved[order], z[order], symbol[order]
    if not len(formed):
        raise RunError(
            f"horizon {horizon}: no decision has complete features and a target: "
            "the span is shorter than the longest window"
        )
    decisions = sum(m.decisions.size for m in measured)
    step = _step(measured)
    return Samples(
        horizon=horizon,
        rows=Rows(np.ascontiguousarray(z[:, :-1]), names, symbol, formed),
        y=np.ascontiguousarray(z[:, -1]),
        resolved_at=resolved,
        symbols=tuple(m.symbol for m in measured),
        dropped=decisions - len(formed),
        length=length,
        overlap=max(-(-bars // step) - 1, 0),
    )


def _symbol_rows(
    measured: Measured,
    target: str,
    bars: int,
    scale: TargetScale,
    units: Mapping[str, str],
    features: Collection[Expression],
    floor: float,
) -> tuple[np.ndarray, np.ndarray, F64]:
    at = measured.decisions
    ahead = bars // measured.block
    columns = {name: values[at] for name, values in measured.columns.items()}
    z = np.empty((at.size, len(features) + 1))
    for j, expression in enumerate(features):
        z[:, j] = evaluate(expression, columns, units, floor)
    last = measured.known_at.size - 1
    end = np.minimum(at + ahead, last)
    z[:, -1] = scale.target(measured.columns[target][end])
    z[at + ahead > last, -1] = np.nan
    keep = np.isfinite(z).all(axis=1)
    if keep.all():
        return measured.known_at[at], measured.known_at[end], z
    return measured.known_at[at][keep], measured.known_at[end][keep], z[keep]


def _step(measured: Sequence[Measured]) -> int:
    """Bars between decisions."""
    for m in measured:
        if m.decisions.size > 1:
            return int(m.decisions[1] - m.decisions[0]) * m.block
    return 1
