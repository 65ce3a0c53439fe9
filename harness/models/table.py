"""The kinds of model that can be named in a hypothesis, and the parameters each takes.

Light on purpose: a hypothesis is checked against this table without importing any model, so
that a run pays only for the libraries of the models it uses.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.models.params import (
    ArfimaParams,
    BoostingParams,
    DeepVolParams,
    EwmaParams,
    GarchParams,
    HarqParams,
    HybridParams,
    LogOlsParams,
    MovingAverageParams,
    OlsParams,
    Params,
    PersistenceParams,
    RecurrentParams,
    RegressorParams,
    StackedParams,
    TransferParams,
    TransvolParams,
    WlsParams,
)


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
    `one_step` says that it forecasts up to the next decision and no further.
    `check` is a function of its parameters that yields what is wrong with them beyond their
    types. `flat` says that it forecasts one variance for all bars ahead, so for any part of them.
    """

    name: str
    target: str
    params: type[Params]
    summary: str
    source: str
    scopes: tuple[str, ...] = ("pooled", "asset")
    periods: bool = False
    stepwise: tuple[str, ...] = ()
    one_step: bool = False
    check: str | None = None
    flat: bool = False

    def mistakes(self, params: Params) -> Iterable[Mistake]:
        """What the kind's library does not take; it is imported here where it is asked."""
        if self.check is not None:
            module, _, name = self.check.partition(":")
            yield from getattr(importlib.import_module(module), name)(params)
        for key, inner in params.inner.items():
            for wrong in KINDS[inner.kind].mistakes(inner):
                yield replace(wrong, place=(key, *wrong.place))


def misshapen(params: TransferParams | TransvolParams) -> Iterator[Mistake]:
    """Heads that do not share the width evenly, and a trend over more than is looked back on."""
    if params.width % params.heads:
        wanted = f"a divisor of the width, {params.width}"
        yield Mistake(("heads",), wanted, params.heads)
    if isinstance(params, TransvolParams) and params.window > params.sequence_length:
        wanted = f"at most sequence_length, {params.sequence_length}"
        yield Mistake(("window",), wanted, params.window)


# What fits count of themselves (Training.notes), for the card.
NOTES = {
    "insane": "forecasts outside the training rows' range of the target, replaced by their mean",
    "guarded": "climbed from further starts on schedule",
    "rescued": "another start did better than the fit before",
    "fallback": "further starts tried because the climb from the fit before did not converge",
}

_TRANSFER = (
    "an LSTM, multi-head self-attention over its states and a head of two linear layers, trained "
    "on the [source] panel and then tuned on the panel's own rows: `full` at a low rate; `frozen`, "
    "the head alone; `differential`, the encoder at a tenth of the head's rate; `gradual`, the "
    "head, then the attention too, then all, a third of the epochs each; `aggressive` at the "
    "lesson's rate; `scratch` without a source. A fit learns from source rows that had resolved by "
    "its cut less the embargo; the last third of them is held out; needs torch"
)
_DEEPVOL = (
    "one causal LSTM for all series: log returns from decision to decision in, sigma of the next "
    "one out at every step (softplus + 1e-5), its state running on through all that is known; "
    "trained by Adam on the Gaussian likelihood of mini-batches, a share of them portfolios of "
    "stocks drawn anew for every batch with random positive weights; trained on the [source] panel "
    "it forecasts the panel as it is, and of its rows learns nothing but, with `rescale`, the "
    "level; needs torch"
)

_HYBRID = (
    "a net of the transfer kind and least squares on `har`, fitted on the net's training rows, in "
    "one forecast: `alpha` weighs the two by one number that is learned, `dynamic` by one for "
    "every decision, of the net's state and HAR's features; `residual` adds the net to HAR, "
    "`regimes` the mean of three such heads by how likely each regime is; with a strategy other "
    "than `scratch` the encoder begins with what it learned from the [source]; needs torch"
)
_MISSHAPEN = "harness.models.table:misshapen"

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
            flat=True,
        ),
        Kind(
            "ewma",
            "harness.models.naive:Ewma",
            EwmaParams,
            "exponentially weighted variance of the periods from decision to decision, put on the "
            "target's scale and, with `rescale`, moved by the mean training residual",
            "RiskMetrics Technical Document (1996), section 5.2",
            periods=True,
            flat=True,
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
            "residuals (`smearing`), of a sigma the root of their mean squared exp (`variance`)",
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
            "harness.models.sklearn_regressors:Regressor",
            RegressorParams,
            "any regressor of scikit-learn's linear_model, ensemble, svm, neighbors, "
            "neural_network, tree, kernel_ridge or gaussian_process, named by its `class`, with "
            "its own arguments in `params`; it sees features standardised by the training rows "
            "and the target as it is; the seed is the run's, the thread one",
            "Pedregosa et al. (2011), J. Machine Learning Research 12",
            check="harness.models.sklearn_regressors:mistakes",
        ),
        Kind(
            "lightgbm",
            "harness.models.lightgbm_trees:LightGbm",
            BoostingParams,
            "gradient boosted trees; `l2` and `l1` on the target's scale, `qlike` the QLIKE of "
            "the variance whatever that scale; a fit states each feature's share of the gain; "
            "with `early_stopping` the best round on the validation rows is kept",
            "Ke et al. (2017), Advances in Neural Information Processing Systems 30",
        ),
        Kind(
            "transfer",
            "harness.models.transfer:TransferNet",
            TransferParams,
            _TRANSFER,
            "Pan & Yang (2010), IEEE Trans. Knowledge & Data Engineering 22; Vaswani et al. "
            "(2017), NeurIPS",
            check=_MISSHAPEN,
        ),
        Kind(
            "transvol",
            "harness.models.transvol:Transvol",
            TransvolParams,
            "an encoder-decoder over the features at the last `sequence_length` decisions: "
            "ProbSparse self-attention, a moving average of `window` decisions taken off as the "
            "trend, sinusoidal positions; the decoder starts from the later half, looks at what "
            "was encoded, and adds the trends up to one number; trained as lstm is; needs torch",
            "Zhou et al. (2021), AAAI, Informer; Wu, Xu, Wang & Long (2021), NeurIPS, Autoformer",
            check=_MISSHAPEN,
        ),
        Kind(
            "stacked",
            "harness.models.stacked:Stacked",
            StackedParams,
            "two stages: the model of the table `first`, then LightGBM on `features` and its "
            "forecast, fitted on what it missed the target by and added to it. The first stage has "
            "the earlier `share` of a fit's training rows (of these a net holds out the last "
            "quarter), the second the later ones, which the first forecasts without having seen "
            "them; between two parts rows are purged by the embargo",
            "Wolpert (1992), Neural Networks 5; Ke et al. (2017), Advances in Neural Information "
            "Processing Systems 30",
        ),
        Kind(
            "hybrid",
            "harness.models.hybrid:Hybrid",
            HybridParams,
            _HYBRID,
            "Zhang (2003), Neurocomputing 50 (residuals); Jacobs, Jordan, Nowlan & Hinton (1991), "
            "Neural Computation 3 (weights by a gate)",
            check=_MISSHAPEN,
        ),
        Kind(
            "deepvol",
            "harness.models.deepvol:DeepVol",
            DeepVolParams,
            _DEEPVOL,
            "Liu, Tran, Wang, Gerlach & Kohn (2023), DeepVol: A deep transfer learning approach "
            "for universal asset volatility modeling, sections 2.2 and 2.3",
            stepwise=("ret",),
            one_step=True,
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
