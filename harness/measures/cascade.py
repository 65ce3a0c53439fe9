"""Measures over a cascade of scales at every forecast origin, one symbol at a time.

Bars are summed once into blocks. A block's length is the greatest that divides the grid of
forecast origins, every scale and every horizon; a window is a direct sum of its blocks, or is
computed from its own bars. With an interval, bars are first merged into bars of that length, on
the same grid. The formulas are in measures/table.py, the code in realised.py and ranges.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from harness.durations import NS_PER_DAY, Duration
from harness.errors import SpecError, nearest
from harness.kernels import cascade as loops
from harness.measures import ranges, realised
from harness.measures.table import JUMP_ALPHA, MEASURES
from harness.measures.windows import Blocks, Window, never_moves
from harness.types import F64, Bars, Measured

ESTIMATORS = {**realised.ESTIMATORS, **ranges.ESTIMATORS}
_TARGET_UNITS = ("sigma", "variance")


@dataclass(frozen=True)
class CascadePlan:
    """What to measure: which measures over which windows (in bars), on which grid.

    `columns` maps `rv_1h` to ("rv", "1h"); `windows` maps a scale's name to its number of bars;
    `extra` maps the panel's own columns to their units; `block`, `every` and `interval` are in
    bars. A block is a whole number of intervals. `bars_a_day` are the bars of a trading day: of 24
    hours, or of a regular session on a sessions calendar.
    """

    bar: int
    block: int
    every: int
    windows: Mapping[str, int]
    columns: Mapping[str, tuple[str, str]]
    extra: Mapping[str, str]
    bipower_edge: str
    regular: bool
    interval: int
    jump_alpha: float
    bars_a_day: float

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
    interval: Duration | None = None,
    jump_alpha: float = JUMP_ALPHA,
    periods: bool = False,
    session_bars: int = 1,
    stepwise: Iterable[str] = (),
    returns: bool = False,
) -> CascadePlan:
    """All measures over all scales, and the target (with `returns` also ret) over every horizon.

    With `periods` the target is also measured from one forecast origin to the next, and so is each
    measure of `stepwise`. `interval` is that of the returns, the panel's bar when None;
    `jump_alpha` is the significance of jc and jj; `session_bars` the number of bars of a session
    on a sessions calendar. SpecError names a duration that is not a whole number of bars, an
    interval that does not divide the grid, a window too short for its measure, or a target that is
    not a volatility.
    """
    scales, horizons = tuple(scales), tuple(horizons)
    regular = calendar == "24/7"
    session = None if regular else session_bars
    step = _bars("sample.every", every, bar, session, path)
    windows: dict[str, int] = {}
    for key, durations in (("sample.scales", scales), ("target.horizons", horizons)):
        for i, duration in enumerate(durations):
            windows[str(duration)] = _bars(f"{key}[{i}]", duration, bar, session, path)
    pairs = [(m, str(s)) for m in measures for s in scales]
    pairs += [(target, str(d)) for d in (*scales, *horizons)]
    pairs += [("ret", str(d)) for d in horizons if returns]
    stepped = [*([target] if periods else []), *stepwise]
    if stepped:
        windows.setdefault(str(every), step)
        pairs += [(m, str(every)) for m in stepped]
    columns = {f"{m}_{s}": (m, s) for m, s in pairs}
    block = math.gcd(step, *windows.values())
    merged = 1 if interval is None else _interval(interval, bar, session, path)
    if block % merged:
        wanted = "a length that divides sample.every and every scale and horizon"
        raise SpecError(str(path), "sample.interval", got=str(interval), wanted=wanted)
    _check_minimum(path, columns, windows, merged)
    _check_target(path, target, extra)
    return CascadePlan(
        bar=bar,
        block=block,
        every=step,
        windows=windows,
        columns=columns,
        extra=dict(extra),
        bipower_edge=bipower_edge,
        regular=regular,
        interval=merged,
        jump_alpha=jump_alpha,
        bars_a_day=NS_PER_DAY / bar if regular else float(session_bars),
    )


def measure(bars: Bars, plan: CascadePlan) -> Measured:
    """All columns of the plan for one symbol.

    A column is NaN until its window is full; the first bar has no return. Blocks start on the
    clock: on a 24/7 calendar, block ends are multiples of the block length since 1970 (UTC).
    """
    size = plan.block
    skip, blocks = _grid(bars, plan)
    used = slice(skip, skip + blocks * size)
    ends = skip + size * np.arange(1, blocks + 1, dtype=np.int64) - 1
    known_at = bars.known_at(ends)
    every = plan.every // size
    if plan.regular:
        origins = np.flatnonzero(known_at % (plan.every * bars.bar) == 0)
    else:
        origins = np.arange(every - 1, blocks, every, dtype=np.int64)
    columns = dict(_columns({k: v[used] for k, v in bars.columns.items()}, blocks, plan, bars.bar))
    return Measured(bars.symbol, known_at, columns, origins, size, bars.bar)


def why_unfit(bars: Bars, plan: CascadePlan) -> str | None:
    """Why a symbol cannot be used: too little history, or a price that never moves."""
    if never_moves(bars.columns) and not too_short(bars, plan):
        return f"constant price: no price among its {bars.n:,} bars ever moves"
    return too_short(bars, plan)


def too_short(bars: Bars, plan: CascadePlan) -> str | None:
    """Why a symbol's history is too short for the longest window; None if it is not."""
    needed, has = max(plan.windows.values()), _grid(bars, plan)[1] * plan.block
    if has > needed:
        return None
    return f"too little history: {has:,} bars on the grid, the longest window has {needed:,}"


def zero_returns(bars: Bars, plan: CascadePlan) -> tuple[int, int]:
    """How many returns over the interval are 0, and how many there are; (0, 0) without a close.

    All that measures read: those of filled bars too, whose price does not move.
    """
    if "close" not in bars.columns:
        return 0, 0
    skip, blocks = _grid(bars, plan)
    close = bars.columns["close"][skip : skip + blocks * plan.block][
        plan.interval - 1 :: plan.interval
    ]
    return int(np.count_nonzero(close[1:] == close[:-1])), max(close.size - 1, 0)


def _grid(bars: Bars, plan: CascadePlan) -> tuple[int, int]:
    """The number of bars before the first block, and the number of whole blocks."""
    length = plan.block * bars.bar
    skip = (-bars.start % length) // bars.bar if plan.regular else 0
    return skip, max(bars.n - skip, 0) // plan.block


def _columns(
    bars: Mapping[str, F64], count: int, plan: CascadePlan, bar: int
) -> Iterator[tuple[str, F64]]:
    blocks = Blocks(
        bars,
        count=count,
        raw_size=plan.block,
        interval=plan.interval,
        bar=bar,
        bars_a_day=plan.bars_a_day,
        straddle=plan.bipower_edge == "straddle",
        jump_alpha=plan.jump_alpha,
    )
    for scale, w in plan.windows.items():
        window = Window(blocks, w // plan.block)
        for name in [m for m, s in plan.columns.values() if s == scale]:
            estimator = ESTIMATORS.get(name)
            yield f"{name}_{scale}", estimator(window) if estimator else _mean(window, name)


def _mean(window: Window, name: str) -> F64:
    """The mean of a panel's own column, in its own unit."""

    def sums() -> F64:
        out = np.empty(window.blocks.count)
        loops.plain_sums(window.blocks.raw[name], window.blocks.raw_size, out)
        return out

    return window.over(window.blocks.once(name, sums)) * (1.0 / window.bars)


def _inputs(measure_name: str) -> tuple[str, ...]:
    known = MEASURES.get(measure_name)
    return known.inputs if known else (measure_name,)


def _interval(interval: Duration, bar: int, session: int | None, path: object) -> int:
    """Bars of an interval, which is a time even within sessions of many bars."""
    inside = session is not None and session > 1
    return _bars("sample.interval", interval, bar, None if inside else session, path)


def _bars(key: str, duration: Duration, bar: int, session: int | None, path: object) -> int:
    """Bars of a duration; `session` is the number of bars of a session, None on a regular grid."""
    if session is not None:
        if duration.unit != "d":
            wanted = "days: on a sessions calendar '5d' is 5 sessions"
            raise SpecError(str(path), key, got=str(duration), wanted=wanted)
        return duration.count * session
    count, rest = divmod(duration.ns, bar)
    if rest or not count:
        minutes = bar // 60_000_000_000
        raise SpecError(
            str(path), key, got=str(duration), wanted=f"a multiple of the panel's bar, {minutes}m"
        )
    return count


def _check_minimum(
    path: object, columns: Mapping[str, tuple[str, str]], windows: Mapping[str, int], interval: int
) -> None:
    for name, scale in columns.values():
        known = MEASURES.get(name)
        bars = windows[scale] // interval
        if known and bars < known.minimum_bars:
            unit = "bar" if interval == 1 else "interval"
            raise SpecError(
                str(path),
                "sample.measures",
                got=f"{name} over {scale} ({bars} {unit})",
                wanted=f"a window of at least {known.minimum_bars} {unit}s for {name}",
            )


def _check_target(path: object, target: str, extra: Mapping[str, str]) -> None:
    units = {**{m.name: m.unit for m in MEASURES.values()}, **extra}
    if units[target] not in _TARGET_UNITS:
        fit = [name for name, unit in units.items() if unit in _TARGET_UNITS]
        wanted = f"a volatility or a variance: {', '.join(fit)}"
        raise SpecError(
            str(path), "target.measure", got=target, wanted=wanted, nearest=nearest(target, fit)
        )
