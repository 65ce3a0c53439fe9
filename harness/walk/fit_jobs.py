"""Models fitted one fold at a time: nets, trees, whatever has no sums to share and no chain.

All such fits of a walk are one list, in the order of the models, so that worker processes have
something to do as long as anything is left. Results come in that order, with the same bytes
whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.models.protocol import Forecaster, Trained
from harness.types import Fold, Progress, Samples
from harness.walk.executors import Executor
from harness.walk.fold_fit import FoldResult, Settings, fit_fold, is_kept, named


@dataclass(frozen=True)
class Job:
    """One fit: the model, the rows of its symbols, the fold, the seed.

    `label` says which of how many.
    """

    name: str
    model: Forecaster
    samples: Samples
    fold: Fold
    seed: int
    label: str


def numbered(
    name: str,
    model: Forecaster,
    samples: Samples,
    folds: Sequence[Fold],
    seed: int,
    label: str,
) -> Iterator[Job]:
    """The fits of one model on these folds, as jobs."""
    for number, fold in enumerate(folds, 1):
        yield Job(name, model, samples, fold, seed, f"{label}, fit {number} of {len(folds)}")


def results(
    jobs: Sequence[Job], settings: Settings, executor: Executor, epochs: Progress
) -> Iterator[FoldResult]:
    """What the jobs give, in their order, each made when it is asked for or before.

    `epochs` is told of every epoch of fits made in this process, else of every job that is done.
    """
    if executor.in_process:
        for job in jobs:
            yield _made(settings, job, partial(_tell, epochs, job.label))
        return
    for number, result in enumerate(executor.map(partial(_made, settings), jobs), 1):
        epochs(f"{jobs[number - 1].label}: done, {number} of {len(jobs)} in all")
        yield result


def _made(settings: Settings, job: Job, tell: Progress | None = None) -> FoldResult:
    model = job.model
    if tell is not None and isinstance(model, Trained):
        with named(job.name, model, job.samples, job.fold):
            model = model.watched(tell)
    return fit_fold(job.name, model, job.samples, replace(settings, seed=job.seed), job.fold)


def is_made(job: Job, settings: Settings) -> bool:
    """Whether its fit is kept already, so that it takes no time."""
    return is_kept(job.name, job.model, job.samples, replace(settings, seed=job.seed), job.fold)


def _tell(epochs: Progress, label: str, epoch: str) -> None:
    epochs(f"{label}: {epoch}")
