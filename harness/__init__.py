"""Walk-forward backtests and a research log for people who forecast volatility.

The Python API, each part imported when it is first asked for:

    import harness

    hypothesis = harness.load_hypothesis("hypotheses/sp500-har.toml")
    log = harness.open_log("reports")
    outcome = harness.run(hypothesis, log)         # panels are looked for in ./panels
    runs = harness.load_runs(log)                  # a Polars frame
    forecasts = log.read_forecasts(outcome.run_id)
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    # What a plug-in is written with (docs/plugins.md).
    "Kind": "harness.models.table",
    "Params": "harness.models.params",
    "Mistake": "harness.models.table",
    "Task": "harness.models.protocol",
    "ModelError": "harness.models.protocol",
    "own_features": "harness.models.protocol",
    "versions": "harness.models.protocol",
    "Rows": "harness.types",
    "Training": "harness.types",
    "FitTime": "harness.types",
    "load_hypothesis": "harness.spec.hypothesis",
    "run": "harness.pipeline",
    "load_runs": "harness.log.query",
    "load_frame": "harness.panel.panel",
    "find_panel": "harness.panel.panel",
    "open_log": "harness.log.store",
}

__all__ = [
    "FitTime",
    "Kind",
    "Mistake",
    "ModelError",
    "Params",
    "Rows",
    "Task",
    "Training",
    "find_panel",
    "load_frame",
    "load_hypothesis",
    "load_runs",
    "open_log",
    "own_features",
    "run",
    "versions",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
