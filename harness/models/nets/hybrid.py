"""Nets that combine a given linear forecast with their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.models.nets.sequence import head

REGIMES = 3  # calm, usual, turbulent


class HybridNet(nn.Module):
    """Combines an encoder's forecast g of a sequence with a linear model's forecast f.

    With h the pooled state and c the linear model's features:

    * `alpha`: a f + (1 - a) g, with one learned number a in (0, 1), initially 1/2.
    * `dynamic`: the same with a = sigmoid(w' [h; c] + b) for every sequence.
    * `residual`: f + g, with g initially 0.
    * `regimes`: f + sum_k p_k g_k over three regimes, p = softmax(W [h; c] + b), g initially 0.

    Inputs are sequences (b, L, p + 1 + k): p features of every step, then f and the k numbers of c,
    which are read from the last step alone.
    """

    mix: nn.Parameter | nn.Linear  # in every form but `residual`

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
        outputs = REGIMES if form == "regimes" else 1
        self.dropout, self.output = nn.Dropout(dropout), head((width, *hidden, outputs))
        if form == "alpha":
            self.mix = nn.Parameter(torch.zeros(()))
        elif form in ("dynamic", "regimes"):
            self.mix = nn.Linear(width + context, outputs)
        if form in ("residual", "regimes"):
            last = self.output[-1] if isinstance(self.output, nn.Sequential) else self.output
            assert isinstance(last, nn.Linear), "a head ends in a linear layer"
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outputs (b,), and the form's weights, if any: a (b, 1), or p (b, 3)."""
        past, given = x[..., : self.features], x[:, -1, self.features]
        context = x[:, -1, self.features + 1 :]
        state = self.dropout(self.pooling(self.encoder(past))[0])
        own = self.output(state)
        if self.form == "residual":
            return given + own.squeeze(-1), None
        if isinstance(self.mix, nn.Parameter):
            weight = torch.sigmoid(self.mix).expand(len(x))
        else:
            gate = self.mix(torch.cat((state, context), dim=1))
            if self.form == "regimes":
                likely = torch.softmax(gate, dim=1)
                return given + (likely * own).sum(dim=1), likely
            weight = torch.sigmoid(gate).squeeze(-1)
        return weight * given + (1.0 - weight) * own.squeeze(-1), weight[:, None]
