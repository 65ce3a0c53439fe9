"""Models that learn from another panel before their fits: their protocol, what a lesson leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from harness.models.teaching import Course
from harness.types import FitTime


@dataclass(frozen=True)
class Lesson:
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
class Pupil(Protocol):
    """A model whose fits begin with what it learned from a source panel."""

    features: tuple[str, ...]
    look_back: int

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

    def lesson(self, course: Course, *, seed: int = 0) -> Lesson:
        """What the course teaches; ModelError where it teaches nothing."""
        ...

    def after(self, lesson: Lesson) -> Self:
        """The unfitted model, whose fits will begin with this lesson."""
        ...


@runtime_checkable
class TimedPupil(Protocol):
    """A pupil that says what its lessons will take."""

    def lesson_time(self, course: Course) -> FitTime:
        """Seconds of one lesson, by timing a few steps."""
        ...
