"""HAR and a net in one forecast: weighed by what is learned, or the net on what HAR leaves over."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import nn

from harness.models.linear import Ols
from harness.models.nets import training_loop as loop
from harness.models.nets.hybrid import REGIMES, HybridNet
from harness.models.nets.sequence import LastState
from harness.models.params import HybridParams, OlsParams
from harness.models.pretraining import PretrainedWeights, PretrainingRows
from harness.models.protocol import Task, own_features
from harness.models.recurrent import Units
from harness.models.scaling import Scaling
from harness.models.transfer import TransferNet
from harness.types import F64, FitTime, Rows


@dataclass(frozen=True)
class Hybrid(TransferNet[HybridParams]):
    """A net of the transfer kind joined with least squares on `har` (nets/hybrid.py has the forms).

    HAR is fitted on the rows that the net trains on, before it, and stays as it is. The net gets
    its forecast in units of its own output, and its features standardised by the training rows. A
    lesson from a source teaches the encoder alone, as a net without HAR; the head is new.
    """

    har: Ols = field(kw_only=True)
    own: tuple[str, ...] = field(kw_only=True)
    seen: Scaling | None = None

    @classmethod
    def build(cls, params: HybridParams, task: Task) -> Self:
        """The net at the task's horizon, HAR on its own features there."""
        har = Ols.build(OlsParams(features=params.har), task)
        own = own_features(params.features, task)
        every = tuple(dict.fromkeys((*own, *har.features)))
        return cls(every, params, task.scale, har=har, own=own)

    @property
    def past(self) -> tuple[str, ...]:
        """The features of its sequences."""
        return self.own

    @property
    def context(self) -> tuple[str, ...]:
        """HAR's features, wanted at the decision alone."""
        return self.har.features

    def pretrained(self, pretraining_rows: PretrainingRows, *, seed: int = 0) -> PretrainedWeights:
        """What the net without HAR learns from the course."""
        return self._alone.pretrained(pretraining_rows, seed=seed)

    def pretraining_time(self, pretraining_rows: PretrainingRows) -> FitTime:
        """As of the net without HAR."""
        return self._alone.pretraining_time(pretraining_rows)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A trained copy; ModelError as of RecurrentNet, or where HAR cannot be fitted."""
        har = self.har.fit(rows, y)
        seen = Scaling.of(rows.columns(self.context).X, self.context)
        begun = replace(self, har=har, seen=seen)
        return super(Hybrid, begun).fit(rows, y, validation=validation, seed=seed)

    @property
    def coefficients(self) -> dict[str, float]:
        """HAR's, and the last weights of a form that has any, mean over the rows held out."""
        found = dict(self.har.coefficients)
        if self.training is None:
            return found
        best = self.training.best - 1
        return found | {name: path[best] for name, path in self.training.weights.items()}

    @property
    def weighted(self) -> tuple[str, ...]:
        """HAR's weight, or how likely each regime is."""
        if self.params.form == "regimes":
            return tuple(f"regime {k}" for k in range(1, REGIMES + 1))
        return () if self.params.form == "residual" else ("weight of HAR",)

    @property
    def _alone(self) -> TransferNet[HybridParams]:
        return TransferNet(self.own, self.params, self.scale)

    @property
    def _inputs(self) -> int:
        return len(self.past) + 1 + len(self.context)

    def _begun(self) -> nn.Module:
        net = self._fresh()
        if self.learned is not None:
            weights = {k: torch.from_numpy(w.copy()) for k, w in self.learned.weights.items()}
            encoder = {k: w for k, w in weights.items() if k.startswith("encoder.")}
            net.load_state_dict(net.state_dict() | encoder)
        return net

    def _with_head(self, encoder: nn.Module, hidden: tuple[int, ...]) -> nn.Module:
        p = self.params
        sizes = p.width, len(self.past), len(self.context), p.dropout
        return HybridNet(p.form, encoder, LastState(), *sizes, hidden=hidden)

    def _sequences(
        self, units: Units, rows: Rows, y: F64 | None, device: torch.device
    ) -> loop.Sequences:
        """Those of the net alone; with each row's last step HAR's forecast and features."""
        assert self.seen is not None, "asked of a fit, which begins with HAR's"
        made = super()._sequences(units, rows, y, device)
        forecast = self.har.predict(rows)
        log_measure = forecast if self.scale.is_log else self._floored_log(forecast)
        given = self._loss.output_of(_single(log_measure, device), made.truth)
        seen = self.seen.apply(rows.columns(self.context).X, rows.symbol)
        beside = torch.zeros(len(made.steps), 1 + len(self.context), device=device)
        beside[made.places[:, -1]] = torch.cat((given[:, None], _single(seen, device)), dim=1)
        return replace(made, steps=torch.cat((made.steps, beside), dim=1))


def _single(values: F64, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(values).to(device, torch.float32)
