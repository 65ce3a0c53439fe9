"""The leak audit of a hypothesis by itself: nothing is forecast for a verdict, nothing logged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.audit.auditor import FULL, SHORT, Auditor
from harness.audit.findings import Audit
from harness.audit.probe import Stages
from harness.pipeline import decide_on, sample, tested_windows, with_lessons
from harness.samples.measured import measure_panel
from harness.spec.hypothesis import Hypothesis
from harness.study.study import set_up


def audit_hypothesis(
    hypothesis: Hypothesis,
    search: Sequence[Path],
    *,
    full: bool = False,
    keep_measures: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """The short form, as every run has it, or the full one; `progress` is told what it will take.

    Raises UsageError for a mistake in the files, RunError where no row can be made.
    """
    study = set_up(hypothesis, search)
    study.require_validation()
    measured, facts, _ = measure_panel(
        study.panel, study.plan, keep=keep_measures, progress=progress
    )
    study, _ = with_lessons(study, keep=keep_measures, progress=progress)
    decided = decide_on(study, measured)
    stages, form = Stages(decide_on, sample), FULL if full else SHORT
    auditor = Auditor(study, facts, decided, stages, form=form, tell=progress)
    for horizon in map(str, hypothesis.target.horizons):
        samples = sample(study, decided, horizon)
        tested_windows(study, samples, study.span(facts))
        auditor.rows(samples)
    return auditor.result()
