"""A whole net over sequences, put together from its parts."""

from __future__ import annotations

from torch import Tensor, nn


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
