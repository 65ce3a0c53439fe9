"""A whole net over sequences, put together from its parts."""

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
        """Outputs of sequences (b, L, p), and the weights (b, L) where steps have any.

        Outputs are (b,), or (b, q) of a net with q > 1 of them.
        """
        state, weights = self.pooling(self.encoder(x))
        return self.output(self.dropout(state)).squeeze(-1), weights


def head(widths: tuple[int, ...]) -> nn.Module:
    """Linear layers from each width to the next, with a ReLU between two."""
    first, *others = (nn.Linear(*pair) for pair in pairwise(widths))
    if not others:
        return first
    return nn.Sequential(first, *(part for layer in others for part in (nn.ReLU(), layer)))
