"""Regimes: groups of forecast origins by what was known at each, and periods after shifts.

Regimes group rows for scores only: no model sees them. Conditions and terciles use what is known
at the forecast origin. Which shifts are the largest is known only afterwards: they select periods
to look at, and no forecast depends on them.
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
_ROUNDING = 1e-12  # relative to the values: less variation is none
_FEWEST = 30  # past values that terciles need

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """`expression sign bound`, such as `vix_1d < 20`; several are joined by `and`."""

    expression: Expression
    sign: str
    bound: float

    @property
    def text(self) -> str:
        """Its canonical spelling."""
        return f"{self.expression.text} {self.sign} {self.bound:.17g}"


@dataclass(frozen=True)
class When:
    """Rows at whose forecast origin every condition holds."""

    conditions: tuple[Condition, ...]

    @property
    def text(self) -> str:
        """The condition in its canonical spelling."""
        return " and ".join(c.text for c in self.conditions)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions that it reads."""
        return tuple(c.expression for c in self.conditions)


@dataclass(frozen=True)
class Terciles:
    """Terciles of an expression among its values at all earlier forecast origins of the symbol."""

    expression: Expression

    @property
    def text(self) -> str:
        """Its description on the card."""
        return f"terciles of {self.expression.text} among its past values"

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions that it reads."""
        return (self.expression,)


@dataclass(frozen=True)
class Shifts:
    """The `days` forecast origins from each of a symbol's `largest` shifts of an expression on.

    A shift's size is |z|: the expression less its mean over the previous `window` origins, over
    their standard deviation. Shifts are taken among tested rows, largest first, each at least
    `days` origins from those already taken.
    """

    expression: Expression
    largest: int
    days: int
    window: int

    @property
    def text(self) -> str:
        """Its description on the card."""
        return (
            f"the {self.days} decisions from each of the {self.largest} largest shifts of "
            f"{self.expression.text} on, by |z| against the {self.window} decisions before"
        )

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions that it reads."""
        return (self.expression,)


Regime = When | Terciles | Shifts


def parse_condition(text: str) -> When:
    """Parse `vix_1d >= 20 and log(rv_22d) > -4` without evaluating it; FeatureError if wrong."""
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

    `since` maps a `Shifts` regime to each of its rows' number of origins after the shift,
    `periods` to the separate period of each forecast (n,), -1 for none: shifts of several symbols
    that overlap in time are one.
    """

    groups: Mapping[str, I64]
    since: Mapping[str, I64]
    periods: Mapping[str, I64]


def mark(
    by_symbol: Sequence[OriginMeasures], forecasts: Forecasts, regimes: Mapping[str, Regime]
) -> Marked:
    """Assign forecasts to regimes."""
    if not regimes:
        return Marked({}, {}, {})
    places = list(_places(by_symbol, forecasts))
    groups: dict[str, I64] = {}
    since: dict[str, I64] = {}
    periods: dict[str, I64] = {}
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
            periods[name] = _separate_periods(forecasts.formed_at, after, regime.days)
    return Marked(groups, since, periods)


def _separate_periods(formed_at: I64, after: I64, days: int) -> I64:
    """The period of each row (n,), -1 for none; a shift within `days` origins of one is in it."""
    place = np.unique(formed_at, return_inverse=True)[1]
    starts: list[int] = []
    for start in np.unique(place[after == 0]).tolist():
        if not starts or start >= starts[-1] + days:
            starts.append(start)
    return np.where(after >= 0, np.searchsorted(starts, place, side="right") - 1, -1)


def periods_in(periods: I64 | None, rows: I64) -> int | None:
    """How many separate periods these rows are of; None without periods."""
    return None if periods is None else np.unique(periods[rows]).size


def _places(
    by_symbol: Sequence[OriginMeasures], forecasts: Forecasts
) -> Iterator[tuple[OriginMeasures, I64, I64]]:
    """Each symbol, the rows of its forecasts and their positions among its forecast origins."""
    for code, d in enumerate(by_symbol):
        rows = np.flatnonzero(forecasts.symbol == code)
        known = d.measured.known_at[d.measured.origins]
        yield d, rows, np.searchsorted(known, forecasts.formed_at[rows])


def _over(
    places: Sequence[tuple[OriginMeasures, I64, I64]],
    forecasts: Forecasts,
    of: Callable[[OriginMeasures], Flags | I64],
) -> I64:
    """A code at every forecast, computed by symbol at all its forecast origins."""
    out = np.zeros(forecasts.y.size, np.int64)
    for d, rows, at in places:
        out[rows] = of(d)[at]
    return out


def _holds(regime: When, by_symbol: OriginMeasures) -> Flags:
    """Where all conditions hold; a missing value is in no regime."""
    with np.errstate(invalid="ignore"):
        flags = [
            _COMPARE[c.sign](by_symbol.feature(c.expression), c.bound) for c in regime.conditions
        ]
    return np.logical_and.reduce(flags)


def _thirds(regime: Terciles, by_symbol: OriginMeasures) -> I64:
    """0, 1 or 2 by the share of earlier values below; -1 where too few or missing."""
    values = by_symbol.feature(regime.expression)
    known = np.flatnonzero(np.isfinite(values))
    out = np.full(values.size, -1, np.int64)
    below, past = _earlier_below(values[known])[_FEWEST:], np.arange(_FEWEST, known.size)
    out[known[_FEWEST:]] = np.minimum(3 * below // past, 2)
    return out


def _earlier_below(values: F64) -> I64:
    """The number of earlier values below each value (n,)."""
    distinct, code = np.unique(values, return_inverse=True)
    below = np.empty(values.size, np.int64)
    rank_loops.earlier_below(code, np.empty(distinct.size, np.int64), below)
    return below


def _after_shifts(values: F64, at: I64, regime: Shifts) -> I64:
    """Origins since the last shift taken (m,), at the tested origins `at` (m,); -1 for none."""
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
    """Z-score of each value against the previous `window` values; NaN where one is missing.

    NaN after `window` equal values, too: the deviation of what does not vary is rounding.
    """
    out = np.full(values.size, np.nan)
    if values.size > window:
        past = np.lib.stride_tricks.sliding_window_view(values[:-1], window)
        spread = past.std(axis=1, ddof=1)
        spread[np.ptp(past, axis=1) <= _ROUNDING * np.abs(past).max(axis=1)] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            out[window:] = (values[window:] - past.mean(axis=1)) / spread
    out[~np.isfinite(out)] = np.nan
    return out
