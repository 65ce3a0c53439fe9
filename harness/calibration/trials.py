"""Trials: each world goes through the walk, the scores, the evidence and the rule of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.calibration.worlds import SAMPLINGS, Sampling, make_world
from harness.durations import parse_duration
from harness.inference.diebold_mariano import student_t_sf
from harness.inference.evidence import Evidence, GainAs
from harness.inference.gains import Seed, evidence
from harness.models.linear import Linear
from harness.samples.splits import Fitting, Scheme, make_windows
from harness.samples.target_scale import TargetScale
from harness.scores.metrics import METRICS
from harness.scores.scoring import score, series
from harness.spec.sections import Acceptance
from harness.types import F64, Window
from harness.verdict.rule import decide, pooled_gain
from harness.walk.fold_fit import Settings
from harness.walk.walk_forward import walk_forward

_SCALE = TargetScale("log", "sigma", "lognormal", 1e-12)
WINDOWS = 10


@dataclass(frozen=True)
class Setting:
    """Two models in worlds of one sampling: the features of baseline and candidate besides HAR.

    `loading` is the size of `a` and `b` (standard deviation of ln sigma); `metric` decides, with
    its gain as `gain_as`; `wanted` is the range of false confirmations at a level of 5 %, None if
    the candidate has an edge.
    """

    name: str
    title: str
    sampling: str
    baseline: tuple[str, ...]
    candidate: tuple[str, ...]
    loading: float
    metric: str
    gain_as: GainAs
    wanted: tuple[float, float] | None = None

    @property
    def null(self) -> bool:
        """Whether the candidate has no edge."""
        return self.wanted is not None


def _settings() -> Iterable[Setting]:
    cases: tuple[tuple[str, str, GainAs], ...] = (
        ("hourly", "r2_log", "difference"),
        ("daily", "qlike", "relative"),
    )
    for sampling, metric, gain_as in cases:
        where = SAMPLINGS[sampling].title
        kinds = (
            ("equal", "two models equally accurate, neither nests the other", ("a",), ("b",),
             (0.03, 0.07)),
            ("nested", "HAR and the same with a feature of noise", (), ("noise",), (0.0, 0.065)),
        )  # fmt: skip
        for kind, title, base, candidate, wanted in kinds:
            yield Setting(f"{sampling}-{kind}", f"{title}; {where}", sampling, base, candidate,
                          0.15, metric, gain_as, wanted)  # fmt: skip
        for loading in (0.05, 0.1, 0.15, 0.2):
            yield Setting(f"{sampling}-gain-{loading:g}", f"HAR and the same with a feature that "
                          f"moves ln σ by {loading:g}; {where}", sampling, (), ("a",), loading,
                          metric, gain_as)  # fmt: skip


SETTINGS = {s.name: s for s in _settings()}


@dataclass(frozen=True)
class Trial:
    """The evidence for the candidate in one world.

    `plain` is the p-value of a t-test that treats the rows' loss differences as independent.
    """

    found: Evidence
    plain: float

    def status(self, min_gain: float, alpha: float, gain_as: GainAs) -> str:
        """The verdict at this minimum gain."""
        rule = Acceptance.model_validate(
            {
                "baseline": self.found.baseline,
                "candidates": (self.found.candidate,),
                "metric": self.found.metric,
                "horizon": self.found.horizon,
                "min_gain": min_gain,
                "gain": gain_as,
                "alpha": alpha,
            }
        )
        return decide([self.found], rule).status


def try_world(setting: Setting, seed: int, world: int, *, alpha: float) -> Trial:
    """Judge one world, which depends on seed, setting and number alone."""
    sampling = SAMPLINGS[setting.sampling]
    key = list(SETTINGS).index(setting.name)
    samples = make_world(sampling, setting.loading, np.random.default_rng([seed, key, world]))
    har = tuple(name for name in samples.rows.names if name.startswith("har_"))
    models = {
        "baseline": Linear((*har, *setting.baseline)),
        "candidate": Linear((*har, *setting.candidate)),
    }
    windows, embargo = _windows(sampling, int(samples.resolved_at[-1]))
    forecasts = walk_forward(
        models,
        samples,
        windows,
        dict.fromkeys(models, Fitting(windows, windows)),
        Settings(embargo, _SCALE),
    )
    outcome, values = series(forecasts, _SCALE)
    found = score(forecasts, _SCALE, outcome, values)
    base, own = (found.value(name, setting.metric) for name in models)
    gain = pooled_gain(setting.metric, base, own, gain_as=setting.gain_as)
    (sure,) = evidence(
        forecasts,
        outcome,
        [Seed(values, {"candidate": gain}, base)],
        baseline="baseline",
        candidates=("candidate",),
        metric=setting.metric,
        gain_as=setting.gain_as,
        alpha=alpha,
    )
    loss = METRICS[setting.metric].losses
    d = loss(outcome, values["baseline"]) - loss(outcome, values["candidate"])
    return Trial(sure, _plain_test(d))


def _windows(sampling: Sampling, end: int) -> tuple[tuple[Window, ...], int]:
    """The last test windows of a world, and the embargo: the length of a target."""
    test = parse_duration(sampling.test)
    scheme = Scheme(end - WINDOWS * test.ns, train=parse_duration(sampling.train))
    embargo = sampling.every * sampling.span
    return make_windows(scheme, test=test, step=test, span_end=end, embargo=embargo), embargo


def _plain_test(d: F64) -> float:
    """One-sided p-value of a positive mean of d (n,), as if its rows were independent."""
    spread = float(d.std(ddof=1))
    if spread == 0.0:
        return 0.5
    return student_t_sf(float(d.mean()) / spread * math.sqrt(d.size), d.size - 1)
