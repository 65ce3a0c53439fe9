"""The fragility table of a stored run, completed with variants that are slow to fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RunError, UsageError
from harness.spec.reading import stored_hypothesis
from harness.study.stages import measure_study
from harness.study.study import Study, set_up
from harness.tables import rows_of
from harness.types import Progress
from harness.verdict.fragility.intervals import other_intervals
from harness.verdict.fragility.rows import Registered, Row
from harness.verdict.fragility.training import costly, other_spans
from harness.verdict.fragility.variants import Basis, interval_rows, training_rows


def stored_rows(record: Mapping[str, Any]) -> list[Row]:
    """The table as stored; UsageError for a run of an earlier version, which has none."""
    found = record["tables"].get("fragility")
    if found is None:
        raise UsageError(
            f"run {record['run_id']} has no fragility table: it was made by an earlier version; "
            "harness run makes one"
        )
    return [Row(**row) for row in rows_of(found)]


@dataclass(frozen=True)
class Missing:
    """Missing variants of a stored table: how often to fit `models` again, the time in seconds."""

    study: Study
    models: tuple[str, ...]
    times: int
    seconds: float


def missing(record: Mapping[str, Any], search: Sequence[Path]) -> Missing | None:
    """The fits that the run left out because they are slow; None if there are none."""
    rows = stored_rows(record)
    hypothesis = stored_hypothesis(record)
    study, verdict = set_up(hypothesis, search), record["verdict"]
    intervals = () if study.source is not None else other_intervals(study)
    again = len(other_spans(hypothesis.walk_forward)) + len(intervals)
    pair = verdict["baseline"], verdict["candidate"]
    if not (rows and again and costly(study, verdict["horizon"], pair)):
        return None
    times = rows_of(record["tables"]["fit_times"])
    took = sum(
        row["fit_seconds"] + row["predict_seconds"]
        for row in times
        if row["model"] in pair and row["horizon"] == verdict["horizon"]
    )
    return Missing(study, pair, again, again * took)


def completed(
    record: Mapping[str, Any],
    lacking: Missing,
    *,
    progress: Progress = lambda _: None,
    epochs: Progress = lambda _: None,
) -> list[Row]:
    """The stored table with its training and interval variants computed.

    RunError if the panel or its source has changed since the run.
    """
    rows = stored_rows(record)
    measured = measure_study(lacking.study, progress=progress)
    for key, read in (("panel", measured.facts), ("source", measured.source_facts)):
        if read is not None and read.fingerprint != record[key]["fingerprint"]:
            raise RunError(
                f"the panel {record[key]['name']} has changed since run {record['run_id']}: "
                "run the hypothesis again"
            )
    horizon = record["verdict"]["horizon"]
    basis = Basis(measured, measured.samples(horizon), progress=progress, epochs=epochs)
    same = {
        (row["refit"], row["window"], row["n_train"])
        for row in rows_of(record["tables"]["folds"])
        if row["horizon"] == horizon
    }
    registered = _registered(record, lacking.study)
    fitted = training_rows(basis, registered, same, full=True)
    fitted += interval_rows(basis, registered, full=True)
    computed = {(row.kind, row.variant): row for row in fitted}
    return [computed.get((row.kind, row.variant), row) for row in rows]


def _registered(record: Mapping[str, Any], study: Study) -> Registered:
    """The registered result that variants are compared with, from the record."""
    verdict, rule = record["verdict"], study.hypothesis.verdict
    references = [row.status for row in stored_rows(record) if row.kind == "registered"]
    any_gain = references[-1] if rule.claim == "better" else None
    gain = math.nan if verdict["gain"] is None else verdict["gain"]
    seed, version = study.hypothesis.run.seed, study.hypothesis.rule_version
    return Registered(rule, verdict["candidate"], gain, verdict["status"], any_gain, seed, version)
