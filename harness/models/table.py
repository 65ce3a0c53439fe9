"""The kinds of model that can be named in a hypothesis, and the parameters each takes.

Light on purpose: a hypothesis is checked against this table without importing any model, so
that a run pays only for the libraries of the models it uses.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Kind:
    """A kind of model: where its class is, its parameters, what it does and its source.

    `scopes` are for whom it can be fitted, the first one unless a hypothesis says so: `pooled`
    (one fit for all symbols), `effects` (shared slopes, own intercepts) or `asset` (each alone).
    `periods` says that it reads the target's measure from decision to decision (Task.variance).
    """

    name: str
    target: str
    params: type[Params]
    summary: str
    source: str
    scopes: tuple[str, ...] = ("pooled", "asset")
    periods: bool = False


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
    )
}
