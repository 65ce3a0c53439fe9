"""Whole runs on the small panel, and whether two are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import workspace

import harness
from harness.log.store import Log

VOLATILE = ("run_id", "started", "seconds", "card", "registration", "family")


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """A record without its name, times, timings, kept measures, and what the log knew before."""
    kept = {key: value for key, value in record.items() if key not in VOLATILE}
    kept["panel"] = {k: v for k, v in record["panel"].items() if k != "measures_kept"}
    kept["tables"] = {
        k: v for k, v in record["tables"].items() if k not in ("timings", "fit_times")
    }
    return kept


def study(folder: Path, text: str = workspace.HYPOTHESIS, **options: Any) -> tuple[Log, str]:
    workspace.lay_out(folder)
    file = folder / "hypotheses/tiny-har.toml"
    file.write_text(text)
    log = harness.open_log(folder / "reports")
    hypothesis = harness.load_hypothesis(file)
    outcome = harness.run(hypothesis, log, search=[folder / "panels"], **options)
    return log, outcome.run_id


def assert_same(first: tuple[Log, str], second: tuple[Log, str]) -> None:
    records = [log.read(run_id) for log, run_id in (first, second)]
    assert lasting(records[0]) == lasting(records[1])
    frames = [log.read_forecasts(run_id) for log, run_id in (first, second)]
    assert frames[0].height > 0
    # By bytes: equality of frames would let -0.0 and 0.0 pass.
    for column in ("y", "yhat"):
        assert frames[0][column].to_numpy().tobytes() == frames[1][column].to_numpy().tobytes()
    assert frames[0].equals(frames[1])
