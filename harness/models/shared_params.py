"""What the parameters of every kind of model share, and what `auto` stands for in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict

TrainingLoss = Literal["qlike", "log-mse", "mse"]
Loss = Literal["auto", "qlike", "log-mse", "mse"]
Losses = Mapping[str, Mapping[str, tuple[TrainingLoss, ...]]]
EVERY_LOSS: tuple[TrainingLoss, ...] = get_args(TrainingLoss)
_STOPPING = 30  # rounds without gain


class Params(BaseModel):
    """Parameters of one kind of model; unknown ones are refused.

    `lists` are keys with a list of feature expressions, `expressions` keys with one; `later` are
    keys of later versions, left out of a hypothesis' hash at their default, which changes nothing;
    `tables` are keys with another model's table, and the parameters of each kind that it may have.
    `fitting_losses` are keys of a training loss, with the words for it and the verdicts' losses
    that each of them fits: `auto` stands for the first that fits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    expressions: ClassVar[tuple[str, ...]] = ()
    lists: ClassVar[tuple[str, ...]] = ("features",)
    later: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[Mapping[str, Mapping[str, type[StageParams]]]] = {}
    fitting_losses: ClassVar[Losses] = {}

    @property
    def pretrains(self) -> bool:
        """Whether it is pretrained on rows of a [source] panel."""
        return False

    @property
    def made(self) -> tuple[str, ...]:
        """Expressions that the kind derives from those given; they are checked too."""
        return ()

    @property
    def inner(self) -> Mapping[str, StageParams]:
        """The parameters of the models in its `tables`, by key."""
        return {key: getattr(self, key) for key in self.tables}

    def for_task(self, loss: TrainingLoss, *, holds_out: bool) -> Self:
        """These parameters with what `auto` stands for, but for what depends on a fit's rows.

        `loss` fits the verdict's metric; `holds_out` says that the walk has rows to stop early on.
        """
        found: dict[str, object] = {
            key: next(word for word, fits in words.items() if loss in fits)
            for key, words in self.fitting_losses.items()
            if getattr(self, key) == "auto"
        }
        if getattr(self, "early_stopping", None) == "auto":
            found["early_stopping"] = _STOPPING if holds_out else "never"
        for key, inner in self.inner.items():
            # A first stage holds out rows of its own, whatever the walk does.
            found[key] = inner.for_task(loss, holds_out=True)
        return self.model_copy(update=found) if found else self

    def at_odds(self, losses: Collection[TrainingLoss]) -> dict[str, str]:
        """The stated losses that fit none of a verdict's, by key; `first.loss` of a stage."""
        own = {
            key: getattr(self, key) for key in self.fitting_losses if getattr(self, key) != "auto"
        }
        found = {
            key: word
            for key, word in own.items()
            if not set(losses).intersection(self.fitting_losses[key][word])
        }
        for key, params in self.inner.items():
            found |= {f"{key}.{k}": word for k, word in params.at_odds(losses).items()}
        return found

    def words(self) -> dict[str, Any]:
        """Plain JSON values, without `later` keys at their default."""
        fields = type(self).model_fields
        return {
            key: value
            for key, value in self.model_dump(mode="json", by_alias=True).items()
            if not (key in self.later and value == fields[key].default)
        } | {key: params.words() for key, params in self.inner.items()}


class StageParams(Params):
    """The parameters of a model inside another one: its table names its kind."""

    kind: str
