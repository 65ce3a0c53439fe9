"""A universal net of volatility: returns in, the next return's sigma out, at every step.

Liu, Tran, Wang, Gerlach & Kohn (2023), DeepVol, eqs 3 and 4 and Table 1. One net for every series:
layers of LSTM cells, whose state after the return of step t gives the sigma of step t + 1 through
softplus(.) + 1e-5. It is trained on the Gaussian likelihood of mini-batches of series, half of them
stocks, half random portfolios of stocks, redrawn for every batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from harness.measures.portfolios import draw_portfolio, portfolio_returns
from harness.models.nets import training_loop as loop
from harness.models.nets.losses import gaussian_nll
from harness.models.nets.schedule import Schedule
from harness.models.nets.sequence import Recurrent
from harness.models.protocol import ModelError
from harness.types import F64, FitTime

EPOCH = 50  # mini-batches in an epoch
FEWEST = 100  # returns that a series needs
_LEAST = 1e-5  # Table 1: softplus + 1e-5
_SOFTPLUS_ONE = math.log(math.e - 1.0)
_SERIES, _STEPS = 32, 256  # a block of forecasts: series, and steps of each
_DRAWS = 100  # portfolios drawn at most until one has enough common dates
_TIMED, _TRIED = 3, 100  # batches timed for an estimate, and steps of their series


class UniversalNet(nn.Module):
    """Causal layers of LSTM cells and a linear head; sigmas are about 1 before training."""

    def __init__(self, layers: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = Recurrent("lstm", 1, width, layers, dropout)
        self.output = nn.Linear(width, 1)
        nn.init.constant_(self.output.bias, _SOFTPLUS_ONE)

    def forward(
        self, returns: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Sigma (b, L) of the return after each of `returns` (b, L), and the state after them.

        Sigma is in the unit of the returns.
        """
        states, state = self.encoder.layers(returns.unsqueeze(-1), state)
        sigma = nn.functional.softplus(self.output(states).squeeze(-1)) + _LEAST
        return sigma, state


@dataclass(frozen=True)
class Batch:
    """Series of unequal length, the shorter ones padded with 0 at the end.

    `returns` (b, L) are the inputs, `following` (b, L) the returns one step later, `known` (b, L)
    is 1 where the following return counts in the loss.
    """

    returns: Tensor
    following: Tensor
    known: Tensor

    @classmethod
    def of(
        cls, series: Sequence[F64], device: torch.device, first: Sequence[int] | None = None
    ) -> Batch:
        """From series of 2 or more returns (n_i,); those from position first[i] on count, or all.

        The first return of a series never counts: nothing is known before it.
        """
        n, longest = len(series), max(s.size for s in series)
        values = np.zeros((n, longest), np.float32)
        known = np.zeros((n, longest - 1), np.float32)
        for i, s in enumerate(series):
            values[i, : s.size] = s
            begin = 0 if first is None else max(first[i] - 1, 0)
            known[i, begin : s.size - 1] = 1.0
        there = torch.from_numpy(values).to(device)
        return cls(there[:, :-1], there[:, 1:], torch.from_numpy(known).to(device))


def mean_nll(sigma: Tensor, batch: Batch) -> Tensor:
    """The mean negative Gaussian log-likelihood of returns that count (eq. 5, unequal lengths)."""
    each = gaussian_nll(sigma, batch.following)
    return torch.where(batch.known > 0, each, 0.0).sum() / batch.known.sum()


@dataclass(frozen=True)
class BatchDesign:
    """The design of mini-batches: `batch` series, the share `portfolios` of them portfolios.

    A portfolio has `least` to `most` stocks. From a series a stretch of `length` returns with a
    random start is taken, or all of it (None).
    """

    batch: int
    portfolios: float
    least: int
    most: int
    length: int | None


class Pool:
    """The stocks that mini-batches are drawn from: log returns (T, N) by date, NaN if unknown.

    Batches are in units of the root mean square of these returns. Stocks with fewer than FEWEST
    returns are left out. ModelError if none is left, if they are too few for a portfolio, or if all
    returns are 0.
    """

    def __init__(self, returns: F64, design: BatchDesign) -> None:
        counts = np.isfinite(returns).sum(axis=0)
        if not counts.size or counts.max() < FEWEST:
            longest = int(counts.max(initial=0))
            raise ModelError(
                f"series too short: the longest has {longest} returns, wanted {FEWEST} or more"
            )
        self.design, returns = design, returns[:, counts >= FEWEST]
        self.unit = float(np.sqrt(np.nanmean(np.square(returns))))
        if not self.unit > 0.0:
            raise ModelError("all returns are 0: no variance to model")
        self.stocks = [column[np.isfinite(column)] / self.unit for column in returns.T]
        self._simple = np.expm1(returns)
        self.artificial = round(design.batch * design.portfolios)
        if self.artificial and len(self.stocks) < design.most:
            raise ModelError(
                f"too few assets for a portfolio: {len(self.stocks)} with {FEWEST} returns or "
                f"more, wanted {design.most}"
            )

    def draw(self, rng: np.random.Generator) -> list[F64]:
        """The series of one mini-batch: stocks, none twice before all were drawn, and portfolios.

        ModelError if no drawn portfolio has enough dates at which all its members are known.
        """
        real, n = self.design.batch - self.artificial, len(self.stocks)
        orders = [rng.permutation(n) for _ in range(-(-real // n))]
        places = np.concatenate(orders)[:real] if orders else np.empty(0, np.int64)
        series = [self.stocks[int(k)] for k in places]
        series += [self._portfolio(rng) for _ in range(self.artificial)]
        return [self._stretch(s, rng) for s in series]

    def _portfolio(self, rng: np.random.Generator) -> F64:
        """The returns of a random portfolio at the dates at which all its members are known."""
        design = self.design
        for _ in range(_DRAWS):
            members, weights = draw_portfolio(rng, len(self.stocks), design.least, design.most)
            found = portfolio_returns(self._simple[:, members], weights)
            found = found[np.isfinite(found)]
            if found.size >= FEWEST:
                return np.log1p(found) / self.unit
        raise ModelError(
            f"none of {_DRAWS} portfolios of {design.least} to {design.most} assets has {FEWEST} "
            "dates at which all of them are known"
        )

    def _stretch(self, series: F64, rng: np.random.Generator) -> F64:
        wanted = self.design.length
        if wanted is None or series.size <= wanted + 1:
            return series
        begin = int(rng.integers(series.size - wanted))
        return series[begin : begin + wanted + 1]


@dataclass(frozen=True)
class HeldOut:
    """Series for the validation loss: the returns (n_i,) of each from position first[i] on."""

    series: Sequence[F64]
    first: Sequence[int]


def train(
    net: UniversalNet,
    pool: Pool,
    held_out: HeldOut | None,
    schedule: Schedule,
    seed: int,
    device: torch.device,
    progress: Callable[[str], None],
) -> loop.TrainingHistory:
    """Train the net in place, by epochs of EPOCH mini-batches; Adam at one rate.

    With `held_out` it stops after schedule.patience epochs without a lower loss there and ends with
    the weights of the lowest; without, it ends with the last weights. ModelError names the epoch
    whose loss is not a number.
    """
    rng = np.random.default_rng([seed, 1])
    optimiser = loop.make_optimiser(net, schedule)

    def epoch_of() -> float:
        net.train()
        found = [_step(net, Batch.of(pool.draw(rng), device), optimiser) for _ in range(EPOCH)]
        return float(torch.stack(found).mean())

    check = None if held_out is None else lambda: (_held_out_loss(net, held_out, device), None)
    course = loop.Course(net, schedule.epochs)
    loop.run_epochs(course, optimiser, schedule, epoch_of, check, progress)
    return course.history


def _step(net: UniversalNet, batch: Batch, optimiser: torch.optim.Optimizer) -> Tensor:
    net.zero_grad(set_to_none=True)
    mean = mean_nll(net(batch.returns)[0], batch)
    mean.backward()
    nn.utils.clip_grad_norm_(net.parameters(), loop.CLIP)
    optimiser.step()
    return mean.detach()


def _held_out_loss(net: UniversalNet, held_out: HeldOut, device: torch.device) -> float:
    """The mean loss of the held-out returns, with the state run through all returns before them."""
    total, count = 0.0, 0
    for s, sigma, first in zip(
        held_out.series, sigmas(net, held_out.series, device), held_out.first, strict=True
    ):
        begin = max(first - 1, 0)
        forecast, value = torch.from_numpy(sigma[begin:-1]), torch.from_numpy(s[begin + 1 :])
        total += float(gaussian_nll(forecast, value).sum())
        count += value.numel()
    return total / max(count, 1)


@torch.no_grad()
def sigmas(net: UniversalNet, series: Sequence[F64], device: torch.device) -> list[F64]:
    """The sigma after every return of each series (n_i,), with the state run from the first on.

    All blocks have the same number of series and steps, padded with 0: a step's result does not
    depend on later steps or on the other series.
    """
    net.eval()
    found: list[F64] = []
    for begin in range(0, len(series), _SERIES):
        group = series[begin : begin + _SERIES]
        chunks = -(-max(s.size for s in group) // _STEPS)
        values = np.zeros((_SERIES, chunks * _STEPS), np.float32)
        for i, s in enumerate(group):
            values[i, : s.size] = s
        state, parts = None, []
        for chunk in torch.from_numpy(values).to(device).split(_STEPS, dim=1):
            sigma, state = net(chunk.contiguous(), state)
            parts.append(sigma)
        whole = torch.cat(parts, dim=1).to("cpu", torch.float64).numpy()
        found += [whole[i, : s.size] for i, s in enumerate(group)]
    return found


def estimate(
    net: UniversalNet,
    design: BatchDesign,
    steps: int,
    schedule: Schedule,
    device: torch.device,
    *,
    forecasts: int,
) -> FitTime:
    """Seconds of training and of `forecasts` steps of forecasts, by timing a few mini-batches.

    The batches are of random series of `steps` returns. With 0 epochs only forecasts are counted.
    `typical` is the geometric mean of the fewest epochs before early stopping and of all. The
    timing trains the net a little: pass a spare one.
    """
    rng = np.random.default_rng(0)
    optimiser = loop.make_optimiser(net, schedule)
    tried = min(steps, _TRIED)  # time is linear in the steps
    batch = Batch.of([rng.standard_normal(tried + 1) for _ in range(design.batch)], device)
    block = [rng.standard_normal(_STEPS) for _ in range(_SERIES)]
    epoch = 0.0
    if schedule.epochs:
        per_batch = _seconds(lambda: _step(net, batch, optimiser).item()) * steps / tried
        epoch = EPOCH * per_batch
    after = _seconds(lambda: sigmas(net, block, device)) * forecasts / (_SERIES * _STEPS)
    most = epoch * schedule.epochs
    fewest = min(schedule.patience + 1, schedule.epochs) * epoch
    return FitTime(math.sqrt(fewest * most) + after, most + after, epoch)


def _seconds(work: Callable[[], object]) -> float:
    """The median time of a few runs, after a warm-up."""
    work()
    taken = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[_TIMED // 2]
