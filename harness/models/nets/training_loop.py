"""The training loop of nets over sequences: Adam, early stopping, the best weights are kept.

Sequences are stored as their steps, and a batch is gathered from them. All randomness comes from
the seed, torch runs on one thread, and the same rows give the same bytes.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from harness.models.nets.losses import Loss
from harness.models.nets.schedule import Schedule
from harness.models.protocol import ModelError, cut_short
from harness.types import F64, I64, FitTime

CLIP = 1.0  # the largest norm of a batch's gradient
_SLOWER = 0.5  # factor of every learning rate on a plateau
BLOCK = 1_024  # sequences at a time without gradients
_TIMED = 3  # steps timed for an estimate
# Parts of torch's messages when memory runs out: CUDA and MPS, the CPU, cuBLAS and cuDNN.
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class Sequences:
    """n sequences on a device: steps (k, p), positions of each one's L steps (n, L), truth (n, q).

    All float32 except the positions. `truth` is what the loss needs of a row besides the output.
    """

    steps: Tensor
    places: Tensor
    truth: Tensor

    @classmethod
    def of(cls, steps: F64, places: I64, truth: F64, device: torch.device) -> Sequences:
        """From arrays."""
        return cls(
            torch.from_numpy(steps.astype(np.float32)).to(device),
            torch.from_numpy(places).to(device),
            torch.from_numpy(truth.astype(np.float32)).to(device),
        )

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (b, L, p) and truth (b, q) of the sequences at `rows` (b,)."""
        places = self.places.index_select(0, rows)
        flat = self.steps.index_select(0, places.reshape(-1))
        return flat.view(*places.shape, -1), self.truth.index_select(0, rows)


@dataclass(frozen=True)
class TrainingHistory:
    """The history of a training run: losses after each epoch, the best epoch, halved rates.

    Epochs count from 1, over all schedules; `best` is 0 if the weights before the first epoch are
    kept. Rates were halved after the epochs in `halved`. A training loss is the mean
    over the epoch's batches, while the weights changed, with dropout; a validation loss is of the
    weights after the epoch, without dropout. `part_weights` are, after each epoch, the net's own
    weights of its parts, if it has any, averaged over the held-out rows; `before` counts the epochs
    before the last schedule.
    """

    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    best: int
    halved: tuple[int, ...] = ()
    part_weights: tuple[tuple[float, ...], ...] = ()
    before: int = 0

    def cut_short(self, schedule: Schedule, key: str) -> tuple[str, ...]:
        """The key of the last schedule's epochs, if they ended it (protocol.cut_short)."""
        best, ran = self.best - self.before, len(self.train_loss) - self.before
        return cut_short(key, best, ran, schedule.epochs)


def choose_device(wanted: str) -> torch.device:
    """The device to train on. `auto`: CUDA or MPS if available, else the CPU.

    ModelError for `cuda` or `mps` if torch finds none: there is no silent fallback.
    """
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if wanted == "auto":
        return torch.device(next((name for name in ("cuda", "mps") if available[name]()), "cpu"))
    if wanted != "cpu" and not available[wanted]():
        raise ModelError(
            f"device: got '{wanted}', which torch does not find here, wanted 'cpu', or 'auto' for "
            "any available device"
        )
    return torch.device(wanted)


@cache
def _keep_memory() -> None:
    """Make glibc keep freed memory: returning it after every batch doubles an epoch's time."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)  # musl has none
        for option, size in ((-3, 2**30), (-1, 2**31 - 1), (-2, 2**28)):  # mmap, trim, top pad
            mallopt(option, size)


@contextmanager
def repeatable(seed: int, device: torch.device) -> Iterator[torch.Generator]:
    """Torch on one thread with deterministic kernels and seeded randomness (dropout, weights).

    Yields the generator of the batch order. The thread count stays at one afterwards: two threads
    that spin beside a busy process run many times slower than one. All other settings are restored.
    Running out of memory is a ModelError.
    """
    torch.set_num_threads(1)
    _keep_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA's sums in one order
    before = torch.are_deterministic_algorithms_enabled()
    deterministic: Any = torch.utils.deterministic  # torch has no types for this module
    filled = deterministic.fill_uninitialized_memory
    cuda = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _memory_in_words():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        deterministic.fill_uninitialized_memory = False  # it is never read, but costs time
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            deterministic.fill_uninitialized_memory = filled
            torch.use_deterministic_algorithms(before)


@contextmanager
def _memory_in_words() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in _NO_MEMORY):
            raise
        raise ModelError("out of memory: a smaller batch or width?") from error


def train(
    net: nn.Module,
    loss: Loss,
    rows: Sequences,
    validation: Sequences | None,
    schedules: Sequence[Schedule],
    order: torch.Generator,
    progress: Callable[[str], None],
    *,
    taught: bool = False,
) -> TrainingHistory:
    """Train the net in place by one schedule after the other, each from the best weights so far.

    It ends with the weights of the lowest validation loss of all schedules; of a net that was
    `taught` before, the weights that it comes with are among them. Without validation rows all
    epochs run at the same rates and the last weights stay. Frozen weights keep every bit, have no
    gradients, and stay frozen until the net is trained otherwise. ModelError names the epoch whose
    loss is not a number. ValueError for a rate under 0, for a rate of a part that the net does not
    have, or if all of the net is frozen.

    A net with `settle(loss, rows)` computes a number of its own after every epoch, from the
    held-out rows or without them from the training rows.
    """
    course = Course(net, sum(schedule.epochs for schedule in schedules))
    check = None if validation is None else lambda: mean_loss(net, loss, validation)
    held_out = rows if validation is None else validation
    if check is not None and taught:
        course.keep_if_better(check()[0])
    for schedule in schedules:
        optimiser = make_optimiser(net, schedule)
        epoch_of = partial(_epoch, net, loss, rows, held_out, schedule.batch, optimiser, order)
        run_epochs(course, optimiser, schedule, epoch_of, check, progress)
    return course.history


@dataclass
class Course:
    """A training run as it goes: the losses so far, the best weights, and `most` epochs in all."""

    net: nn.Module
    most: int
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    halved: list[int] = field(default_factory=list)
    part_weights: list[tuple[float, ...]] = field(default_factory=list)
    best: int = 0
    before: int = 0
    _lowest: float = math.inf
    _kept: dict[str, Any] | None = None

    @property
    def epoch(self) -> int:
        """The number of epochs run."""
        return len(self.train_loss)

    @property
    def history(self) -> TrainingHistory:
        """Its history."""
        train, validation = tuple(self.train_loss), tuple(self.validation_loss)
        halved, part_weights = tuple(self.halved), tuple(self.part_weights)
        return TrainingHistory(train, validation, self.best, halved, part_weights, self.before)

    def keep_if_better(self, validation_loss: float) -> None:
        """Keep the net's weights if this is their loss and no earlier one was as low."""
        if validation_loss < self._lowest:
            self.best, self._lowest = self.epoch, validation_loss
            self._kept = deepcopy(self.net.state_dict())

    def take_best(self) -> None:
        """Give the net the weights that are kept, if any."""
        if self._kept is not None:
            self.net.load_state_dict(self._kept)
        self.net.eval()


def run_epochs(
    course: Course,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    epoch_of: Callable[[], float],
    check: Callable[[], tuple[float, Tensor | None]] | None,
    progress: Callable[[str], None],
) -> None:
    """Run the course's next epochs by the schedule: early stopping, plateaus, the best weights.

    `epoch_of` trains for one epoch and gives its mean loss; `check` gives the loss and weights of
    the held-out rows, as `mean_loss` does; None without them. ModelError as of `train`.
    """
    before, plateau = course.epoch, None
    course.before = before
    if schedule.plateau is not None:
        plateau = ReduceLROnPlateau(optimiser, factor=_SLOWER, patience=schedule.plateau)
    for epoch in range(before + 1, before + schedule.epochs + 1):
        course.train_loss.append(epoch_of())
        shown = f"training {course.train_loss[-1]:.4g}"
        if check is not None:
            mean, weights = check()
            course.validation_loss.append(mean)
            if weights is not None:
                course.part_weights.append(tuple(weights.tolist()))
            shown = f"validation {mean:.4g}"
        if not math.isfinite(course.train_loss[-1] + sum(course.validation_loss[-1:])):
            raise ModelError(f"the loss of epoch {epoch} is not a number: a lower learning_rate?")
        progress(f"epoch {epoch} of {course.most}, {shown}")
        if check is None:
            course.best = epoch
            continue
        course.keep_if_better(mean)
        if epoch - max(course.best, before) >= schedule.patience:
            break
        if plateau is not None and _lowers(plateau, mean):
            course.halved.append(epoch)
    course.take_best()


def _lowers(plateau: ReduceLROnPlateau, loss: float) -> bool:
    """Whether this validation loss makes it lower the rates."""
    before = [group["lr"] for group in plateau.optimizer.param_groups]
    plateau.step(loss)
    return before != [group["lr"] for group in plateau.optimizer.param_groups]


def make_optimiser(net: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Adam over the weights that are not frozen, with one group per learning rate.

    ValueError as of `train`.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    unknown = set(schedule.rates)
    for name, weight in net.named_parameters():
        parts = [p for p in schedule.rates if name == p or name.startswith(p + ".")]
        unknown -= set(parts)
        rate = schedule.rates[max(parts, key=len)] if parts else schedule.learning_rate
        if not 0.0 <= rate < math.inf:
            raise ValueError(f"rates: got {rate:g} for {name}, wanted 0 or more")
        weight.requires_grad_(rate != 0.0)
        if rate != 0.0:
            groups.setdefault(rate, []).append(weight)
    if unknown:
        raise ValueError(f"rates: the net has no weights of {', '.join(sorted(unknown))}")
    if not groups:
        raise ValueError("rates: all of the net is frozen")
    return torch.optim.Adam(
        [{"params": weights, "lr": rate} for rate, weights in groups.items()],
        lr=schedule.learning_rate,
    )


def _epoch(
    net: nn.Module,
    loss: Loss,
    rows: Sequences,
    held_out: Sequences,
    size: int,
    optimiser: torch.optim.Optimizer,
    order: torch.Generator,
) -> float:
    """One pass over all rows in a new random order, then `settle`, if any; the mean loss."""
    net.train()
    device = rows.places.device
    shuffled = torch.randperm(len(rows), generator=order).to(device)
    total = torch.zeros((), dtype=torch.float64 if device.type != "mps" else None, device=device)
    for batch in shuffled.split(size):
        x, truth = rows.batch(batch)
        total += _step(net, loss, x, truth, optimiser) * len(batch)
    settle = getattr(net, "settle", None)
    if settle is not None:
        settle(loss, held_out)
    return float(total) / len(rows)


def _step(
    net: nn.Module, loss: Loss, x: Tensor, truth: Tensor, optimiser: torch.optim.Optimizer
) -> Tensor:
    net.zero_grad(set_to_none=True)  # also of parts frozen since: clipping sums all gradients
    mean = loss(net(x)[0], truth).mean()
    mean.backward()
    nn.utils.clip_grad_norm_(net.parameters(), CLIP)
    optimiser.step()
    return mean.detach()


@torch.no_grad()
def outputs(net: nn.Module, rows: Sequences) -> tuple[Tensor, Tensor | None]:
    """The net's outputs (n,), and the mean over rows of the weights (w,) that it gives, if any.

    All blocks have one size, the last one is padded: a sequence's output does not depend on how
    many sequences follow it.
    """
    net.eval()
    found, weighed = [], []
    places = torch.arange(-(-len(rows) // BLOCK) * BLOCK, device=rows.places.device)
    for block in places.clamp_max(len(rows) - 1).split(BLOCK):
        output, weights = net(rows.batch(block)[0])
        found.append(output)
        if weights is not None:
            weighed.append(weights)
    mean = torch.cat(weighed)[: len(rows)].mean(dim=0) if weighed else None
    return torch.cat(found)[: len(rows)], mean


def mean_loss(net: nn.Module, loss: Loss, rows: Sequences) -> tuple[float, Tensor | None]:
    """The net's mean loss without dropout, and the mean of its weights."""
    output, weights = outputs(net, rows)
    return float(loss(output, rows.truth).mean()), weights


def estimate(
    net: nn.Module, loss: Loss, rows: Sequences, schedule: Schedule, n: int, validation: int
) -> FitTime:
    """Seconds of training on n rows with `validation` held-out rows, by timing a few steps.

    `rows` are random rows, at least one batch. `most` is the time of all epochs; `typical` is the
    geometric mean of that and of patience + 1 epochs, since early stopping is not predictable. Both
    include the forecasts of all rows. The timing trains the net a little: pass a spare one.
    """
    optimiser = make_optimiser(net, schedule)
    batch = rows.batch(torch.arange(schedule.batch, device=rows.places.device))

    def step() -> None:
        _step(net, loss, *batch, optimiser).item()

    def forward() -> None:
        outputs(net, rows)

    per_step = _seconds(step)
    per_row = _seconds(forward) / (-(-len(rows) // BLOCK) * BLOCK)
    epoch = per_step * n / schedule.batch + per_row * validation
    most, after = schedule.epochs, per_row * (n + validation)
    fewest = min(schedule.patience + 1, most)
    return FitTime(epoch * math.sqrt(fewest * most) + after, epoch * most + after, epoch)


def _seconds(work: Callable[[], None]) -> float:
    """The median time of a few runs, after a warm-up."""
    work()
    taken = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[_TIMED // 2]
