"""LSTM and GRU over sequences of features: one net for all symbols of its rows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import nn

from harness.models.nets import training_loop as loop
from harness.models.nets.attention import Attention
from harness.models.nets.losses import TargetLoss
from harness.models.nets.schedule import Schedule, batch_for, epochs_for
from harness.models.nets.sequence import LastState, Recurrent, SequenceNet
from harness.models.params import RecurrentParams
from harness.models.protocol import Task, own_features, versions
from harness.models.scaling import Scaling
from harness.samples.target_scale import TargetScale
from harness.types import F64, FitTime, Rows, Training


def _silent(_: str) -> None:
    """Discards progress messages."""


def _by_name(
    names: Sequence[str], part_weights: Sequence[tuple[float, ...]]
) -> dict[str, tuple[float, ...]]:
    """Each named weight after every epoch; empty without names or held-out rows."""
    if not (names and part_weights):
        return {}
    return dict(zip(names, zip(*part_weights, strict=True), strict=True))


class NetParams(Protocol):
    """The parameters that every net over sequences has (params.RecurrentParams and its like)."""

    @property
    def features(self) -> list[str]:
        """The expressions of its features."""
        ...

    @property
    def sequence_length(self) -> int:
        """Forecast origins in a sequence."""
        ...

    @property
    def loss(self) -> str:
        """The name of a losses.TargetLoss, once `auto` has one."""
        ...

    @property
    def standardise(self) -> Literal["pooled", "symbol"]:
        """By all training rows, or by each symbol's own."""
        ...

    @property
    def device(self) -> str:
        """The device that torch runs on."""
        ...


P = TypeVar("P", bound=NetParams)


@dataclass(frozen=True)
class Units:
    """Training-row moments of the features, of the target (ln m or m) and of the measure m."""

    inputs: Scaling
    target: Scaling
    measure: Scaling


@dataclass(frozen=True)
class RecurrentNet(ABC, Generic[P]):
    """A net's forecast of the target from the features at the last forecast origins.

    Features, and a log target, are standardised by all training rows, or with `standardise =
    "symbol"` by each symbol's own (a symbol without training rows: by all). losses.TargetLoss has
    the losses, and the transformation from the net's output to the target.
    """

    validates: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    features: tuple[str, ...]
    params: P
    scale: TargetScale
    units: Units | None = None
    net: Any = None
    training: Training | None = None
    progress: Callable[[str], None] = _silent

    @classmethod
    def build(cls, params: P, task: Task) -> Self:
        """The net at the task's horizon, for its target scale."""
        return cls(own_features(params.features, task), params, task.scale)

    @property
    def past(self) -> tuple[str, ...]:
        """The features that its sequences are made of."""
        return self.features

    @property
    def look_back(self) -> int:
        """The length of its sequences."""
        return self.params.sequence_length

    def watched(self, progress: Callable[[str], None]) -> Self:
        """The same model, which reports every epoch to `progress`."""
        return replace(self, progress=progress)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A trained copy; ModelError for a constant feature or a loss that is not a number.

        Without validation rows it runs all epochs.
        """
        schedules, taught = self._schedules(y.size), self._taught
        return self._trained(rows, y, validation, seed, self._initial_net, schedules, taught=taught)

    def _trained(
        self,
        rows: Rows,
        y: F64,
        validation: tuple[Rows, F64] | None,
        seed: int,
        initial_net: Callable[[], nn.Module],
        schedules: Sequence[Schedule],
        *,
        taught: bool = False,
    ) -> Self:
        """A copy whose net is `initial_net()`, trained by one schedule after the other.

        `taught`: that net is a candidate itself, which the held-out rows may prefer.
        """
        device = loop.choose_device(self.params.device)
        units = self._units(rows, y)
        with loop.repeatable(seed, device) as order:
            net = initial_net().to(device)
            train = self._sequences(units, rows, y, device)
            held_out = None if validation is None else self._sequences(units, *validation, device)
            history = loop.train(
                net,
                self._loss,
                train,
                held_out,
                schedules,
                order,
                self.progress,
                taught=taught,
            )
            attention = None
            if self.weighs:
                _, attention = loop.outputs(net, train if held_out is None else held_out)
        training = Training(
            parameters=sum(p.numel() for p in net.parameters()),
            epochs=len(history.train_loss),
            best=history.best,
            batch=schedules[0].batch,
            most_epochs=sum(schedule.epochs for schedule in schedules),
            train_loss=history.train_loss,
            validation_loss=history.validation_loss,
            attention=() if attention is None else tuple(attention.tolist()),
            weights=_by_name(self.weighted, history.part_weights),
            cut_short=() if held_out is None else history.cut_short(schedules[-1], self.limit),
        )
        return replace(self, units=units, net=net, training=training, progress=_silent)

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,) on the target's scale."""
        assert self.units is not None, "predict needs a fitted copy"
        device = next(self.net.parameters()).device
        with loop.repeatable(0, device):
            sequences = self._sequences(self.units, rows, None, device)
            output, _ = loop.outputs(self.net, sequences)
            log_measure = self._loss.log_forecast(output, sequences.truth)
        found = log_measure.to("cpu", torch.float64).numpy()
        return found if self.scale.is_log else np.exp(found)

    def estimate(self, n_rows: int, n_validation: int) -> FitTime:
        """Seconds of one fit on so many rows, by timing a few batches of random rows."""
        return self._time(self._schedules(n_rows), n_rows, n_validation)

    def _time(self, schedules: Sequence[Schedule], n_rows: int, n_validation: int) -> FitTime:
        device = loop.choose_device(self.params.device)
        with loop.repeatable(0, device) as noise:
            n, length = max(s.batch for s in schedules), self.params.sequence_length
            steps = torch.randn(n + length, self._inputs, generator=noise)
            places = torch.arange(n)[:, None] + torch.arange(length)
            sequences = loop.Sequences(
                steps.to(device), places.to(device), torch.ones(n, 4, device=device)
            )
            # One schedule with the sum of the epochs stands for all: their batch sizes are equal.
            first, *further = schedules
            epochs = first.epochs + sum(schedule.epochs for schedule in further)
            patience = first.patience + sum(schedule.patience for schedule in further)
            schedule = replace(first, epochs=epochs, patience=patience, rates={})
            return loop.estimate(
                self._fresh().to(device), self._loss, sequences, schedule, n_rows, n_validation
            )

    @property
    def coefficients(self) -> dict[str, float]:
        """None: a net's weights have no names."""
        return {}

    def made_by(self) -> dict[str, str]:
        """The version of torch, and the device: each device sums in its own order."""
        return versions("torch") | {"device": loop.choose_device(self.params.device).type}

    def weights(self) -> dict[str, np.ndarray]:
        """Every weight by its name in torch."""
        return {name: w.cpu().numpy() for name, w in self.net.state_dict().items()}

    @property
    def limit(self) -> str:
        """The key of its parameters that limits the epochs of a fit."""
        return "epochs"

    @property
    def weighs(self) -> bool:
        """Whether its pooling has weights of the steps to report."""
        return False

    @property
    def weighted(self) -> tuple[str, ...]:
        """The parts of the net that have weights, reported after every epoch; not the steps."""
        return ()

    @property
    def _inputs(self) -> int:
        """How many numbers a step of its sequences has."""
        return len(self.past)

    @abstractmethod
    def _schedules(self, n: int) -> list[Schedule]:
        """The schedules of a fit on n rows, one after the other."""

    @property
    def _loss(self) -> TargetLoss:
        return TargetLoss(
            self.params.loss,
            log_target=self.scale.is_log,
            per_log_sigma=self.scale.per_log_sigma,
        )

    def _initial_net(self) -> nn.Module:
        """The net that a fit starts from."""
        return self._fresh()

    @property
    def _taught(self) -> bool:
        """Whether the net that a fit starts from can forecast: its weights may be kept."""
        return False

    @abstractmethod
    def _fresh(self) -> nn.Module:
        """An untrained net, its weights drawn by torch's seed."""

    def _units(self, rows: Rows, y: F64) -> Units:
        by = rows.symbol if self.params.standardise == "symbol" else None
        with np.errstate(over="ignore"):  # an absurd log target: its loss is no number either
            measure = np.exp(y) if self.scale.is_log else y
            return Units(
                Scaling.of(rows.columns(self.past).X, self.past, by),
                Scaling.of(y[:, None], ("the target",), by),
                Scaling.of(measure[:, None], ("the target",), by),
            )

    def _sequences(
        self, units: Units, rows: Rows, y: F64 | None, device: torch.device
    ) -> loop.Sequences:
        """The rows' standardised sequences with their truth, or what forecasts need of it."""
        steps, places = rows.columns(self.past).steps(self.params.sequence_length)
        # Steps between the rows' sequences may be missing; no sequence reads them.
        values = units.inputs.apply(steps.values, steps.symbol)
        truth = np.empty((len(rows.symbol), 4))
        mean = units.measure.centre[units.measure.place(rows.symbol), 0]
        truth[:, 3] = self._floored_log(mean)
        if self.scale.is_log:
            place = units.target.place(rows.symbol)
            truth[:, 1], truth[:, 2] = units.target.centre[place, 0], units.target.spread[place, 0]
        else:
            truth[:, 1], truth[:, 2] = truth[:, 3], 1.0
        if y is None:
            truth[:, 0] = math.nan
        else:
            truth[:, 0] = y if self.scale.is_log else self._floored_log(y)
        return loop.Sequences.of(values, places, truth, device)

    def _floored_log(self, measure: F64) -> F64:
        return np.log(np.maximum(measure, self._least))

    @property
    def _least(self) -> float:
        """The floor of a measure under a logarithm."""
        return self.scale.floor**2 if self.scale.unit == "variance" else self.scale.floor


@dataclass(frozen=True)
class _CellNet(RecurrentNet[RecurrentParams]):
    """Layers of one kind of cell, then the last state or the attention-weighted mean of states."""

    cell: ClassVar[str]

    @property
    def weighs(self) -> bool:
        """True with attention."""
        return self.params.attention

    def _schedules(self, n: int) -> list[Schedule]:
        p = self.params
        batch = batch_for(p.batch, n)
        return [Schedule(p.learning_rate, batch, epochs_for(p.epochs, batch, n), p.patience)]

    def _fresh(self) -> nn.Module:
        p = self.params
        encoder = Recurrent(self.cell, len(self.past), p.width, p.layers, p.dropout)
        pooling = Attention(p.width) if p.attention else LastState()
        return SequenceNet(encoder, pooling, p.width, p.dropout)


class Lstm(_CellNet):
    """Long short-term memory: Hochreiter & Schmidhuber (1997); forget gates: Gers et al. (2000)."""

    cell = "lstm"


class Gru(_CellNet):
    """Gated recurrent units: Cho et al. (2014), EMNLP, section 2.3."""

    cell = "gru"
