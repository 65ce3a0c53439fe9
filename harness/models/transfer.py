"""Transfer learning: an LSTM with self-attention, taught on another panel and tuned on its own.

The net is an LSTM over the last decisions, multi-head self-attention over its states, and a head of
two linear layers on the last step's. What it learned from the source, standardised by the source's
own rows, are the weights that a fit begins with; the panel's rows are standardised by themselves.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import nn

from harness.models.nets import training_loop as loop
from harness.models.nets.attention import SelfAttention
from harness.models.nets.sequence import LastState, Recurrent, SequenceNet
from harness.models.params import TransferParams
from harness.models.pretraining import PretrainedWeights, PretrainingRows
from harness.models.recurrent import RecurrentNet
from harness.types import F64, FitTime, Rows

_ENCODER, _RECURRENT = "encoder", "encoder.recurrent"
_SLOWER = 10.0  # how much slower the encoder learns at differential rates


P = TypeVar("P", bound=TransferParams)


@dataclass(frozen=True)
class TransferNet(RecurrentNet[P]):
    """A net tuned from what it learned on a source panel, by one of the strategies of its kind."""

    learned: PretrainedWeights | None = None

    @property
    def learns(self) -> bool:
        """All but training from scratch."""
        return self.params.pretrains

    @property
    def holds_out(self) -> bool:
        """Always: a lesson stops early."""
        return True

    @property
    def subject(self) -> str:
        """All that a lesson depends on, in words."""
        p = self.params
        own = {
            "features": self.past,
            "net": [p.sequence_length, p.layers, p.width, p.heads, p.dropout],
            "training": [p.loss, p.patience, p.plateau, p.standardise],
            "schedule": [p.lesson_learning_rate, p.lesson_batch, p.lesson_epochs],
            "scale": asdict(self.scale),
        }
        return json.dumps(own, sort_keys=True)

    def pretrained(self, pretraining_rows: PretrainingRows, *, seed: int = 0) -> PretrainedWeights:
        """The net trained on the course alone; ModelError as `fit` raises it."""
        held_out = pretraining_rows.held_out, pretraining_rows.held_out_y
        taught = self._trained(
            pretraining_rows.rows, pretraining_rows.y, held_out, seed, self._fresh, [self._lessons]
        )
        weights = {name: w.cpu().numpy() for name, w in taught.net.state_dict().items()}
        told = taught.training
        assert told is not None, "a fitted net tells of its training"
        return PretrainedWeights(
            weights, told.epochs, told.best, told.train_loss, told.validation_loss
        )

    def pretraining_time(self, pretraining_rows: PretrainingRows) -> FitTime:
        """Seconds of a lesson, by timing a few batches of made-up rows."""
        return self._time(
            [self._lessons], pretraining_rows.y.size, pretraining_rows.held_out_y.size
        )

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A copy tuned from the lesson, if there was one; ModelError as of RecurrentNet."""
        fitted = super().fit(rows, y, validation=validation, seed=seed)
        if self.learned is None:
            return fitted
        assert fitted.training is not None, "a fitted net tells of its training"
        told = replace(
            fitted.training,
            lesson_train_loss=self.learned.train_loss,
            lesson_validation_loss=self.learned.validation_loss,
        )
        return replace(fitted, training=told)

    def after(self, pretrained: PretrainedWeights) -> Self:
        """The same model, whose fits begin with the lesson's weights."""
        return replace(self, learned=pretrained)

    def _begun(self) -> nn.Module:
        net = self._fresh()
        if self.learned is not None:
            weights = {k: torch.from_numpy(np.array(w)) for k, w in self.learned.weights.items()}
            net.load_state_dict(weights)
        return net

    def _fresh(self) -> nn.Module:
        p = self.params
        parts: Any = OrderedDict(
            recurrent=Recurrent("lstm", len(self.past), p.width, p.layers, p.dropout),
            attention=SelfAttention(p.width, p.heads, p.dropout),
        )
        return self._with_head(nn.Sequential(parts), (max(p.width // 2, 1),))

    def _with_head(self, encoder: nn.Module, hidden: tuple[int, ...]) -> nn.Module:
        """The whole net."""
        p = self.params
        return SequenceNet(encoder, LastState(), p.width, p.dropout, hidden=hidden)

    @property
    def _lessons(self) -> loop.Schedule:
        p = self.params
        return loop.Schedule(
            p.lesson_learning_rate, p.lesson_batch, p.lesson_epochs, p.patience, p.plateau
        )

    @property
    def _schedules(self) -> list[loop.Schedule]:
        """What a fit runs through, one after the other."""
        p = self.params
        tuning = loop.Schedule(p.learning_rate, p.batch, p.epochs, p.patience, p.plateau)
        if p.strategy == "scratch":
            return [self._lessons]
        if p.strategy == "frozen":
            return [replace(tuning, rates={_ENCODER: 0.0})]
        if p.strategy == "differential":
            return [replace(tuning, rates={_ENCODER: p.learning_rate / _SLOWER})]
        if p.strategy == "aggressive":
            return [replace(tuning, learning_rate=p.lesson_learning_rate)]
        if p.strategy == "gradual":
            third = replace(tuning, epochs=max(p.epochs // 3, 1))
            held: tuple[dict[str, float], ...] = ({_ENCODER: 0.0}, {_RECURRENT: 0.0}, {})
            return [replace(third, rates=rates) for rates in held]
        return [tuning]
