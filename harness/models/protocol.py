"""The one protocol of every model, and how a kind becomes an instance for a horizon."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from harness.errors import UsageError
from harness.models.params import Params
from harness.models.table import KINDS
from harness.samples.features import parse_feature
from harness.samples.target_scale import TargetScale
from harness.types import F64, I64, FitTime, History, Rows, Training


@dataclass(frozen=True)
class Task:
    """What a model is asked to forecast, in feature expressions known at the decision.

    `horizon` is its name, `steps` how many decisions long it is; `own` the target's measure over
    the last horizon, on the target's scale: `log(rv_4h)`; `variance` its square over the time
    since the last decision, per bar: `square(rv_1h)`; `back` puts an expression of a variance on
    the target's scale: `log(sqrt({}))`; `every` is the time between decisions as a scale's name,
    `bars` how many bars it has; `scale` the target's.
    """

    horizon: str
    own: str
    variance: str
    back: str
    steps: int
    every: str
    bars: int
    scale: TargetScale


class Forecaster(Protocol):
    """A model of one target. `features` are the expressions it wants as columns of its rows.

    `look_back` is over how many decisions, its own included, a row needs all of them known; 0 for
    a model that looks at the row alone, whose rows then have no history. `validates` says that
    it stops early on rows held out, which `fit` then gets and never trains on.
    """

    @property
    def features(self) -> tuple[str, ...]:
        """The expressions that are the columns of its rows."""
        ...

    @property
    def look_back(self) -> int:
        """Over how many decisions it looks back."""
        ...

    @property
    def validates(self) -> bool:
        """Whether it stops early on rows held out."""
        ...

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A fitted copy; ModelError when rows (n, p) and targets y (n,) do not allow one.

        The model itself stays as it was: the next fold starts from it.
        """
        ...

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,) of the target, on its declared scale."""
        ...

    @property
    def coefficients(self) -> Mapping[str, float]:
        """What the fitted model states of itself for the card, by name."""
        ...

    @property
    def training(self) -> Training | None:
        """How the fit went; None where there is nothing to tell."""
        ...


@runtime_checkable
class Chained(Protocol):
    """A model of one symbol whose fits follow each other cheaply, each from the one before."""

    def fit_chain(
        self, rows: Rows, y: F64, trains: Sequence[slice | I64], *, seed: int = 0
    ) -> Iterator[Forecaster]:
        """A fitted copy per training set, in time order; it depends on earlier ones only."""
        ...


class ChainedForecaster(Chained, Forecaster, Protocol):
    """Such a model with all that the walk asks of one; only for the type checker."""


@runtime_checkable
class Trained(Protocol):
    """A model whose fit takes long enough to say beforehand how long, and how far it is."""

    def estimate(self, n_rows: int, n_validation: int) -> FitTime:
        """Seconds of one fit on so many rows and its forecasts of them, by timing a few steps."""
        ...

    def watched(self, progress: Callable[[str], None]) -> Self:
        """The same model, telling `progress` of its fit: `epoch 7 of 100, validation 0.1234`.

        A fitted copy no longer holds `progress`, so that it can go between processes.
        """
        ...


@runtime_checkable
class Seeded(Protocol):
    """A model that may draw: whether its fits depend on the seed."""

    @property
    def seeded(self) -> bool:
        """Whether its fits depend on the seed."""
        ...


@runtime_checkable
class Kept(Protocol):
    """A model whose finished fits are kept, since making one takes longer than reading it."""

    @property
    def look_back(self) -> int:
        """As of Forecaster."""
        ...

    def made_by(self) -> Mapping[str, str]:
        """Versions of the libraries that fit it, and the device that it is fitted on."""
        ...

    def weights(self) -> Mapping[str, np.ndarray]:
        """What a fitted copy has learned; nothing where only its forecasts are kept."""
        ...


@runtime_checkable
class Contextual(Protocol):
    """A model that looks back over its features `past` and wants the others at the decision alone.

    `past` and `context` are among its `features`, and may share some.
    """

    @property
    def past(self) -> tuple[str, ...]:
        """The features at every one of its last decisions."""
        ...

    @property
    def context(self) -> tuple[str, ...]:
        """Those at the decision."""
        ...


def looked_back(model: Forecaster) -> tuple[str, ...]:
    """The features that a model looks back over: all, unless it says otherwise."""
    return model.past if isinstance(model, Contextual) else model.features


@runtime_checkable
class Recursive(Protocol):
    """A model whose state runs through all of a symbol's history up to a row's own decision.

    Its rows need no more than `look_back` of it, but a forecast is made from the whole.
    """

    @property
    def recursive(self) -> bool:
        """Whether it does, as it is set."""
        ...


class ModelError(Exception):
    """A model that could not be fitted on these rows, in words; the walk names the window."""


def versions(*libraries: str) -> dict[str, str]:
    """The versions of NumPy and of these libraries."""
    return {name: importlib.metadata.version(name) for name in ("numpy", *libraries)}


def history_of(rows: Rows) -> tuple[History, I64]:
    """The rows' history, and each row's place (n,) in it, of a model that looks back."""
    assert rows.history is not None, "a model that looks back declares it by look_back"
    assert rows.at is not None, "rows with a history have places in it"
    return rows.history, rows.at


def one_symbol(rows: Rows) -> int:
    """The code of the rows' symbol; ModelError where they are of several, or there are none."""
    if not rows.symbol.size or (rows.symbol != rows.symbol[0]).any():
        count = np.unique(rows.symbol).size
        raise ModelError(f"rows of {count} symbols, wanted one: this model is fitted per symbol")
    return int(rows.symbol[0])


def make_model(kind: str, params: Params, task: Task) -> Forecaster:
    """An unfitted model of this kind for this task; its library is imported here and not before.

    UsageError where that library is not installed.
    """
    module, _, name = KINDS[kind].target.partition(":")
    try:
        model: Any = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError(
            f"the kind of model {kind} needs torch, which is not installed: "
            "pip install 'harness[torch]'"
        ) from None
    return model.build(params, task)


def own_features(features: Sequence[str], task: Task) -> tuple[str, ...]:
    """These expressions at the task's horizon, each once, in the order of the hypothesis."""
    return tuple(dict.fromkeys(parse_feature(f).at(task.horizon).text for f in features))


FEWEST_STAGE_ROWS = 30  # rows of a stage, or held out of one: fewer teach nothing
FIRST_STAGE_HELD_OUT = 0.25  # of the first stage's rows, the last ones, where it stops early


@runtime_checkable
class Staged(Protocol):
    """A model whose `fit` is its second stage, and wants the first one fitted on earlier rows.

    `share` of a fit's training rows are the first stage's; `first_validates` says that it stops
    early, on the last of them. `fit` gets later rows alone, which the first stage has not seen.
    """

    @property
    def share(self) -> float:
        """The first stage's share of the training rows."""
        ...

    @property
    def first_validates(self) -> bool:
        """Whether the first stage wants rows held out."""
        ...

    def begun(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """The model with its first stage fitted on these rows; ModelError as of `fit`."""
        ...
