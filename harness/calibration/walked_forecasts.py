"""Walked forecasts: two models are fitted by the walk of a run in a simulated world."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.calibration.worlds import SAMPLINGS, Sampling, make_world
from harness.durations import parse_duration
from harness.models.linear import Linear
from harness.samples.splits import Fitting, Scheme, make_windows
from harness.samples.target_scale import TargetScale
from harness.types import F64, Forecasts, Repeat, Samples, Window
from harness.walk.fold_fit import Settings
from harness.walk.walk_forward import walk_forward

SCALE = TargetScale("log", "sigma", "lognormal", 1e-12)
WINDOWS = 10
DRAWN = "drawn"  # a feature that the seed draws
_MODELS = "baseline", "candidate"


@dataclass(frozen=True)
class Walked:
    """Two least squares models: the features of baseline and candidate besides HAR.

    `loading` is the size of `a` and `b` (standard deviation of ln sigma). `DRAWN` stands for
    `units` features a x + b y + noise z with weights drawn anew for every model and each of the
    `seeds`, like units of a net that is not trained: a cheap stand-in for a model whose fit depends
    on the seed.
    """

    sampling: str
    baseline: tuple[str, ...]
    candidate: tuple[str, ...]
    loading: float
    seeds: int = 1
    units: int = 1

    def forecasts(self, rng: np.random.Generator) -> Forecasts:
        """One world's forecasts by `baseline` and `candidate`; with several seeds, `repeats`."""
        sampling = SAMPLINGS[self.sampling]
        samples = make_world(sampling, self.loading, rng)
        har = tuple(name for name in samples.rows.names if name.startswith("har_"))
        models: dict[tuple[str, int], Linear] = {}
        weights: list[F64] = []
        for seed in range(self.seeds):
            for name, features in zip(_MODELS, (self.baseline, self.candidate), strict=True):
                if DRAWN in features:
                    weights += list(rng.standard_normal((self.units, 3)))
                    last = len(weights)
                    features = tuple(f"{DRAWN}-{last - k}" for k in range(self.units))
                elif seed:
                    continue
                models[name, seed] = Linear((*har, *features))
        made = _walked(sampling, _with_drawn(samples, weights), models)
        return _by_seed(made, list(models))


def _with_drawn(samples: Samples, weights: list[F64]) -> Samples:
    if not weights:
        return samples
    rows = samples.rows
    seen = rows.columns(("a", "b", "noise")).X
    X = np.asfortranarray(np.hstack((rows.X, seen @ np.column_stack(weights))))
    names = *rows.names, *(f"{DRAWN}-{k + 1}" for k in range(len(weights)))
    return replace(samples, rows=replace(rows, X=X, names=names))


def _walked(
    sampling: Sampling, samples: Samples, models: dict[tuple[str, int], Linear]
) -> Forecasts:
    """All seeds of all models in one walk, named as `_named` says."""
    windows, embargo = _windows(sampling, int(samples.resolved_at[-1]))
    named = {_named(*key): model for key, model in models.items()}
    fittings = dict.fromkeys(named, Fitting(windows, windows))
    return walk_forward(named, samples, windows, fittings, Settings(embargo, SCALE))


def _named(model: str, seed: int) -> str:
    return f"{model}-{seed}" if seed else model


def _by_seed(made: Forecasts, models: list[tuple[str, int]]) -> Forecasts:
    """The first seed's forecasts, with those of further seeds as a run has them."""
    first = [name for name, seed in models if not seed]
    repeats = []
    for seed in sorted({seed for _, seed in models} - {0}):
        own = [name for name, of in models if of == seed]
        repeats.append(
            Repeat(
                seed,
                {name: made.yhat[_named(name, seed)] for name in own},
                {name: replace(made.fits[_named(name, seed)], model=name) for name in own},
            )
        )
    return replace(
        made,
        yhat={name: made.yhat[name] for name in first},
        fits={name: made.fits[name] for name in first},
        repeats=tuple(repeats),
    )


def _windows(sampling: Sampling, end: int) -> tuple[tuple[Window, ...], int]:
    """The last test windows of a world, and the embargo: the length of a target."""
    test = parse_duration(sampling.test)
    scheme = Scheme(end - WINDOWS * test.ns, train=parse_duration(sampling.train))
    embargo = sampling.every * sampling.span
    return make_windows(scheme, test=test, step=test, span_end=end, embargo=embargo), embargo
