"""Walk-forward backtests and a research log for people who forecast volatility.

The names listed here are the Python API: what is in no list here may change at any time. Each is
imported when it is first asked for. docs/api.md describes them.

    import harness

    outcome = harness.run("hypotheses/sp500-har.toml", "reports")
    print(outcome.verdict.status, outcome.verdict.reasons)
    log = harness.open_log("reports")
    runs = harness.load_runs(log)                  # a Polars frame
    forecasts = log.read_forecasts(outcome.run_id)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.errors import HarnessError as HarnessError
    from harness.errors import PanelError as PanelError
    from harness.errors import RunError as RunError
    from harness.errors import SpecError as SpecError
    from harness.errors import UsageError as UsageError
    from harness.inference.evidence import Evidence as Evidence
    from harness.inference.evidence import Verdict as Verdict
    from harness.log.query import load_runs as load_runs
    from harness.log.store import Log as Log
    from harness.log.store import RecordError as RecordError
    from harness.log.store import open_log as open_log
    from harness.models.params import Params as Params
    from harness.models.protocol import ModelError as ModelError
    from harness.models.protocol import Task as Task
    from harness.models.protocol import own_features as own_features
    from harness.models.protocol import versions as versions
    from harness.models.table import Kind as Kind
    from harness.models.table import Mistake as Mistake
    from harness.panel.panel import Panel as Panel
    from harness.panel.panel import load_frame as load_frame
    from harness.panel.panel import open_panel as open_panel
    from harness.panel.reading import find_panel as find_panel
    from harness.panel.spec import PanelSpec as PanelSpec
    from harness.pipeline import Outcome as Outcome
    from harness.pipeline import run as run
    from harness.spec.hypothesis import Hypothesis as Hypothesis
    from harness.spec.reading import load_hypothesis as load_hypothesis
    from harness.types import FitTime as FitTime
    from harness.types import Rows as Rows
    from harness.types import Training as Training

# Name -> the module that defines it.
_HOMES = {
    # Running hypotheses and reading what was found.
    "run": "harness.pipeline",
    "Outcome": "harness.pipeline",
    "Verdict": "harness.inference.evidence",
    "Evidence": "harness.inference.evidence",
    "load_hypothesis": "harness.spec.reading",
    "Hypothesis": "harness.spec.hypothesis",
    "open_log": "harness.log.store",
    "Log": "harness.log.store",
    "load_runs": "harness.log.query",
    # Panels.
    "find_panel": "harness.panel.reading",
    "PanelSpec": "harness.panel.spec",
    "open_panel": "harness.panel.panel",
    "Panel": "harness.panel.panel",
    "load_frame": "harness.panel.panel",
    # What goes wrong.
    "HarnessError": "harness.errors",
    "UsageError": "harness.errors",
    "SpecError": "harness.errors",
    "PanelError": "harness.errors",
    "RunError": "harness.errors",
    "RecordError": "harness.log.store",
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
}

__all__ = [  # noqa: PLE0604 - in the order in which docs/api.md describes them
    *_HOMES
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from harness.errors import nearest

        near = nearest(name, _HOMES)
        hint = f"; did you mean '{near}'?" if near else ""
        raise AttributeError(f"module 'harness' has no attribute '{name}'{hint}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, *(name for name in globals() if name.startswith("__"))])
