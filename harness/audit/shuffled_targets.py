"""The target-shuffle sentinel: a model that learns from shuffled targets must know nothing.

The training targets of one window are shuffled in blocks, the models fitted through the walk and
their forecasts of the true test targets scored against the training mean. What is learned from
shuffled targets is worth nothing on average; skill that remains came from rows outside training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.audit.findings import Check, Failure
from harness.errors import HarnessError
from harness.inference.diebold_mariano import student_t_quantile
from harness.models.linear import Linear
from harness.models.protocol import Forecaster
from harness.samples.splits import Fitting
from harness.study.study import Study
from harness.types import I64, Samples, Window
from harness.walk.residuals.kept import NOTHING
from harness.walk.walk_forward import walk_forward

NAME = "target shuffle"
_LEAST = 0.05  # share of the test targets' variance about the training mean
_RARE = 1e-4  # how often chance may exceed the bound: runs are many, a verdict is lost for it
_MOST_TRAIN = 3_000  # training rows: enough to learn from, cheap to learn from again and again
_PRIMES = (
    2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
)  # fmt: skip


def shuffled(
    study: Study,
    samples: Samples,
    models: Mapping[str, Forecaster],
    window: Window,
    draws: int,
    rng: np.random.Generator,
) -> tuple[list[Check], list[str]]:
    """The check over these models, and why any could not be looked at."""
    window, part, train = _part(samples, window)
    learning = {name: m for name, m in models.items() if learns(m)}
    if not learning or not train.any() or train.all():
        return [], []
    # Without what is learned from a source panel, whose targets are not shuffled.
    settings = replace(study.settings(samples.horizon), keep=NOTHING, source=None)
    scopes = {name: study.hypothesis.models[name].scope for name in learning}
    fittings = {n: Fitting((window,), (window,), scope=scopes[n]) for n in learning}
    skills: dict[str, list[float]] = {name: [] for name in learning}
    block = _block(int(train.sum()) // max(len(samples.symbols), 1), samples.overlap)
    tested = 0
    for _ in range(draws):
        y = part.y.copy()
        y[train] = y[train][_order(part.rows.symbol[train], block, rng)]
        try:
            made = walk_forward(learning, replace(part, y=y), [window], fittings, settings)
        except HarnessError as error:
            return [], [f"target shuffle at {samples.horizon}: {error}"]
        tested = made.y.size
        base = np.square(made.y - y[train].mean()).sum()
        for name in learning:
            skills[name].append(1.0 - float(np.square(made.y - made.yhat[name]).sum() / base))
    failures = [f for name, found in skills.items() if (f := _left(name, samples, found, window))]
    covered = (
        f"{draws} shuffles of {int(train.sum()):,} training targets in blocks of {block} at "
        f"{samples.horizon}, {tested:,} test rows: {', '.join(learning)}; bound {_LEAST} and "
        f"Student's t of the mean that chance exceeds once in {1 / _RARE:,.0f}"
    )
    return [Check(NAME, covered, draws * tested * len(learning), tuple(failures))], []


def learns(model: Forecaster) -> bool:
    """Whether all that a model knows comes from the targets it is fitted to.

    Not a model with fixed slopes (persistence), nor one of a symbol's own returns (GARCH).
    """
    if isinstance(model, Linear):
        return model.fixed is None
    return not getattr(model, "own_dynamics", False)


def _left(name: str, samples: Samples, skills: Sequence[float], window: Window) -> Failure | None:
    found = np.array(skills)
    error = float(found.std(ddof=1)) / math.sqrt(found.size)
    bound = _LEAST + student_t_quantile(1.0 - _RARE, found.size - 1) * error
    if not found.mean() > bound:
        return None
    reason = (
        f"it keeps a skill of {found.mean():.3f} with shuffled training targets, more than the "
        f"{bound:.3f} that chance explains"
    )
    return Failure(f"model {name} at {samples.horizon}", reason, None, window.cut)


def _part(samples: Samples, window: Window) -> tuple[Window, Samples, np.ndarray]:
    """A window that trains on the last rows alone, its rows, and which of them may be learned."""
    formed = samples.rows.formed_at
    limit = int(np.searchsorted(formed, window.limit))
    begin = max(window.train_start, int(formed[max(limit - _MOST_TRAIN, 0)]))
    rows = np.flatnonzero((formed >= begin) & (formed < window.end))
    part = samples.of(rows)
    return window._replace(train_start=begin), part, part.resolved_at <= window.limit


def _block(rows: int, overlap: int) -> int:
    """A prime number of rows, so that a moved block keeps no hour and no weekday."""
    wanted = max(overlap + 1, int(np.sqrt(max(rows, 1))))
    wanted = min(wanted, max(rows // 4, 1))
    return next((p for p in _PRIMES if p >= wanted), _PRIMES[-1])


def _order(symbol: I64, block: int, rng: np.random.Generator) -> I64:
    """An order of rows in which blocks of one symbol's rows have changed places, symbols too."""
    rows = np.argsort(symbol, kind="stable")
    blocks = [rows[a : a + block] for a in range(0, rows.size, block)]
    moved = np.concatenate([blocks[k] for k in rng.permutation(len(blocks))])
    order = np.empty(rows.size, np.int64)
    order[rows] = moved
    return order
