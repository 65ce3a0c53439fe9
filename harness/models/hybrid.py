"""HAR and a net in one forecast: combined by learned weights, or the net on HAR's residuals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import nn

from harness.models.linear import Ols
from harness.models.nets import training_loop as loop
from harness.models.nets.hybrid import REGIMES, HybridNet
from harness.models.nets.schedule import Schedule
from harness.models.nets.sequence import LastState
from harness.models.params import HybridParams, OlsParams
from harness.models.pretraining import PretrainedWeights, PretrainingRows
from harness.models.protocol import Task, own_features
from harness.models.recurrent import Units
from harness.models.scaling import Scaling
from harness.models.transfer import TransferNet
from harness.types import F64, FitTime, Rows

_HEAD = ("origin", "output")  # what is new and reads what is known at the forecast origin
_FASTER = 3.0  # its learning rate over that of the other weights


@dataclass(frozen=True)
class Hybrid(TransferNet[HybridParams]):
    """A net of the transfer kind combined with least squares on `har` (forms: nets/hybrid.py).

    HAR is fitted first, on the net's training rows, and then fixed. The net gets HAR's forecast in
    units of its own output, and HAR's features standardised by the training rows. Pretraining on a
    source is of the net without HAR; a fit takes its encoder and starts with a new head, which
    learns at three times the rate. `parts` says what the combination came to, for `coefficients`.
    """

    part: ClassVar[str] = "its HAR part"
    har: Ols = field(kw_only=True)
    own: tuple[str, ...] = field(kw_only=True)
    har_scaling: Scaling | None = None
    parts: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def build(cls, params: HybridParams, task: Task) -> Self:
        """The net at the task's horizon, and HAR on its own features there."""
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
        """HAR's features, used at the forecast origin alone."""
        return self.har.features

    def pretrained(self, pretraining_rows: PretrainingRows, *, seed: int = 0) -> PretrainedWeights:
        """The weights of the net without HAR, trained on these rows."""
        return self._without_har.pretrained(pretraining_rows, seed=seed)

    def pretraining_time(self, pretraining_rows: PretrainingRows) -> FitTime:
        """The time of pretraining the net without HAR."""
        return self._without_har.pretraining_time(pretraining_rows)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A trained copy; ModelError as of RecurrentNet, or if HAR cannot be fitted."""
        har = self.har.fit(rows, y)
        scaling = Scaling.of(rows.columns(self.context).X, self.context)
        with_har = replace(self, har=har, har_scaling=scaling)
        fitted = super(Hybrid, with_har).fit(rows, y, validation=validation, seed=seed)
        return replace(fitted, parts=fitted._parts(rows if validation is None else validation[0]))

    def of_part(self, rows: Rows) -> F64:
        """HAR's forecasts (m,)."""
        return self.har.predict(rows)

    @property
    def coefficients(self) -> dict[str, float]:
        """HAR's, and what its parts came to over the held-out rows, or without them the training's.

        The form's weights, if any, on average, the standard deviation of a weight that differs by
        row, and that of the net's part over that of HAR's, in units of the net's output.
        """
        found = {**self.har.coefficients, **self.parts}
        if self.training is None:
            return found
        best = self.training.best - 1
        return found | {name: path[best] for name, path in self.training.weights.items()}

    @property
    def weighted(self) -> tuple[str, ...]:
        """HAR's weight, or each regime's probability."""
        if self.params.form == "regimes":
            return tuple(f"regime {k}" for k in range(1, REGIMES + 1))
        return () if self.params.form == "residual" else ("weight of HAR",)

    @property
    def _without_har(self) -> TransferNet[HybridParams]:
        return TransferNet(self.own, self.params, self.scale)

    def _parts(self, rows: Rows) -> dict[str, float]:
        assert self.units is not None, "the parts are those of a fitted copy"
        device = next(self.net.parameters()).device
        with loop.repeatable(0, device):
            sequences = self._sequences(self.units, rows, None, device)
            given, own, weights = self.net.parts(sequences)
        parts: dict[str, float] = {}
        if weights is not None:
            weights = weights.to("cpu", torch.float64)
            parts = dict(zip(self.weighted, weights.mean(dim=0).tolist(), strict=True))
            if self.params.form == "dynamic":
                parts["sd of the weight of HAR"] = float(weights.std(correction=0))
        net, har = (float(part.to("cpu", torch.float64).std(correction=0)) for part in (own, given))
        # HAR's forecast of a single held-out row has no spread.
        return parts | ({"sd of the net / sd of HAR": net / har} if har else {})

    def _schedules(self, n: int) -> list[Schedule]:
        """Those of the net without HAR; the head is new, and learns faster than the encoder."""
        return [
            replace(s, rates={**s.rates, **dict.fromkeys(_HEAD, _FASTER * s.learning_rate)})
            for s in super()._schedules(n)
        ]

    @property
    def _inputs(self) -> int:
        return len(self.past) + 1 + len(self.context)

    def _initial_net(self) -> nn.Module:
        net = self._fresh()
        if self.initial is not None:
            weights = {k: torch.from_numpy(w.copy()) for k, w in self.initial.weights.items()}
            encoder = {k: w for k, w in weights.items() if k.startswith("encoder.")}
            net.load_state_dict(net.state_dict() | encoder)
        return net

    @property
    def _taught(self) -> bool:
        return False  # its head is new

    def _with_head(self, encoder: nn.Module, hidden: tuple[int, ...]) -> nn.Module:
        p = self.params
        sizes = p.width, len(self.past), len(self.context), p.dropout
        return HybridNet(p.form, encoder, LastState(), *sizes, hidden=hidden)

    def _sequences(
        self, units: Units, rows: Rows, y: F64 | None, device: torch.device
    ) -> loop.Sequences:
        """The net's sequences, with HAR's forecast and features added to each row's last step."""
        assert self.har_scaling is not None, "a fit sets it before it makes sequences"
        made = super()._sequences(units, rows, y, device)
        forecast = self.har.predict(rows)
        log_measure = forecast if self.scale.is_log else self._floored_log(forecast)
        given = self._loss.output_of(_single(log_measure, device), made.truth)
        context = self.har_scaling.apply(rows.columns(self.context).X, rows.symbol)
        beside = torch.zeros(len(made.steps), 1 + len(self.context), device=device)
        beside[made.places[:, -1]] = torch.cat((given[:, None], _single(context, device)), dim=1)
        return replace(made, steps=torch.cat((made.steps, beside), dim=1))


def _single(values: F64, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(values).to(device, torch.float32)
