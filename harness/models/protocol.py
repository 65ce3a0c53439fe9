"""The protocol of all models, its optional parts, and how a model is made for a horizon."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from harness.errors import UsageError
from harness.models.params import Params, TrainingLoss
from harness.models.table import KINDS
from harness.samples.features import parse_feature
from harness.samples.target_scale import TargetScale
from harness.types import F64, I64, FitTime, History, Rows, Training

_LAST = 0.05


@dataclass(frozen=True)
class Task:
    """What a model is to forecast, in feature expressions known at the forecast origin.

    `horizon` is its name, `steps` its length in forecast origins; `own` is the target's measure
    over the last horizon, on the target's scale: `log(rv_4h)`; `variance` its square over the time
    since the last origin, per bar: `square(rv_1h)`; `back` puts an expression of a variance on the
    target's scale: `log(sqrt({}))`; `every` is the time between origins as a scale's name, `bars`
    its number of bars; `scale` is the target's. `loss` is the training loss that fits the verdict's
    metric (scores.metrics.Metric.trains): what `auto` stands for. `holds_out` says that the walk
    has rows to stop early on.
    """

    horizon: str
    own: str
    variance: str
    back: str
    steps: int
    every: str
    bars: int
    scale: TargetScale
    loss: TrainingLoss = "log-mse"
    holds_out: bool = False


class Forecaster(Protocol):
    """A model of one target. `features` are the expressions it needs as columns of its rows.

    `look_back` is the number of forecast origins, a row's own included, at which all features must
    be known; 0 for a model that uses the row alone, whose rows then have no history. `validates`
    says that it stops early on held-out rows, which `fit` then gets and never trains on.
    """

    @property
    def features(self) -> tuple[str, ...]:
        """The expressions that are the columns of its rows."""
        ...

    @property
    def look_back(self) -> int:
        """The number of forecast origins that it looks back on."""
        ...

    @property
    def validates(self) -> bool:
        """Whether it stops early on held-out rows."""
        ...

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A fitted copy; ModelError if rows (n, p) and targets y (n,) do not allow a fit.

        The model itself does not change: the next fold starts from it.
        """
        ...

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,) of the target, on its scale."""
        ...

    @property
    def coefficients(self) -> Mapping[str, float]:
        """The fitted model's coefficients for the card, by name."""
        ...

    @property
    def training(self) -> Training | None:
        """The training report of the fit; None if there is nothing to report."""
        ...


@runtime_checkable
class Chained(Protocol):
    """A model of one symbol whose fits are cheap when each starts from the one before."""

    def fit_chain(
        self, rows: Rows, y: F64, trains: Sequence[slice | I64], *, seed: int = 0
    ) -> Iterator[Forecaster]:
        """A fitted copy per training set, in time order; each depends on earlier sets only."""
        ...


class ChainedForecaster(Chained, Forecaster, Protocol):
    """A chained model with the whole Forecaster protocol; for the type checker only."""


@runtime_checkable
class Trained(Protocol):
    """A model whose fit takes long, so that its time is estimated and its progress shown."""

    def estimate(self, n_rows: int, n_validation: int) -> FitTime:
        """Seconds of one fit on these numbers of rows and of its forecasts, timing some steps."""
        ...

    def watched(self, progress: Callable[[str], None]) -> Self:
        """The same model, which reports its fit to `progress`: `epoch 7 of 100, validation 0.1234`.

        A fitted copy no longer holds `progress`, so that it can be pickled.
        """
        ...


@runtime_checkable
class Seeded(Protocol):
    """A model whose fits may depend on the seed."""

    @property
    def seeded(self) -> bool:
        """Whether they do, with its parameters."""
        ...


@runtime_checkable
class Overfitting(Protocol):
    """A model that says whether its training residuals are smaller than those of other rows."""

    @property
    def overfits(self) -> bool:
        """Whether they are: not with few parameters for its rows; asked of a fitted copy."""
        ...


def overfits(model: Forecaster) -> bool:
    """Whether residuals must be those of rows not trained on: yes for a model that is silent."""
    return model.overfits if isinstance(model, Overfitting) else True


@runtime_checkable
class Kept(Protocol):
    """A model whose fits are cached, since fitting takes longer than reading a file."""

    @property
    def look_back(self) -> int:
        """As of Forecaster."""
        ...

    def made_by(self) -> Mapping[str, str]:
        """Versions of the libraries that fit it, and the device that they use."""
        ...

    def weights(self) -> Mapping[str, np.ndarray]:
        """The arrays that a fitted copy has learned; empty if only its forecasts are cached."""
        ...


@runtime_checkable
class Contextual(Protocol):
    """A model that looks back on its features `past` and uses `context` at the origin alone.

    `past` and `context` are among its `features`, and may overlap.
    """

    @property
    def past(self) -> tuple[str, ...]:
        """The features that it uses at each of the last forecast origins."""
        ...

    @property
    def context(self) -> tuple[str, ...]:
        """The features that it uses at the row's own forecast origin."""
        ...


@runtime_checkable
class Composite(Protocol):
    """A model that adds to the forecast of one of its parts, or weighs it, named `part`."""

    part: ClassVar[str]

    def of_part(self, rows: Rows) -> F64:
        """The part's own forecasts (m,) of the target, on its scale, by a fitted copy."""
        ...


def looked_back(model: Forecaster) -> tuple[str, ...]:
    """The features that a model looks back on: all, unless it is Contextual."""
    return model.past if isinstance(model, Contextual) else model.features


@runtime_checkable
class Recursive(Protocol):
    """A model whose state runs through a symbol's whole history up to a row's forecast origin.

    Its rows only need `look_back` origins to be known, but a forecast depends on all of them.
    """

    @property
    def recursive(self) -> bool:
        """Whether it does, with its parameters."""
        ...


class ModelError(Exception):
    """The reason why a model could not be fitted; the walk adds the model and the window."""


def cut_short(key: str, best: int, ran: int, allowed: int) -> tuple[str, ...]:
    """`key` if it ended the training while the held-out loss still fell, for Training.cut_short.

    So it did if all epochs that it allows ran and the best one is among the last 5 % of them.
    """
    return (key,) if ran >= allowed and allowed - best < max(1.0, _LAST * allowed) else ()


def versions(*libraries: str) -> dict[str, str]:
    """The versions of NumPy and of these libraries."""
    return {name: importlib.metadata.version(name) for name in ("numpy", *libraries)}


def history_of(rows: Rows) -> tuple[History, I64]:
    """The rows' history, and each row's place (n,) in it, of a model that looks back."""
    assert rows.history is not None, "a model that looks back declares it by look_back"
    assert rows.at is not None, "rows with a history have places in it"
    return rows.history, rows.at


def one_symbol(rows: Rows) -> int:
    """The code of the rows' symbol; ModelError if they are of several symbols or of none."""
    if not rows.symbol.size or (rows.symbol != rows.symbol[0]).any():
        count = np.unique(rows.symbol).size
        raise ModelError(f"rows of {count} symbols, wanted one: this model is fitted per symbol")
    return int(rows.symbol[0])


def make_model(kind: str, params: Params, task: Task) -> Forecaster:
    """An unfitted model of this kind for this task; its library is imported here.

    UsageError if that library is not installed.
    """
    module, _, name = KINDS[kind].target.partition(":")
    try:
        model: Any = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError(
            f"the kind of model {kind} needs torch, which is not installed: in the project's "
            'folder, pip install -c constraints.txt -e ".[torch]"'
        ) from None
    return model.build(params.for_task(task.loss, holds_out=task.holds_out), task)


def own_features(features: Sequence[str], task: Task) -> tuple[str, ...]:
    """These expressions at the task's horizon, without duplicates, in their order."""
    return tuple(dict.fromkeys(parse_feature(f).at(task.horizon).text for f in features))


FEWEST_STAGE_ROWS = 30  # rows that a stage, or its held-out part, needs
FIRST_STAGE_HELD_OUT = 0.25  # the last share of the first stage's rows, if it stops early


@runtime_checkable
class Staged(Protocol):
    """A model of two stages: `begun` fits the first on earlier rows, `fit` the second on later.

    `share` is the first stage's share of a fit's training rows; `first_validates` says that it
    stops early, on the last of them. `fit` gets only rows that the first stage has not seen.
    """

    @property
    def share(self) -> float:
        """The first stage's share of the training rows."""
        ...

    @property
    def first_validates(self) -> bool:
        """Whether the first stage stops early on held-out rows."""
        ...

    def begun(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A copy with its first stage fitted on these rows; ModelError as of `fit`."""
        ...
