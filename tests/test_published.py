"""Coefficients that other software publishes, through our panels, features and least squares."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from worlds import LEVEL_SIGMA, daily_panel, make_plan, make_task

from harness.features import parse_feature
from harness.measures.cascade import measure
from harness.models.protocol import make_model
from harness.models.table import KINDS
from harness.panel import PanelSpec, find_panel, open_panel
from harness.samples import Decided, build_samples
from harness.scale import TargetScale
from harness.types import F64

PANELS = Path(__file__).parent.parent / "panels"
DATA = os.environ.get("HARNESS_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="HARNESS_DATA is not set")


def in_sample(spec: PanelSpec, target: str, features: list[str]) -> tuple[list[float], F64, F64]:
    """Coefficients, targets and residuals of one fit on every day, one day ahead, in levels."""
    plan = make_plan(
        every="1d", scales=["1d", "5d", "22d"], horizons=["1d"], calendar="sessions",
        measures=list(spec.extra_units), target=target, extra=dict(spec.extra_units),
    )  # fmt: skip
    (bars,) = open_panel(spec, start=None, end=None, columns=plan.inputs).bars()
    task = make_task("1d", measure=target, every="1d", steps=1, bars=1, scale=LEVEL_SIGMA)
    model = make_model("ols", KINDS["ols"].params(features=features), task)
    samples = build_samples(
        [Decided(measure(bars, plan), plan.units, 1e-6)],
        horizon="1d",
        bars=1,
        measure=target,
        scale=TargetScale("level", spec.extra_units[target], "none", 1e-6),
        features=[parse_feature(text) for text in model.features],
    )
    fitted = model.fit(samples.rows, samples.y)
    residuals = samples.y - fitted.predict(samples.rows)
    return list(fitted.coefficients.values()), samples.y, residuals


def har(name: str) -> list[str]:
    """Corsi's day, week and month."""
    return [f"{name}_1d", f"{name}_5d", f"{name}_22d"]


def r_squared(y: F64, residuals: F64) -> float:
    return 1.0 - float(np.mean(residuals**2) / y.var())


@needs_data
def test_har_on_spy_has_the_coefficients_of_the_highfrequency_package(tmp_path):
    file = Path(DATA).resolve() / "reference" / "highfrequency_spyrm.parquet"
    spec = daily_panel(tmp_path, file, {"rvar": ("RV5", "variance")})
    found, _, _ = in_sample(spec, "rvar", har("rvar"))
    want = [1.160000921e-05, 0.2953165771, 0.2813334173, 0.1471632893]
    assert found == pytest.approx(want, rel=5e-9)


@needs_data
def test_har_and_harj_on_the_sp500_are_those_of_the_harmodel_package(tmp_path):
    # HARJ: HAR and the jump variation of the last day.
    file = Path(DATA).resolve() / "reference" / "bpq2016_sp500rm.parquet"
    extra = {"rvar": ("RV", "variance"), "jump": ("RJ", "none")}
    spec = daily_panel(tmp_path, file, extra)
    found, y, e = in_sample(spec, "rvar", har("rvar"))
    assert found == pytest.approx([0.1123142, 0.2273436, 0.4903494, 0.1863766], abs=6e-8)
    assert y.size == 4_074
    assert r_squared(y, e) == pytest.approx(0.5224, abs=5e-5)
    _, _, with_jump = in_sample(spec, "rvar", [*har("rvar"), "jump_1d"])
    assert np.mean(with_jump**2) / np.mean(e**2) == pytest.approx(0.96833979, abs=2e-8)


def test_har_on_the_vix_is_the_harx_of_the_arch_package():
    found, y, e = in_sample(find_panel("vix-daily", [PANELS]), "vix", har("vix"))
    assert found == pytest.approx([0.6335117, 0.9286753, -0.0317589, 0.0612488], abs=6e-8)
    assert r_squared(y, e) == pytest.approx(0.876346, abs=6e-7)
