"""Recurrent encoders, and the pooling that goes with them."""

from __future__ import annotations

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
