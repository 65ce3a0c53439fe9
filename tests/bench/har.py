"""HAR refitted daily: a window's cost against its normal equations, and growth with assets.

The contender solves the normal equations of every window afresh with NumPy and forecasts one day;
the harness walks the same windows, folds, leak proofs, way back and insanity filter included.
"""

from __future__ import annotations

import numpy as np
from inputs import Inputs
from timing import Figure, clocked, exponents, interleave, milliseconds, ratios, spread

from harness.models.linear import Linear
from harness.samples.splits import Fitting
from harness.samples.target_scale import TargetScale
from harness.types import F64, Rows, Samples, Window
from harness.walk.fold_fit import Settings
from harness.walk.walk_forward import walk_forward

_ASSETS = (5, 50, 400)
_REFITS, _WINDOW = 900, 1_000
_DAY = 86_400_000_000_000
_SCALE = TargetScale("level", "variance", "none", 1e-6)
_NAMES = ("rv_1d", "rv_5d", "rv_22d")


def har(_: Inputs, rounds: int) -> list[Figure]:
    """One HAR on panels of daily variances, by asset and with asset effects."""
    panels = {count: _samples(count) for count in (1, *_ASSETS)}
    figures = []
    for scope, name in (("asset", "HAR by asset"), ("effects", "HAR with effects")):
        turns = {
            n: lambda s=s, scope=scope: clocked(lambda: _walk(s, scope)) for n, s in panels.items()
        }
        turns[0] = lambda: clocked(lambda: _normal_equations(panels[1]))
        turns[1]()
        taken = interleave(turns, rounds)
        equations, alone = taken.pop(0), taken.pop(1)
        for count, walks in taken.items():
            figures += milliseconds("har", f"{name}, {count} assets", walks)
            each = [w.cpu / count / e.cpu for w, e in zip(walks, equations, strict=True)]
            label = f"{name}, {count} assets: a window / its normal equations, cpu"
            figures.append(spread("har", label, "x", each, "<= 1"))
        figures += ratios("har", f"{name}, 1 asset: walk / normal equations", alone, equations)
        figures += exponents("har", f"{name}, assets", taken, "<= 1.05")
    return figures


def _walk(samples: Samples, scope: str) -> None:
    formed = samples.rows.formed_at[:: len(samples.symbols)]
    windows = tuple(
        Window(k, int(formed[i - _WINDOW]), int(formed[i]), int(formed[i]), int(formed[i]) + 1)
        for k, i in enumerate(range(_WINDOW, _WINDOW + _REFITS))
    )
    fitting = Fitting(windows, windows, scope=scope)
    model = Linear(_NAMES, insanity=True)
    walk_forward({"har": model}, samples, windows, {"har": fitting}, Settings(0, _SCALE))


def _normal_equations(samples: Samples) -> None:
    design = np.column_stack((np.ones(samples.y.size), samples.rows.X))
    for i in range(_WINDOW, _WINDOW + _REFITS):
        x, y = design[i - _WINDOW : i], samples.y[i - _WINDOW : i]
        design[i] @ np.linalg.solve(x.T @ x, x.T @ y)


def _samples(count: int) -> Samples:
    """Day by day the rows of every asset; a target is known when the next day's rows are formed."""
    days = _WINDOW + _REFITS
    series = _variances(days + 22, count)
    running = np.cumsum(np.vstack((np.zeros(count), series)), axis=0)
    means = [(running[22:-1] - running[22 - k : -1 - k]) / k for k in (1, 5, 22)]
    x = np.asfortranarray(np.column_stack([m.ravel() for m in means]))
    formed = np.repeat(np.arange(days, dtype=np.int64) * _DAY, count)
    symbol = np.tile(np.arange(count, dtype=np.int32), days)
    y = series[22:].ravel()
    names = tuple(f"S{k}" for k in range(count))
    return Samples("1d", Rows(x, _NAMES, symbol, formed), y, x[:, 0], formed + _DAY, names, 0, 0)


def _variances(n: int, assets: int) -> F64:
    """Daily variances (n, assets) whose logarithm is a slow and a fast autoregression."""
    rng = np.random.default_rng(1)
    slow, fast, out = np.zeros(assets), np.zeros(assets), np.empty((n, assets))
    for t in range(n):
        a, b = rng.normal(size=(2, assets))
        slow, fast = 0.98 * slow + 0.1 * a, 0.5 * fast + 0.5 * b
        out[t] = np.exp(slow + fast)
    return out
