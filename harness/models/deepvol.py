"""DeepVol: one net for the volatility of every asset, those that it was never trained on too.

The net of nets/universal.py reads a symbol's log returns from decision to decision and gives sigma
of the next one; its forecast's state runs on through every return known at the decision, from the
first of the symbol's history on (a suspension leaves none). It is trained on the returns of the
training rows alone, up to the last of their decisions: those of a [source], and it then forecasts
the panel as it is, or those of the panel's own training rows. Returns are in the unit of the
training returns, the root of their mean square, so that sigmas are about 1.
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
from harness.models.nets.universal import Diet, HeldOut, Pool, UniversalNet
from harness.models.params import DeepVolParams
from harness.models.pretraining import PretrainedWeights, PretrainingRows
from harness.models.protocol import ModelError, Task, history_of, versions
from harness.types import F64, I64, FitTime, Rows, Training

_UNIT = "unit"  # among the weights: what returns are divided by


def _silent(_: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class _Taught:
    """A trained net, the unit of its returns, and how training went."""

    net: UniversalNet
    unit: float
    training: Training

    def weights(self) -> dict[str, np.ndarray]:
        """Every weight by its name in torch, and the unit."""
        own = {name: w.cpu().numpy() for name, w in self.net.state_dict().items()}
        return own | {_UNIT: np.array([self.unit])}


@dataclass(frozen=True)
class DeepVol:
    """The universal net as a forecast of the target, up to the next decision."""

    features: tuple[str, ...]
    task: Task
    params: DeepVolParams
    learned: PretrainedWeights | None = None
    taught: _Taught | None = None
    offset: float | None = None
    progress: Callable[[str], None] = _silent
    look_back: ClassVar[int] = 1
    seeded: ClassVar[bool] = True
    recursive: ClassVar[bool] = True

    @classmethod
    def build(cls, params: DeepVolParams, task: Task) -> Self:
        """On `ret_1d` where decisions are daily."""
        return cls((f"ret_{task.every}",), task, params)

    @property
    def validates(self) -> bool:
        """Whether rows of the panel are held out: it stops early and is trained on the panel."""
        return self.holds_out and not self.learns

    @property
    def holds_out(self) -> bool:
        """Whether training stops early."""
        return self.params.patience is not None

    @property
    def learns(self) -> bool:
        """Whether it is trained on a source."""
        return self.params.pretrains

    @property
    def subject(self) -> str:
        """All that a lesson depends on, in words."""
        own = self.params.model_dump(mode="json", exclude={"rescale", "trains_on"})
        return json.dumps({"kind": "deepvol", "features": self.features, **own}, sort_keys=True)

    def watched(self, progress: Callable[[str], None]) -> Self:
        """The same model, telling `progress` of every epoch."""
        return replace(self, progress=progress)

    def pretrained(self, pretraining_rows: PretrainingRows, *, seed: int = 0) -> PretrainedWeights:
        """The net trained on the course; ModelError as `fit` raises it."""
        taught = self._trained(pretraining_rows.rows, pretraining_rows.held_out, seed)
        told = taught.training
        return PretrainedWeights(
            taught.weights(), told.epochs, told.best, told.train_loss, told.validation_loss
        )

    def after(self, pretrained: PretrainedWeights) -> Self:
        """The same model, which forecasts with what the lesson left."""
        return replace(self, learned=pretrained)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A copy that forecasts with the lesson's weights or, without one, a trained one.

        ModelError for a horizon beyond the next decision, for series that are all too short, too
        few of them for a portfolio, or a loss that is not a number.
        """
        self._require_one_step()
        if self.learned is not None:
            taught = self._recalled(self.learned)
        else:
            taught = self._trained(rows, None if validation is None else validation[0], seed)
        fitted = replace(self, taught=taught, learned=None, progress=_silent)
        if not self.params.rescale:
            return fitted
        return replace(fitted, offset=self.task.scale.offset(y, fitted.predict(rows)))

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,), each from the returns up to its own row."""
        taught, scale = self.taught, self.task.scale
        assert taught is not None, "predict needs a fitted copy"
        device = next(taught.net.parameters()).device
        own = [np.flatnonzero(rows.symbol == code) for code in np.unique(rows.symbol)]
        known = [self._known(rows.take(at)) for at in own]
        with loop.repeatable(0, device):
            found = universal.sigmas(taught.net, [r / taught.unit for r, _ in known], device)
        sigma = np.empty(rows.symbol.size)
        for at, (_, places), values in zip(own, known, found, strict=True):
            sigma[at] = values[places] * taught.unit
        forecast = scale.of_variance(np.square(sigma) / self.task.bars)
        return forecast if self.offset is None else scale.moved(forecast, self.offset)

    @property
    def training(self) -> Training | None:
        """How training went, on the source where there is one."""
        return None if self.taught is None else self.taught.training

    @property
    def coefficients(self) -> dict[str, float]:
        """What forecasts are moved by, where they are."""
        return {} if self.offset is None else {"offset": self.offset}

    def made_by(self) -> dict[str, str]:
        """Torch, and where it runs: another device sums in another order."""
        return versions("torch") | {"device": loop.choose_device(self.params.device).type}

    def weights(self) -> dict[str, np.ndarray]:
        """Every weight by its name in torch, and the unit of the returns."""
        assert self.taught is not None, "weights are of a fitted copy"
        return self.taught.weights()

    def estimate(self, n_rows: int, n_validation: int) -> FitTime:
        """Seconds of one fit and its forecasts; of a pupil's, without the lesson.

        A whole series is taken for as long as the rows are if there are stocks for one portfolio.
        """
        if self.learns:
            schedule = replace(self._schedule, epochs=0)
            return self._time(1, schedule, forecasts=2 * n_rows)
        longest = max(n_rows // (self.params.most_stocks if self.params.portfolios else 1), 1)
        return self._time(longest, self._schedule, forecasts=2 * n_rows + n_validation)

    def pretraining_time(self, pretraining_rows: PretrainingRows) -> FitTime:
        """Seconds of a lesson, by timing a few batches of made-up series."""
        longest = int(np.bincount(pretraining_rows.rows.symbol).max())
        return self._time(longest, self._schedule, forecasts=pretraining_rows.held_out_y.size)

    def _time(self, longest: int, schedule: loop.Schedule, *, forecasts: int) -> FitTime:
        steps = min(longest, self.params.sequence_length or longest)
        device = loop.choose_device(self.params.device)
        with loop.repeatable(0, device):
            net = self._fresh().to(device)
            return universal.estimate(net, self._diet, steps, schedule, device, forecasts=forecasts)

    def _trained(self, rows: Rows, held_out: Rows | None, seed: int) -> _Taught:
        self._require_one_step()
        device = loop.choose_device(self.params.device)
        rows = rows.columns(self.features)
        pool = Pool(_by_date(rows), self._diet)
        checked = None
        if self.holds_out and held_out is not None:
            checked = _held_out(rows, held_out.columns(self.features), pool.unit)
        with loop.repeatable(seed, device):
            net = self._fresh().to(device)
            pretraining_rows = universal.train(
                net, pool, checked, self._schedule, seed, device, self.progress
            )
        told = Training(
            parameters=sum(p.numel() for p in net.parameters()),
            epochs=len(pretraining_rows.train_loss),
            best=pretraining_rows.best,
            train_loss=pretraining_rows.train_loss,
            validation_loss=pretraining_rows.validation_loss,
        )
        return _Taught(net, pool.unit, told)

    def _recalled(self, pretrained: PretrainedWeights) -> _Taught:
        """The net as the lesson left it."""
        device = loop.choose_device(self.params.device)
        with loop.repeatable(0, device):
            net = self._fresh()
            weights = {k: torch.from_numpy(np.array(w)) for k, w in pretrained.weights.items()}
            unit = float(weights.pop(_UNIT)[0])
            net.load_state_dict(weights)
            net.to(device).eval()
        told = Training(
            parameters=sum(p.numel() for p in net.parameters()),
            epochs=pretrained.epochs,
            best=pretrained.best,
            train_loss=pretrained.train_loss,
            validation_loss=pretrained.validation_loss,
        )
        return _Taught(net, unit, told)

    def _known(self, rows: Rows) -> tuple[F64, I64]:
        """One symbol's known returns up to its last row, and each row's place among them."""
        history, at = history_of(rows)
        begin = history.begins[rows.symbol[0]]
        values = history.values[history.names.index(self.features[0])]
        values = values[begin : at.max() + 1]
        finite = np.isfinite(values)
        return values[finite], np.cumsum(finite)[at - begin] - 1

    def _fresh(self) -> UniversalNet:
        """An untrained net; its weights come from torch's seed."""
        p = self.params
        return UniversalNet(p.layers, p.width, p.dropout)

    @property
    def _diet(self) -> Diet:
        p = self.params
        return Diet(p.batch, p.portfolios, p.least_stocks, p.most_stocks, p.sequence_length)

    @property
    def _schedule(self) -> loop.Schedule:
        p = self.params
        patience = p.epochs if p.patience is None else p.patience
        return loop.Schedule(p.learning_rate, p.batch, p.epochs, patience)

    def _require_one_step(self) -> None:
        if self.task.steps != 1:
            raise ModelError(
                f"the horizon {self.task.horizon} is beyond the next decision, which is as far as "
                "the net forecasts"
            )


def _by_date(rows: Rows) -> F64:
    """The rows' returns (T, N), a column per symbol, NaN where it has no row at a date."""
    dates, at = np.unique(rows.formed_at, return_inverse=True)
    codes, column = np.unique(rows.symbol, return_inverse=True)
    returns = np.full((dates.size, codes.size), np.nan)
    returns[at, column] = rows.X[:, 0]
    return returns


def _held_out(rows: Rows, held_out: Rows, unit: float) -> HeldOut:
    """Per symbol its training returns, then those held out, which are judged."""
    series, first = [], []
    for code in np.unique(held_out.symbol):
        before = rows.X[rows.symbol == code, 0]
        series.append(np.concatenate((before, held_out.X[held_out.symbol == code, 0])) / unit)
        first.append(before.size)
    return HeldOut(series, first)
