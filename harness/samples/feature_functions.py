"""The functions of feature expressions: each of one column and constants, none looks ahead.

Most are of one symbol's column in time; those with `across` are of all symbols at one moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard

import numpy as np

from harness.types import F64, I64

MAX_WHOLE = 100_000


@dataclass(frozen=True)
class Constant:
    """A number that a function takes after its column: a whole number from 1 on, or a share."""

    name: str
    whole: bool = True
    default: int | None = None

    @property
    def wanted(self) -> str:
        """The accepted values, in words."""
        return f"a whole number from 1 to {MAX_WHOLE:,}" if self.whole else "a number in (0, 1)"

    def accepts(self, value: object) -> TypeGuard[float]:
        """Whether `value`, as written in the expression, is such a number."""
        if self.whole:
            return type(value) is int and 1 <= value <= MAX_WHOLE
        return type(value) is float and 0.0 < value < 1.0


@dataclass(frozen=True)
class Function:
    """A function of one column and constants: x (K,) float64 in time order -> (K,) float64.

    `floored` functions get max(x, floor) instead of x. A function `across` symbols gets the finite
    values (N,) of all symbols, symbol after symbol, and the place (N,) of each one's moment among
    `m` moments, and gives a value a moment (m,); one with fewer than two symbols is NaN in the end.
    """

    name: str
    summary: str
    apply: Callable[..., F64]
    constants: tuple[Constant, ...] = ()
    floored: bool = False
    across: bool = False

    @property
    def signature(self) -> str:
        """How it is written: `mean(x, k, stride=1)`."""
        names = ["x"]
        names += [c.name if c.default is None else f"{c.name}={c.default}" for c in self.constants]
        return f"{self.name}({', '.join(names)})"


def _lag(x: F64, k: int) -> F64:
    out = np.full(x.shape, np.nan)
    out[k:] = x[:-k]
    return out


def _mean(x: F64, k: int, stride: int = 1) -> F64:
    """Trailing mean, oldest term first: k additions per row, no difference of running sums."""
    out = np.full(x.shape, np.nan)
    first = (k - 1) * stride
    if first >= x.size:
        return out
    rows = x.size - first
    total = x[:rows].copy()
    for term in range(1, k):
        total += x[term * stride : term * stride + rows]
    np.divide(total, k, out=out[first:])
    return out


def _ewma(x: F64, decay: float, stride: int) -> F64:
    """One running state per stride class; a non-finite value gives NaN and keeps the state.

    A plain loop, because in vectorised forms (scaled cumulative sums) the last bits depend on the
    length.
    """
    fresh = 1.0 - decay
    states: list[float | None] = [None] * min(stride, x.size)
    out: list[float] = []
    for row, value in enumerate(x.tolist()):
        if not math.isfinite(value):
            out.append(math.nan)
            continue
        state = states[row % stride]
        state = value if state is None else decay * state + fresh * value
        states[row % stride] = state
        out.append(state)
    return np.array(out, dtype=np.float64)


def _panel_mean(values: F64, moment: I64, m: int) -> F64:
    """Sums in the order of the symbols, so that bits do not depend on other moments."""
    return np.bincount(moment, values, m) / np.bincount(moment, minlength=m)


def _panel_sd(values: F64, moment: I64, m: int) -> F64:
    """With the divisor n."""
    apart = values - _panel_mean(values, moment, m)[moment]
    return np.sqrt(_panel_mean(np.square(apart), moment, m))


FUNCTIONS: dict[str, Function] = {
    f.name: f
    for f in (
        Function("log", "natural logarithm of max(x, sample.floor)", np.log, floored=True),
        Function("log1p", "ln(1 + x)", np.log1p),
        Function("sqrt", "square root; missing where x < 0", np.sqrt),
        Function("square", "x * x", np.square),
        Function("abs", "absolute value", np.abs),
        Function("positive", "max(x, 0)", partial(np.maximum, 0.0)),
        Function("negative", "min(x, 0)", partial(np.minimum, 0.0)),
        Function("lag", "x at the forecast origin k before", _lag, (Constant("k"),)),
        Function(
            "mean",
            "mean of x at this and the k - 1 forecast origins before, `stride` origins apart",
            _mean,
            (Constant("k"), Constant("stride", default=1)),
        ),
        Function(
            "ewma",
            "s(t) = decay * s(t - stride) + (1 - decay) * x(t), from the first finite x on",
            _ewma,
            (Constant("decay", whole=False), Constant("stride")),
        ),
        Function(
            "panel_mean",
            "mean of x over the study's symbols that have a finite x at the same moment, two or "
            "more",
            _panel_mean,
            across=True,
        ),
        Function(
            "panel_sd",
            "standard deviation (divisor n) of x over the study's symbols that have a finite x at "
            "the same moment, two or more",
            _panel_sd,
            across=True,
        ),
    )
}
