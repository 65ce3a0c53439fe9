"""DeepVol: one net for the volatility of every asset, including assets it was not trained on.

The net of nets/universal.py reads a symbol's log returns between forecast origins and gives the
sigma of the next return. For a forecast its state runs through all returns known at the origin,
from the start of the symbol's history (a suspension has none). It is trained on returns up to the
last training row's origin: those of a [source] panel, after which it forecasts the hypothesis'
panel without further training, or those of the panel's own training rows. Returns are divided by
the root mean square of the training returns, so that sigmas are about 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import torch

from harness.models.nets import training_loop as loop
from harness.models.nets import universal
from harness.models.nets.schedule import Schedule
from harness.models.nets.universal import BatchDesign, HeldOut, Pool, UniversalNet
from harness.models.params import DeepVolParams
from harness.models.pretraining import PretrainedWeights, PretrainingRows
from harness.models.protocol import ModelError, Task, history_of, versions
from harness.types import F64, I64, FitTime, Rows, Training

_UNIT = "unit"  # the name, among the weights, of what returns are divided by


def _silent(_: str) -> None:
    """Discards progress messages."""


@dataclass(frozen=True)
class _TrainedNet:
    """A trained net, the unit of its returns, and its training history."""

    net: UniversalNet
    unit: float
    training: Training

    def weights(self) -> dict[str, np.ndarray]:
        """Every weight by its name in torch, and the unit of the returns."""
        own = {name: w.cpu().numpy() for name, w in self.net.state_dict().items()}
        return own | {_UNIT: np.array([self.unit])}


@dataclass(frozen=True)
class DeepVol:
    """The universal net's forecast of the target, up to the next forecast origin."""

    features: tuple[str, ...]
    task: Task
    params: DeepVolParams
    initial: PretrainedWeights | None = None
    trained: _TrainedNet | None = None
    offset: float | None = None
    progress: Callable[[str], None] = _silent
    look_back: ClassVar[int] = 1
    seeded: ClassVar[bool] = True
    recursive: ClassVar[bool] = True

    @classmethod
    def build(cls, params: DeepVolParams, task: Task) -> Self:
        """On `ret_1d` for daily forecast origins."""
        return cls((f"ret_{task.every}",), task, params)

    @property
    def validates(self) -> bool:
        """Whether the panel's rows are held out: if it is trained on them and stops early."""
        return self.holds_out and not self.wants_pretraining

    @property
    def overfits(self) -> bool:
        """Whether the panel's own rows, which the residuals are of, train it."""
        return not self.wants_pretraining

    @property
    def holds_out(self) -> bool:
        """Whether training stops early."""
        return self.params.patience is not None

    @property
    def wants_pretraining(self) -> bool:
        """Whether it is trained on a source."""
        return self.params.pretrains

    @property
    def pretraining_key(self) -> str:
        """All that pretraining depends on, as text."""
        own = self.params.model_dump(mode="json", exclude={"rescale", "trains_on"})
        return json.dumps({"kind": "deepvol", "features": self.features, **own}, sort_keys=True)

    def watched(self, progress: Callable[[str], None]) -> Self:
        """The same model, which reports every epoch to `progress`."""
        return replace(self, progress=progress)

    def pretrained(self, pretraining_rows: PretrainingRows, *, seed: int = 0) -> PretrainedWeights:
        """The net trained on these rows; ModelError as of `fit`."""
        trained = self._trained(pretraining_rows.rows, pretraining_rows.held_out, seed)
        training = trained.training
        return PretrainedWeights(
            weights=trained.weights(),
            epochs=training.epochs,
            best=training.best,
            train_loss=training.train_loss,
            validation_loss=training.validation_loss,
        )

    def with_pretrained(self, pretrained: PretrainedWeights) -> Self:
        """The same model, which forecasts with these weights."""
        return replace(self, initial=pretrained)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A copy with the pretrained weights or, without them, trained on these rows.

        ModelError for a horizon beyond the next forecast origin, if all series are too short, if
        they are too few for a portfolio, or if a loss is not a number.
        """
        self._require_one_step()
        if self.initial is not None:
            trained = self._loaded(self.initial)
        else:
            trained = self._trained(rows, None if validation is None else validation[0], seed)
        fitted = replace(self, trained=trained, initial=None, progress=_silent)
        if not self.params.rescale:
            return fitted
        return replace(fitted, offset=self.task.scale.offset(y, fitted.predict(rows)))

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,), each from the returns up to its row's origin."""
        trained, scale = self.trained, self.task.scale
        assert trained is not None, "predict needs a fitted copy"
        device = next(trained.net.parameters()).device
        own = [np.flatnonzero(rows.symbol == code) for code in np.unique(rows.symbol)]
        known = [self._known(rows.take(at)) for at in own]
        with loop.repeatable(0, device):
            found = universal.sigmas(trained.net, [r / trained.unit for r, _ in known], device)
        sigma = np.empty(rows.symbol.size)
        for at, (_, places), values in zip(own, known, found, strict=True):
            sigma[at] = values[places] * trained.unit
        forecast = scale.of_variance(np.square(sigma) / self.task.bars)
        return forecast if self.offset is None else scale.moved(forecast, self.offset)

    @property
    def training(self) -> Training | None:
        """The training history, on the source panel if there is one."""
        return None if self.trained is None else self.trained.training

    @property
    def coefficients(self) -> dict[str, float]:
        """The offset of the forecasts, if they are rescaled."""
        return {} if self.offset is None else {"offset": self.offset}

    def made_by(self) -> dict[str, str]:
        """The version of torch, and the device: each device sums in its own order."""
        return versions("torch") | {"device": loop.choose_device(self.params.device).type}

    def weights(self) -> dict[str, np.ndarray]:
        """Every weight by its name in torch, and the unit of the returns."""
        assert self.trained is not None, "weights needs a fitted copy"
        return self.trained.weights()

    def estimate(self, n_rows: int, n_validation: int) -> FitTime:
        """Seconds of one fit and its forecasts, without pretraining.

        The longest series is taken as the number of rows over the stocks of one portfolio.
        """
        if self.wants_pretraining:
            schedule = replace(self._schedule, epochs=0)
            return self._time(1, schedule, forecasts=2 * n_rows)
        longest = max(n_rows // (self.params.most_stocks if self.params.portfolios else 1), 1)
        return self._time(longest, self._schedule, forecasts=2 * n_rows + n_validation)

    def pretraining_time(self, pretraining_rows: PretrainingRows) -> FitTime:
        """Seconds of pretraining, by timing a few batches of simulated series."""
        longest = int(np.bincount(pretraining_rows.rows.symbol).max())
        return self._time(longest, self._schedule, forecasts=pretraining_rows.held_out_y.size)

    def _time(self, longest: int, schedule: Schedule, *, forecasts: int) -> FitTime:
        steps = min(longest, self.params.sequence_length or longest)
        device = loop.choose_device(self.params.device)
        with loop.repeatable(0, device):
            net = self._fresh().to(device)
            return universal.estimate(
                net, self._batch_design, steps, schedule, device, forecasts=forecasts
            )

    def _trained(self, rows: Rows, held_out: Rows | None, seed: int) -> _TrainedNet:
        self._require_one_step()
        device = loop.choose_device(self.params.device)
        rows = rows.columns(self.features)
        pool = Pool(_by_date(rows), self._batch_design)
        checked = None
        if self.holds_out and held_out is not None:
            checked = _held_out(rows, held_out.columns(self.features), pool.unit)
        with loop.repeatable(seed, device):
            net = self._fresh().to(device)
            history = universal.train(
                net, pool, checked, self._schedule, seed, device, self.progress
            )
        training = Training(
            parameters=sum(p.numel() for p in net.parameters()),
            epochs=len(history.train_loss),
            best=history.best,
            train_loss=history.train_loss,
            validation_loss=history.validation_loss,
            cut_short=() if checked is None else history.cut_short(self._schedule, "epochs"),
        )
        return _TrainedNet(net, pool.unit, training)

    def _loaded(self, pretrained: PretrainedWeights) -> _TrainedNet:
        """The net with its pretrained weights."""
        device = loop.choose_device(self.params.device)
        with loop.repeatable(0, device):
            net = self._fresh()
            weights = {k: torch.from_numpy(np.array(w)) for k, w in pretrained.weights.items()}
            unit = float(weights.pop(_UNIT)[0])
            net.load_state_dict(weights)
            net.to(device).eval()
        training = Training(
            parameters=sum(p.numel() for p in net.parameters()),
            epochs=pretrained.epochs,
            best=pretrained.best,
            train_loss=pretrained.train_loss,
            validation_loss=pretrained.validation_loss,
            cut_short=pretrained.cut_short("epochs", self.params.epochs),
        )
        return _TrainedNet(net, unit, training)

    def _known(self, rows: Rows) -> tuple[F64, I64]:
        """One symbol's known returns up to its last row, and each row's position among them."""
        history, at = history_of(rows)
        begin = history.begins[rows.symbol[0]]
        values = history.values[history.names.index(self.features[0])]
        values = values[begin : at.max() + 1]
        finite = np.isfinite(values)
        return values[finite], np.cumsum(finite)[at - begin] - 1

    def _fresh(self) -> UniversalNet:
        """An untrained net, its weights drawn by torch's seed."""
        p = self.params
        return UniversalNet(p.layers, p.width, p.dropout)

    @property
    def _batch_design(self) -> BatchDesign:
        p = self.params
        return BatchDesign(p.batch, p.portfolios, p.least_stocks, p.most_stocks, p.sequence_length)

    @property
    def _schedule(self) -> Schedule:
        p = self.params
        patience = p.epochs if p.patience is None else p.patience
        return Schedule(p.learning_rate, p.batch, p.epochs, patience)

    def _require_one_step(self) -> None:
        if self.task.steps != 1:
            raise ModelError(
                f"horizon: got {self.task.horizon}, wanted one that ends at the next forecast "
                "origin, which is as far as the net forecasts"
            )


def _by_date(rows: Rows) -> F64:
    """The rows' returns (T, N), a column per symbol, NaN at dates without a row."""
    dates, at = np.unique(rows.formed_at, return_inverse=True)
    codes, column = np.unique(rows.symbol, return_inverse=True)
    returns = np.full((dates.size, codes.size), np.nan)
    returns[at, column] = rows.X[:, 0]
    return returns


def _held_out(rows: Rows, held_out: Rows, unit: float) -> HeldOut:
    """Per symbol its training returns, then its held-out returns, on which the loss is taken."""
    series, first = [], []
    for code in np.unique(held_out.symbol):
        before = rows.X[rows.symbol == code, 0]
        series.append(np.concatenate((before, held_out.X[held_out.symbol == code, 0])) / unit)
        first.append(before.size)
    return HeldOut(series, first)
