"""Protocol for models pretrained on a source panel, their training rows, the weights they save."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from harness.models.protocol import Forecaster, ModelError, cut_short
from harness.samples.splits import in_stages
from harness.types import F64, I64, FitTime, Rows, Samples


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights by name after pretraining, the epochs run, and the epoch whose weights these are.

    Epochs count from 1. Losses after every epoch: of training, and of the held-out source rows.
    """

    weights: Mapping[str, np.ndarray]
    epochs: int
    best: int
    train_loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()

    def cut_short(self, key: str, allowed: int) -> tuple[str, ...]:
        """The key that allows so many epochs, if they ended it (protocol.cut_short)."""
        return cut_short(key, self.best, self.epochs, allowed) if self.validation_loss else ()

    def words(self) -> dict[str, Any]:
        """Everything but the weights, as plain JSON values."""
        losses = {"train_loss": self.train_loss, "validation_loss": self.validation_loss}
        own = {key: list(values) for key, values in losses.items() if values}
        return {"epochs": self.epochs, "best": self.best, **own}

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray], words: Mapping[str, Any]) -> Self:
        """From weights and the result of `words`."""
        losses = {key: tuple(v) for key, v in words.items() if isinstance(v, list)}
        return cls(weights, **{**words, **losses})


@runtime_checkable
class PretrainedModel(Protocol):
    """A model whose fits start from weights pretrained on a source panel."""

    @property
    def features(self) -> tuple[str, ...]:
        """As of Forecaster."""
        ...

    @property
    def look_back(self) -> int:
        """As of Forecaster."""
        ...

    @property
    def wants_pretraining(self) -> bool:
        """Whether its parameters ask for pretraining."""
        ...

    @property
    def holds_out(self) -> bool:
        """Whether part of the source rows is held out for early stopping."""
        ...

    @property
    def pretraining_key(self) -> str:
        """All parameters that pretraining depends on, as text; equal keys share weights."""
        ...

    def made_by(self) -> Mapping[str, str]:
        """As of Kept."""
        ...

    def pretrained(self, pretraining_rows: PretrainingRows, *, seed: int = 0) -> PretrainedWeights:
        """The weights pretrained on these rows; ModelError if they do not allow it."""
        ...

    def with_pretrained(self, pretrained: PretrainedWeights) -> Self:
        """The unfitted model, whose fits will start from these weights."""
        ...


class PretrainedForecaster(PretrainedModel, Forecaster, Protocol):
    """A pretrained model with the whole Forecaster protocol; for the type checker only.

    Not runtime_checkable: that would read `coefficients` of unfitted plug-ins, which may fail.
    """


@runtime_checkable
class TimedPretraining(Protocol):
    """A pretrained model that estimates how long its pretraining takes."""

    def pretraining_time(self, pretraining_rows: PretrainingRows) -> FitTime:
        """Seconds of one pretraining run, by timing a few steps."""
        ...


HELD_OUT = 1.0 / 3.0
_FEWEST = 30  # training rows, and held-out rows, at least


@dataclass(frozen=True)
class PretrainingRows:
    """Source rows with targets for one fit: those to train on, and those held out, if any."""

    rows: Rows
    y: F64
    held_out: Rows
    held_out_y: F64
    symbols: tuple[str, ...]


def pretraining_rows(
    source: Samples,
    features: tuple[str, ...],
    limit: int,
    embargo: int,
    *,
    holds_out: bool = True,
) -> PretrainingRows:
    """Source rows whose targets had resolved by the fit's `limit` (cut - embargo, UTC ns).

    ModelError if there are too few.
    """
    train, held_out = known(source, limit, embargo, holds_out=holds_out)
    if min(train.size, held_out.size if holds_out else train.size) < _FEWEST:
        validation = f" and {held_out.size} held-out rows" if holds_out else ""
        raise ModelError(
            f"the source panel has {train.size} training rows{validation} resolved by the fit's "
            f"cutoff, wanted at least {_FEWEST}"
        )
    rows = source.rows.columns(features)
    return PretrainingRows(
        rows.take(train), source.y[train], rows.take(held_out), source.y[held_out], source.symbols
    )


def known(source: Samples, limit: int, embargo: int, *, holds_out: bool = True) -> tuple[I64, I64]:
    """Positions of the training rows and of the held-out rows, all resolved by `limit`."""
    resolved = np.flatnonzero(source.resolved_at <= limit)
    if not (resolved.size and holds_out):
        return resolved, resolved[:0]
    return in_stages(source, resolved, 1.0 - HELD_OUT, embargo)
