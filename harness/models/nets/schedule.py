"""How a net is trained: learning rates, batch, epochs, and what `auto` stands for by the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Size = int | Literal["auto"]
_STEPS_AN_EPOCH = 50  # at least, as long as a batch is not the smallest
_BATCHES = (16, 32, 64, 128, 256)
_STEPS = 10_000  # of all epochs together
_EPOCHS = (30, 100)


@dataclass(frozen=True)
class Schedule:
    """Adam's learning rate, batch size, maximum epochs, and epochs without gain before stopping.

    `plateau`: all rates are halved after more than this many epochs without gain, repeatedly, by
    torch's ReduceLROnPlateau, for which a gain lowers the loss by more than 0.01 %; at `patience`
    or above they never are. `rates`: learning rates of parts of the net by their names in torch
    (`encoder`, `encoder.layers`); the longest name that matches a weight counts; 0 freezes a part.
    """

    learning_rate: float
    batch: int
    epochs: int
    patience: int
    plateau: int | None = None
    rates: Mapping[str, float] = field(default_factory=dict)


def batch_for(batch: Size, n: int) -> int:
    """The batch; `auto`: the largest of _BATCHES with _STEPS_AN_EPOCH in an epoch of n rows."""
    if batch != "auto":
        return batch
    fits = [size for size in _BATCHES if n >= _STEPS_AN_EPOCH * size]
    return max(fits, default=_BATCHES[0])


def epochs_for(epochs: Size, batch: int, n: int) -> int:
    """The largest number of epochs; `auto`: as many as make _STEPS, within _EPOCHS."""
    if epochs != "auto":
        return epochs
    least, most = _EPOCHS
    return min(max(_STEPS * batch // max(n, 1), least), most)
