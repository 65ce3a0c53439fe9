"""The target shuffle: a model trained on shuffled targets must have no skill.

The training targets of one window are shuffled in blocks, the models are fitted by the walk, and
their forecasts of the true test targets are scored against the training mean. Skill on average is
then zero; skill that remains comes from rows outside the training span.
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
_LEAST = 0.05  # tolerated skill: share of the test targets' variance about the training mean
_RARE = 1e-4  # probability of exceeding the bound by chance, which would void a verdict
_MOST_TRAIN = 3_000  # training rows: enough to learn from, fast enough to fit many times
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
    """The check of these models, and the reasons why models were left out."""
    window, part, train = _part(samples, window)
    learning = {name: m for name, m in models.items() if learns(m)}
    if not learning or not train.any() or train.all():
        return [], []
    # Without pretraining: the targets of a source panel are not shuffled.
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
    failures = [f for name, s in skills.items() if (f := _with_skill(name, samples, s, window))]
    covered = (
        f"{draws} shuffles of {int(train.sum()):,} training targets in blocks of {block} at "
        f"{samples.horizon}, {tested:,} test rows: {', '.join(learning)}; bound: {_LEAST} plus a "
        f"margin by Student's t that chance exceeds once in {1 / _RARE:,.0f}"
    )
    return [Check(NAME, covered, draws * tested * len(learning), tuple(failures))], []


def learns(model: Forecaster) -> bool:
    """Whether a model learns from nothing but the targets it is fitted to.

    False for fixed slopes (persistence) and for models of a symbol's own returns (GARCH).
    """
    if isinstance(model, Linear):
        return model.fixed is None
    return not getattr(model, "own_dynamics", False)


def _with_skill(
    name: str, samples: Samples, skills: Sequence[float], window: Window
) -> Failure | None:
    found = np.array(skills)
    error = float(found.std(ddof=1)) / math.sqrt(found.size)
    bound = _LEAST + student_t_quantile(1.0 - _RARE, found.size - 1) * error
    if not found.mean() > bound:
        return None
    reason = (
        f"its skill is {found.mean():.3f} with shuffled training targets; chance explains at most "
        f"{bound:.3f}"
    )
    return Failure(f"model {name} at {samples.horizon}", reason, None, window.cut)


def _part(samples: Samples, window: Window) -> tuple[Window, Samples, np.ndarray]:
    """The window with its last training rows only, its rows, and which of them are for training."""
    formed = samples.rows.formed_at
    limit = int(np.searchsorted(formed, window.limit))
    begin = max(window.train_start, int(formed[max(limit - _MOST_TRAIN, 0)]))
    rows = np.flatnonzero((formed >= begin) & (formed < window.end))
    part = samples.of(rows)
    return window._replace(train_start=begin), part, part.resolved_at <= window.limit


def _block(rows: int, overlap: int) -> int:
    """A prime number of rows, so that a moved block keeps neither hour nor weekday."""
    wanted = max(overlap + 1, int(np.sqrt(max(rows, 1))))
    wanted = min(wanted, max(rows // 4, 1))
    return next((p for p in _PRIMES if p >= wanted), _PRIMES[-1])


def _order(symbol: I64, block: int, rng: np.random.Generator) -> I64:
    """A permutation of rows that moves blocks of one symbol's rows, across symbols too."""
    rows = np.argsort(symbol, kind="stable")
    blocks = [rows[a : a + block] for a in range(0, rows.size, block)]
    moved = np.concatenate([blocks[k] for k in rng.permutation(len(blocks))])
    order = np.empty(rows.size, np.int64)
    order[rows] = moved
    return order
