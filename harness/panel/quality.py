"""Checks of one symbol's bars, their gaps, and a hash of their content.

The checks take arrays and return findings. They raise nothing, so that a report can list all
problems. Good bars cost one blocked pass over the timestamps and two reductions per column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xxhash

from harness.types import F64, I64, PRICES, VOLUME, Gap

# Steps between timestamps are computed in blocks that stay in the CPU cache, in one buffer.
_BLOCK = 1 << 15
# After adjustment for splits and dividends equal prices can differ by some units in the last place.
_ROUNDING = 1e-12
# Within these bounds ratios and squares of prices stay in the range of float64.
_LEAST_PRICE, _MOST_PRICE = 1e-100, 1e100
_NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True)
class Problem:
    """A failed check: its name, column, what is wanted, the first bad row (0-based), how many.

    `column` is None for the timestamps.
    """

    name: str
    column: str | None
    wanted: str
    row: int
    count: int


def odd_steps(ts: I64, bar: int) -> I64:
    """The rows i >= 1 with ts[i] - ts[i - 1] != bar, in ascending order."""
    buffer, found = np.empty(_BLOCK, np.int64), []
    for low in range(1, len(ts), _BLOCK):
        high = min(low + _BLOCK, len(ts))
        step = np.subtract(ts[low:high], ts[low - 1 : high - 1], out=buffer[: high - low])
        odd = np.flatnonzero(step != bar)
        if odd.size:
            found.append(odd + low)
    return np.concatenate(found) if found else _NO_ROWS


def check_times(ts: I64, bar: int, *, grid: bool) -> tuple[list[Problem], I64]:
    """Problems of the timestamps (n,) of bars of `bar` ns, and the rows after missing bars.

    On a grid every timestamp is a whole number of bars after the first. Otherwise timestamps are
    at least one bar apart, and no bar counts as missing.
    """
    odd = odd_steps(ts, bar)
    step = ts[odd] - ts[odd - 1]
    problems = []
    if (step < 0).any():
        problems.append(_problem("unsorted", None, "ascending time stamps", odd[step < 0]))
        # Equal timestamps need not be adjacent here, so all rows are searched.
        again = np.ones(len(ts), bool)
        again[np.unique(ts, return_index=True)[1]] = False
        repeated = np.flatnonzero(again)
    else:
        repeated = odd[step == 0]
    if repeated.size:
        problems.append(_problem("duplicate time stamp", None, "each once", repeated))
    if not grid:
        near = odd[(step > 0) & (step < bar)]
        if near.size:
            wanted = "bars at least one bar apart"
            problems.append(_problem("wrong bar spacing", None, wanted, near))
        return problems, _NO_ROWS
    if (step % bar != 0).any():
        off = np.flatnonzero((ts - ts[0]) % bar)
        wanted = "whole bars after the first time stamp"
        problems.append(_problem("wrong bar spacing", None, wanted, off))
    return problems, odd[(step > bar) & (step % bar == 0)]


def check_columns(columns: Mapping[str, F64], units: Mapping[str, str]) -> list[Problem]:
    """Problems of the values (n,) of each column; `units` are those of extra columns."""
    problems, sound = [], set()
    for name, values in columns.items():
        least, most = values.min(), values.max()
        if not (np.isfinite(least) and np.isfinite(most)):
            bad = np.flatnonzero(~np.isfinite(values))
            problems.append(_problem("not finite", name, "a finite number", bad))
            continue
        sound.add(name)
        if name in PRICES and least <= 0:
            bad = np.flatnonzero(values <= 0)
            problems.append(_problem("non-positive price", name, "a price above 0", bad))
        elif name in PRICES and not (least >= _LEAST_PRICE and most <= _MOST_PRICE):
            bad = np.flatnonzero((values < _LEAST_PRICE) | (values > _MOST_PRICE))
            wanted = f"a price from {_LEAST_PRICE:g} to {_MOST_PRICE:g}"
            problems.append(_problem("implausible price", name, wanted, bad))
        elif least < 0 and name not in PRICES and (name == VOLUME or units.get(name) != "none"):
            bad = np.flatnonzero(values < 0)
            problems.append(_problem("negative value", name, "0 or more", bad))
    return problems + _check_ranges({name: columns[name] for name in PRICES if name in sound})


def inconsistent_rows(columns: Mapping[str, F64]) -> I64:
    """The rows that violate low <= open, close <= high, as far as these columns were read."""
    found = [rows for *_, rows in _range_breaks(columns)]
    return np.unique(np.concatenate(found)) if found else _NO_ROWS


def _check_ranges(prices: Mapping[str, F64]) -> list[Problem]:
    return [_problem(*found) for found in _range_breaks(prices)]


def _range_breaks(prices: Mapping[str, F64]) -> Iterator[tuple[str, str, str, I64]]:
    """Violations of low <= open, close <= high: name, column, what is wanted, rows."""
    high, low = prices.get("high"), prices.get("low")
    if high is not None and low is not None and (bad := _above(low, high)).size:
        yield "high below low", "high", "high >= low", bad
    for name in ("open", "close"):
        if name not in prices:
            continue
        over = _above(prices[name], high) if high is not None else _NO_ROWS
        under = _above(low, prices[name]) if low is not None else _NO_ROWS
        if over.size or under.size:
            wanted = "low <= open and close <= high"
            yield f"{name} outside low and high", name, wanted, np.union1d(over, under)


def _above(values: F64, bound: F64) -> I64:
    """The rows where `values` exceed `bound` by more than rounding."""
    rows = np.flatnonzero(values > bound)
    return rows[values[rows] > bound[rows] * (1 + _ROUNDING)]


def _problem(name: str, column: str | None, wanted: str, rows: I64) -> Problem:
    return Problem(name, column, wanted, int(rows[0]), len(rows))


def find_gaps(symbol: str, ts: I64, bar: int, breaks: I64) -> tuple[Gap, ...]:
    """The runs of missing bars before the rows `breaks` of ascending timestamps on a grid."""
    return tuple(
        Gap(symbol, before + bar, after - bar, (after - before) // bar - 1)
        for before, after in zip(ts[breaks - 1].tolist(), ts[breaks].tolist(), strict=True)
    )


def carry(columns: Mapping[str, F64], breaks: I64, gaps: tuple[Gap, ...]) -> dict[str, F64]:
    """Columns on the full grid: in a gap every price is the last close, and volume is 0.

    `columns` (n,) must have `close` if it has any price; the gaps end before the rows `breaks`.
    """
    n = len(next(iter(columns.values())))
    total = n + sum(gap.missing for gap in gaps)
    filled = {name: np.empty(total) for name in columns}
    read = written = 0
    for row, missing in zip([*breaks.tolist(), n], [*(g.missing for g in gaps), 0], strict=True):
        end = written + row - read
        for name, values in columns.items():
            out = filled[name]
            out[written:end] = values[read:row]
            if missing:
                out[end : end + missing] = columns["close"][row - 1] if name in PRICES else 0.0
        read, written = row, end + missing
    return filled


def fingerprint(symbol: str, ts: I64, columns: Mapping[str, F64]) -> str:
    """Hash of symbol, timestamps (ns), and the name and float64 values of each column."""
    digest = xxhash.xxh3_128(f"{symbol}\0{len(ts)}\0".encode())
    digest.update(np.ascontiguousarray(ts, "<i8").data)
    for name in sorted(columns):
        digest.update(f"{name}\0".encode())
        digest.update(np.ascontiguousarray(columns[name], "<f8").data)
    return f"xxh3:{digest.hexdigest()}"
