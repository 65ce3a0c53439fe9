"""Which rows of a file are bars, by conditions such as `tradestatus == 1 and volume > 0`.

A condition compares one column with a number. No text is evaluated as code. A cell that is empty
or not a number fails every comparison.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.types import F64

WANTED = "comparisons of a column with a number such as 'volume > 0', joined by 'and'"
_COMPARE: dict[str, Callable[[F64, float], NDArray[np.bool_]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(
    r"\s*([^\W\d]\w*)\s*(==|!=|<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
)


@dataclass(frozen=True)
class Condition:
    """Compares a column of the file with a number; rows where it is false are not bars."""

    column: str
    sign: str
    number: float

    def holds(self, values: F64) -> NDArray[np.bool_]:
        """Where the condition is true (n,); false for NaN."""
        return _COMPARE[self.sign](values, self.number) & ~np.isnan(values)

    def __str__(self) -> str:
        return f"{self.column} {self.sign} {self.number:g}"


def parse_keep(text: str) -> tuple[Condition, ...]:
    """The conditions of a text, all of which a row must meet; ValueError with what is wanted."""
    conditions = []
    for part in re.split(r"\band\b", text):
        found = _CONDITION.fullmatch(part)
        if found is None:
            raise ValueError(WANTED)
        conditions.append(Condition(found[1], found[2], float(found[3])))
    return tuple(conditions)


def kept_rows(
    conditions: tuple[Condition, ...], columns: Mapping[str, F64], n: int
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which of n rows meet all conditions, and how many each drops; `columns` by file name.

    A row that fails several conditions is counted for the first.
    """
    keep, counts = np.ones(n, bool), {}
    for condition in conditions:
        holds = condition.holds(columns[condition.column])
        fails = int((keep & ~holds).sum())
        if fails:
            counts[f"rows without {condition}"] = fails
        keep &= holds
    return keep, counts
