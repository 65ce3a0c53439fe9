"""What each learned kind learns: forecasts on worlds whose optimum is known, against it.

tests/support/learning.py has the table of kinds, worlds and bounds. Every figure is by how much the
mean squared error of ln sigma on 1,900 test rows exceeds that of the optimum, over the seeds: each
is a draw of the world and the seed of the fit. Fits are made as the walk makes them, in one process
per core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from inputs import Inputs
from timing import Figure, spread

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `support`, as pytest does it

from support.learning import LEARNERS, SIZES, over_optimum


def learning(_: Inputs, rounds: int) -> list[Figure]:
    """Every line of the table, with as many seeds as rounds."""
    wanted = list(_wanted())
    jobs = [(name, world, n, seed) for name, world, n, _ in wanted for seed in range(rounds)]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        found = dict(zip(jobs, pool.map(_measured, jobs), strict=True))
    return [
        spread(
            "learning",
            f"{name}, {world}, {n:,} rows",
            "% over",
            [100.0 * (found[name, world, n, seed] - 1.0) for seed in range(rounds)],
            f"<= {100.0 * (bound - 1.0):.3g}",
        )
        for name, world, n, bound in wanted
    ]


def _wanted() -> Iterator[tuple[str, str, int, float]]:
    """Kind, world, rows before the test, and the bound."""
    for name, learner in LEARNERS.items():
        for world, bounds in learner.bounds.items():
            for n, bound in zip(SIZES, bounds, strict=True):
                yield name, world, n, bound


def _measured(job: tuple[str, str, int, int]) -> float:
    name, world, n, seed = job
    return over_optimum(LEARNERS[name], world, n, seed)
