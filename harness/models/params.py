"""The parameters of each kind of model in a hypothesis; unknown ones are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from harness.models.shared_params import (
    EVERY_LOSS,
    Loss,
    Losses,
)
from harness.models.shared_params import Params as Params
from harness.models.shared_params import StageParams as StageParams
from harness.models.shared_params import TrainingLoss as TrainingLoss
from harness.toml.fields import REFIT_WANTED, Refit, Section, whole

Batch = Annotated[int | Literal["auto"], whole(100_000, "auto")]
Epochs = Annotated[int | Literal["auto"], whole(10_000, "auto")]
# Stored runs from before the words have none.
EarlyStopping = Annotated[
    int | Literal["auto", "never"] | None, whole(100_000, "auto", "never", None)
]
Device = Literal["auto", "cpu", "cuda", "mps"]
_CLASS_WANTED = "a regressor of scikit-learn by its full name, such as sklearn.linear_model.Ridge"


class PersistenceParams(Params):
    """`persistence` takes no parameter."""


class MovingAverageParams(Params):
    """`moving-average`: `window`, the number of periods between forecast origins."""

    window: int = Field(ge=1, le=10_000)


class EwmaParams(Params):
    """`ewma`: `decay`, the weight of the past from one forecast origin to the next.

    `rescale`: forecasts corrected by the mean training residual; false: RiskMetrics' variance.
    """

    later: ClassVar[tuple[str, ...]] = ("rescale",)
    decay: float = Field(default=0.94, gt=0.0, lt=1.0)
    rescale: bool = True


class OlsParams(Params):
    """`ols`: `features`, expressions of measures; `intercept`, on by default.

    `insanity`: a forecast outside the range of the training targets becomes their mean.
    """

    later: ClassVar[tuple[str, ...]] = ("insanity",)
    features: list[str] = Field(min_length=1, max_length=200)
    intercept: bool = True
    insanity: bool = False


class WlsParams(OlsParams):
    """`wls`: as `ols`, and `weight`, the expression of row weights, > 0 in every training row."""

    expressions: ClassVar[tuple[str, ...]] = ("weight",)
    weight: str


class HarqParams(OlsParams):
    """`harq`: as `ols`, the daily feature first, and `quarticity`, RQ in the square of its unit.

    `centre`: the daily slope is reported at sqrt(RQ) = the root of the training rows' mean RQ
    (`root-mean`) or at 0 (`none`); forecasts are the same.
    """

    expressions: ClassVar[tuple[str, ...]] = ("quarticity",)
    quarticity: str
    centre: Literal["root-mean", "none"] = "root-mean"

    @property
    def made(self) -> tuple[str, ...]:
        """The daily feature times the root of its quarticity."""
        return (f"({self.features[0]}) * sqrt({self.quarticity})",)


class LogOlsParams(Params):
    """`log-ols`: features and intercept as of `ols`; `back`, the back-transformation.

    It gives the measure's median (`naive`), its mean (`smearing`) or the root of its mean square
    (`variance`): take the last if a sigma is to forecast the variance of a return.
    """

    features: list[str] = Field(min_length=1, max_length=200)
    intercept: bool = True
    back: Literal["naive", "smearing", "variance"] = "smearing"


class GarchParams(Params):
    """`garch`, `gjr`, `egarch`: errors, start of the recursion, guard of the refits, rescaling.

    `guard`: every this many windows the likelihood is maximised from five more starts; 0 means only
    in the first. `rescale`: forecasts are corrected by the mean training residual.
    """

    dist: Literal["normal", "t"] = "normal"
    backcast: Literal["arch", "sample"] = "arch"
    guard: int = Field(default=5, ge=0, le=10_000)
    rescale: bool = True


class ArfimaParams(Params):
    """`arfima`: `filter`, the number of forecast origins that it looks back on."""

    filter: int = Field(default=250, ge=10, le=10_000)


class RegressorParams(Params):
    """`sklearn`: `class`, a regressor of scikit-learn, and `params`, its arguments.

    `standardise`: features minus their training mean, over their training standard deviation.
    `sequence_length`: the features at this many last forecast origins, each a column.
    """

    estimator: str = Field(alias="class", max_length=200, description=_CLASS_WANTED)
    features: list[str] = Field(min_length=1, max_length=200)
    params: dict[str, JsonValue] = Field(
        default_factory=dict, description="a table of the class's own arguments, JSON values"
    )
    standardise: bool = True
    sequence_length: int | None = Field(default=None, ge=1, le=1_000)


class BoostingParams(Params):
    """`lightgbm`: LightGBM's names; `early_stopping`: rounds without gain on validation rows.

    `auto` stops after 30 where the walk holds rows out, and never where it does not.
    """

    fitting_losses: ClassVar[Losses] = {
        "objective": {"l2": EVERY_LOSS, "l1": ("log-mse", "mse"), "qlike": ("qlike",)}
    }
    features: list[str] = Field(min_length=1, max_length=200)
    objective: Literal["l2", "l1", "qlike"] = "l2"
    num_leaves: int = Field(default=15, ge=2, le=10_000)
    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    rounds: int = Field(default=200, ge=1, le=100_000)
    min_data_in_leaf: int = Field(default=20, ge=1, le=1_000_000)
    feature_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    bagging_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    early_stopping: EarlyStopping = "auto"


class NetParams(Params):
    """Parameters of a net over sequences: its loss may be `auto`."""

    fitting_losses: ClassVar[Losses] = {"loss": {loss: (loss,) for loss in EVERY_LOSS}}


class RecurrentParams(NetParams):
    """`lstm` and `gru`: the net, its input, its loss and how it is trained.

    `patience`: epochs without a lower validation loss after which training ends. `auto`: the loss
    that fits the verdict's metric; batch and epochs by the training rows (nets/schedule.py).
    """

    features: list[str] = Field(min_length=1, max_length=200)
    sequence_length: int = Field(default=20, ge=1, le=1_000)
    layers: int = Field(default=1, ge=1, le=8)
    width: int = Field(default=32, ge=1, le=2_048)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    attention: bool = False
    loss: Loss = "auto"
    learning_rate: float = Field(default=5e-3, gt=0.0, le=1.0)
    batch: Batch = "auto"
    epochs: Epochs = "auto"
    patience: int = Field(default=15, ge=1, le=10_000)
    standardise: Literal["pooled", "symbol"] = "pooled"
    device: Device = "auto"


class TransferParams(NetParams):
    """`transfer`: the net, its pretraining, and how it is fine-tuned on the panel.

    `lesson_` keys are those of pretraining on the source, and of `scratch`, which trains on the
    panel from random weights with the same settings. `plateau`: epochs without gain after which the
    learning rate is halved.
    """

    features: list[str] = Field(min_length=1, max_length=200)
    strategy: Literal["scratch", "frozen", "full", "differential", "gradual", "aggressive"]
    sequence_length: int = Field(default=20, ge=1, le=1_000)
    layers: int = Field(default=3, ge=1, le=8)
    width: int = Field(default=64, ge=1, le=2_048)
    heads: int = Field(default=4, ge=1, le=64)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    loss: Loss = "auto"
    learning_rate: float = Field(default=1e-4, gt=0.0, le=1.0)
    batch: int = Field(default=16, ge=1, le=100_000)
    epochs: int = Field(default=30, ge=1, le=10_000)
    lesson_learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    lesson_batch: int = Field(default=32, ge=1, le=100_000)
    lesson_epochs: int = Field(default=50, ge=1, le=10_000)
    patience: int = Field(default=10, ge=1, le=10_000)
    plateau: int | None = Field(default=5, ge=1, le=10_000)
    standardise: Literal["pooled", "symbol"] = "pooled"
    device: Device = "auto"

    @property
    def pretrains(self) -> bool:
        """True unless it is trained from scratch."""
        return self.strategy != "scratch"


class HybridParams(TransferParams):
    """`hybrid`: as `transfer`, and how its net is combined with a HAR on the features `har`.

    `form`: `alpha` weights the two by one number, `dynamic` by one per forecast origin;
    `residual` adds the net to HAR; `regimes` adds three such nets, weighted by the regimes'
    probabilities. `strategy`: `scratch`, or how it is fine-tuned after pretraining on a source.
    """

    lists: ClassVar[tuple[str, ...]] = ("features", "har")
    har: list[str] = Field(min_length=1, max_length=200)
    form: Literal["alpha", "dynamic", "residual", "regimes"]
    strategy: Literal["scratch", "frozen", "full", "differential", "gradual", "aggressive"] = (
        "scratch"
    )


class TransvolParams(NetParams):
    """`transvol`: the net, its input, its loss and how it is trained.

    `factor` is c of ProbSparse, in which ceil(c ln L) of L steps attend; `window` is the length of
    the moving average that is the trend, in forecast origins; `plateau` as of `transfer`.
    """

    features: list[str] = Field(min_length=1, max_length=200)
    sequence_length: int = Field(default=60, ge=2, le=1_000)
    width: int = Field(default=16, ge=1, le=2_048)
    heads: int = Field(default=2, ge=1, le=64)
    encoder_layers: int = Field(default=1, ge=1, le=8)
    decoder_layers: int = Field(default=1, ge=1, le=8)
    factor: float = Field(default=5.0, gt=0.0, le=100.0)
    window: int = Field(default=5, ge=1, le=1_000)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    loss: Loss = "auto"
    learning_rate: float = Field(default=5e-3, gt=0.0, le=1.0)
    batch: Batch = "auto"
    epochs: Epochs = "auto"
    patience: int = Field(default=15, ge=1, le=10_000)
    plateau: int | None = Field(default=8, ge=1, le=10_000)
    standardise: Literal["pooled", "symbol"] = "pooled"
    device: Device = "auto"


class FirstOls(StageParams, OlsParams):
    """`ols` as a first stage."""

    kind: Literal["ols"]


class FirstRecurrent(StageParams, RecurrentParams):
    """`lstm` or `gru` as a first stage."""

    kind: Literal["lstm", "gru"]


class FirstTransvol(StageParams, TransvolParams):
    """`transvol` as a first stage."""

    kind: Literal["transvol"]


FIRST: Mapping[str, type[StageParams]] = {
    "ols": FirstOls, "lstm": FirstRecurrent, "gru": FirstRecurrent, "transvol": FirstTransvol,
}  # fmt: skip
First = Annotated[FirstOls | FirstRecurrent | FirstTransvol, Field(discriminator="kind")]


class StackedParams(Params):
    """`stacked`: `first`, a model's table; the other keys are of the LightGBM that corrects it.

    `share`: the first stage gets this earlier share of a fit's training rows, the second stage the
    later rows.
    """

    tables: ClassVar[Mapping[str, Mapping[str, type[StageParams]]]] = {"first": FIRST}
    first: First
    features: list[str] = Field(min_length=1, max_length=200)
    share: float = Field(default=0.6, gt=0.0, lt=1.0)
    objective: Literal["l2", "l1"] = "l2"
    num_leaves: int = Field(default=15, ge=2, le=10_000)
    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    rounds: int = Field(default=200, ge=1, le=100_000)
    min_data_in_leaf: int = Field(default=20, ge=1, le=1_000_000)
    feature_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    bagging_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    early_stopping: EarlyStopping = "auto"

    @property
    def second(self) -> BoostingParams:
        """The parameters of the second stage."""
        return BoostingParams(**self.model_dump(exclude={"first", "share"}))


class DeepVolParams(Params):
    """`deepvol`: the universal net, its mini-batches, and its training.

    `trains_on`: the [source] panel, without fine-tuning on the hypothesis' panel, or that panel's
    own training rows. `sequence_length`: returns of a training stretch; without it whole series.
    `portfolios`: the share of a batch that are portfolios of `least_stocks` to `most_stocks`. An
    epoch is 50 batches. `patience`: epochs without a lower loss on held-out rows after which
    training ends; without it no rows are held out. `rescale`: forecasts are corrected by the mean
    residual of the panel's own training rows.
    """

    trains_on: Literal["source", "panel"] = "source"
    layers: int = Field(default=3, ge=1, le=8)
    width: int = Field(default=400, ge=1, le=2_048)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    sequence_length: int | None = Field(default=None, ge=10, le=100_000)
    batch: int = Field(default=64, ge=1, le=10_000)
    portfolios: float = Field(default=0.5, ge=0.0, le=1.0)
    least_stocks: int = Field(default=20, ge=1, le=10_000)
    most_stocks: int = Field(default=30, ge=1, le=10_000)
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    epochs: int = Field(default=20, ge=1, le=10_000)
    patience: int | None = Field(default=None, ge=1, le=10_000)
    rescale: bool = False
    device: Device = "auto"

    @property
    def pretrains(self) -> bool:
        """Whether it is trained on a source."""
        return self.trains_on == "source"


class ModelKeys(Section):
    """Keys that every `[models.NAME]` may have besides its kind's parameters."""

    scope: Literal["pooled", "effects", "asset"] | None = Field(
        default=None, description="pooled, effects or asset"
    )
    refit: Refit | None = Field(default=None, description=REFIT_WANTED)
