"""The harness's own study in this process: bars in, scores or verdict out, nothing stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.pipeline import Timer
from harness.scores.scoring import Scores, score, series
from harness.spec.hypothesis import Hypothesis
from harness.study.stages import forecast, measure_study
from harness.study.study import set_up
from harness.verdict.judge import judge


def study(
    hypothesis: Hypothesis, panels: Path, *, keep: bool, decide: bool = True
) -> tuple[Sequence[Scores], Mapping[str, float]]:
    """Scores of every horizon and seconds by stage; `keep` takes measures from the cache.

    Without `decide` it ends with the scores, as the reference does; with it the evidence, the
    further tests and the verdict follow.
    """
    timer = Timer()
    with timer("set up"):
        opened = set_up(hypothesis, [panels])
    with timer("measure"):
        measured = measure_study(opened, keep=keep)
    forecasts = {}
    for horizon in map(str, hypothesis.target.horizons):
        with timer("features and targets"):
            samples = measured.samples(horizon)
        with timer("fit and forecast"):
            forecasts[horizon] = forecast(opened, samples, measured.span)
    if decide:
        with timer("score, test and decide"):
            return judge(measured, forecasts).scores, timer.stages
    with timer("score"):
        scale = opened.scale
        scores = [score(part, scale, *series(part, scale)) for part in forecasts.values()]
    return scores, timer.stages
