"""Parts of nets over sequences: encoders, what makes one state of many, losses. Torch modules.

An encoder takes (b, L, p) to (b, L, h); a pooling takes that to one state (b, h) and, where it
weighs the steps, their weights (b, L). A net is an encoder, a pooling and one linear output.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Recurrent(nn.Module):
    """Layers of LSTM or GRU cells, oldest step first, never bidirectional: step t sees 1 … t.

    Dropout acts between layers, as torch has it.
    """

    def __init__(self, cell: str, features: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        between = dropout if layers > 1 else 0.0
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.layers = kind(features, width, layers, batch_first=True, dropout=between)

    def forward(self, x: Tensor) -> Tensor:
        """States (b, L, h) of sequences (b, L, p)."""
        return self.layers(x)[0]


class LastState(nn.Module):
    """The state after the last step."""

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor | None]:
        """(b, L, h) -> (b, h), and no weights."""
        return states[:, -1], None


class Attention(nn.Module):
    """The mean of all states under weights softmax(v' tanh(W s + b)) over the steps.

    Additive attention: Bahdanau, Cho & Bengio (2015), ICLR, appendix A.1.2, without a query.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False)
        )

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor | None]:
        """(b, L, h) -> (b, h), and the weights (b, L), which sum to 1."""
        weights = torch.softmax(self.score(states).squeeze(-1), dim=1)
        return torch.bmm(weights.unsqueeze(1), states).squeeze(1), weights


class SequenceNet(nn.Module):
    """An encoder, a pooling, dropout, and one number per sequence."""

    def __init__(self, encoder: nn.Module, pooling: nn.Module, width: int, dropout: float) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, pooling
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outputs (b,) of sequences (b, L, p), and the weights (b, L) where steps have any."""
        state, weights = self.pooling(self.encoder(x))
        return self.output(self.dropout(state)).squeeze(-1), weights


# What a loss is told of each row beside the net's output: the columns of its truth (b, 4).
LOG_MEASURE, CENTRE, SPREAD, LOG_MEAN = range(4)
Loss = Callable[[Tensor, Tensor], Tensor]


class TargetLoss:
    """Loss per row (b,) of net outputs o (b,), in terms of the target's measure m > 0.

    The net's forecast g of ln m is centre + spread o for a log target, o being ln m standardised
    by the training rows; for a target in levels it is centre + ln softplus(o + a), centre the ln
    of m's training mean and softplus(a) = 1, so that an output of 0 is that mean. With e = ln m - g
    and c = 1 for a sigma, 1/2 for a variance (ln sigma = c ln m):

    * `qlike`: exp(2 c e) - 2 c e - 1, which is v/h - ln(v/h) - 1 of the variance v and its
      forecast h (Patton 2011, J. Econometrics 160).
    * `log-mse`: (c e)^2, squared error of ln sigma.
    * `mse`: (m - exp(g))^2 over the square of m's training mean, so without a unit.
    """

    def __init__(self, name: str, *, log_target: bool, per_log_sigma: float) -> None:
        self._loss = getattr(self, "_" + name.replace("-", "_"))
        self._log_target, self._c = log_target, per_log_sigma

    def __call__(self, output: Tensor, truth: Tensor) -> Tensor:
        """Outputs (b,), truth (b, 4): ln m, centre, spread, ln of m's training mean."""
        return self._loss(self.log_forecast(output, truth), truth)

    def log_forecast(self, output: Tensor, truth: Tensor) -> Tensor:
        """The forecast g of ln m (b,)."""
        if self._log_target:
            return truth[:, CENTRE] + truth[:, SPREAD] * output
        raised = nn.functional.softplus(output + _SOFTPLUS_ONE)
        return truth[:, CENTRE] + torch.log(raised.clamp_min(_LEAST))

    def _qlike(self, g: Tensor, truth: Tensor) -> Tensor:
        d = 2.0 * self._c * (truth[:, LOG_MEASURE] - g)
        return torch.exp(d) - d - 1.0

    def _log_mse(self, g: Tensor, truth: Tensor) -> Tensor:
        return torch.square(self._c * (truth[:, LOG_MEASURE] - g))

    def _mse(self, g: Tensor, truth: Tensor) -> Tensor:
        unit = truth[:, LOG_MEAN]
        return torch.square(torch.exp(truth[:, LOG_MEASURE] - unit) - torch.exp(g - unit))


_SOFTPLUS_ONE = 0.541324854612918  # ln(e - 1)
_LEAST = 1e-30  # softplus of a very negative output is 0 in single precision
