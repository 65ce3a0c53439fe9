"""In one warm process: the study against the reference, the cascade, and what storing costs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import reference
from inputs import Inputs
from job import study
from timing import Figure, Taken, Turn, clocked, interleave, milliseconds, ratios, spread

from harness.log.store import Log
from harness.measures.cascade import measure
from harness.pipeline import run
from harness.scores.metrics import METRICS
from harness.scores.scoring import Scores
from harness.study.study import set_up

_REPEATS = 5  # short turns are repeated inside a round
_WARM = {
    "from Parquet": {"keep": False, "decide": False},
    "measures kept": {"keep": True, "decide": False},
    "kept, to the verdict": {"keep": True, "decide": True},
}
_COMPARED = ("ic", "r2_log", "mae_log")


def warm(inputs: Inputs, rounds: int) -> list[Figure]:
    """Bars to scores, with and without the panel's measures kept, and to the verdict; by stage."""
    stages: dict[str, list[Mapping[str, float]]] = {name: [] for name in _WARM}

    def harness(name: str) -> Turn:
        def once() -> None:
            found = study(inputs.hypothesis, inputs.panels, **_WARM[name])
            stages[name].append(found[1])

        return lambda: _typical(once)

    turns: dict[str, Turn] = {"reference": lambda: clocked(lambda: reference.study(inputs.bars))}
    turns |= {name: harness(name) for name in stages}
    agreement = _agreement(inputs)
    for name in stages:
        turns[name]()
        stages[name].clear()
    taken = interleave(turns, rounds)
    figures = [f for name, turn in taken.items() for f in milliseconds("warm", name, turn)]
    for name, wanted in zip(_WARM, (">= 30", ">= 60", ""), strict=True):
        figures += ratios("warm", f"reference / {name}", taken["reference"], taken[name], wanted)
    for name, found in stages.items():
        for stage in found[0]:
            times = [1e3 * by_stage[stage] for by_stage in found]
            figures.append(spread("warm", f"{name}: {stage}", "ms", times))
    return [*figures, agreement]


def cascade(inputs: Inputs, rounds: int) -> list[Figure]:
    """The cascade of all closes against memory passes over the same bytes."""
    opened = set_up(inputs.hypothesis, [inputs.panels])
    bars = next(opened.panel.bars())
    close = bars.columns["close"]
    room = np.empty_like(close)
    calls = {
        "cascade": lambda: measure(bars, opened.plan),
        "sum": close.sum,
        "copy": lambda: np.copyto(room, close),
    }
    taken = interleave({n: lambda c=c: _shortest(c) for n, c in calls.items()}, 3 * rounds)
    read = [close.nbytes / t.wall / 1e9 for t in taken["sum"]]
    return [
        *(f for name, turns in taken.items() for f in milliseconds("cascade", name, turns)),
        spread("cascade", "one reading pass (sum)", "GB/s", read),
        *ratios("cascade", "cascade / sum", taken["cascade"], taken["sum"], "<= 5"),
        *ratios("cascade", "cascade / copy", taken["cascade"], taken["copy"]),
    ]


def storing(inputs: Inputs, rounds: int) -> list[Figure]:
    """Record, card and forecasts to disk, synced, against the warm job from Parquet."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(dir=inputs.work) as folder:
        log = Log(folder)

        def stored() -> None:
            outcome = run(inputs.hypothesis, log, search=[inputs.panels], keep=False)
            seconds.append(outcome.seconds)

        turns: dict[str, Turn] = {
            "run": lambda: clocked(stored),
            "job": lambda: clocked(lambda: study(inputs.hypothesis, inputs.panels, keep=False)),
        }
        interleave(turns, 1)
        seconds.clear()
        taken = interleave(turns, rounds)
    # An outcome's seconds stop where storing starts.
    spent = [turn.wall - before for turn, before in zip(taken["run"], seconds, strict=True)]
    shares = [s / job.wall for s, job in zip(spent, taken["job"], strict=True)]
    return [
        *milliseconds("storing", "warm job", taken["job"]),
        spread("storing", "storing, wall", "ms", [1e3 * s for s in spent]),
        spread("storing", "storing / warm job, wall", "x", shares, "<= 1"),
    ]


def _shortest(call: Callable[[], object]) -> Taken:
    """For contenders that are all taken so."""
    return min((clocked(call) for _ in range(_REPEATS)), key=lambda taken: taken.wall)


def _typical(call: Callable[[], object]) -> Taken:
    """The median turn: the least of many against the reference's one would flatter."""
    turns = sorted((clocked(call) for _ in range(_REPEATS)), key=lambda taken: taken.wall)
    return turns[_REPEATS // 2]


def _agreement(inputs: Inputs) -> Figure:
    """The greatest difference of any score from the reference's: the two do the same work."""
    theirs = reference.study(inputs.bars)
    ours, _ = study(inputs.hypothesis, inputs.panels, keep=True)
    differences = [d for part in ours for d in _differences(part, theirs[part.horizon])]
    return spread("warm", "scores differ from the reference's by", "at most", [max(differences)])


def _differences(ours: Scores, theirs: Mapping[str, tuple]) -> Sequence[float]:
    columns = [list(METRICS).index(name) for name in _COMPARED]
    found = []
    for model, (pooled, windows) in theirs.items():
        found.append(np.abs(ours.pooled[model][columns] - pooled).max())
        found.append(np.abs(ours.windows[model][:, columns] - np.array(windows)).max())
    return found
