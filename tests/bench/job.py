"""The harness's own study in this process: bars in, scores and verdict out, nothing stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.hypothesis import Hypothesis
from harness.judgement import judge
from harness.measures.store import measure_panel
from harness.metrics import Scores
from harness.pipeline import Timer, decide_on, forecast, sample
from harness.study import set_up


def study(
    hypothesis: Hypothesis, panels: Path, *, keep: bool
) -> tuple[Sequence[Scores], Mapping[str, float]]:
    """Scores of every horizon and seconds by stage; `keep` takes measures from the cache."""
    timer = Timer()
    with timer("set up"):
        opened = set_up(hypothesis, [panels])
    with timer("measure"):
        measured, facts, _ = measure_panel(opened.panel, opened.plan, keep=keep)
    decided, forecasts = decide_on(opened, measured), {}
    for horizon in map(str, hypothesis.target.horizons):
        with timer("features and targets"):
            samples = sample(opened, decided, horizon)
        with timer("fit and forecast"):
            forecasts[horizon] = forecast(opened, samples, opened.span(facts))
    with timer("score and judge"):
        scores = judge(opened, decided, forecasts, {}).scores
    return scores, timer.stages
