"""Nets that combine a given linear forecast with their own."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.models.nets.losses import Loss
from harness.models.nets.sequence import head
from harness.models.nets.training_loop import BLOCK, Sequences

REGIMES = 3  # calm, usual, turbulent
_LEAST, _MOST = 1e-3, 1.0 - 1e-3  # the weight of `alpha`: neither part is ever quite switched off
_GOLDEN, _CUTS = 0.5 * (math.sqrt(5.0) - 1.0), 24  # to 1e-5 of the weight


class HybridNet(nn.Module):
    """Combines an encoder's forecast g of a sequence with a linear model's forecast f.

    With h the pooled state, c the linear model's features and x the sequence's last step:

    * `alpha`: a f + (1 - a) g, with the number a that `settle` finds, initially 1/2.
    * `dynamic`: the same with a = sigmoid(w' [h; c] + b) for every sequence.
    * `residual`: f + g, with g initially 0.
    * `regimes`: f + sum_k p_k g_k over three regimes, p = softmax(W [h; c] + b), g initially 0.

    g is a head on [h; x; c]: what is known at the forecast origin reaches it at full strength,
    while the attention of an untrained encoder makes the last step one of L.

    Inputs are sequences (b, L, p + 1 + k): p features of every step, then f and the k numbers of c,
    which are read from the last step alone.
    """

    mix: Tensor | nn.Linear  # in every form but `residual`

    def __init__(
        self,
        form: str,
        encoder: nn.Module,
        pooling: nn.Module,
        width: int,
        features: int,
        context: int,
        dropout: float,
        *,
        hidden: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.form, self.features = form, features
        self.encoder, self.pooling = encoder, pooling
        results = REGIMES if form == "regimes" else 1
        widths = *hidden, results
        self.dropout, self.state = nn.Dropout(dropout), nn.Linear(width, widths[0])
        self.origin = nn.Linear(features + context, widths[0], bias=False)
        self.output = nn.Sequential(nn.ReLU(), head(widths)) if hidden else nn.Identity()
        if form == "alpha":
            self.register_buffer("mix", torch.zeros(()))
        elif form in ("dynamic", "regimes"):
            self.mix = nn.Linear(width + context, results)
        if form in ("residual", "regimes"):
            layers = [m for m in self.output.modules() if isinstance(m, nn.Linear)]
            for layer in layers[-1:] or [self.state, self.origin]:
                nn.init.zeros_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outputs (b,), and the form's weights, if any: a (b, 1), or p (b, 3).

        In training the outputs of `alpha` and `dynamic` are (b, 2): the combined forecast and g,
        which learns from a loss of its own too, so that it learns however little it weighs.
        """
        given, own, weights = self._parts_of(x)
        if weights is None or self.form == "regimes":
            return given + own, weights
        combined = weights[:, 0] * given + (1.0 - weights[:, 0]) * own
        return torch.stack((combined, own), dim=1) if self.training else combined, weights

    def _parts_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """f (b,), g (b,) or the sum of p g, and the form's weights."""
        last = x[:, -1]
        given, context = last[:, self.features], last[:, self.features + 1 :]
        state = self.dropout(self.pooling(self.encoder(x[..., : self.features]))[0])
        known = torch.cat((last[:, : self.features], context), dim=1)
        own = self.output(self.state(state) + self.origin(known))
        if self.form == "residual":
            return given, own[:, 0], None
        if not isinstance(self.mix, nn.Linear):
            return given, own[:, 0], torch.sigmoid(self.mix).expand(len(x), 1)
        gate = self.mix(torch.cat((state, context), dim=1))
        if self.form == "dynamic":
            return given, own[:, 0], torch.sigmoid(gate)
        likely = torch.softmax(gate, dim=1)
        return given, (likely * own).sum(dim=1), likely

    @torch.no_grad()
    def parts(self, rows: Sequences) -> tuple[Tensor, Tensor, Tensor | None]:
        """What it adds or weighs, of n rows and without dropout: f (n,), g (n,), the weights.

        Of `regimes` g is the sum of p g. The weights are (n, 1) or (n, 3), or there are none.
        """
        self.eval()
        places = torch.arange(len(rows), device=rows.places.device)
        found = [self._parts_of(rows.batch(block)[0]) for block in places.split(BLOCK)]
        given, own = torch.cat([f for f, _, _ in found]), torch.cat([g for _, g, _ in found])
        weights = [w for _, _, w in found if w is not None]
        return given, own, torch.cat(weights) if weights else None

    @torch.no_grad()
    def settle(self, loss: Loss, rows: Sequences) -> None:
        """Set the weight of `alpha` to the one with the least mean loss of these rows.

        A gradient step moves a logit by about the learning rate, too little to get anywhere; for
        `log-mse` the result is the least-squares share, between 0.001 and 0.999.
        """
        if self.form != "alpha" or isinstance(self.mix, nn.Linear):
            return
        given, own = (part.to("cpu", torch.float64) for part in self.parts(rows)[:2])
        truth = rows.truth.to(own)

        def mean(weight: float) -> float:
            return float(loss(weight * given + (1.0 - weight) * own, truth).mean())

        found = _lowest(mean, _LEAST, _MOST)
        self.mix.fill_(math.log(found / (1.0 - found)))


def _lowest(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a loss with one dip between low and high is least, by golden section."""
    for _ in range(_CUTS):
        step = _GOLDEN * (high - low)
        if loss(high - step) < loss(low + step):
            high = low + step
        else:
            low = high - step
    return 0.5 * (low + high)
