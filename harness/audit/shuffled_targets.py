"""The target shuffle: a model trained on shuffled targets must have no skill.

The training targets of one window are shuffled in blocks, the models are fitted by the walk, and
their forecasts of the true test targets are scored against the training mean. Skill on average is
then zero; skill that remains comes from rows outside the training span. Linear models, which are
fitted in no time, are judged by several shuffles.

Any other model is fitted to one, and to further ones, which decide, only if that leaves more skill
than chance mostly does. Some of what it forecasts with is not learned: fixed slopes, the random
weights from which a net starts, a level below the mean. So its features are those of other times
too, and the means of forecasts and targets are taken away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.audit.findings import Check, Failure
from harness.audit.one_fit import OneFit
from harness.errors import HarnessError
from harness.inference.diebold_mariano import student_t_quantile
from harness.models.linear import Linear
from harness.models.protocol import Forecaster
from harness.samples.splits import Fitting
from harness.study.study import Study
from harness.types import F64, I32, I64, Samples, Window
from harness.walk.fold_fit import without_residuals
from harness.walk.walk_forward import walk_forward

NAME = "target shuffle"
_LEAST = 0.05  # tolerated skill: share of the test targets' variance about the training mean
_RARE = 1e-4  # probability of exceeding the bound by chance, which would void a verdict
SUSPICIOUS = 0.1  # skill after one shuffle that further ones have to explain
_MOST_TRAIN = 3_000  # training rows: enough to learn from, fast enough to fit many times
_FEW_TRAIN = 1_000  # of models that are slower to fit
FEWEST_TEST = 200  # test rows of such a model, over the windows that follow if its own has fewer
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
    """The check of linear models, and the reasons why models were left out."""
    scene = _scene(study, samples, models, window, _MOST_TRAIN)
    if scene is None:
        return [], []
    try:
        found = [scene.skills(rng) for _ in range(draws)]
    except HarnessError as error:
        return [], [f"target shuffle at {samples.horizon}: {error}"]
    skills = {name: [skills[name] for skills in found] for name in scene.models}
    failures = [f for name, s in skills.items() for f in with_skill(s, scene.of(name))]
    return [scene.check(draws, failures)], []


def shuffled_once(
    study: Study,
    samples: Samples,
    models: Mapping[str, Forecaster],
    window: Window,
    draws: int,
    rng: np.random.Generator,
) -> tuple[list[Check], list[str]]:
    """The same for models that are not linear, of which `draws` shuffles judge suspicious ones."""
    checks: list[Check] = []
    left_out: list[str] = []
    for name, model in models.items():
        longer = window._replace(end=_end(samples, window))
        scene = _scene(study, samples, {name: model}, longer, _FEW_TRAIN, moved=True)
        if scene is None:
            continue
        found: list[float] = []
        try:
            first = scene.skills(rng)[name]
            if first > SUSPICIOUS:
                found = [scene.skills(rng)[name] for _ in range(draws)]
        except HarnessError as error:
            left_out.append(f"target shuffle, model {name} at {samples.horizon}: {error}")
            continue
        failures = list(with_skill(found, scene.of(name))) if found else []
        checks.append(scene.check(1 + len(found), failures))
    return checks, left_out


@dataclass(frozen=True)
class _Scene:
    """Models and the rows of one window: the last of its training rows, and its test rows.

    `moved`: features are those of other times as well as targets.
    """

    study: Study
    samples: Samples
    models: Mapping[str, Forecaster]
    window: Window
    train: np.ndarray
    moved: bool

    @property
    def block(self) -> int:
        """The rows of a block."""
        return _block(self.samples, int(self.train.sum()))

    def skills(self, rng: np.random.Generator) -> dict[str, float]:
        """Every model's skill, fitted to one shuffle of the training targets."""
        part, train, study = self.samples, self.train, self.study
        # Without pretraining: the targets of a source panel are not shuffled.
        settings = replace(without_residuals(study.settings(part.horizon)), source=None)
        specs, own = study.hypothesis.models, (self.window,)
        fittings = {n: Fitting(own, own, scope=specs[n].scope) for n in self.models}
        if self.moved:
            part = _in_other_times(part, np.flatnonzero(train), rng)
            made = walk_forward(self.models, part, own, fittings, settings)
            return {name: centred_skill(made.y, made.yhat[name]) for name in self.models}
        y = part.y.copy()
        y[train] = y[train][_order(part.rows.symbol[train], self.block, rng)]
        made = walk_forward(self.models, replace(part, y=y), own, fittings, settings)
        base = np.square(made.y - y[train].mean()).sum()
        return {
            name: 1.0 - float(np.square(made.y - made.yhat[name]).sum() / base)
            for name in self.models
        }

    def of(self, name: str) -> Callable[[str], Failure]:
        """What makes a failure of this model from its reason."""
        subject = f"model {name} at {self.samples.horizon}"
        return lambda reason: Failure(subject, reason, None, self.window.cut)

    def check(self, draws: int, failures: Sequence[Failure]) -> Check:
        """The check in words."""
        formed, names = self.samples.rows.formed_at, ", ".join(self.models)
        tested = int((formed >= self.window.cut).sum())
        covered = (
            f"{draws} shuffle{'s' * (draws != 1)} of {int(self.train.sum()):,} training targets in "
            f"blocks of {self.block} at {self.samples.horizon}, {tested:,} test rows: {names}; "
            f"bound: {_LEAST} plus a margin by Student's t that chance exceeds once in "
            f"{1 / _RARE:,.0f}"
        )
        return Check(NAME, covered, draws * tested * len(self.models), tuple(failures))


def _scene(
    study: Study,
    samples: Samples,
    models: Mapping[str, Forecaster],
    window: Window,
    most: int,
    *,
    moved: bool = False,
) -> _Scene | None:
    """None without models that learn, or without training or test rows."""
    window, part, train = _part(samples, window, most)
    learning = {name: m for name, m in models.items() if learns(m)}
    if not learning or not train.any() or train.all():
        return None
    return _Scene(study, part, learning, window, train, moved)


def in_other_times(one: OneFit, rng: np.random.Generator) -> OneFit:
    """A fit whose time stamps have the features of other rows and the targets of still others.

    All come in blocks from the rows that it learns from. Test rows keep their targets.
    """
    return replace(one, samples=_in_other_times(one.samples, one.learned, rng))


def _in_other_times(part: Samples, learned: I64, rng: np.random.Generator) -> Samples:
    block = _block(part, learned.size)

    def blocks(count: int) -> I64:
        found = [learned[_order(part.rows.symbol[learned], block, rng)]]
        while sum(order.size for order in found) < count:
            found.append(learned[_order(part.rows.symbol[learned], block, rng)])
        return np.concatenate(found)[:count]

    y = part.y.copy()
    y[learned] = part.y[blocks(learned.size)]
    source = np.empty(y.size, np.int64)
    source[learned] = blocks(learned.size)
    rest = np.setdiff1d(np.arange(y.size), learned)
    source[rest] = blocks(rest.size)
    rows = replace(part.rows, X=np.asfortranarray(part.rows.X[source]))
    if rows.history is not None and rows.at is not None:
        values = rows.history.values.copy()
        values[:, rows.at] = rows.history.values[:, rows.at[source]]
        rows = replace(rows, history=replace(rows.history, values=values))
    return replace(part, y=y, rows=rows)


def learns(model: Forecaster) -> bool:
    """Whether a model learns from nothing but the targets it is fitted to.

    False for fixed slopes (persistence) and for models of a symbol's own returns (GARCH).
    """
    if isinstance(model, Linear):
        return model.fixed is None
    return not getattr(model, "own_dynamics", False)


def centred_skill(y: F64, yhat: F64) -> float:
    """The share of the targets' variance that the forecasts take away, the means left aside.

    0 where the targets (n,) do not vary.
    """
    around = y - y.mean()
    left = around - yhat + yhat.mean()
    every = float(np.square(around).sum())
    return 1.0 - float(np.square(left).sum()) / every if every > 0.0 else 0.0


def with_skill(
    skills: Sequence[float],
    failure: Callable[[str], Failure],
    *,
    shuffled: str = "shuffled training targets",
) -> Iterator[Failure]:
    """A failure if the mean skill is more than chance explains; what was `shuffled`, in words."""
    found = np.array(skills)
    error = float(found.std(ddof=1)) / math.sqrt(found.size)
    bound = _LEAST + student_t_quantile(1.0 - _RARE, found.size - 1) * error
    if found.mean() > bound:
        yield failure(
            f"its skill is {found.mean():.3f} with {shuffled}; chance explains at most {bound:.3f}"
        )


def _end(samples: Samples, window: Window) -> int:
    """The end of the window, or of as many test rows as tell skill from chance."""
    formed = samples.rows.formed_at
    last = int(np.searchsorted(formed, window.cut)) + FEWEST_TEST
    return max(window.end, int(formed[min(last, formed.size) - 1]) + 1)


def _part(samples: Samples, window: Window, most: int) -> tuple[Window, Samples, np.ndarray]:
    """The window with its last training rows only, its rows, and which of them are for training."""
    formed = samples.rows.formed_at
    limit = int(np.searchsorted(formed, window.limit))
    begin = max(window.train_start, int(formed[max(limit - most, 0)]))
    rows = np.flatnonzero((formed >= begin) & (formed < window.end))
    part = samples.of(rows)
    return window._replace(train_start=begin), part, part.resolved_at <= window.limit


def _block(samples: Samples, trained: int) -> int:
    """A prime number of rows, so that a moved block keeps neither hour nor weekday."""
    rows, overlap = trained // max(len(samples.symbols), 1), samples.overlap
    wanted = max(overlap + 1, int(np.sqrt(max(rows, 1))))
    wanted = min(wanted, max(rows // 4, 1))
    return next((p for p in _PRIMES if p >= wanted), _PRIMES[-1])


def _order(symbol: I32, block: int, rng: np.random.Generator) -> I64:
    """A permutation of rows that moves blocks of one symbol's rows, across symbols too."""
    rows = np.argsort(symbol, kind="stable")
    blocks = [rows[a : a + block] for a in range(0, rows.size, block)]
    moved = np.concatenate([blocks[k] for k in rng.permutation(len(blocks))])
    order = np.empty(rows.size, np.int64)
    order[rows] = moved
    return order
