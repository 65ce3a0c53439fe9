"""Models that learn from another panel before their fits: their protocol, what a lesson leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from harness.models.protocol import Forecaster, ModelError
from harness.samples.splits import in_stages
from harness.types import F64, I64, FitTime, Rows, Samples


@dataclass(frozen=True)
class PretrainedWeights:
    """What was learned from a source: weights by name, epochs run and the one kept (from 1).

    Losses after every epoch: of training, and of the source's rows held out.
    """

    weights: Mapping[str, np.ndarray]
    epochs: int
    best: int
    train_loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()

    def words(self) -> dict[str, Any]:
        """All but the weights, as plain JSON values."""
        losses = {"train_loss": self.train_loss, "validation_loss": self.validation_loss}
        own = {key: list(values) for key, values in losses.items() if values}
        return {"epochs": self.epochs, "best": self.best, **own}

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray], words: Mapping[str, Any]) -> Self:
        """From its weights and what `words` gave."""
        losses = {key: tuple(v) for key, v in words.items() if isinstance(v, list)}
        return cls(weights, **{**words, **losses})


@runtime_checkable
class PretrainedModel(Protocol):
    """A model whose fits begin with what it learned from a source panel."""

    @property
    def features(self) -> tuple[str, ...]:
        """As of Forecaster."""
        ...

    @property
    def look_back(self) -> int:
        """As of Forecaster."""
        ...

    @property
    def learns(self) -> bool:
        """Whether it wants a lesson, as it is set."""
        ...

    @property
    def holds_out(self) -> bool:
        """Whether a part of the course is to be held out to stop early on."""
        ...

    @property
    def subject(self) -> str:
        """All parameters that a lesson depends on, in words: who shares them shares lessons."""
        ...

    def made_by(self) -> Mapping[str, str]:
        """As of Kept."""
        ...

    def pretrained(self, pretraining_rows: PretrainingRows, *, seed: int = 0) -> PretrainedWeights:
        """What the course teaches; ModelError where it teaches nothing."""
        ...

    def after(self, pretrained: PretrainedWeights) -> Self:
        """The unfitted model, whose fits will begin with this lesson."""
        ...


class PretrainedForecaster(PretrainedModel, Forecaster, Protocol):
    """Such a model with all that the walk asks of one; only for the type checker.

    Whether a model has `coefficients` is not asked of one that is not fitted: a plug-in's may fail.
    """


@runtime_checkable
class TimedPretraining(Protocol):
    """A pupil that says what its lessons will take."""

    def pretraining_time(self, pretraining_rows: PretrainingRows) -> FitTime:
        """Seconds of one lesson, by timing a few steps."""
        ...


HELD_OUT = 1.0 / 3.0
_FEWEST = 30  # rows on either side: fewer teach nothing


@dataclass(frozen=True)
class PretrainingRows:
    """The source's rows for one fit, with targets: those to train on and those held out, if any."""

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
    """What a fit with this `limit` (cut - embargo, UTC ns) may be taught.

    ModelError where too few rows had resolved by then.
    """
    train, held_out = known(source, limit, embargo, holds_out=holds_out)
    if min(train.size, held_out.size if holds_out else train.size) < _FEWEST:
        apart = f" and {held_out.size} to hold out" if holds_out else ""
        raise ModelError(
            f"the source panel has {train.size} rows to learn from{apart} that were known at the "
            f"fit, of {_FEWEST} at least"
        )
    rows = source.rows.columns(features)
    return PretrainingRows(
        rows.take(train), source.y[train], rows.take(held_out), source.y[held_out], source.symbols
    )


def known(source: Samples, limit: int, embargo: int, *, holds_out: bool = True) -> tuple[I64, I64]:
    """Positions of the rows to train on and of those held out, all resolved by `limit`."""
    there = np.flatnonzero(source.resolved_at <= limit)
    if not (there.size and holds_out):
        return there, there[:0]
    return in_stages(source, there, 1.0 - HELD_OUT, embargo)
