"""What was read of a panel, day by day and in brief, so that a later run can tell what changed.

Of each day (UTC, by the start of the bar) there is a hash of the bars' times, and of each column a
hash of its values and one number, `size`. Hashes of symbols are added, so that the hash of a span
is the sum over its days. Records hold them by month, and by day in the first and the last month,
where another span may begin or end within the month.

`size` lets the size of a change be told in natural logarithms of volatility. It is a weighted sum
over the day's bars: of squared log returns of the close (of the first price, if the close is not
read), of squared logs of other prices over the close, and of |value| for other columns. A factor on
all prices changes none of these. The weights depend on the day, the place of the bar in it, the
symbol and the sign, so that changes do not cancel.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from harness.types import F64, I64, PRICES

DAY_NS = 86_400_000_000_000
U64 = NDArray[np.uint64]
_BLOCK = 1 << 15  # rows whose logs stay in the CPU cache
_GOLDEN = 0.6180339887498949
_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_HALF = np.uint64(32)
DIGITS = 6  # of the hash of a month or a day
_TIMES = ""  # among the hashes of columns: those of the bars' times


@dataclass(frozen=True, eq=False)
class Days:
    """The days (D,) with bars, as days since 1970: `rows`, `times` and `columns` of each.

    `times` (D,) are hashes of the bars' symbols and times; `columns` maps each column to the hashes
    (D,) of its values and their `size` (D,). `reference` is the price whose returns are summed.
    """

    day: I64
    rows: I64
    times: U64
    columns: Mapping[str, tuple[U64, F64]]
    reference: str | None

    def __eq__(self, other: object) -> bool:
        """Whether every number is the same."""
        return isinstance(other, Days) and self.packed() == other.packed()

    def __hash__(self) -> int:
        return hash(self.times.tobytes())

    def packed(self) -> dict[str, Any]:
        """As JSON values; `unpacked` reads them."""
        columns = {name: [_text(part) for part in both] for name, both in self.columns.items()}
        own = [_text(part) for part in (self.day, self.rows, self.times)]
        return {"own": own, "columns": columns, "reference": self.reference}

    @classmethod
    def unpacked(cls, words: Mapping[str, Any]) -> Days:
        """From `packed`."""
        day, rows, times = words["own"]
        columns = {
            name: (_array(hashes, np.uint64), _array(size, np.float64))
            for name, (hashes, size) in words["columns"].items()
        }
        own = _array(day, np.int64), _array(rows, np.int64), _array(times, np.uint64)
        return cls(*own, columns, words["reference"])


@dataclass(frozen=True)
class Contents:
    """What was read of a panel and of each side series; hashes of the symbols and of the labels."""

    panel: Days
    side: Mapping[str, Days]
    symbols: str
    labels: str | None

    def packed(self) -> dict[str, Any]:
        """As JSON values, every day of it; `unpacked` reads them."""
        side = {name: days.packed() for name, days in self.side.items()}
        return vars(self) | {"panel": self.panel.packed(), "side": side}

    @classmethod
    def unpacked(cls, words: Mapping[str, Any]) -> Contents:
        """From `packed`."""
        side = {name: Days.unpacked(days) for name, days in words["side"].items()}
        return cls(Days.unpacked(words["panel"]), side, words["symbols"], words["labels"])

    def words(self) -> dict[str, Any]:
        """As records and registrations hold it: a few kB."""
        side = {name: _in_brief(days) for name, days in self.side.items()}
        return vars(self) | {"panel": _in_brief(self.panel), "side": side}


def stored_contents(words: object) -> Mapping[str, Any] | None:
    """Such words as a record holds them; None where it holds none, or what cannot be compared."""
    if not isinstance(words, Mapping):
        return None
    try:
        sound = all(map(_is_sound, [words["panel"], *words["side"].values()]))
        return words if sound and {"symbols", "labels"} <= set(words) else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _is_sound(brief: Mapping[str, Any]) -> bool:
    pieces = brief["pieces"].split()
    for name in pieces:
        piece_span(name)
    digits, begun = DIGITS * len(pieces), brief["beginning"]
    numbers = [float(x) for sizes in brief["sizes"].values() for x in sizes]
    hashes = [brief["times"], *brief["hashes"].values()]
    return (
        bool(pieces and np.isfinite([*numbers, brief["last_rows"]]).all())
        and all(len(text) == digits for text in hashes)
        and all(len(brief["sizes"][name]) == len(pieces) for name in brief["hashes"])
        and (brief["reference"] is None or brief["reference"] in brief["sizes"])
        and min(begun["first"], begun["last"], key=piece_span) is not None
        and isinstance(begun["hashes"], dict)
    )


def beginning(words: object) -> dict[str, Any] | None:
    """Of such words the hashes of all but the last day, and which days these are."""
    found = stored_contents(words)
    return None if found is None else found["panel"]["beginning"]


def begins_as(then: Mapping[str, Any], now: Days) -> bool:
    """Whether the present days hold those of `beginning`, in every column that both have."""
    start, stop = np.searchsorted(now.day, [piece_span(then[key])[0] for key in ("first", "last")])
    of = {name: hashes for name, (hashes, _) in now.columns.items()} | {_TIMES: now.times}
    own = {name: _whole(of[name][start:stop]) for name in then["hashes"] if name in of}
    return all(then["hashes"][name] == hashed for name, hashed in own.items())


def _beginning(days: Days) -> dict[str, Any]:
    of = {name: hashes for name, (hashes, _) in days.columns.items()} | {_TIMES: days.times}
    first, last = (str(day) for day in days.day[[0, -1]].astype("M8[D]"))
    hashes = {name: _whole(column[:-1]) for name, column in of.items()}
    return {"first": first, "last": last, "hashes": hashes}


def _whole(hashes: U64) -> str:
    return f"{int(hashes.sum()):016x}"


def _in_brief(days: Days) -> dict[str, Any]:
    pieces = _pieces(days.day)
    starts = np.searchsorted(days.day, [start for _, start, _ in pieces])
    sizes = {name: np.add.reduceat(size, starts) for name, (_, size) in days.columns.items()}
    return {
        "pieces": " ".join(name for name, _, _ in pieces),
        "beginning": _beginning(days),
        "last_rows": int(days.rows[-1]),
        "reference": days.reference,
        "times": "".join(short(h) for h in np.add.reduceat(days.times, starts).tolist()),
        "hashes": {
            name: "".join(short(h) for h in np.add.reduceat(hashes, starts).tolist())
            for name, (hashes, _) in days.columns.items()
        },
        "sizes": {name: [float(f"{x:.11e}") for x in size] for name, size in sizes.items()},
    }


def _pieces(day: I64) -> list[tuple[str, int, int]]:
    """The days of the first and the last month, and the months between: name, first day, end."""
    month = day.astype("M8[D]").astype("M8[M]")
    apart = (month == month[0]) | (month == month[-1])
    names = [str(d) for d in day[apart].astype("M8[D]")]
    names += [str(m) for m in np.unique(month[~apart])]
    return [(name, *piece_span(name)) for name in sorted(names)]


def piece_span(name: str) -> tuple[int, int]:
    """The first day of a day `2001-02-03` or a month `2001-02`, and the day after its last."""
    if len(name) > len("2001-02"):
        day = int(np.datetime64(name, "D").astype(np.int64))
        return day, day + 1
    month = np.datetime64(name, "M")
    first, end = (m.astype("M8[D]").astype(np.int64) for m in (month, month + 1))
    return int(first), int(end)


def short(hashed: int) -> str:
    """The first bits of a hash as DIGITS hexadecimal digits."""
    return f"{hashed >> (64 - 4 * DIGITS):0{DIGITS}x}"


def short_hash(words: object) -> str:
    """A hash of JSON values, 16 hexadecimal digits."""
    return xxhash.xxh3_64(json.dumps(words, sort_keys=True).encode()).hexdigest()


def days_of(
    symbol: str, ts: I64, columns: Mapping[str, F64], *, daily: bool, label: str = ""
) -> Days:
    """One symbol's bars, which start at `ts` (n,) ascending; `daily`: at most one bar a day.

    `label` names the columns of a side series, whose values count as they are.
    """
    seed = xxhash.xxh3_64_intdigest(symbol.encode())
    own = {} if label else columns
    prices = [name for name in ("close", *PRICES) if name in own]
    reference = prices[0] if prices else None
    if daily:
        starts, day = np.arange(len(ts)), ts // DAY_NS
    else:
        first, last = int(ts[0]) // DAY_NS, int(ts[-1]) // DAY_NS
        edges = np.searchsorted(ts, np.arange(first, last + 2) * DAY_NS)
        held = np.flatnonzero(np.diff(edges))
        starts, day = edges[:-1][held], first + held
    stops = np.append(starts[1:], len(ts))
    spans = [] if daily else list(zip(starts.tolist(), stops.tolist(), strict=True))
    weight = 0.5 + _fraction(day * _GOLDEN + seed / 2.0**64)

    def hashed(values: NDArray[Any], key: int) -> U64:
        return _daily_hashes(ts, values, key) if daily else _hashes(values, key, spans)

    found = {}
    for name in sorted(columns):
        values = columns[name]
        reading = values if reference is None else own.get(reference, values)
        parts = _sums(_contributions(values, reading, name in prices), spans, daily=daily)
        key = xxhash.xxh3_64_intdigest(f"{label}\0{name}".encode(), seed)
        found[label or name] = hashed(values, key), weight * parts
    return Days(day, stops - starts, hashed(ts, seed), found, reference)


def _contributions(values: F64, reference: F64, price: bool) -> F64:
    """What each bar adds to the size (n,), before weights by time and symbol."""
    out = np.empty(len(values))
    out[:1] = 0.0
    for low in range(0, len(values), _BLOCK):
        high = min(low + _BLOCK, len(values))
        if not price:
            x = values[low:high]
            out[low:high] = np.abs(x) + 0.25 * x
            continue
        if values is reference:
            low = max(low, 1)
            x = np.log(values[low:high] / values[low - 1 : high - 1])
        else:
            x = np.log(values[low:high] / reference[low:high])
        out[low:high] = x * (x + 0.25 * np.abs(x))
    return out


def _sums(x: F64, spans: Sequence[tuple[int, int]], *, daily: bool) -> F64:
    if daily:
        return x
    weight = _places(1 << max(max(b - a for a, b in spans) - 1, 1).bit_length())
    return np.array([np.dot(x[a:b], weight[: b - a]) for a, b in spans])


@lru_cache(maxsize=4)
def _places(n: int) -> F64:
    return 0.5 + _fraction(np.arange(1, n + 1) * _GOLDEN)


def _fraction(x: NDArray[np.floating[Any]]) -> F64:
    part: F64 = x - np.floor(x)
    return part


def _hashes(values: NDArray[Any], key: int, spans: Sequence[tuple[int, int]]) -> U64:
    """One hash a day (D,) of the values."""
    data = np.ascontiguousarray(values)
    digest = xxhash.xxh3_64_intdigest
    return np.array([digest(data[a:b].data, key) for a, b in spans], np.uint64)


def _daily_hashes(ts: I64, values: NDArray[Any], key: int) -> U64:
    """One hash a day (D,) of the only bar of each, its time and its value."""
    x = ts.view(np.uint64) * _ODD[0]
    x += np.uint64(key)
    x ^= x >> _HALF
    x ^= np.ascontiguousarray(values).view(np.uint64)
    for odd in _ODD:
        x *= odd
        x ^= x >> _HALF
    return x


def together(parts: Iterable[Days]) -> Days:
    """The days of several symbols as one."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    day = np.unique(np.concatenate([part.day for part in parts]))
    rows, times = np.zeros(day.size, np.int64), np.zeros(day.size, np.uint64)
    names = list(parts[0].columns)
    columns = {name: (np.zeros(day.size, np.uint64), np.zeros(day.size)) for name in names}
    for part in parts:
        at = np.searchsorted(day, part.day)
        rows[at] += part.rows
        times[at] += part.times
        for name, (hashes, size) in columns.items():
            hashes[at] += part.columns[name][0]
            size[at] += part.columns[name][1]
    return Days(day, rows, times, columns, parts[0].reference)


def _text(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).data).decode()


def _array(text: str, dtype: Any) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype)
