"""An encoder and a decoder with attention and decomposition: one number from a look-back window.

The architecture is Autoformer's (Wu, Xu, Wang & Long 2021, NeurIPS, section 3.1): a decomposition
replaces the norm of other transformers, and the encoder keeps only remainders. Informer's
ProbSparse attention (Zhou et al. 2021, AAAI) replaces Autoformer's auto-correlation; sinusoids tell
attention the order of the steps. Three things differ, so that the recent level reaches the output
(docs/methods.md has the evidence): the decoder goes on from the last step instead of the mean, a
layer removes its trend once, at its end, and the output also reads the last step and all steps.

The look-back ends at the forecast origin: all its steps are known, so attention may go both ways.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.models.nets.attention import CrossAttention, Positions, ProbSparse

AHEAD = 4  # steps of the decoder after the last known one; the last gives the forecast


@dataclass(frozen=True)
class Shape:
    """The net's sizes: `width` of its states, heads, layers, `widening` of the feed-forward part.

    `factor` is ProbSparse's c, `window` the number of steps of the moving average.
    """

    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    factor: float
    window: int
    dropout: float
    widening: int = 2


class EncoderDecoder(nn.Module):
    """Sequences (b, L, p) of L >= 2 steps to one number each, the sum of three parts.

    `latest` and `line` are linear in the remainders and trends of the last step and of every step
    (DLinear: Zeng, Chen, Zhang & Xu 2023, AAAI, section 4); `line` starts from 0. `output` is a
    feed-forward part of the last step, the decoder's last state and the trends that it removed.
    Dropout acts inside encoder and decoder alone.

    The decoder starts from remainder and trend of the later half of the sequence (Informer's start
    token) and AHEAD steps more, which repeat the last one. Autoformer starts those from zeros and
    the sequence's mean.
    """

    def __init__(self, features: int, length: int, shape: Shape) -> None:
        super().__init__()
        self.token = length // 2
        self.split = Decomposition(shape.window)
        self.latest = nn.Linear(2 * features, 1)
        self.line = nn.Linear(2 * features * length, 1, bias=False)
        nn.init.zeros_(self.line.weight)
        self.embed = nn.Linear(features, shape.width)
        self.begin = nn.Linear(2 * features, shape.width)
        self.positions = Positions(length + AHEAD, shape.width)
        self.encoder = nn.Sequential(*(EncoderLayer(shape) for _ in range(shape.encoder_layers)))
        self.encoded = nn.LayerNorm(shape.width)
        self.decoder = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.decoder_layers))
        self.decoded = nn.LayerNorm(shape.width)
        inner = shape.widening * shape.width
        self.output = nn.Sequential(
            nn.Linear(2 * features + 2 * shape.width, inner), nn.GELU(), nn.Linear(inner, 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Outputs (b,) of sequences (b, L, p), and no weights of steps."""
        parts = torch.cat(self.split(x), dim=-1)
        found = torch.cat((parts[:, -1], self._attended(x, parts)), dim=-1)
        found = self.line(parts.flatten(1)) + self.latest(parts[:, -1]) + self.output(found)
        return found.squeeze(-1), None

    def _attended(self, x: Tensor, parts: Tensor) -> Tensor:
        """The decoder's last state and trend (b, 2h) of the steps and their remainder and trend."""
        states = self.encoded(self.encoder(self.positions(self.embed(x))))
        ahead = parts[:, -1:].expand(-1, AHEAD, -1)
        started = torch.cat((parts[:, -self.token :], ahead), dim=1)
        found, trend = self.positions(self.begin(started)), x.new_zeros(1)
        for layer in self.decoder:
            found, taken = layer(found, states)
            trend = trend + taken[:, -1]
        return torch.cat((self.decoded(found[:, -1]), trend), dim=-1)


class EncoderLayer(nn.Module):
    """ProbSparse self-attention and a feed-forward part, each added, then the trend removed.

    Autoformer removes it before the feed-forward part as well, which then cannot see the level.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention = ProbSparse(shape.width, shape.heads, shape.dropout, factor=shape.factor)
        self.forward_part = _feed_forward(shape)
        self.split, self.dropout = Decomposition(shape.window), nn.Dropout(shape.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(b, L, h) -> (b, L, h)."""
        x = x + self.dropout(self.attention(x))
        remainder, _ = self.split(x + self.forward_part(x))
        return remainder


class DecoderLayer(nn.Module):
    """Self-attention, attention to the encoder's states, a feed-forward part; the trend removed."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention = ProbSparse(shape.width, shape.heads, shape.dropout, factor=shape.factor)
        self.across = CrossAttention(shape.width, shape.heads, shape.dropout)
        self.forward_part = _feed_forward(shape)
        self.split, self.dropout = Decomposition(shape.window), nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """(b, l, h) and the encoder's (b, L, h) -> what remains and the trend, both (b, l, h)."""
        x = x + self.dropout(self.attention(x))
        x = x + self.dropout(self.across(x, states))
        return self.split(x + self.forward_part(x))


def _feed_forward(shape: Shape) -> nn.Module:
    inner = shape.widening * shape.width
    return nn.Sequential(
        nn.Linear(shape.width, inner),
        nn.GELU(),
        nn.Dropout(shape.dropout),
        nn.Linear(inner, shape.width),
        nn.Dropout(shape.dropout),
    )


class Decomposition(nn.Module):
    """A moving average over `window` steps, and the remainder; the series' ends are repeated.

    Centred as in the paper (an even window reaches one step further ahead than back), or with
    `causal` over the steps up to t. In a look-back window that ends at the forecast origin every
    step is known, so neither looks ahead; a net with a forecast at every step needs `causal`. Wu,
    Xu, Wang & Long (2021), NeurIPS, Autoformer, eq. 1. ValueError for a window under 1.
    """

    def __init__(self, window: int, *, causal: bool = False) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window: got {window}, wanted 1 or more steps")
        self.before = window - 1 if causal else (window - 1) // 2
        self.after = window - 1 - self.before

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Remainder and trend (b, L, p) of series (b, L, p); their sum is x but for rounding."""
        first = x[:, :1].expand(-1, self.before, -1)
        last = x[:, -1:].expand(-1, self.after, -1)
        padded = torch.cat((first, x, last), dim=1).transpose(1, 2)
        window = self.before + 1 + self.after
        trend = nn.functional.avg_pool1d(padded, window, stride=1).transpose(1, 2)
        return x - trend, trend
