"""What a net is trained to make small: losses per row, in the target's terms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

# What a loss is told of each row beside the net's output: the columns of its truth (b, 4).
LOG_MEASURE, CENTRE, SPREAD, LOG_MEAN = range(4)
Loss = Callable[[Tensor, Tensor], Tensor]
_SOFTPLUS_ONE = 0.541324854612918  # ln(e - 1)
_LEAST = 1e-30  # softplus of a very negative output is 0 in single precision


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
