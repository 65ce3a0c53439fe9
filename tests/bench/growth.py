"""How the cost grows with assets, windows and models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, islice

from inputs import Inputs
from job import study
from timing import Figure, Taken, clocked, exponents, interleave, milliseconds

from harness.durations import Duration, parse_duration, parse_moment
from harness.models.params import OlsParams
from harness.scores.scoring import score, series
from harness.spec.hypothesis import Hypothesis, ModelSpec
from harness.study.stages import forecast, measure_study
from harness.study.study import Span, Study, set_up
from harness.types import Samples

_ASSETS = (1, 4, 16, 64)
_STEPS = ("3mo", "1mo", "10d", "3d", "1d")  # 21 windows to about 1,900
_MODELS = (1, 9, 36, 144)
_HORIZON = "4h"
_LOGS = [f"log({m}_{s})" for m in ("rv", "bv") for s in ("1h", "4h", "1d")]
_FEATURES = [*_LOGS, *(f"log1p(j_{s})" for s in ("1h", "4h", "1d"))]


def assets(inputs: Inputs, rounds: int) -> list[Figure]:
    """Bars to verdict on panels of ever more assets, a year of minutes each."""
    turns = {}
    for count in _ASSETS:
        hypothesis = _on_assets(inputs, count)
        turns[count] = lambda h=hypothesis: clocked(lambda: study(h, inputs.panels, keep=False))
    turns[_ASSETS[0]]()
    return _figures("assets", "assets", interleave(turns, rounds), "<= 1.05")


def windows(inputs: Inputs, rounds: int) -> list[Figure]:
    """The walk of nine regressions over one horizon's samples, refitted ever more often."""
    opened, samples, end = _one_horizon(inputs, _regressions(9))
    walks, scored = {}, {}
    for step in map(parse_duration, _STEPS):
        often = _refitted(opened, step)
        count = len(often.windows(_HORIZON, end))
        walks[count] = lambda s=often: clocked(lambda: forecast(s, samples, end))
        scored[count] = lambda s=often: clocked(lambda: _walk_and_score(s, samples, end))
    walks[min(walks)]()
    scored[min(scored)]()
    return [
        *_figures("windows", "windows", interleave(walks, rounds), "<= 0.5"),
        *_figures("windows", "windows, scored too", interleave(scored, rounds), ""),
    ]


def models(inputs: Inputs, rounds: int) -> list[Figure]:
    """The walk of ever more regressions over one horizon's samples."""
    opened, samples, end = _one_horizon(inputs, _regressions(max(_MODELS)))
    walks, scored = {}, {}
    for count in _MODELS:
        regressed = replace(opened.hypothesis, models=_regressions(count))
        fewer = replace(opened, hypothesis=regressed)
        walks[count] = lambda s=fewer: clocked(lambda: forecast(s, samples, end))
        scored[count] = lambda s=fewer: clocked(lambda: _walk_and_score(s, samples, end))
    walks[min(walks)]()
    scored[min(scored)]()
    return [
        *_figures("models", "models", interleave(walks, rounds), "<= 0.85"),
        *_figures("models", "models, scored too", interleave(scored, rounds), ""),
    ]


def _figures(part: str, name: str, taken: Mapping[int, list[Taken]], wanted: str) -> list[Figure]:
    times = [f for n, t in taken.items() for f in milliseconds(part, f"{n:,} {name}", t)]
    return [*times, *exponents(part, name, taken, wanted)]


def _on_assets(inputs: Inputs, count: int) -> Hypothesis:
    """The study on `count` assets over the year that they have."""
    h = inputs.hypothesis
    year = {"start": parse_moment("2021-01-01"), "end": parse_moment("2022-01-01")}
    panel = h.panel.model_copy(update={"name": inputs.assets(count).stem, **year})
    month = parse_duration("1mo")
    walk = {"train": parse_duration("6mo"), "test": month, "step": month}
    walk["first_test"] = parse_moment("2021-07-02")
    return replace(h, panel=panel, walk_forward=h.walk_forward.model_copy(update=walk))


def _one_horizon(
    inputs: Inputs, regressions: Mapping[str, ModelSpec]
) -> tuple[Study, Samples, Span]:
    opened = set_up(inputs.hypothesis, [inputs.panels])
    opened = replace(opened, hypothesis=replace(opened.hypothesis, models=regressions))
    measured = measure_study(opened)
    return opened, measured.samples(_HORIZON), measured.span


def _regressions(count: int) -> dict[str, ModelSpec]:
    """Least squares on `count` different choices of four or five of the nine features."""
    chosen = islice(_choices(), count)
    return {f"ols-{i}": ModelSpec("ols", OlsParams(features=list(c))) for i, c in enumerate(chosen)}


def _choices() -> Iterator[tuple[str, ...]]:
    for size in (4, 5):
        yield from combinations(_FEATURES, size)


def _refitted(opened: Study, step: Duration) -> Study:
    walk = opened.hypothesis.walk_forward.model_copy(update={"test": step, "step": step})
    return replace(opened, hypothesis=replace(opened.hypothesis, walk_forward=walk))


def _walk_and_score(opened: Study, samples: Samples, end: int) -> None:
    forecasts = forecast(opened, samples, end)
    score(forecasts, opened.scale, *series(forecasts, opened.scale))
