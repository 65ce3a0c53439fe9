"""Attention over the steps of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
