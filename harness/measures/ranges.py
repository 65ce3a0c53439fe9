"""Measures from open, high, low and close: sigma per bar, over the bars of a window."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from harness.kernels import cascade as loops
from harness.measures.realised import sample_variance
from harness.measures.windows import Blocks, Window, log_move
from harness.types import F64

_OHLC = ("open", "high", "low", "close")


def pk(window: Window) -> F64:
    """Parkinson's range volatility."""
    sums = window.blocks.once("pk", lambda: _parkinson(window.blocks))
    return np.sqrt(window.over(sums) * (1.0 / window.bars))


def gk(window: Window) -> F64:
    """Garman and Klass's volatility: range and open-to-close move, without overnight moves."""
    return _sigma(window, window.mean_of_bars("gk", _garman_klass, _OHLC))


def rs(window: Window) -> F64:
    """Rogers and Satchell's volatility, independent of drift, without overnight moves."""
    return _sigma(window, window.mean_of_bars("rs", _rogers_satchell, _OHLC))


def yz(window: Window) -> F64:
    """Yang and Zhang's volatility: overnight moves, open-to-close moves and rs."""
    blocks, n = window.blocks, window.n
    nights = blocks.once("nights", lambda: _nights(blocks))
    days = blocks.once("days", lambda: log_move(blocks.merged("close"), blocks.merged("open")))
    weight = 0.34 / (1.34 + (n + 1.0) / (n - 1.0))
    variance = sample_variance(window, nights) + weight * sample_variance(window, days)
    inside = window.mean_of_bars("rs", _rogers_satchell, _OHLC)
    return _sigma(window, variance + (1.0 - weight) * inside)


def _nights(blocks: Blocks) -> F64:
    """Moves from each close to the next open (n,); NaN for bar 0."""
    out = np.full(blocks.count * blocks.size, np.nan)
    out[1:] = log_move(blocks.merged("open")[1:], blocks.merged("close")[:-1])
    return out


def _parkinson(blocks: Blocks) -> F64:
    out = np.empty(blocks.count)
    loops.parkinson_sums(blocks.merged("high"), blocks.merged("low"), blocks.size, out)
    return out


def _sigma(window: Window, variance: F64) -> F64:
    return np.sqrt(variance / window.blocks.interval)


def _garman_klass(opened: F64, high: F64, low: F64, close: F64) -> F64:
    spread, move = log_move(high, low), log_move(close, opened)
    return 0.5 * spread * spread - (2.0 * math.log(2.0) - 1.0) * move * move


def _rogers_satchell(opened: F64, high: F64, low: F64, close: F64) -> F64:
    return log_move(high, close) * log_move(high, opened) + log_move(low, close) * log_move(
        low, opened
    )


ESTIMATORS: dict[str, Callable[[Window], F64]] = {f.__name__: f for f in (pk, gk, rs, yz)}
