"""The kinds of model that a hypothesis can name, and their parameters.

This module is light: a hypothesis is checked against this table without importing any model, so
that a run loads only the libraries of the models it uses.
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
    """A parameter that a kind's library refuses: its place, what was wanted, the nearest name."""

    place: tuple[str, ...]
    wanted: str
    got: object = None
    nearest: str | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of model: where its class is, its parameters, what it does and its source.

    `scopes` are the ways it can be fitted, the first one by default: `pooled` (one fit for all
    symbols), `effects` (shared slopes, an intercept per symbol) or `asset` (one fit per symbol).
    `periods` says that it reads the target's measure between forecast origins (Task.variance).
    `stepwise` are further measures that it reads between forecast origins. `one_step` says that it
    forecasts up to the next forecast origin and no further. `check` is a function of its parameters
    that yields a Mistake for each thing wrong with them beyond their types. `flat` says that it
    forecasts one variance for all bars ahead, and so for any part of them. `library` is a package
    that only some kinds need: its version is recorded. `own_dynamics` says that forecasts come from
    the series rather than from fitted targets: the audit shuffles none for such a built-in kind.
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
    library: str | None = None
    own_dynamics: bool = False

    def mistakes(self, params: Params) -> Iterable[Mistake]:
        """The parameters that the kind's library refuses; the library is imported here."""
        if self.check is not None:
            module, _, name = self.check.partition(":")
            yield from getattr(importlib.import_module(module), name)(params)
        for key, inner in params.inner.items():
            for wrong in KINDS[inner.kind].mistakes(inner):
                yield replace(wrong, place=(key, *wrong.place))


def misshapen(params: TransferParams | TransvolParams) -> Iterator[Mistake]:
    """Heads that do not divide the width, and a trend window longer than the sequence."""
    if params.width % params.heads:
        wanted = f"a divisor of the width, {params.width}"
        yield Mistake(("heads",), wanted, params.heads)
    if isinstance(params, TransvolParams) and params.window > params.sequence_length:
        wanted = f"at most sequence_length, {params.sequence_length}"
        yield Mistake(("window",), wanted, params.window)


# What fits count about themselves (Training.notes), for the card.
NOTES = {
    "insane": "forecasts outside the range of the training targets, replaced by their mean",
    "guarded": "maximised from further starts on schedule",
    "rescued": "another start gave a higher likelihood than the previous fit",
    "fallback": "further starts tried because the climb from the previous fit did not converge",
}

_TRANSFER = (
    "an LSTM, multi-head self-attention over its states and a head of two linear layers, "
    "pretrained on the [source] panel and then fine-tuned on the panel's own rows: `full` at a low "
    "rate; `frozen`, the head alone; `differential`, the encoder at a tenth of the head's rate; "
    "`gradual`, the head, then also the attention, then all, a third of the epochs each; "
    "`aggressive` at the pretraining rate; `scratch` without a source. Pretraining uses source "
    "rows that had resolved by the fit's cut minus the embargo, the last third held out; needs "
    "torch"
)
_DEEPVOL = (
    "one causal LSTM for all series: log returns between forecast origins in, the sigma of the "
    "next return out at every step (softplus + 1e-5), its state run through all known returns; "
    "trained by Adam on the Gaussian likelihood of mini-batches, a share of which are portfolios "
    "of stocks with random positive weights, redrawn for every batch; trained on the [source] "
    "panel it is not fine-tuned on the panel's own rows, which with `rescale` only set the level; "
    "needs torch"
)

_HYBRID = (
    "a net of the transfer kind combined with least squares on `har`, fitted on the net's training "
    "rows; the net's head also reads what HAR reads and the last step of its sequence, at three "
    "times the rate of the encoder: `alpha` weights the two by the one number with the least loss "
    "on the held-out rows, `dynamic` by one per forecast origin, a function of the net's state and "
    "HAR's features; in both the net learns from a loss of its own too; `residual` adds the net to "
    "HAR; `regimes` adds three such heads, weighted by the regimes' probabilities; with a strategy "
    "other than `scratch` the encoder starts from weights pretrained on the [source]; needs torch"
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
            "mean variance of the last `window` periods between forecast origins, on the target's "
            "scale and corrected by the mean training residual",
            "simple moving average",
            periods=True,
            flat=True,
        ),
        Kind(
            "ewma",
            "harness.models.naive:Ewma",
            EwmaParams,
            "exponentially weighted variance of the periods between forecast origins, on the "
            "target's scale and, with `rescale`, corrected by the mean training residual",
            "RiskMetrics Technical Document (1996), section 5.2",
            periods=True,
            flat=True,
        ),
        Kind(
            "ols",
            "harness.models.linear:Ols",
            OlsParams,
            "least squares of the target on feature expressions: HAR-RV and its variants",
            "Corsi (2009), J. Financial Econometrics 7, eq. 9",
            ("pooled", "effects", "asset"),
        ),
        Kind(
            "wls",
            "harness.models.har:Wls",
            WlsParams,
            "least squares with the row weights `weight`, such as one over the fitted or the "
            "current variance, so that turbulent days, which have larger errors, count less",
            "Patton & Sheppard (2015), Rev. Economics & Statistics 97",
        ),
        Kind(
            "harq",
            "harness.models.har:Harq",
            HarqParams,
            "least squares on `features` and the product of the first one (the day) with the root "
            "of `quarticity`: a day measured with large error counts less. The day's slope is "
            "reported at the root of the training rows' mean quarticity, or at zero (`centre`)",
            "Bollerslev, Patton & Quaedvlieg (2016), J. Econometrics 192",
            ("pooled", "effects", "asset"),
        ),
        Kind(
            "log-ols",
            "harness.models.log_linear:LogOls",
            LogOlsParams,
            "least squares of the logarithm of a target in levels, for use beside models of the "
            "level; `back`: exp of its forecast (`naive`), or that times the mean exp of the "
            "training residuals (`smearing`), for a sigma the root of their mean squared exp "
            "(`variance`)",
            "Corsi (2009), J. Financial Econometrics 7; Duan (1983), JASA 78, eq. 2.1",
        ),
        Kind(
            "garch",
            "harness.models.garch:Garch",
            GarchParams,
            "GARCH(1,1), constant mean, by maximum likelihood on a symbol's log returns between "
            "forecast origins over its training rows; the variance recursion continues through all "
            "later returns. Its mean over the horizon is put on the target's scale and, with "
            "`rescale`, corrected by the mean training residual (for a level by a factor), since "
            "returns include the overnight move, which a target such as gk leaves out",
            "Bollerslev (1986), J. Econometrics 31, section 2; t errors: Bollerslev (1987), Rev. "
            "Economics & Statistics 69",
            scopes=("asset",),
            stepwise=("ret",),
            own_dynamics=True,
        ),
        Kind(
            "gjr",
            "harness.models.garch:Gjr",
            GarchParams,
            "like garch, with a larger effect of negative returns",
            "Glosten, Jagannathan & Runkle (1993), J. Finance 48",
            scopes=("asset",),
            stepwise=("ret",),
            own_dynamics=True,
        ),
        Kind(
            "egarch",
            "harness.models.garch:Egarch",
            GarchParams,
            "like garch, for the log variance, with a leverage term; its mean over a horizon is "
            "that of 4,000 simulated paths, seeded by run.seed",
            "Nelson (1991), Econometrica 59, eq. 2.1",
            scopes=("asset",),
            stepwise=("ret",),
            own_dynamics=True,
        ),
        Kind(
            "arfima",
            "harness.models.arfima:Arfima",
            ArfimaParams,
            "ARFIMA(1,d,0) of the log sigma between forecast origins, fitted per symbol: d by "
            "local Whittle on the training rows (the lowest n^0.65 frequencies), AR(1) by least "
            "squares on the differenced series, both filters truncated at `filter` origins; the "
            "mean of the variances exp(2 f) of all steps of the horizon, on the target's scale and "
            "corrected by the mean training residual",
            "Granger & Joyeux (1980), J. Time Series Analysis 1; Robinson (1995), Annals of "
            "Statistics 23, eq. 3.2",
            scopes=("asset",),
            periods=True,
            own_dynamics=True,
        ),
        Kind(
            "sklearn",
            "harness.models.sklearn_regressors:Regressor",
            RegressorParams,
            "any regressor of scikit-learn's linear_model, ensemble, svm, neighbors, "
            "neural_network, tree, kernel_ridge or gaussian_process, named by its `class`, with "
            "its arguments in `params`; features are standardised by the training rows, the target "
            "is not; it uses the run's seed and one thread",
            "Pedregosa et al. (2011), J. Machine Learning Research 12",
            check="harness.models.sklearn_regressors:mistakes",
            library="scikit-learn",
        ),
        Kind(
            "lightgbm",
            "harness.models.lightgbm_trees:LightGbm",
            BoostingParams,
            "gradient boosted trees; the loss is `l2` or `l1` on the target's scale, or `qlike`, "
            "the QLIKE of the variance on any scale; a fit reports each feature's share of the "
            "gain; with `early_stopping` the best round on the validation rows is kept",
            "Ke et al. (2017), Advances in Neural Information Processing Systems 30",
            library="lightgbm",
        ),
        Kind(
            "transfer",
            "harness.models.transfer:TransferNet",
            TransferParams,
            _TRANSFER,
            "Pan & Yang (2010), IEEE Trans. Knowledge & Data Engineering 22; Vaswani et al. "
            "(2017), NeurIPS",
            check=_MISSHAPEN,
            library="torch",
        ),
        Kind(
            "transvol",
            "harness.models.transvol:Transvol",
            TransvolParams,
            "an encoder-decoder over the features at the last `sequence_length` forecast origins: "
            "ProbSparse self-attention, a moving average of `window` origins subtracted as the "
            "trend, sinusoidal positions; the decoder goes on from the last origin and attends to "
            "the encoder's states; the forecast adds a line of all origins and a feed-forward part "
            "of the last one and of what the decoder found; trained like lstm; needs torch",
            "Zhou et al. (2021), AAAI, Informer; Wu, Xu, Wang & Long (2021), NeurIPS, Autoformer; "
            "Zeng, Chen, Zhang & Xu (2023), AAAI, DLinear",
            check=_MISSHAPEN,
            library="torch",
        ),
        Kind(
            "stacked",
            "harness.models.stacked:Stacked",
            StackedParams,
            "two stages: the model of the table `first`, then LightGBM on `features` and the first "
            "forecast, fitted on the first stage's out-of-sample residuals and added to its "
            "forecast. The first stage is fitted on the earlier `share` of a fit's training rows "
            "(a net holds out the last quarter of these), the second on the later rows; between "
            "two parts rows are purged by the embargo",
            "Wolpert (1992), Neural Networks 5; Ke et al. (2017), Advances in Neural Information "
            "Processing Systems 30",
            library="lightgbm",
        ),
        Kind(
            "hybrid",
            "harness.models.hybrid:Hybrid",
            HybridParams,
            _HYBRID,
            "Zhang (2003), Neurocomputing 50 (residuals); Jacobs, Jordan, Nowlan & Hinton (1991), "
            "Neural Computation 3 (weights by a gate)",
            check=_MISSHAPEN,
            library="torch",
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
            library="torch",
        ),
        *(
            Kind(
                name,
                f"harness.models.recurrent:{title}",
                RecurrentParams,
                f"{what} over the features at the last `sequence_length` forecast origins, oldest "
                "first, `dropout` between layers and before the output, with `attention` a "
                "softmax-weighted mean of all steps instead of the last; trained by Adam, the "
                "epoch with the lowest validation loss is kept; needs torch",
                source,
                library="torch",
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
