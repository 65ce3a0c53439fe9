"""The kinds of model that can be named in a hypothesis, and the parameters each takes.

Light on purpose: a hypothesis is checked against this table without importing any model, so
that a run pays only for the libraries of the models it uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Params(BaseModel):
    """Parameters of one kind of model; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PersistenceParams(Params):
    """`persistence` takes no parameter."""


class MovingAverageParams(Params):
    """`moving-average`: `window`, how many periods from decision to decision."""

    window: int = Field(ge=1, le=10_000)


class EwmaParams(Params):
    """`ewma`: `decay`, the weight kept from one decision to the next."""

    decay: float = Field(default=0.94, gt=0.0, lt=1.0)


class OlsParams(Params):
    """`ols`: `features`, expressions over measures; `intercept`, on unless said otherwise."""

    features: list[str] = Field(min_length=1, max_length=200)
    intercept: bool = True


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


@dataclass(frozen=True)
class Kind:
    """A kind of model: where its class is, its parameters, what it does and its source.

    `scopes` are for whom it can be fitted, the first one unless a hypothesis says so: `pooled`
    (one fit for all symbols), `effects` (shared slopes, own intercepts) or `asset` (each alone).
    `periods` says that it reads the target's measure from decision to decision (Task.variance).
    `stepwise` are the measures it reads from decision to decision, beside the target's.
    """

    name: str
    target: str
    params: type[Params]
    summary: str
    source: str
    scopes: tuple[str, ...] = ("pooled", "asset")
    periods: bool = False
    stepwise: tuple[str, ...] = ()


# What fits count of themselves (Training.notes), for the card.
NOTES = {
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
    )
}
