"""Transfer learning: an LSTM with self-attention, pretrained on a source panel and fine-tuned.

The net is an LSTM over the last forecast origins, multi-head self-attention over its states, and a
head of two linear layers on the last state. A fit starts from the weights pretrained on the source
panel. Each panel's features and target are standardised by its own training rows.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import nn

from harness.models.nets.attention import SelfAttention
from harness.models.nets.schedule import Schedule
from harness.models.nets.sequence import LastState, Recurrent, SequenceNet
from harness.models.params import TransferParams
from harness.models.pretraining import PretrainedWeights, PretrainingRows
from harness.models.recurrent import RecurrentNet
from harness.types import F64, FitTime, Rows

_ENCODER, _RECURRENT = "encoder", "encoder.recurrent"
_SLOWER = 10.0  # the head's learning rate over the encoder's, with differential rates


P = TypeVar("P", bound=TransferParams)


@dataclass(frozen=True)
class TransferNet(RecurrentNet[P]):
    """A net pretrained on a source panel, fine-tuned by the `strategy` of its parameters."""

    initial: PretrainedWeights | None = None

    @property
    def wants_pretraining(self) -> bool:
        """True unless it is trained from scratch."""
        return self.params.pretrains

    @property
    def holds_out(self) -> bool:
        """Always: pretraining stops early."""
        return True

    @property
    def pretraining_key(self) -> str:
        """All that pretraining depends on, as text."""
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
        """The net trained on these rows alone; ModelError as of `fit`."""
        rows, schedules = pretraining_rows, [self._pretraining_schedule]
        held_out = rows.held_out, rows.held_out_y
        trained = self._trained(rows.rows, rows.y, held_out, seed, self._fresh, schedules)
        history = trained.training
        assert history is not None, "a trained net has a training history"
        return PretrainedWeights(
            weights={name: w.cpu().numpy() for name, w in trained.net.state_dict().items()},
            epochs=history.epochs,
            best=history.best,
            train_loss=history.train_loss,
            validation_loss=history.validation_loss,
        )

    def pretraining_time(self, pretraining_rows: PretrainingRows) -> FitTime:
        """Seconds of pretraining, by timing a few batches of random rows."""
        sizes = pretraining_rows.y.size, pretraining_rows.held_out_y.size
        return self._time([self._pretraining_schedule], *sizes)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A copy fine-tuned from the pretrained weights, if any; ModelError as of RecurrentNet."""
        fitted = super().fit(rows, y, validation=validation, seed=seed)
        if self.initial is None:
            return fitted
        assert fitted.training is not None, "a trained net has a training history"
        training = replace(
            fitted.training,
            lesson_train_loss=self.initial.train_loss,
            lesson_validation_loss=self.initial.validation_loss,
            cut_short=(
                *fitted.training.cut_short,
                *self.initial.cut_short("lesson_epochs", self.params.lesson_epochs),
            ),
        )
        return replace(fitted, training=training)

    def with_pretrained(self, pretrained: PretrainedWeights) -> Self:
        """The same model, whose fits start from these weights."""
        return replace(self, initial=pretrained)

    def _initial_net(self) -> nn.Module:
        net = self._fresh()
        if self.initial is not None:
            weights = {k: torch.from_numpy(np.array(w)) for k, w in self.initial.weights.items()}
            net.load_state_dict(weights)
        return net

    @property
    def _taught(self) -> bool:
        return self.initial is not None

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
    def limit(self) -> str:
        """From scratch it trains as in pretraining."""
        return "lesson_epochs" if self.params.strategy == "scratch" else "epochs"

    @property
    def _pretraining_schedule(self) -> Schedule:
        p = self.params
        return Schedule(
            p.lesson_learning_rate, p.lesson_batch, p.lesson_epochs, p.patience, p.plateau
        )

    def _schedules(self, n: int) -> list[Schedule]:
        p = self.params
        tuning = Schedule(p.learning_rate, p.batch, p.epochs, p.patience, p.plateau)
        if p.strategy == "scratch":
            return [self._pretraining_schedule]
        if p.strategy == "frozen":
            return [replace(tuning, rates={_ENCODER: 0.0})]
        if p.strategy == "differential":
            return [replace(tuning, rates={_ENCODER: p.learning_rate / _SLOWER})]
        if p.strategy == "aggressive":
            return [replace(tuning, learning_rate=p.lesson_learning_rate)]
        if p.strategy == "gradual":
            frozen: tuple[dict[str, float], ...] = ({_ENCODER: 0.0}, {_RECURRENT: 0.0}, {})
            return [replace(_third(tuning), rates=rates) for rates in frozen]
        return [tuning]


def _third(schedule: Schedule) -> Schedule:
    """A stage of three: a third of the epochs, and of those without gain before it acts."""
    return replace(
        schedule,
        epochs=max(schedule.epochs // 3, 1),
        patience=-(-schedule.patience // 3),
        plateau=None if schedule.plateau is None else -(-schedule.plateau // 3),
    )
