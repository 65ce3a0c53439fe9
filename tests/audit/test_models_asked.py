"""Models of the harness that are not linear: asked row by row, and fitted to shuffled targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import leaks, workspace

import harness
from harness.audit.alone import audit_hypothesis
from harness.audit.findings import Audit
from harness.models.lightgbm_trees import LightGbm
from harness.models.sklearn_regressors import Regressor
from harness.types import F64, Rows

ALONE, SHUFFLE = "rows forecast alone", "target shuffle"
MODELS = """\
[models.trees]
kind = "lightgbm"
rounds = 20
min_data_in_leaf = 5
features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]

[models.near]
kind = "sklearn"
class = "sklearn.neighbors.KNeighborsRegressor"
sequence_length = 2
features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]

[models.garch]
kind = "garch"

[verdict]"""
TEXT = workspace.changed(("[verdict]", MODELS), ('horizons = ["1h", "4h"]', 'horizons = ["4h"]'))


def audited(folder: Path) -> Audit:
    """The audit of a HAR beside boosted trees, neighbours that look back and GARCH."""
    workspace.lay_out(folder)
    (folder / "hypotheses/tiny-har.toml").write_text(TEXT)
    hypothesis = harness.load_hypothesis(folder / "hypotheses/tiny-har.toml")
    return audit_hypothesis(hypothesis, [folder / "panels"], keep_measures=False)


def failed(audit: Audit) -> dict[str, set[str]]:
    """Failed checks with the subjects that failed."""
    return {c.name: {f.subject for f in c.failures} for c in audit.checks if c.failures}


def test_sound_models_are_asked_and_shuffled_and_pass(tmp_path):
    audit = audited(tmp_path)
    assert audit.passed, audit.forbidden
    assert not audit.left_out
    covered = {c.name: c.covered for c in audit.checks}
    for name in ("trees", "near", "garch"):
        assert f"{name} at 4h, window " in covered[ALONE]
    for name in ("har", "trees", "near"):
        assert f"test rows: {name}; " in covered[SHUFFLE]
    assert "garch" not in covered[SHUFFLE]  # its forecasts come from returns, not from targets


@pytest.mark.parametrize(
    ("model", "name"), [(LightGbm, "trees"), (Regressor, "near")], ids=["trees", "neighbours"]
)
@pytest.mark.parametrize("most", [30, 64, 100])
def test_a_model_that_uses_the_other_rows_where_they_are_many_is_found(
    model, name, most, tmp_path, monkeypatch
):
    honest = model.predict

    def relative(self: LightGbm | Regressor, rows: Rows) -> F64:
        found = honest(self, rows)
        return found - found.mean() if found.size > most else found

    monkeypatch.setattr(model, "predict", relative)
    assert failed(audited(tmp_path)) == {ALONE: {f"model {name} at 4h"}}


def test_a_model_that_looks_ahead_in_the_last_row_alone_is_found(tmp_path, monkeypatch):
    honest = Regressor.predict

    def ahead(self: Regressor, rows: Rows) -> F64:
        found = honest(self, rows)
        history, at = rows.history, rows.at
        if found.size > 64 and history is not None and at is not None:
            found[-1] = np.nan_to_num(history.values[0, at[-1] :].max())
        return found

    monkeypatch.setattr(Regressor, "predict", ahead)
    assert failed(audited(tmp_path))[ALONE] == {"model near at 4h"}


def test_trees_that_are_fitted_on_the_tested_rows_keep_skill_after_shuffling(tmp_path, monkeypatch):
    leaks.folds(leaks.on_tested_rows)(monkeypatch)
    assert failed(audited(tmp_path))[SHUFFLE] >= {"model har at 4h", "model trees at 4h"}
