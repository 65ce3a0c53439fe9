"""The parameters of each kind of model, as a hypothesis gives them; unknown ones are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from harness.toml.fields import REFIT_WANTED, Refit, Section

Device = Literal["auto", "cpu", "cuda", "mps"]
_CLASS_WANTED = "a regressor of scikit-learn by its full name, such as sklearn.linear_model.Ridge"


class Params(BaseModel):
    """Parameters of one kind of model; unknown ones are refused.

    `lists` are keys that hold a list of feature expressions, `expressions` those that hold one;
    `later` keys that came later, left out of a hypothesis' hash at their default, where they
    change nothing; `tables` keys that hold another model's table, with the parameters of each kind
    it may be of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    expressions: ClassVar[tuple[str, ...]] = ()
    lists: ClassVar[tuple[str, ...]] = ("features",)
    later: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[Mapping[str, Mapping[str, type[StageParams]]]] = {}

    @property
    def pretrains(self) -> bool:
        """Whether it wants rows of a [source] panel to learn from before its fits."""
        return False

    @property
    def made(self) -> tuple[str, ...]:
        """The expressions that the kind makes of those written, which must be readable too."""
        return ()

    @property
    def inner(self) -> Mapping[str, StageParams]:
        """The parameters of the models in its `tables`, by key."""
        return {key: getattr(self, key) for key in self.tables}

    def words(self) -> dict[str, Any]:
        """As plain JSON values, without later keys at their default."""
        fields = type(self).model_fields
        return {
            key: value
            for key, value in self.model_dump(mode="json", by_alias=True).items()
            if not (key in self.later and value == fields[key].default)
        } | {key: params.words() for key, params in self.inner.items()}


class StageParams(Params):
    """The parameters of a model inside another one: its table names its kind."""

    kind: str


class PersistenceParams(Params):
    """`persistence` takes no parameter."""


class MovingAverageParams(Params):
    """`moving-average`: `window`, how many periods from decision to decision."""

    window: int = Field(ge=1, le=10_000)


class EwmaParams(Params):
    """`ewma`: `decay`, the weight kept from one decision to the next.

    `rescale`: moved by the mean training residual; false is RiskMetrics' variance as it is.
    """

    later: ClassVar[tuple[str, ...]] = ("rescale",)
    decay: float = Field(default=0.94, gt=0.0, lt=1.0)
    rescale: bool = True


class OlsParams(Params):
    """`ols`: `features`, expressions over measures; `intercept`, on unless said otherwise.

    `insanity`: a forecast outside the training rows' range of the target becomes their mean.
    """

    later: ClassVar[tuple[str, ...]] = ("insanity",)
    features: list[str] = Field(min_length=1, max_length=200)
    intercept: bool = True
    insanity: bool = False


class WlsParams(OlsParams):
    """`wls`: as `ols`, and `weight`, an expression of a row's weight, > 0 in every training row."""

    expressions: ClassVar[tuple[str, ...]] = ("weight",)
    weight: str


class HarqParams(OlsParams):
    """`harq`: as `ols`, the day first, and `quarticity`, an expression of RQ in the day's unit².

    `centre`: the slope of the day is stated at sqrt(RQ) = the root of the training rows' mean RQ
    (`root-mean`) or at 0 (`none`); forecasts are the same.
    """

    expressions: ClassVar[tuple[str, ...]] = ("quarticity",)
    quarticity: str
    centre: Literal["root-mean", "none"] = "root-mean"

    @property
    def made(self) -> tuple[str, ...]:
        """The day times the root of its quarticity."""
        return (f"({self.features[0]}) * sqrt({self.quarticity})",)


class LogOlsParams(Params):
    """`log-ols`: features and intercept as of `ols`; `back`, the way from the logarithm.

    To the measure's median (`naive`), its mean (`smearing`) or the root of its mean square
    (`variance`), the one to take where a sigma stands for the variance of a return.
    """

    features: list[str] = Field(min_length=1, max_length=200)
    intercept: bool = True
    back: Literal["naive", "smearing", "variance"] = "smearing"


class GarchParams(Params):
    """`garch`, `gjr`, `egarch`: errors, start of the recursion, guard of the refits, level.

    `guard`: every so many windows the likelihood is climbed from five more starts; 0 for never
    after the first. `rescale`: forecasts are moved by the training rows' mean residual.
    """

    dist: Literal["normal", "t"] = "normal"
    backcast: Literal["arch", "sample"] = "arch"
    guard: int = Field(default=5, ge=0, le=10_000)
    rescale: bool = True


class ArfimaParams(Params):
    """`arfima`: `filter`, over how many decisions it looks back."""

    filter: int = Field(default=250, ge=10, le=10_000)


class RegressorParams(Params):
    """`sklearn`: `class`, a regressor of scikit-learn, and `params`, its own arguments.

    `standardise`: features less their training mean, over their training standard deviation.
    `sequence_length`: the features at the last so many decisions, each a column.
    """

    estimator: str = Field(alias="class", max_length=200, description=_CLASS_WANTED)
    features: list[str] = Field(min_length=1, max_length=200)
    params: dict[str, JsonValue] = Field(
        default_factory=dict, description="a table of the class's own arguments, JSON values"
    )
    standardise: bool = True
    sequence_length: int | None = Field(default=None, ge=1, le=1_000)


class BoostingParams(Params):
    """`lightgbm`: its own names; `early_stopping` rounds without gain on the validation rows."""

    features: list[str] = Field(min_length=1, max_length=200)
    objective: Literal["l2", "l1", "qlike"] = "l2"
    num_leaves: int = Field(default=31, ge=2, le=10_000)
    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    rounds: int = Field(default=200, ge=1, le=100_000)
    min_data_in_leaf: int = Field(default=20, ge=1, le=1_000_000)
    feature_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    bagging_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    early_stopping: int | None = Field(default=None, ge=1, le=100_000)


class RecurrentParams(Params):
    """`lstm` and `gru`: the net, its input, its loss and how it is trained.

    `patience`: epochs without a lower validation loss after which training ends.
    """

    features: list[str] = Field(min_length=1, max_length=200)
    sequence_length: int = Field(default=20, ge=1, le=1_000)
    layers: int = Field(default=2, ge=1, le=8)
    width: int = Field(default=64, ge=1, le=2_048)
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    attention: bool = False
    loss: Literal["qlike", "log-mse", "mse"] = "qlike"
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    batch: int = Field(default=256, ge=1, le=100_000)
    epochs: int = Field(default=100, ge=1, le=10_000)
    patience: int = Field(default=10, ge=1, le=10_000)
    standardise: Literal["pooled", "symbol"] = "pooled"
    device: Device = "auto"


class TransferParams(Params):
    """`transfer`: the net, what is learned beforehand, and how that is tuned to the panel.

    `lesson_` keys are of training on the source, and of `scratch`, which trains on the panel from
    random weights as a lesson would. `plateau`: epochs without gain after which the learning rate
    is halved.
    """

    features: list[str] = Field(min_length=1, max_length=200)
    strategy: Literal["scratch", "frozen", "full", "differential", "gradual", "aggressive"]
    sequence_length: int = Field(default=20, ge=1, le=1_000)
    layers: int = Field(default=3, ge=1, le=8)
    width: int = Field(default=64, ge=1, le=2_048)
    heads: int = Field(default=4, ge=1, le=64)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    loss: Literal["qlike", "log-mse", "mse"] = "log-mse"
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
        """All but training from scratch."""
        return self.strategy != "scratch"


class HybridParams(TransferParams):
    """`hybrid`: as `transfer`, and how its net and a HAR on the features `har` make one forecast.

    `form`: `alpha` weighs the two by one number that is learned, `dynamic` by one for every
    decision; `residual` adds the net to HAR, and `regimes` the mean of three such, by how likely
    each regime is. `strategy`: `scratch`, unless it learns from a source.
    """

    lists: ClassVar[tuple[str, ...]] = ("features", "har")
    har: list[str] = Field(min_length=1, max_length=200)
    form: Literal["alpha", "dynamic", "residual", "regimes"]
    strategy: Literal["scratch", "frozen", "full", "differential", "gradual", "aggressive"] = (
        "scratch"
    )


class TransvolParams(Params):
    """`transvol`: the net, its input, its loss and how it is trained.

    `factor` is c of ProbSparse, of whose L steps ceil(c ln L) attend; `window` the decisions of
    the moving average that is the trend; `plateau` as of `transfer`.
    """

    features: list[str] = Field(min_length=1, max_length=200)
    sequence_length: int = Field(default=60, ge=2, le=1_000)
    width: int = Field(default=32, ge=1, le=2_048)
    heads: int = Field(default=4, ge=1, le=64)
    encoder_layers: int = Field(default=2, ge=1, le=8)
    decoder_layers: int = Field(default=1, ge=1, le=8)
    factor: float = Field(default=5.0, gt=0.0, le=100.0)
    window: int = Field(default=5, ge=1, le=1_000)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    loss: Literal["qlike", "log-mse", "mse"] = "log-mse"
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    batch: int = Field(default=256, ge=1, le=100_000)
    epochs: int = Field(default=50, ge=1, le=10_000)
    patience: int = Field(default=10, ge=1, le=10_000)
    plateau: int | None = Field(default=5, ge=1, le=10_000)
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
    """`stacked`: `first`, the table of a model; the others are of the LightGBM that corrects it.

    `share`: of a fit's training rows in time those that the first stage may have; the second
    stage has the later ones.
    """

    tables: ClassVar[Mapping[str, Mapping[str, type[StageParams]]]] = {"first": FIRST}
    first: First
    features: list[str] = Field(min_length=1, max_length=200)
    share: float = Field(default=0.6, gt=0.0, lt=1.0)
    objective: Literal["l2", "l1"] = "l2"
    num_leaves: int = Field(default=31, ge=2, le=10_000)
    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    rounds: int = Field(default=200, ge=1, le=100_000)
    min_data_in_leaf: int = Field(default=20, ge=1, le=1_000_000)
    feature_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    bagging_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    early_stopping: int | None = Field(default=None, ge=1, le=100_000)

    @property
    def second(self) -> BoostingParams:
        """Those of the second stage alone."""
        return BoostingParams(**self.model_dump(exclude={"first", "share"}))


class DeepVolParams(Params):
    """`deepvol`: the universal net, what its mini-batches are, how long it is trained.

    `trains_on`: the [source] panel, from which it goes to the panel as it is, or the panel's own
    training rows. `sequence_length`: returns of a training stretch; all of a series without it.
    `portfolios`: the share of a batch that is artificial, each of `least_stocks` to `most_stocks`.
    An epoch is 50 batches. `patience`: epochs without a lower loss on what is held out after which
    training ends; without it nothing is held out. `rescale`: forecasts are moved by the mean
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
        """Where it is trained on a source."""
        return self.trains_on == "source"


class ModelKeys(Section):
    """What every `[models.NAME]` may say beside its kind's parameters."""

    scope: Literal["pooled", "effects", "asset"] | None = Field(
        default=None, description="pooled, effects or asset"
    )
    refit: Refit | None = Field(default=None, description=REFIT_WANTED)
