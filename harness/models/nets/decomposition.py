"""Series as a trend and what remains of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Decomposition(nn.Module):
    """A moving average over `window` steps, and the remainder; the series' ends are repeated.

    Centred as in the paper (an even window reaches one step further ahead than back), or with
    `causal` over the steps up to t. In a look-back window that ends at the decision every step is
    known, so that neither looks ahead; a net that reads a forecast off every step needs `causal`.
    Wu, Xu, Wang & Long (2021), NeurIPS, Autoformer, eq. 1. ValueError for a window under 1.
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
