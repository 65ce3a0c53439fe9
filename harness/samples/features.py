"""Feature expressions over measure columns: `log(rv_1h)`, `log1p(j_h)`, `mean(rv_1d, 5, 24)`.

An expression is parsed with a whitelist over Python's syntax tree and stored as a small frozen
tree; nothing in it is executed. No function looks ahead: row t of a feature is computed from rows
up to t, by the same operations in the same order whatever comes after, and a function of all
symbols from those that are known at the same moment.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate

import numpy as np

from harness.errors import nearest, one_line
from harness.samples.feature_functions import FUNCTIONS
from harness.types import F64

MAX_LENGTH = 500
MAX_DEPTH = 100
OWN_SCALE = "h"
_COLUMN = re.compile(r"[a-z][a-z0-9_]*_(?:[1-9][0-9]*[mhdw]|h)", re.ASCII)


class FeatureError(ValueError):
    """An expression that is not valid: the reason on one line, and the nearest right word."""

    def __init__(self, reason: str, nearest: str | None = None) -> None:
        super().__init__(reason)
        self.nearest = nearest


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True)
class Column:
    """A measure over a scale; scale `h` stands for the horizon itself."""

    measure: str
    scale: str

    @property
    def name(self) -> str:
        """The column's name, `rv_1h`."""
        return f"{self.measure}_{self.scale}"


@dataclass(frozen=True)
class Negative:
    """Unary minus."""

    operand: Node


@dataclass(frozen=True)
class Binary:
    """`left sign right`, sign one of + - * /."""

    sign: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Call:
    """A function of FUNCTIONS applied to a node; a trailing constant at its default is left out."""

    function: str
    operand: Node
    constants: tuple[float, ...]


Node = Number | Column | Negative | Binary | Call

_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_APPLY = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
_RANK = {"+": 1, "-": 1, "*": 2, "/": 2}
_RANK_NEGATIVE = 3
_RANK_ATOM = 4


@dataclass(frozen=True)
class Expression:
    """A parsed feature; equal when the trees are equal, however they were written."""

    root: Node

    @cached_property
    def text(self) -> str:
        """The canonical text: one spelling per tree, and parsing it gives the tree back."""
        return _text(self.root)

    @cached_property
    def columns(self) -> frozenset[str]:
        """The names of the columns it reads."""
        return frozenset(column.name for column in _columns(self.root))

    @cached_property
    def across(self) -> str | None:
        """The name of a function across symbols that it has, None if it has none."""
        return next(_across(self.root), None)

    def at(self, scale: str) -> Expression:
        """The same expression with every `_h` column over `scale`."""
        return Expression(_at(self.root, scale))


def split_column(name: str) -> tuple[str, str]:
    """`rv_1h` -> (`rv`, `1h`): the parts before and after the last underscore."""
    measure, _, scale = name.rpartition("_")
    return measure, scale


@lru_cache(maxsize=4096)
def parse_feature(text: str) -> Expression:
    """Parse an expression; FeatureError for anything not in the grammar. Nothing is executed."""
    if len(text) > MAX_LENGTH:
        raise FeatureError(f"at most {MAX_LENGTH} characters, not {len(text):,}")
    try:
        with warnings.catch_warnings():
            # Python warns of near-syntax such as `1or 2`; here that is an error like any other.
            warnings.simplefilter("error")
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError, Warning):
        raise FeatureError("it does not read as one formula; check brackets and commas") from None
    _check_depth(text, tree.body)
    root = _node(tree.body)
    if not any(_columns(root)):
        raise FeatureError("it names no measure column such as rv_1h or rv_h")
    return Expression(root)


# From a call of a function across symbols to the symbol's values (K,).
Across = Callable[[Call], F64]


def evaluate(
    expression: Expression,
    columns: Mapping[str, F64],
    units: Mapping[str, str],
    floor: float,
    across: Across | None = None,
) -> F64:
    """The feature of one symbol.

    Args:
        expression: without `_h` columns (see `Expression.at`).
        columns: name -> (K,) float64, one symbol, in time order.
        units: name -> unit; a bare column in "variance" is floored at floor² under `log`.
        floor: the lower bound of sigma under a logarithm, > 0.
        across: evaluates functions across symbols; without it they are NaN.

    Returns:
        (K,) float64. Missing values stay NaN; a division by zero gives inf or NaN, without a
        warning. A bare column is returned as it is, not copied.

    Raises:
        KeyError: for a column that is not in `columns`.
    """
    with np.errstate(all="ignore"):
        values = _evaluate(expression.root, columns, units, floor, across)
    assert isinstance(values, np.ndarray), "parse_feature refuses an expression without a column"
    return values


def _evaluate(
    node: Node,
    columns: Mapping[str, F64],
    units: Mapping[str, str],
    floor: float,
    across: Across | None,
) -> F64 | np.float64:
    match node:
        case Number(value):
            return np.float64(value)
        case Column():
            return columns[node.name]
        case Negative(operand):
            return np.negative(_evaluate(operand, columns, units, floor, across))
        case Binary(sign, left, right):
            return _APPLY[sign](
                _evaluate(left, columns, units, floor, across),
                _evaluate(right, columns, units, floor, across),
            )
        case Call(name, operand, constants):
            function = FUNCTIONS[name]
            if function.across and across is not None:
                return across(node)
            x = _evaluate(operand, columns, units, floor, across)
            if function.across:
                return np.full_like(x, np.nan)
            if function.floored:
                bare = isinstance(operand, Column) and units.get(operand.name) == "variance"
                x = np.maximum(x, floor * floor if bare else floor)
            return function.apply(x, *constants)


def _check_depth(text: str, tree: ast.expr) -> None:
    """Refuse deep trees before any recursion into them, and deep brackets, which leave no nodes."""
    brackets = max(accumulate((c == "(") - (c == ")") for c in text))
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level or brackets > MAX_DEPTH:
        raise FeatureError(f"at most {MAX_DEPTH} levels of nesting")


def _node(tree: ast.expr) -> Node:
    match tree:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _number(value)
        case ast.Name(id=name):
            return _column(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Negative(_node(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return Binary(_BINARY[type(op)], _node(left), _node(right))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _call(name, args)
    allowed = "measure columns, numbers, + - * / and the functions " + _known()
    raise FeatureError(f"{one_line(ast.unparse(tree), 40)} is not allowed, only {allowed}")


def _number(value: float) -> Number:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FeatureError("a number in it is too large")
    return Number(number)


def _column(name: str) -> Column:
    if name in FUNCTIONS:
        raise FeatureError(f"{name} is a function: {FUNCTIONS[name].signature}")
    if not _COLUMN.fullmatch(name):
        raise FeatureError(f"{one_line(name, 40)} is not a measure column such as rv_1h or rv_h")
    return Column(*split_column(name))


def _call(name: str, args: list[ast.expr]) -> Call:
    function = FUNCTIONS.get(name)
    if function is None:
        raise FeatureError(
            f"{one_line(name, 40)} is not a function: there are {_known()}",
            nearest(name, FUNCTIONS),
        )
    required = sum(c.default is None for c in function.constants)
    if not 1 + required <= len(args) <= 1 + len(function.constants):
        raise FeatureError(f"{name} is written {function.signature}")
    operand = _node(args[0])
    if not any(_columns(operand)):
        raise FeatureError(f"the x of {function.signature} names no measure column")
    values: list[float] = []
    for constant, arg in zip(function.constants, args[1:], strict=False):
        value = arg.value if isinstance(arg, ast.Constant) else None
        if not constant.accepts(value):
            raise FeatureError(f"{constant.name} of {function.signature} is {constant.wanted}")
        values.append(value)
    if values and values[-1] == function.constants[len(values) - 1].default:
        values.pop()
    return Call(name, operand, tuple(values))


def _known() -> str:
    return ", ".join(FUNCTIONS)


def _columns(node: Node) -> Iterator[Column]:
    match node:
        case Column():
            yield node
        case Negative(operand) | Call(operand=operand):
            yield from _columns(operand)
        case Binary(_, left, right):
            yield from _columns(left)
            yield from _columns(right)


def _across(node: Node) -> Iterator[str]:
    match node:
        case Call(function, operand):
            if FUNCTIONS[function].across:
                yield function
            yield from _across(operand)
        case Negative(operand):
            yield from _across(operand)
        case Binary(_, left, right):
            yield from _across(left)
            yield from _across(right)


def _at(node: Node, scale: str) -> Node:
    match node:
        case Column(measure, own) if own == OWN_SCALE:
            return Column(measure, scale)
        case Negative(operand) | Call(operand=operand):
            return replace(node, operand=_at(operand, scale))
        case Binary(sign, left, right):
            return Binary(sign, _at(left, scale), _at(right, scale))
    return node


def _rank(node: Node) -> int:
    if isinstance(node, Binary):
        return _RANK[node.sign]
    return _RANK_NEGATIVE if isinstance(node, Negative) else _RANK_ATOM


def _text(node: Node, least: int = 0) -> str:
    """The node's text, in brackets where its precedence is lower than `least`."""
    if _rank(node) < least:
        return f"({_text(node)})"
    match node:
        case Number(value):
            return str(int(value)) if value.is_integer() and value < 1e15 else repr(value)
        case Column():
            return node.name
        case Negative(operand):
            return f"-{_text(operand, _RANK_NEGATIVE)}"
        case Binary(sign, left, right):
            # The right side needs a higher precedence: a - (b - c) and a + (b + c) keep brackets.
            return f"{_text(left, _RANK[sign])} {sign} {_text(right, _RANK[sign] + 1)}"
        case Call(name, operand, constants):
            return f"{name}({', '.join([_text(operand), *map(repr, constants)])})"
