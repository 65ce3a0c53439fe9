"""The leak audit of a hypothesis by itself: no verdict, nothing logged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.audit.auditor import FULL, SHORT, Auditor
from harness.audit.findings import Audit
from harness.spec.hypothesis import Hypothesis
from harness.study.stages import measure_study, tested_windows
from harness.study.study import set_up


def audit_hypothesis(
    hypothesis: Hypothesis,
    search: Sequence[Path],
    *,
    full: bool = False,
    keep_measures: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """The short form, as in every run, or the full one; `progress` reports how long it takes.

    Raises UsageError for a mistake in the files, RunError if no row can be made.
    """
    study = set_up(hypothesis, search)
    study.require_validation()
    measured = measure_study(study, keep=keep_measures, progress=progress)
    auditor = Auditor(measured, form=FULL if full else SHORT, tell=progress)
    for horizon in map(str, hypothesis.target.horizons):
        samples = measured.samples(horizon)
        tested_windows(measured.study, samples, measured.span)
        auditor.rows(samples)
    return auditor.result()
