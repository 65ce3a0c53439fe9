"""Training losses per row, of the target or of a return.

The loop takes a `Loss` of a net's outputs and the rows' truth. The likelihoods and the pinball loss
are functions of forecast and outcome; a model says how its outputs give the forecast.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

# The columns of a row's truth (b, 4), which a loss gets besides the net's output.
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
        """Outputs (b,), truth (b, 4): ln m, centre, spread, ln of m's training mean.

        Of outputs (b, 2), a forecast and that of one of its parts, the value is the forecast's
        loss and the gradient that of the sum of both: the part learns by itself as well.
        """
        if output.ndim == 1:
            return self._loss(self.log_forecast(output, truth), truth)
        whole, part = (self(o, truth) for o in output.unbind(dim=1))
        return whole + part - part.detach()

    def log_forecast(self, output: Tensor, truth: Tensor) -> Tensor:
        """The forecast g of ln m (b,)."""
        if self._log_target:
            return truth[:, CENTRE] + truth[:, SPREAD] * output
        raised = nn.functional.softplus(output + _SOFTPLUS_ONE)
        return truth[:, CENTRE] + torch.log(raised.clamp_min(_LEAST))

    def output_of(self, log_forecast: Tensor, truth: Tensor) -> Tensor:
        """The output (b,) whose forecast of ln m is this: the inverse of `log_forecast`."""
        if self._log_target:
            return (log_forecast - truth[:, CENTRE]) / truth[:, SPREAD]
        raised = torch.exp(log_forecast - truth[:, CENTRE])
        # softplus is the identity in single precision long before expm1 runs over.
        inverse = torch.where(raised > 30.0, raised, torch.log(torch.expm1(raised.clamp_max(30.0))))
        return inverse - _SOFTPLUS_ONE

    def _qlike(self, g: Tensor, truth: Tensor) -> Tensor:
        d = 2.0 * self._c * (truth[:, LOG_MEASURE] - g)
        return torch.exp(d) - d - 1.0

    def _log_mse(self, g: Tensor, truth: Tensor) -> Tensor:
        return torch.square(self._c * (truth[:, LOG_MEASURE] - g))

    def _mse(self, g: Tensor, truth: Tensor) -> Tensor:
        unit = truth[:, LOG_MEAN]
        return torch.square(torch.exp(truth[:, LOG_MEASURE] - unit) - torch.exp(g - unit))


def gaussian_nll(sigma: Tensor, value: Tensor) -> Tensor:
    """-ln of the density at `value` of a normal law with mean 0 and standard deviation sigma > 0.

    ln(2 pi) / 2 + ln sigma + value^2 / (2 sigma^2) (b,), of both (b,) in one unit; another unit
    adds a constant.
    """
    return 0.5 * math.log(2.0 * math.pi) + torch.log(sigma) + 0.5 * torch.square(value / sigma)


def student_t_nll(sigma: Tensor, value: Tensor, dof: Tensor | float) -> Tensor:
    """-ln of the density at `value` of Student's t law with mean 0 and standard deviation sigma.

    Standardised: with n > 2 degrees of freedom its variance is sigma^2, not sigma^2 n / (n - 2):

        ln G(n/2) - ln G((n+1)/2) + ln(pi (n-2)) / 2 + ln sigma
          + (n+1)/2 ln(1 + value^2 / ((n-2) sigma^2)),  G the gamma function.

    Bollerslev (1987), Rev. Economics & Statistics 69. sigma > 0 and value (b,) in one unit; dof a
    number or a tensor that can be learned, () or (b,). ValueError where it is not over 2.
    """
    n = torch.as_tensor(dof, dtype=sigma.dtype, device=sigma.device)
    if not bool((n > 2.0).all()):
        raise ValueError(f"degrees of freedom: got {float(n.min()):g}, wanted more than 2")
    constant = torch.lgamma(0.5 * n) - torch.lgamma(0.5 * (n + 1.0))
    constant = constant + 0.5 * torch.log(math.pi * (n - 2.0))
    square = torch.square(value / sigma) / (n - 2.0)
    return constant + torch.log(sigma) + 0.5 * (n + 1.0) * torch.log1p(square)


def pinball(quantiles: Tensor, value: Tensor, levels: Tensor) -> Tensor:
    """The mean over levels a (q,) of max(a u, (a - 1) u), u = value - quantile at that level.

    Koenker & Bassett (1978), Econometrica 46. Quantiles (b, q) and value (b,) in one unit, which is
    that of the result (b,). ValueError where a level is not over 0 and under 1.
    """
    if not bool(((levels > 0.0) & (levels < 1.0)).all()):
        raise ValueError("levels: wanted each of them over 0 and under 1")
    short = value[:, None] - quantiles
    return torch.maximum(levels * short, (levels - 1.0) * short).mean(dim=1)
