"""Coefficients that other software publishes, through our panels, features and least squares.

The figures and how we come to them are in harness/published.py, which `harness verify --published`
uses too.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from arch import arch_model
from support.workspace import ROOT

from harness.models.garch_likelihood import log_likelihood
from harness.panel.panel import open_panel
from harness.panel.reading import find_panel
from harness.reanalysis.published import REFERENCES, Reference, check, check_published
from harness.reanalysis.published_fits import volatility_model

PANELS = ROOT / "panels"
DATA = os.environ.get("HARNESS_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="HARNESS_DATA is not set")
HERE = [r for r in REFERENCES if r.file is None]
(VIX,) = HERE
NAMES = {f"{r.name}: {what}" for r in REFERENCES for what, _ in r.figures}


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: f"{r.name}, {r.source}")
def test_a_published_figure_is_ours(reference: Reference):
    if reference.file is not None and DATA is None:
        pytest.skip("HARNESS_DATA is not set")
    found = check(reference, Path(DATA) if DATA else None)
    assert [c.what for c in found if c.skipped] == []
    assert [c for c in found if not c.ok] == []


def test_every_figure_has_a_name_of_its_own():
    assert len(NAMES) == sum(len(r.figures) for r in REFERENCES)


def test_a_figure_that_is_not_the_published_one_is_not_ok():
    wrong = [(what, value + 2.0 * VIX.abs) for what, value in VIX.figures]
    assert [c.ok for c in check(replace(VIX, figures=wrong), None)] == [False] * len(wrong)


def test_without_data_only_what_comes_with_a_package_is_checked(monkeypatch):
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    found = check_published()
    assert {c.what for c in found} == NAMES
    done = [c for c in found if c.got is not None]
    assert len(done) == len(VIX.figures)
    assert all(c.ok for c in done)
    assert all("HARNESS_DATA is not set" in c.skipped for c in found if c.got is None)


def test_a_missing_file_is_named_and_skipped(tmp_path):
    found = check_published(tmp_path)
    named = {c.skipped.split(": ")[1] for c in found if c.skipped}
    assert f"reference/rugarch_dmbp.parquet is not under {tmp_path}" in named
    assert all(c.ok is None for c in found if c.skipped)


def lay_out(folder: Path, content: bytes) -> None:
    """Every reference file with this content."""
    for name in {r.file for r in REFERENCES if r.file}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def foreign() -> bytes:
    """Parquet of other columns."""
    stream = io.BytesIO()
    pl.DataFrame({"date": ["2020-01-01"], "RV": ["x"]}).write_parquet(stream)
    return stream.getvalue()


@pytest.mark.parametrize("content", [b"", b"PAR1 damaged", foreign()])
def test_a_file_that_is_damaged_or_another_fails_by_its_name_and_stops_no_other(
    tmp_path, monkeypatch, command, content
):
    lay_out(tmp_path, content)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    ran = command("verify", "--published")
    assert ran.code == 1
    assert f"{len(VIX.figures)} of {len(NAMES)} agree; 0 skipped" in ran.out
    told = [line for line in ran.err.splitlines() if line.startswith("failed: ")]
    for r in REFERENCES:
        named = [line for line in told if line.startswith(f"failed: {r.name}: {r.file}: ")]
        assert bool(named) == (r.file is not None)


@needs_data
def test_a_folder_of_any_name_is_read(tmp_path, monkeypatch):
    spy = next(r for r in REFERENCES if r.file and "spyrm" in r.file)
    place = tmp_path / 'a "quoted" [name] \\ ü'
    (place / spy.file).parent.mkdir(parents=True)
    (place / spy.file).symlink_to(Path(DATA) / spy.file)
    assert all(c.ok for c in check(spy, place))


def test_the_command_prints_a_table_and_says_what_is_skipped(command, monkeypatch):
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    told = command("verify", "--published").done()
    assert "HAR of VIX: day" in told.out
    assert f"{len(VIX.figures)} of {len(VIX.figures)} agree" in told.out
    assert "skipped: HAR of SPY: HARNESS_DATA is not set" in told.err
    rows = command("verify", "--published", "--json").done().json
    assert {row["what"] for row in rows} == NAMES
    (day,) = [row for row in rows if row["what"] == "HAR of VIX: day"]
    assert day["difference"] == day["got"] - day["wanted"]


@pytest.mark.parametrize("dist", ["normal", "t"])
@pytest.mark.parametrize("kind", ["garch", "gjr", "egarch"])
def test_on_the_sp500_the_kinds_have_archs_log_likelihood(kind, dist):
    spec = find_panel("sp500-daily", [PANELS])
    start, end = (
        int(np.datetime64(day, "ns").astype(np.int64)) for day in ("2007-01-01", "2011-01-01")
    )
    (bars,) = open_panel(spec, start=start, end=end, columns=["close"]).bars()
    params, returns = volatility_model(bars, kind, dist=dist)
    assert returns.size == pytest.approx(1_006, abs=5)
    asked = {"vol": "EGARCH" if kind == "egarch" else "GARCH", "o": int(kind != "garch")}
    theirs = arch_model(returns, mean="Constant", dist=dist, rescale=False, **asked)
    best = theirs.fit(disp="off", show_warning=False).loglikelihood
    ours = log_likelihood(params, returns, kind, dist)
    assert ours == pytest.approx(best, rel=1e-6)
    assert theirs.fix(params).loglikelihood == pytest.approx(ours, rel=1e-10)
