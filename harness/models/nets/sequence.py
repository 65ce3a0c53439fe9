"""A net over sequences, composed of an encoder, a pooling and a head."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class SequenceNet(nn.Module):
    """An encoder, a pooling, dropout, and a head: one or several numbers per sequence.

    The head is one linear layer of the pooled state, or several through the widths `hidden`, each
    but the last followed by max(0, .).
    """

    def __init__(
        self,
        encoder: nn.Module,
        pooling: nn.Module,
        width: int,
        dropout: float,
        *,
        hidden: tuple[int, ...] = (),
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, pooling
        self.dropout, self.output = nn.Dropout(dropout), head((width, *hidden, outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outputs of sequences (b, L, p), and the weights (b, L) of the steps, if any.

        Outputs are (b,), or (b, q) for a net with q > 1 outputs.
        """
        state, weights = self.pooling(self.encoder(x))
        return self.output(self.dropout(state)).squeeze(-1), weights


def head(widths: tuple[int, ...]) -> nn.Module:
    """Linear layers from each width to the next, with a ReLU between two."""
    first, *others = (nn.Linear(*pair) for pair in pairwise(widths))
    if not others:
        return first
    return nn.Sequential(first, *(part for layer in others for part in (nn.ReLU(), layer)))


class Recurrent(nn.Module):
    """Layers of LSTM or GRU cells, oldest step first, never bidirectional: step t sees 1 … t.

    Dropout acts between layers, as in torch.
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
