"""Turns the rows of a file into bars: which rows are bars, and their adjusted close."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.panel.adjust import check_adjusting, level
from harness.panel.quality import Problem, inconsistent_rows
from harness.panel.row_filter import kept_rows
from harness.panel.sessions import whole_sessions
from harness.panel.sources.table import RawBars
from harness.panel.spec import PanelSpec
from harness.types import F64, PRICES

_FILTER = "[rows] {}"  # the name of a file column that only a row condition reads
_OUTSIDE = "rows outside the sessions of {}"
_CUT = "rows of a first or last session that is not whole"
_INCONSISTENT = "rows whose open, high, low and close contradict one another"


@dataclass(frozen=True)
class Prepared:
    """One symbol's bars as quoted; `close` (n,) is the adjusted close, None if not adjusted.

    `problems` are those of the adjusting column; `left_out` counts dropped rows by reason.
    """

    raw: RawBars
    close: F64 | None
    problems: tuple[Problem, ...]
    left_out: dict[str, int]


def columns_to_read(spec: PanelSpec, asked: Collection[str]) -> dict[str, str]:
    """Name -> the file's column, for the panel's columns asked for and all that they need.

    Which rows are bars does not depend on the columns asked for.
    """
    read = {name for name in asked if name in spec.columns}
    if spec.exchange or (spec.fill == "carry" and read & set(PRICES)):
        read.add("close")
    found = {}
    if spec.adjusting and (read & set(PRICES) or spec.cleaning.bounds):
        read.add("close")
        found[spec.adjusting.kind] = spec.adjusting.column
    if spec.drop_inconsistent:
        read |= {name for name in PRICES if name in spec.columns}
    found |= {name: spec.columns[name] for name in read}
    return found | {_FILTER.format(c.column): c.column for c in spec.keep}


def prepare(spec: PanelSpec, raw: RawBars) -> Prepared:
    """Keep the rows that are bars and compute their adjusted close."""
    raw, left_out = _sound(spec, raw)
    close: F64 | None = None
    problems: tuple[Problem, ...] = ()
    if spec.adjusting and spec.adjusting.kind in raw.columns and len(raw.ts):
        kind, values = spec.adjusting.kind, raw.columns[spec.adjusting.kind]
        problems = tuple(check_adjusting(kind, values))
        if not problems and (raw.columns["close"] > 0).all():
            close = level(kind, raw.columns["close"], values)
    if spec.drop_inconsistent and not problems:
        rows = inconsistent_rows(
            {name: raw.columns[name] for name in PRICES if name in raw.columns}
        )
        if rows.size:
            keep = np.ones(len(raw.ts), bool)
            keep[rows] = False
            left_out[_INCONSISTENT] = len(rows)
            raw, close = _taken(raw, keep), close if close is None else close[keep]
    if spec.exchange and len(raw.ts) and not problems:
        keep, outside, cut = whole_sessions(spec.sessions, raw.ts)
        counts = {_OUTSIDE.format(spec.exchange): outside, _CUT: cut}
        left_out |= {why: count for why, count in counts.items() if count}
        raw, close = _taken(raw, keep), close if close is None else close[keep]
    read = {name: v for name, v in raw.columns.items() if name in spec.columns}
    return Prepared(replace(raw, columns=read), close, problems, left_out)


def _sound(spec: PanelSpec, raw: RawBars) -> tuple[RawBars, dict[str, int]]:
    """The rows that meet all conditions and pass the cleaning; counts of dropped rows by reason."""
    if raw.bad_times:
        return raw, {}
    tested = {c.column: raw.columns[_FILTER.format(c.column)] for c in spec.keep}
    keep, counts = kept_rows(spec.keep, tested, len(raw.ts))
    kind = spec.adjusting.kind if spec.adjusting else None
    close, values = raw.columns.get("close"), raw.columns.get(kind) if kind else None
    for why, rows in spec.cleaning.unsound(raw.ts, kind, close, values, keep):
        fails = int((keep & rows).sum())
        if fails:
            counts[why] = fails
        keep &= ~rows
    return _taken(raw, keep), counts


def _taken(raw: RawBars, keep: NDArray[np.bool_]) -> RawBars:
    """The rows where `keep` (n,) is true; messages still name rows of the file."""
    if keep.all():
        return raw
    rows = np.flatnonzero(keep)
    return replace(
        raw,
        ts=raw.ts[rows],
        columns={name: values[rows] for name, values in raw.columns.items()},
        where=lambda row: raw.where(int(rows[row])),
        cell=lambda row, column: raw.cell(int(rows[row]), column),
    )
