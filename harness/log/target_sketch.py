"""A sketch of the targets that a run was judged on: enough to tell them from others, in a few kB.

Two runs were judged on the same targets if at the same moments the same values came out, whatever
the panel's name, columns, rounding or span, and whichever hypothesis asked. So a sketch holds some
forecast origins and up to six targets at each. Which origins these are depends on the times alone:
in each week the one with the least hash, in a sample of less than a year also that of each day, so
that parts of a sample, and samples that lack some rows, hold the same origins.

    text = sketch_of(formed_at, symbol, symbols, y)
    alike(Sketch.read(text), [Sketch.read(other) for other in texts])
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.types import F64, I32, I64

_MINUTE = 60_000_000_000  # ns
_DAY = 1_440  # minutes
_YEAR = 366 * _DAY
_BY_NAME = 4  # symbols at an origin, besides those of the least and the largest target
# Values nearer than this share of the spread of the targets are the same at so many of the shared
# origins: where prices were rounded to cents, and where a few of many symbols were taken.
_TOLERANCES = ((0.01, 0.15), (1e-5, 0.01))
_LUCK = 1e-5  # the chance with which other targets may be so alike
_DENSITY = 0.8  # of the difference of two unrelated targets at 0, in units of their spread

U64 = NDArray[np.uint64]


@dataclass(frozen=True)
class Sketch:
    """Origins (m,) in minutes since 1970, ascending, and their targets (m, k), padded with NaN."""

    minutes: I64
    values: NDArray[np.float32]

    @classmethod
    def read(cls, text: str) -> Sketch:
        """From the text of `sketch_of`; ValueError for another text."""
        k, _, data = text.partition(":")
        rows = np.frombuffer(base64.b64decode(data, validate=True), "<i4")
        rows = rows.reshape(-1, int(k) + 1)
        values = np.ascontiguousarray(rows[:, 1:]).view("<f4")
        return cls(rows[:, 0].astype(np.int64), values)

    def text(self) -> str:
        """As records hold it."""
        return f"{self.values.shape[1]}:{base64.b64encode(self._packed().tobytes()).decode()}"

    def rows(self) -> set[bytes]:
        """Every origin with its targets, as bytes."""
        packed = self._packed()
        return set(packed.view(f"V{packed.itemsize * packed.shape[1]}")[:, 0].tolist())

    def _packed(self) -> NDArray[np.int32]:
        rows = np.empty((self.minutes.size, self.values.shape[1] + 1), "<i4")
        rows[:, 0] = self.minutes
        rows[:, 1:] = self.values.astype("<f4").view("<i4")
        return rows

    @cached_property
    def spread(self) -> float:
        """Half the distance between the 16th and the 84th percentile of the targets."""
        known = self.values[np.isfinite(self.values)]
        low, high = np.percentile(known, (16, 84)) if known.size else (0.0, 0.0)
        return float(high - low) / 2.0


def sketch_of(formed_at: I64, symbol: I32, symbols: Sequence[str], y: F64) -> str:
    """The sketch of targets y (n,), formed at UTC ns (n,), ascending, of symbols by code (n,).

    Targets should be ln sigma, so that runs on levels and on logarithms meet. Those that are not
    finite are left out, and so should be those at the floor: every panel has the same.
    """
    known = np.isfinite(y)
    if not known.all():
        formed_at, symbol, y = formed_at[known], symbol[known], y[known]
    begins = np.flatnonzero(np.diff(formed_at, prepend=np.iinfo(np.int64).min))
    ends = np.append(begins[1:], y.size)
    minutes = formed_at[begins] // _MINUTE
    drawn = _mixed(minutes.astype(np.uint64))
    names = np.array([_hash(name) for name in symbols], np.uint64)
    k = min(len(symbols), _BY_NAME + 2)
    picked = _picked(minutes, drawn)
    values = np.full((picked.size, k), np.nan, np.float32)
    for row, at in enumerate(picked):
        here = slice(begins[at], ends[at])
        some = _some(y[here], names[symbol[here]] ^ drawn[at])[:k]
        values[row, : some.size] = some
    return Sketch(minutes[picked], values).text()


def _some(y: F64, names: U64) -> F64:
    """The targets of some symbols, then the least and the largest, of those of an origin (n,)."""
    if y.size <= _BY_NAME + 2:
        return y
    of_names = y[np.argpartition(_mixed(names), _BY_NAME)[:_BY_NAME]]
    return np.append(of_names, [y.min(), y.max()])


def _picked(minutes: I64, drawn: U64) -> I64:
    """The places of the sketch's origins among all of them (n,), ascending."""
    if not minutes.size:
        return np.empty(0, np.int64)
    short = minutes[-1] - minutes[0] < _YEAR
    places = [_least(minutes // length, drawn) for length in (7 * _DAY, _DAY)[: 1 + short]]
    return np.unique(np.concatenate(places))


def _least(block: I64, drawn: U64) -> I64:
    """The place of the least hash in each run of equal blocks (n,)."""
    order = np.lexsort((drawn, block))
    return order[np.flatnonzero(np.diff(block[order], prepend=block[0] - 1))]


def alike(one: Sketch, others: Sequence[Sketch]) -> NDArray[np.bool_]:
    """Whether each of the others (m,) has the same targets as `one`.

    At a fair share of the shared origins, and at more than luck would explain, they must have a
    target in common, up to a tolerance relative to the spread of the targets.
    """
    found = np.zeros(len(others), bool)
    for k in {other.values.shape[1] for other in others}:
        places = [p for p, other in enumerate(others) if other.values.shape[1] == k]
        found[places] = _alike(one, [others[p] for p in places], k)
    return found


def _alike(one: Sketch, others: Sequence[Sketch], k: int) -> NDArray[np.bool_]:
    """`alike` for others with k targets at an origin."""
    minutes = np.concatenate([other.minutes for other in others])
    whose = np.repeat(np.arange(len(others)), [other.minutes.size for other in others])
    place = np.minimum(np.searchsorted(one.minutes, minutes), max(one.minutes.size - 1, 0))
    shared = one.minutes[place] == minutes if one.minutes.size else np.zeros(minutes.size, bool)
    place, whose = place[shared], whose[shared]
    theirs = np.concatenate([other.values for other in others])[shared]
    off = np.full(place.size, np.inf, np.float32)
    for a in theirs.T:
        for b in one.values.T:
            np.fmin(off, np.abs(a - b[place]), out=off)
    spreads = np.array([min(one.spread, other.spread) for other in others])
    off /= np.maximum(spreads, 1e-300)[whose]
    n, many = np.bincount(whose, minlength=len(others)), max(k, one.values.shape[1])
    found = np.zeros(len(others), bool)
    for tolerance, least in _TOLERANCES:
        hits = np.bincount(whose[off <= tolerance / many], minlength=len(others))
        chance = 2.0 * tolerance * _DENSITY * min(k, one.values.shape[1])
        found |= (hits >= least * n) & _beyond_luck(n, hits, chance)
    return found


def _beyond_luck(n: I64, hits: I64, chance: float) -> NDArray[np.bool_]:
    """Whether luck does not explain so many hits of n (both (m,)), each of this chance.

    By Chernoff's bound on the tail of a binomial: exp(-n KL(hits / n || chance)).
    """
    share = np.clip(hits / np.maximum(n, 1), 1e-12, 1.0 - 1e-12)
    far = share * np.log(share / chance) + (1.0 - share) * np.log((1.0 - share) / (1.0 - chance))
    found: NDArray[np.bool_] = (share > chance) & (n * far >= -math.log(_LUCK))
    return found


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def _mixed(x: U64) -> U64:
    """A fixed hash of each number (n,): the finaliser of splitmix64 (Steele et al. 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
