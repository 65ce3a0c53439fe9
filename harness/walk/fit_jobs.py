"""Jobs: fits made one fold at a time, of all models that are neither swept nor chained.

All such fits of a walk form one list, in the order of the models, which keeps all worker processes
busy until the end. Results come in that order, the same bytes for any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.models.protocol import Forecaster, Trained
from harness.types import Fold, Progress, Samples
from harness.walk.executors import Executor
from harness.walk.fold_fit import Settings, fit_fold, named
from harness.walk.fold_fit import is_cached as fit_is_cached
from harness.walk.fold_result import FoldResult


@dataclass(frozen=True)
class Job:
    """One fit: the model, the rows of its symbols, the fold, the seed.

    `label` names it for progress messages: `4h: net, fit 3 of 12`.
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
    """One model's fits on these folds, as jobs."""
    for number, fold in enumerate(folds, 1):
        yield Job(name, model, samples, fold, seed, f"{label}, fit {number} of {len(folds)}")


def results(
    jobs: Sequence[Job], settings: Settings, executor: Executor, epochs: Progress
) -> Iterator[FoldResult]:
    """The jobs' results, in the order of the jobs.

    `epochs` gets every epoch of fits in this process, or every finished job of other processes.
    """
    if executor.in_process:
        for job in jobs:
            yield _fit(settings, job, partial(_report, epochs, job.label))
        return
    for number, result in enumerate(executor.map(partial(_fit, settings), jobs), 1):
        epochs(f"{jobs[number - 1].label}: done, {number} of {len(jobs)} in all")
        yield result


def _fit(settings: Settings, job: Job, epochs: Progress | None = None) -> FoldResult:
    model = job.model
    if epochs is not None and isinstance(model, Trained):
        with named(job.name, model, job.samples, job.fold):
            model = model.watched(epochs)
    return fit_fold(job.name, model, job.samples, replace(settings, seed=job.seed), job.fold)


def is_cached(job: Job, settings: Settings) -> bool:
    """Whether its fit is in the cache, so that it takes no time."""
    return fit_is_cached(
        job.name, job.model, job.samples, replace(settings, seed=job.seed), job.fold
    )


def _report(epochs: Progress, label: str, epoch: str) -> None:
    epochs(f"{label}: {epoch}")
