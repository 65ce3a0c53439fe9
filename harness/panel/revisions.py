"""How what was read of a panel differs from what is read of it now: where, and by how much.

Only what both spans hold is compared. Growth at the end is no difference, and neither are bars that
are added to the last day of the earlier span, which may have been unfinished.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from harness.panel.contents import DAY_NS, DIGITS, Contents, Days, piece_span, short
from harness.types import PRICES

ROUNDING = 1e-9  # in ln of volatility: prices times a constant differ by less
_NOTHING = 1e-24  # a weighted sum of squares that is rounding


@dataclass(frozen=True)
class Revision:
    """A difference of the data: what differs `where`, and its `size` in ln of volatility.

    The size is infinite where it cannot be told: bars were added, moved or dropped.
    """

    where: str
    size: float

    def words(self) -> str:
        """In words, with the size where it can be told."""
        return self.where if math.isinf(self.size) else f"{self.where}; {size_words(self.size)}"

    def within(self, tolerance: float) -> bool:
        """Whether it is rounding, or as small as the tolerance."""
        return self.size <= max(tolerance, ROUNDING)


def size_words(size: float) -> str:
    """A size in words: `by at most 7e-07 in ln of volatility (7e-05 %)`."""
    if size <= ROUNDING:
        return "no return differs by more than rounding"
    percent = f" ({100 * size:.2g} %)" if size < 0.1 else ""
    return f"by at most {size:.2g} in ln of volatility{percent}"


def shifted(then: Mapping[str, Any], now: Contents) -> str | None:
    """In words, that the history begins at another day than it did; None if not."""
    first, begins = _first(then["panel"]), int(now.panel.day[0])
    if first == begins:
        return None
    way = "later" if begins > first else "earlier"
    return f"its history begins {abs(begins - first):,} days {way}, {_day(begins)}"


def revised(then: Mapping[str, Any], now: Contents, *, until: int | None) -> Revision | None:
    """How the contents differ from those that a record holds (Contents.words); None if not at all.

    `until` (UTC ns) is the end that the present hypothesis sets to its data: what the record holds
    beyond is not missed.
    """
    found = list(_revised(then["panel"], now.panel, "", until))
    for name, side in then["side"].items():
        if name in now.side:
            found += _revised(side, now.side[name], f"side series {name}: ", until)
    labels = then["labels"], now.labels
    if None not in labels and labels[0] != labels[1] and then["symbols"] == now.symbols:
        found.append(Revision("labels", math.inf))
    if not found:
        return None
    return Revision(found[0].where, max(r.size for r in found))


def _revised(
    then: Mapping[str, Any], now: Days, what: str, until: int | None
) -> Iterator[Revision]:
    """Every difference of a panel or of a side series, `what`: the first place of each column."""
    pieces = _shared(then, now, until)
    if not pieces:
        return
    wanted, ends = piece_span(then["pieces"].split()[-1])[0], int(now.day[-1])
    if ends < wanted and (until is None or until > wanted * DAY_NS):
        yield Revision(f"{what}no bars after {_day(ends)}, where there were some", math.inf)
    times = _running(now.times)
    for piece in pieces:
        if short(_between(times, piece)) != piece.of(then["times"]) and not piece.finished:
            yield Revision(f"{what}bars added, moved or dropped in {piece.name}", math.inf)
            return
    compared = [piece for piece in pieces if not piece.finished]
    if any(later.start != piece.stop for piece, later in pairwise(compared)):
        yield Revision(f"{what}bars added between those of before", math.inf)
        return
    for name, hashes in then["hashes"].items():
        if name not in now.columns:
            continue
        running = _running(now.columns[name][0])
        off = [p for p in compared if short(_between(running, p)) != p.of(hashes)]
        if off:
            size = _size(name, then, now, compared, off)
            column = "" if what else f"{name} "
            yield Revision(f"{what}{column}from {off[0].name} on", size)


@dataclass(frozen=True)
class _Piece:
    """A piece of the earlier span, at `row` there and at days `start` to `stop` - 1 of the present.

    `finished`: it is the last day of the earlier span and has got more bars since.
    """

    name: str
    row: int
    start: int
    stop: int
    finished: bool = False

    def of(self, hashes: str) -> str:
        return hashes[DIGITS * self.row : DIGITS * (self.row + 1)]


def _first(then: Mapping[str, Any]) -> int:
    return piece_span(then["pieces"].split(" ", 1)[0])[0]


def _shared(then: Mapping[str, Any], now: Days, until: int | None) -> list[_Piece]:
    """The pieces that the present span covers from their first to their last day."""
    names = then["pieces"].split()
    first, last = int(now.day[0]), int(now.day[-1])
    if until is not None:
        last = min(last, until // DAY_NS - 1)
    moved = first != _first(then)
    found = []
    for row, name in enumerate(names):
        begin, end = piece_span(name)
        if begin < first or (moved and begin <= first) or begin > last:
            continue
        if end > last + 1 or (end == last + 1 and row < len(names) - 1):
            continue
        start, stop = np.searchsorted(now.day, [begin, end]).tolist()
        more = row == len(names) - 1 and stop > start and now.rows[start] > then["last_rows"]
        found.append(_Piece(name, row, start, stop, bool(more)))
    if found and moved and found[0].row == 0:  # its first day may have begun within the day
        found = found[1:]
    return found


def _running(hashes: np.ndarray) -> np.ndarray:
    return np.concatenate((np.zeros(1, np.uint64), np.cumsum(hashes, dtype=np.uint64)))


def _between(running: np.ndarray, piece: _Piece) -> int:
    return (int(running[piece.stop]) - int(running[piece.start])) % 2**64


def _size(
    name: str, then: Mapping[str, Any], now: Days, compared: list[_Piece], off: list[_Piece]
) -> float:
    """The largest change of a month in ln of volatility; days are taken with the month beside."""
    if then["reference"] != now.reference:
        return math.inf
    days = [len(piece.name) > len("2001-02") for piece in compared]
    months = [k for k, day in enumerate(days) if not day]
    low, high = (months[0], months[-1]) if months else (0, 0)
    changed = {piece.row for piece in off}
    sums: dict[int, np.ndarray] = {}
    touched = set()
    half = name in PRICES and now.reference is not None
    for k, piece in enumerate(compared):
        place = min(max(k, low), high)
        sums.setdefault(place, np.zeros(2))
        sums[place] += [_of(then, name, piece, half), _at(now, name, piece, half)]
        if piece.row in changed:
            touched.add(place)
    ratios = [np.maximum(sums[place], _NOTHING) for place in touched]
    return max(abs(math.log(b / a)) for a, b in ratios) * (0.5 if half else 1.0)


def _of(then: Mapping[str, Any], name: str, piece: _Piece, half: bool) -> float:
    value: float = then["sizes"][name][piece.row]
    reference = then["reference"]
    return value + then["sizes"][reference][piece.row] if half and name != reference else value


def _at(now: Days, name: str, piece: _Piece, half: bool) -> float:
    span = slice(piece.start, piece.stop)
    value = float(now.columns[name][1][span].sum())
    if half and now.reference is not None and name != now.reference:
        value += float(now.columns[now.reference][1][span].sum())
    return value


def _day(day: int) -> str:
    return str(np.datetime64(day, "D"))
