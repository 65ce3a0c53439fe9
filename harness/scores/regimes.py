"""Regimes: groups of decisions by what was known at each, and the moments when volatility shifted.

A regime says something of a forecast's row, for scores only: no model sees it. Conditions and
terciles use what is known at the decision. Which shifts are the largest is known only afterwards;
that picks the stretches that are looked at, as a chapter picks its examples.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.kernels import ranks as rank_loops
from harness.samples.features import Expression, FeatureError, parse_feature
from harness.samples.rows import OriginMeasures
from harness.types import F64, I64, Forecasts

_SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
THIRDS = ("low", "middle", "high")
_FEWEST = 30  # past values from which on terciles are told apart

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """`expression sign bound`, joined by `and` to others: `vix_1d < 20`."""

    expression: Expression
    sign: str
    bound: float

    @property
    def text(self) -> str:
        """One spelling."""
        return f"{self.expression.text} {self.sign} {self.bound:.17g}"


@dataclass(frozen=True)
class When:
    """Rows at whose decision every condition holds."""

    conditions: tuple[Condition, ...]

    @property
    def text(self) -> str:
        """The condition in its canonical spelling."""
        return " and ".join(c.text for c in self.conditions)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """What it reads."""
        return tuple(c.expression for c in self.conditions)


@dataclass(frozen=True)
class Terciles:
    """Thirds of an expression among its own values at all earlier decisions of the symbol."""

    expression: Expression

    @property
    def text(self) -> str:
        """What the card says of it."""
        return f"terciles of {self.expression.text} among its past values"

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """What it reads."""
        return (self.expression,)


@dataclass(frozen=True)
class Shifts:
    """The `days` decisions from each of a symbol's `largest` shifts of an expression on.

    A shift's size is |z|, z the expression less its mean over the `window` decisions before,
    over their standard deviation. Shifts are taken largest first among tested rows, each at
    least `days` decisions from those taken.
    """

    expression: Expression
    largest: int
    days: int
    window: int

    @property
    def text(self) -> str:
        """What the card says of it."""
        return (
            f"the {self.days} decisions from each of the {self.largest} largest shifts of "
            f"{self.expression.text} on, by |z| against the {self.window} decisions before"
        )

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """What it reads."""
        return (self.expression,)


Regime = When | Terciles | Shifts


def parse_condition(text: str) -> When:
    """Read `vix_1d >= 20 and log(rv_22d) > -4`; FeatureError says what is wrong. Nothing runs."""
    wanted = "a comparison of a feature with a number such as vix_1d < 20, or several with and"
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise FeatureError(wanted) from None
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    found = []
    for part in parts:
        if not isinstance(part, ast.Compare) or len(part.ops) != 1:
            raise FeatureError(wanted)
        bound = _bound(part.comparators[0])
        if bound is None or type(part.ops[0]) not in _SIGNS:
            raise FeatureError(wanted)
        expression = parse_feature(ast.unparse(part.left))
        found.append(Condition(expression, _SIGNS[type(part.ops[0])], bound))
    return When(tuple(found))


def _bound(node: ast.expr) -> float | None:
    sign = 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1.0, node.operand
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return sign * float(value)


@dataclass(frozen=True)
class Marked:
    """The groups of one horizon's n forecasts: name -> rows (positions), in the file's order.

    `since` regime -> for every row of a Shifts regime, how many decisions after the shift.
    """

    groups: Mapping[str, I64]
    since: Mapping[str, I64]


def mark(
    by_symbol: Sequence[OriginMeasures], forecasts: Forecasts, regimes: Mapping[str, Regime]
) -> Marked:
    """Which forecasts belong to which regime."""
    if not regimes:
        return Marked({}, {})
    places = list(_places(by_symbol, forecasts))
    groups: dict[str, I64] = {}
    since: dict[str, I64] = {}
    for name, regime in regimes.items():
        if isinstance(regime, When):
            groups[name] = np.flatnonzero(_over(places, forecasts, partial(_holds, regime)))
        elif isinstance(regime, Terciles):
            third = _over(places, forecasts, partial(_thirds, regime))
            for k, word in enumerate(THIRDS):
                groups[f"{name}-{word}"] = np.flatnonzero(third == k)
        else:
            after = np.full(forecasts.y.size, -1, np.int64)
            for d, rows, at in places:
                after[rows] = _after_shifts(d.feature(regime.expression), at, regime)
            groups[name] = np.flatnonzero(after >= 0)
            since[name] = after[groups[name]]
    return Marked(groups, since)


def _places(
    by_symbol: Sequence[OriginMeasures], forecasts: Forecasts
) -> Iterator[tuple[OriginMeasures, I64, I64]]:
    """Each symbol with its forecasts' rows and the decisions they were made at."""
    for code, d in enumerate(by_symbol):
        rows = np.flatnonzero(forecasts.symbol == code)
        known = d.measured.known_at[d.measured.origins]
        yield d, rows, np.searchsorted(known, forecasts.formed_at[rows])


def _over(
    places: Sequence[tuple[OriginMeasures, I64, I64]],
    forecasts: Forecasts,
    of: Callable[[OriginMeasures], Flags | I64],
) -> I64:
    """A code per decision of every symbol, at the forecasts' rows."""
    out = np.zeros(forecasts.y.size, np.int64)
    for d, rows, at in places:
        out[rows] = of(d)[at]
    return out


def _holds(regime: When, by_symbol: OriginMeasures) -> Flags:
    """A value that is missing is in no regime."""
    with np.errstate(invalid="ignore"):
        flags = [
            _COMPARE[c.sign](by_symbol.feature(c.expression), c.bound) for c in regime.conditions
        ]
    return np.logical_and.reduce(flags)


def _thirds(regime: Terciles, by_symbol: OriginMeasures) -> I64:
    """0, 1, 2 by the share of earlier values below; -1 while they are few or where missing."""
    values = by_symbol.feature(regime.expression)
    known = np.flatnonzero(np.isfinite(values))
    out = np.full(values.size, -1, np.int64)
    below, past = _earlier_below(values[known])[_FEWEST:], np.arange(_FEWEST, known.size)
    out[known[_FEWEST:]] = np.minimum(3 * below // past, 2)
    return out


def _earlier_below(values: F64) -> I64:
    """How many earlier values are less than each (n,)."""
    distinct, code = np.unique(values, return_inverse=True)
    below = np.empty(values.size, np.int64)
    rank_loops.earlier_below(code, np.empty(distinct.size, np.int64), below)
    return below


def _after_shifts(values: F64, at: I64, regime: Shifts) -> I64:
    """Decisions since the last shift taken (m,) at the tested decisions `at` (m,); -1 for none."""
    size = np.abs(z_scores(values, regime.window))
    tested = at[np.isfinite(size[at])]
    taken: list[int] = []
    for place in tested[np.argsort(-size[tested], kind="stable")].tolist():
        if len(taken) == regime.largest:
            break
        if all(abs(place - other) >= regime.days for other in taken):
            taken.append(place)
    out = np.full(at.size, -1, np.int64)
    for place in taken:
        gap = at - place
        inside = (gap >= 0) & (gap < regime.days)
        out[inside] = gap[inside]
    return out


def z_scores(values: F64, window: int) -> F64:
    """Each value against the `window` before it; NaN where one of them is missing."""
    out = np.full(values.size, np.nan)
    if values.size > window:
        past = np.lib.stride_tricks.sliding_window_view(values[:-1], window)
        spread = past.std(axis=1, ddof=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            out[window:] = (values[window:] - past.mean(axis=1)) / spread
    out[~np.isfinite(out)] = np.nan
    return out
