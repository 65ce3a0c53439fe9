"""Clocks for the benchmark: interleaved rounds, and figures as ratios within a round.

A shared machine's speed changes from second to second, so contenders take turns and are compared
inside a round; the CPU's time is kept beside the wall's because a neighbour disturbs it less.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import fmean, median


@dataclass(frozen=True)
class Taken:
    """What one turn took: wall and CPU seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Figure:
    """One measured figure: its middle, least and greatest value over the rounds."""

    part: str
    name: str
    unit: str
    middle: float
    least: float
    greatest: float
    wanted: str = ""


Turn = Callable[[], Taken]


def clocked(call: Callable[[], object]) -> Taken:
    """Call it once, in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Taken(time.perf_counter() - wall, time.process_time() - cpu)


def process(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> Taken:
    """Run a command to its end, output unseen; RuntimeError with its last words if it fails."""
    errors = folder / "stderr.txt"
    wall = time.perf_counter()
    with errors.open("wb") as stream:
        child = subprocess.Popen(
            list(map(str, command)),
            env=dict(environment),
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=stream,
        )
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command}: exit {child.returncode}: {errors.read_text()[-500:]}")
    return Taken(time.perf_counter() - wall, usage.ru_utime + usage.ru_stime)


def interleave(turns: Mapping[str, Turn], rounds: int) -> dict[str, list[Taken]]:
    """Each contender once a round, in order."""
    taken: dict[str, list[Taken]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            taken[name].append(turn())
    return taken


def spread(part: str, name: str, unit: str, values: Sequence[float], wanted: str = "") -> Figure:
    """A figure from one value per round."""
    return Figure(part, name, unit, median(values), min(values), max(values), wanted)


def milliseconds(part: str, name: str, taken: Sequence[Taken], wanted: str = "") -> list[Figure]:
    """Wall and CPU milliseconds of a contender; what is wanted is wanted of the wall's."""
    return [
        spread(part, f"{name}, wall", "ms", [1e3 * t.wall for t in taken], wanted),
        spread(part, f"{name}, cpu", "ms", [1e3 * t.cpu for t in taken]),
    ]


def ratios(
    part: str, name: str, over: Sequence[Taken], under: Sequence[Taken], wanted: str = ""
) -> list[Figure]:
    """How many times as long `over` took as `under`, round by round, by wall and by CPU."""
    pairs = list(zip(over, under, strict=True))
    return [
        spread(part, f"{name}, wall", "x", [a.wall / b.wall for a, b in pairs], wanted),
        spread(part, f"{name}, cpu", "x", [a.cpu / b.cpu for a, b in pairs], wanted),
    ]


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The least-squares slope of log seconds on log size."""
    x, y = [log(s) for s in sizes], [log(s) for s in seconds]
    mean_x, mean_y = fmean(x), fmean(y)
    cross = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return cross / sum((a - mean_x) ** 2 for a in x)


def exponents(
    part: str, name: str, taken: Mapping[int, Sequence[Taken]], wanted: str
) -> list[Figure]:
    """Growth of CPU time with size, each round its own fit: over all sizes and the last step."""
    sizes = list(taken)
    rounds = list(zip(*([t.cpu for t in taken[size]] for size in sizes), strict=True))
    whole = [exponent(sizes, times) for times in rounds]
    last = [exponent(sizes[-2:], times[-2:]) for times in rounds]
    return [
        spread(part, f"{name}, {sizes[0]} to {sizes[-1]:,}", "exponent", whole, wanted),
        spread(part, f"{name}, {sizes[-2]:,} to {sizes[-1]:,}", "exponent", last, wanted),
    ]
