"""Where in its sequence a step stands, for encoders that do not know."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoids(length: int, width: int) -> Tensor:
    """sin and cos of t / 10000^(2i/width) in columns 2i and 2i + 1, t from 0: (length, width).

    Float64. Vaswani et al. (2017), NeurIPS, section 3.5.
    """
    step = torch.arange(length, dtype=torch.float64)[:, None]
    pair = torch.arange(0, width, 2, dtype=torch.float64)
    angle = step * torch.exp(-math.log(10_000.0) / width * pair)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width]


class Positions(nn.Module):
    """Adds its sinusoids to every step of sequences of at most `length` steps."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        table = sinusoids(length, width).to(torch.get_default_dtype())
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, L, h) -> (b, L, h)."""
        return x + self.table[: x.shape[1]]
