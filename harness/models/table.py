"""The kinds of model that can be named in a hypothesis, and the parameters each takes.

Light on purpose: a hypothesis is checked against this table without importing any model, so
that a run pays only for the libraries of the models it uses.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_CLASS_WANTED = "a regressor of scikit-learn by its full name, such as sklearn.linear_model.Ridge"


class Params(BaseModel):
    """Parameters of one kind of model; unknown ones are refused.

    `expressions` are keys that hold one feature expression each, beside `features`; `later` keys
    that came later, left out of a hypothesis' hash at their default, where they change nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    expressions: ClassVar[tuple[str, ...]] = ()
    later: ClassVar[tuple[str, ...]] = ()

    @property
    def made(self) -> tuple[str, ...]:
        """The expressions that the kind makes of those written, which must be readable too."""
        return ()

    def words(self) -> dict[str, Any]:
        """As plain JSON values, without later keys at their default."""
        fields = type(self).model_fields
        return {
            key: value
            for key, value in self.model_dump(mode="json", by_alias=True).items()
            if not (key in self.later and value == fields[key].default)
        }


class PersistenceParams(Params):
    """`persistence` takes no parameter."""


class MovingAverageParams(Params):
    """`moving-average`: `window`, how many periods from decision to decision."""

    window: int = Field(ge=1, le=10_000)


class EwmaParams(Params):
    """`ewma`: `decay`, the weight kept from one decision to the next."""

    decay: float = Field(default=0.94, gt=0.0, lt=1.0)


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
    """`log-ols`: features and intercept as of `ols`; `back`, the way from the logarithm."""

    features: list[str] = Field(min_length=1, max_length=200)
    intercept: bool = True
    back: Literal["naive", "smearing"] = "smearing"


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
    device: Literal["auto", "cpu"] = "auto"


@dataclass(frozen=True)
class Mistake:
    """What a kind's library does not take: where in the parameters, what was wanted, nearest."""

    place: tuple[str, ...]
    wanted: str
    got: object = None
    nearest: str | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of model: where its class is, its parameters, what it does and its source.

    `scopes` are for whom it can be fitted, the first one unless a hypothesis says so: `pooled`
    (one fit for all symbols), `effects` (shared slopes, own intercepts) or `asset` (each alone).
    `periods` says that it reads the target's measure from decision to decision (Task.variance).
    `stepwise` are the measures it reads from decision to decision, beside the target's.
    `check` is a function of its parameters that yields what is wrong with them beyond their
    types, for kinds where only the library can say so.
    """

    name: str
    target: str
    params: type[Params]
    summary: str
    source: str
    scopes: tuple[str, ...] = ("pooled", "asset")
    periods: bool = False
    stepwise: tuple[str, ...] = ()
    check: str | None = None

    def mistakes(self, params: Params) -> Iterable[Mistake]:
        """What the kind's library does not take; it is imported here where it is asked."""
        if self.check is None:
            return ()
        module, _, name = self.check.partition(":")
        return getattr(importlib.import_module(module), name)(params)


# What fits count of themselves (Training.notes), for the card.
NOTES = {
    "insane": "forecasts outside the training rows' range of the target, replaced by their mean",
    "guarded": "climbed from further starts on schedule",
    "rescued": "another start did better than the fit before",
    "fallback": "further starts tried because the climb from the fit before did not converge",
}

KINDS: dict[str, Kind] = {
    k.name: k
    for k in (
        Kind(
            "persistence",
            "harness.models.naive:Persistence",
            PersistenceParams,
            "the target's own measure over the last horizon, unchanged",
            "random walk",
        ),
        Kind(
            "moving-average",
            "harness.models.naive:MovingAverage",
            MovingAverageParams,
            "mean variance of the last `window` periods from decision to decision, put on the "
            "target's scale and moved by the mean training residual",
            "simple moving average",
            periods=True,
        ),
        Kind(
            "ewma",
            "harness.models.naive:Ewma",
            EwmaParams,
            "exponentially weighted variance of the periods from decision to decision, put on the "
            "target's scale and moved by the mean training residual",
            "RiskMetrics Technical Document (1996), section 5.2",
            periods=True,
        ),
        Kind(
            "ols",
            "harness.models.linear:Ols",
            OlsParams,
            "least squares of the target on feature expressions: HAR-RV and every variant",
            "Corsi (2009), J. Financial Econometrics 7, eq. 9",
            ("pooled", "effects", "asset"),
        ),
        Kind(
            "wls",
            "harness.models.har:Wls",
            WlsParams,
            "least squares weighted row by row with `weight`, such as one over the fitted or the "
            "current variance, so that turbulent days, whose errors are larger, count for less",
            "Patton & Sheppard (2015), Rev. Economics & Statistics 97",
        ),
        Kind(
            "harq",
            "harness.models.har:Harq",
            HarqParams,
            "least squares on `features` and the first of them, the day, times the root of "
            "`quarticity`: a day measured with much error counts for less. The day's slope is "
            "stated at the root of the training rows' mean quarticity, or at none (`centre`)",
            "Bollerslev, Patton & Quaedvlieg (2016), J. Econometrics 192",
            ("pooled", "effects", "asset"),
        ),
        Kind(
            "log-ols",
            "harness.models.log_linear:LogOls",
            LogOlsParams,
            "least squares of the logarithm of a target in levels, beside models of the level; "
            "`back`: exp of its forecast (`naive`), or that times the mean exp of the training "
            "residuals (`smearing`)",
            "Corsi (2009), J. Financial Econometrics 7; Duan (1983), JASA 78, eq. 2.1",
        ),
        Kind(
            "garch",
            "harness.models.garch:Garch",
            GarchParams,
            "GARCH(1,1), constant mean, by maximum likelihood on a symbol's log returns from "
            "decision to decision over its training rows; the variance runs on through every "
            "later return. Its mean over the horizon is put on the target's scale and, with "
            "`rescale`, moved by the mean training residual (a factor to a level), since returns "
            "hold the overnight move that a target such as gk leaves out",
            "Bollerslev (1986), J. Econometrics 31, section 2; t errors: Bollerslev (1987), Rev. "
            "Economics & Statistics 69",
            scopes=("asset",),
            stepwise=("ret",),
        ),
        Kind(
            "gjr",
            "harness.models.garch:Gjr",
            GarchParams,
            "like garch, a fall adding more variance than a rise",
            "Glosten, Jagannathan & Runkle (1993), J. Finance 48",
            scopes=("asset",),
            stepwise=("ret",),
        ),
        Kind(
            "egarch",
            "harness.models.garch:Egarch",
            GarchParams,
            "like garch, of the log variance, with a leverage term; its mean over a horizon is "
            "that of 4,000 simulated paths, seeded by run.seed",
            "Nelson (1991), Econometrica 59, eq. 2.1",
            scopes=("asset",),
            stepwise=("ret",),
        ),
        Kind(
            "arfima",
            "harness.models.arfima:Arfima",
            ArfimaParams,
            "ARFIMA(1,d,0) of the log sigma from decision to decision: d by local Whittle on the "
            "training rows (the lowest n^0.65 frequencies), AR(1) by least squares on the "
            "differenced series, both filters cut at `filter` decisions, fitted per symbol; the "
            "mean of the variances exp(2 f) of every step of the horizon, put on the target's "
            "scale and moved by the mean training residual",
            "Granger & Joyeux (1980), J. Time Series Analysis 1; Robinson (1995), Annals of "
            "Statistics 23, eq. 3.2",
            scopes=("asset",),
            periods=True,
        ),
        Kind(
            "sklearn",
            "harness.models.regressors:Regressor",
            RegressorParams,
            "any regressor of scikit-learn's linear_model, ensemble, svm, neighbors, "
            "neural_network, tree, kernel_ridge or gaussian_process, named by its `class`, with "
            "its own arguments in `params`; it sees features standardised by the training rows "
            "and the target as it is; the seed is the run's, the thread one",
            "Pedregosa et al. (2011), J. Machine Learning Research 12",
            check="harness.models.regressors:mistakes",
        ),
        Kind(
            "lightgbm",
            "harness.models.boosting:LightGbm",
            BoostingParams,
            "gradient boosted trees; `l2` and `l1` on the target's scale, `qlike` the QLIKE of "
            "the variance whatever that scale; a fit states each feature's share of the gain; "
            "with `early_stopping` the best round on the validation rows is kept",
            "Ke et al. (2017), Advances in Neural Information Processing Systems 30",
        ),
        *(
            Kind(
                name,
                f"harness.models.recurrent:{title}",
                RecurrentParams,
                f"{what} over the features at the last `sequence_length` decisions, oldest "
                "first, `dropout` between layers and before the output, with `attention` a "
                "softmax-weighted mean of all steps instead of the last; trained by Adam, the "
                "epoch with the least validation loss is kept; needs torch",
                source,
            )
            for name, title, what, source in (
                (
                    "lstm",
                    "Lstm",
                    "long short-term memory",
                    "Hochreiter & Schmidhuber (1997), Neural Computation 9, with forget gates: "
                    "Gers, Schmidhuber & Cummins (2000), Neural Computation 12",
                ),
                (
                    "gru",
                    "Gru",
                    "gated recurrent units",
                    "Cho et al. (2014), EMNLP, section 2.3",
                ),
            )
        ),
    )
}
