"""Walks forward over small samples."""

from __future__ import annotations

from support.worlds import LOG_SIGMA, make_samples

from harness.durations import NS_PER_MINUTE, parse_duration
from harness.models.linear import Linear
from harness.models.naive import Persistence
from harness.models.protocol import Forecaster
from harness.samples.splits import Fitting, Scheme, make_refits, make_windows
from harness.samples.target_scale import TargetScale
from harness.types import Forecasts, Samples, Window
from harness.walk.fold_fit import Settings
from harness.walk.walk_forward import walk_forward

HOUR = 60 * NS_PER_MINUTE
SAMPLES = make_samples(500, seed=11, features=3, overlap=2)
FIRST_TEST = int(SAMPLES.rows.formed_at[0]) + 150 * HOUR
EMBARGO = 3 * HOUR
X0, X1, X2 = SAMPLES.rows.names
LINEAR: dict[str, Forecaster] = {
    "persistence": Persistence((X0,), intercept=False, fixed=(1.0,)),
    "one": Linear((X1,)),
    "all": Linear((X0, X1, X2)),
    "reordered": Linear((X2, X0)),
    "through-zero": Linear((X0, X2), intercept=False),
}
TRAIN = parse_duration("5d")
SCHEMES = {
    "rolling": Scheme(FIRST_TEST, train=TRAIN),
    "expanding": Scheme(FIRST_TEST, train_from=FIRST_TEST - TRAIN.ns),
}


def spans(end: int, scheme: str = "rolling", *, beyond: bool = False) -> tuple[Window, ...]:
    return make_windows(
        SCHEMES[scheme],
        test=parse_duration("30h"),
        step=parse_duration("30h"),
        span_end=end,
        embargo=EMBARGO,
        beyond=beyond,
    )


def walk(
    models: dict[str, Forecaster],
    samples: Samples = SAMPLES,
    *,
    scheme: str = "rolling",
    scale: TargetScale = LOG_SIGMA,
    end: int | None = None,
    refit: str | None = None,
    scope: str = "pooled",
    **more: object,
) -> Forecasts:
    end = end or int(samples.resolved_at.max())
    windows = spans(end, scheme)
    if refit is None:
        fitting = Fitting(windows, spans(end, scheme, beyond=True), scope=scope)
    else:
        cadence = None if refit == "never" else parse_duration(refit)
        made = make_refits(SCHEMES[scheme], windows, cadence, end, EMBARGO)
        fitting = Fitting(*made, refit, scope)
    settings = Settings(EMBARGO, scale, min_train=20)
    return walk_forward(models, samples, windows, dict.fromkeys(models, fitting), settings, **more)
