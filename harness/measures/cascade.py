"""Measures over a cascade of scales at every decision, one symbol at a time.

Bars are summed once into blocks, as long as the greatest length that divides the decision grid,
every scale and every horizon; a window is a direct sum of its blocks. See measures/table.py for
the formulas and kernels/cascade.py for the loops.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from harness.durations import Duration
from harness.errors import SpecError
from harness.kernels import cascade as loops
from harness.measures.table import MEASURES
from harness.types import F64, Bars, Measured

_CHUNK_BARS = 1_440  # a chunk of returns that stays in the first-level cache


@dataclass(frozen=True)
class CascadePlan:
    """What to measure: which measures over which windows (in bars), on which grid.

    `columns` maps `rv_1h` to ("rv", "1h"); `windows` a scale's name to its bars; `extra` the
    panel's own columns to their units; `block` and `every` are in bars.
    """

    bar: int
    block: int
    every: int
    windows: Mapping[str, int]
    columns: Mapping[str, tuple[str, str]]
    extra: Mapping[str, str]
    bipower_edge: str
    regular: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """The bar columns that these measures read."""
        return tuple(sorted({c for m, _ in self.columns.values() for c in _inputs(m)}))

    @property
    def units(self) -> dict[str, str]:
        """The unit of every column, `sigma` or `variance` or `none`."""
        unit = {**{m: MEASURES[m].unit for m in MEASURES}, **self.extra}
        return {column: unit[m] for column, (m, _) in self.columns.items()}


def plan_cascade(
    path: object,
    *,
    bar: int,
    calendar: str,
    every: Duration,
    scales: Iterable[Duration],
    horizons: Iterable[Duration],
    measures: Iterable[str],
    target: str,
    extra: Mapping[str, str],
    bipower_edge: str,
) -> CascadePlan:
    """All measures over all scales, the target's over every horizon and from decision to decision.

    SpecError names a duration that is no whole number of bars.
    """
    scales, horizons = tuple(scales), tuple(horizons)
    regular = calendar == "24/7"
    step = _bars("sample.every", every, bar, regular, path)
    windows: dict[str, int] = {}
    for key, durations in (("sample.scales", scales), ("target.horizons", horizons)):
        for i, duration in enumerate(durations):
            windows[str(duration)] = _bars(f"{key}[{i}]", duration, bar, regular, path)
    pairs = [(m, str(s)) for m in measures for s in scales]
    windows.setdefault(str(every), step)
    pairs += [(target, str(d)) for d in (*scales, *horizons, every)]
    columns = {f"{m}_{s}": (m, s) for m, s in pairs}
    _check_minimum(path, columns, windows)
    return CascadePlan(
        bar=bar,
        block=math.gcd(step, *windows.values()),
        every=step,
        windows=windows,
        columns=columns,
        extra=dict(extra),
        bipower_edge=bipower_edge,
        regular=regular,
    )


def measure(bars: Bars, plan: CascadePlan) -> Measured:
    """All columns of the plan for one symbol.

    A column is NaN until its window is full; the first bar has no return. Blocks start on the
    clock: on a 24/7 calendar block ends are multiples of the block length since 1970 (UTC).
    """
    size = plan.block
    length = size * bars.bar
    skip = (-bars.start % length) // bars.bar if plan.regular else 0
    blocks = max(bars.n - skip, 0) // size
    used = slice(skip, skip + blocks * size)
    ends = skip + size * np.arange(1, blocks + 1, dtype=np.int64) - 1
    known_at = bars.known_at(ends)
    every = plan.every // size
    if plan.regular:
        decisions = np.flatnonzero(known_at % (plan.every * bars.bar) == 0)
    else:
        decisions = np.arange(every - 1, blocks, every, dtype=np.int64)
    columns = dict(_columns({k: v[used] for k, v in bars.columns.items()}, blocks, plan))
    return Measured(bars.symbol, known_at, columns, decisions, size, bars.bar)


def _columns(bars: Mapping[str, F64], blocks: int, plan: CascadePlan) -> Iterator[tuple[str, F64]]:
    size = plan.block
    wanted = {m for m, _ in plan.columns.values()}
    if wanted & {"rv", "bv", "j"}:
        squares, products, straddles = (np.empty(blocks) for _ in range(3))
        room = np.empty(max(_CHUNK_BARS // size, 1) * size)
        loops.block_sums(bars["close"], size, room, squares, products, straddles)
    sums = {}
    if "pk" in wanted:
        sums["pk"] = np.empty(blocks)
        loops.parkinson_sums(bars["high"], bars["low"], size, sums["pk"])
    for name in plan.extra:
        if name in wanted:
            sums[name] = np.empty(blocks)
            loops.plain_sums(bars[name], size, sums[name])
    for scale, w in plan.windows.items():
        m = w // size
        if wanted & {"rv", "j"}:
            rv = _sigma(squares, m, 1.0 / w)
        if wanted & {"bv", "j"}:
            edge = m if plan.bipower_edge == "straddle" else m - 1
            bv = _over(products, m)
            if edge:
                bv += _over(straddles, edge)
            bv *= math.pi / 2.0 / w
            np.sqrt(bv, out=bv)
        for name in [m for m, s in plan.columns.values() if s == scale]:
            if name == "rv":
                yield f"rv_{scale}", rv
            elif name == "bv":
                yield f"bv_{scale}", bv
            elif name == "j":
                yield f"j_{scale}", _jump(rv, bv)
            elif name == "pk":
                yield f"pk_{scale}", _sigma(sums["pk"], m, 1.0 / w)
            else:
                yield f"{name}_{scale}", _over(sums[name], m) * (1.0 / w)


def _over(blocks: F64, width: int) -> F64:
    out = np.empty(blocks.size)
    loops.window_sums(blocks, width, out)
    return out


def _sigma(blocks: F64, width: int, per_bar: float) -> F64:
    out = _over(blocks, width)
    out *= per_bar
    return np.sqrt(out, out=out)


def _jump(rv: F64, bv: F64) -> F64:
    out = rv * rv
    out -= bv * bv
    np.maximum(out, 0.0, out=out)
    return np.sqrt(out, out=out)


def _inputs(measure_name: str) -> tuple[str, ...]:
    known = MEASURES.get(measure_name)
    return known.inputs if known else (measure_name,)


def _bars(key: str, duration: Duration, bar: int, regular: bool, path: object) -> int:
    if not regular and duration.unit != "d":
        wanted = "days: on a sessions calendar '5d' is 5 sessions"
        raise SpecError(str(path), key, got=str(duration), wanted=wanted)
    count, rest = divmod(duration.ns, bar)
    if rest or not count:
        minutes = bar // 60_000_000_000
        raise SpecError(
            str(path), key, got=str(duration), wanted=f"a multiple of the panel's bar, {minutes}m"
        )
    return count


def _check_minimum(
    path: object, columns: Mapping[str, tuple[str, str]], windows: Mapping[str, int]
) -> None:
    for name, scale in columns.values():
        known = MEASURES.get(name)
        if known and windows[scale] < known.minimum_bars:
            raise SpecError(
                str(path),
                "sample.measures",
                got=f"{name} over {scale} ({windows[scale]} bar)",
                wanted=f"a window of at least {known.minimum_bars} bars for {name}",
            )
