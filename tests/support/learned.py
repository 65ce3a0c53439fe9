"""Rows with a past, and tiny learned models."""

from __future__ import annotations

import numpy as np
from support.worlds import LOG_SIGMA, make_task

from harness.models.protocol import Forecaster, make_model
from harness.models.table import KINDS
from harness.samples.target_scale import TargetScale
from harness.types import F64, History, Rows

NAMES = ("x0_1h", "x1_1h", "x2_1h")
TINY = {"layers": 1, "width": 4, "sequence_length": 3, "batch": 64, "device": "cpu", "epochs": 3}


def world(
    n: int = 400, *, seed: int = 0, symbols: int = 1, planted: bool = False
) -> tuple[Rows, F64]:
    """Rows with a past of 5 decisions and a target like ln sigma; `planted`: of a product."""
    rng = np.random.default_rng(seed)
    size = n + 5
    values = rng.gamma(2.0, 1.0, (3, symbols * size)) - 2.0
    at = np.concatenate([s * size + np.arange(5, size) for s in range(symbols)])
    symbol = np.repeat(np.arange(symbols, dtype=np.int32), n)
    own, before = values[:, at], values[:, at - 1]
    signal = 0.4 * own[0] * before[1] if planted else 0.2 * own[0] - 0.1 * before[1]
    y = signal - 5.0 + 0.1 * rng.gumbel(size=at.size)
    order = np.argsort(np.tile(np.arange(n), symbols), kind="stable")
    history = History(values, NAMES, size * np.arange(symbols + 1, dtype=np.int64))
    formed = np.arange(at.size, dtype=np.int64)
    x = np.asfortranarray(own.T[order])
    return Rows(x, NAMES, symbol[order], formed, history, at[order]), y[order]


def model(kind: str, scale: TargetScale = LOG_SIGMA, **params: object) -> Forecaster:
    features = params.pop("features", list(NAMES))
    given = KINDS[kind].params(**{"features": features, **params})
    return make_model(kind, given, make_task(scale=scale))
