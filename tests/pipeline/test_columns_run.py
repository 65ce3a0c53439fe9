"""Runs with a column that knows the future: a warning wherever a verdict is read, no void."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support import workspace
from support.columns import moved, noisy, volatility

import harness

COLUMN = """
[columns.extra]
flow = { column = "flow", unit = "none" }
steady = { column = "steady", unit = "none" }
"""
PANEL = workspace.CSV_PANEL.replace('"file"', '"tiny"').replace('"1h"', '"15m"')
HARX = '["log(rv_1h)", "log(rv_4h)", "log(rv_1d)", "log(flow_4h)", "log(flow_1d)"]'
TEXT = workspace.changed(
    ('measures = ["rv"]', 'measures = ["rv", "flow", "steady"]'),
    ('candidates = ["har"]', 'candidates = ["har", "harx"]'),
    ("[verdict]\n", f'[models.harx]\nkind = "ols"\nfeatures = {HARX}\n\n[verdict]\n'),
)


@pytest.fixture
def folder(in_workspace: Path) -> Path:
    """Forty days of quarters of an hour; each hour's variance is known an hour before it ends."""
    rng = np.random.default_rng(3)
    hourly = volatility(960, rng)
    returns = 0.003 * np.sqrt(np.repeat(hourly, 4)) * rng.standard_normal(3_840)
    seen = 4 * np.add.reduceat(returns**2, np.arange(0, 3_840, 4))
    start = np.datetime64("2021-01-01", "us")
    pl.DataFrame(
        {
            "ts": start + np.arange(3_840) * np.timedelta64(15, "m"),
            "close": 100.0 * np.exp(np.cumsum(returns)),
            "flow": np.repeat(np.nan_to_num(moved(seen, -1), nan=1e-5), 4),
            "steady": np.repeat(noisy(seen, rng), 4),
        }
    ).write_csv("prices.csv")
    Path("panels/tiny.toml").write_text(
        PANEL.replace('path = "prices.csv"', 'path = "../prices.csv"') + COLUMN
    )
    return in_workspace


def write(text: str) -> str:
    Path("hypotheses/tiny-har.toml").write_text(text)
    return "hypotheses/tiny-har.toml"


def run(text: str, command: Callable[..., workspace.Ran]) -> dict[str, Any]:
    """The run of this text, as JSON."""
    ran = command("run", write(text), "--json")
    assert ran.code == 0, ran.err
    (found,) = ran.json
    return found


def test_the_warning_names_the_column_and_its_lead_everywhere(folder, command):
    found = run(TEXT, command)
    assert found["status"] != "void"
    (warning,) = [w for w in found["warnings"] if "may know the future" in w]
    assert "The column flow may know the future." in warning
    assert "comes 1 forecast origin (one every 1h) before the move" in warning
    assert warning in Path(found["card"]).read_text(encoding="utf-8").replace("\\_", "_")
    record = harness.open_log("reports").read(found["run_id"])
    rows = record["tables"]["foresight"]
    assert rows["feature"] == ["log(flow_4h)", "log(flow_1d)", "flow_1h"]
    assert rows["read"] == [["flow"]] * 3
    assert rows["suspected"][2] is True
    assert rows["lead"][2] == 1
    shown = command("query", "SELECT feature, lead FROM foresight WHERE suspected AND lead = 1")
    assert "flow_1h" in shown.out
    shown = " ".join(command("run", "hypotheses/tiny-har.toml").out.split())
    assert "warning: The column flow may know the future." in shown
    alone = json.loads(command("audit", "hypotheses/tiny-har.toml", "--json").out)
    assert alone["foresight"][2]["suspected"] is True
    assert "may know the future" in " ".join(
        command("audit", "hypotheses/tiny-har.toml").err.split()
    )


@pytest.mark.parametrize(
    "features",
    [
        HARX.replace("log(flow_1d)", "flow_1h - lag(flow_1h, 1)"),
        HARX.replace('"log(flow_4h)", ', ""),
        HARX.replace("log(flow_4h)", "rv_1h * flow_1h"),
    ],
)
def test_it_does_so_in_every_form_in_which_a_model_reads_the_column(features, folder, command):
    found = run(TEXT.replace(HARX, features), command)
    assert any("The column flow may know the future." in w for w in found["warnings"])


def test_it_does_so_where_the_baseline_reads_the_column_too(folder, command):
    both = workspace.changed(('baseline = "persistence"', 'baseline = "harx"'), text=TEXT)
    both = both.replace('candidates = ["har", "harx"]', 'candidates = ["har"]')
    found = run(both, command)
    assert any("The column flow may know the future." in w for w in found["warnings"])


@pytest.mark.parametrize(
    "features",
    [
        HARX.replace("flow", "steady"),
        '["log(rv_1h)", "log(rv_4h)", "log(rv_1d)", "lag(flow_1h, 1)"]',
    ],
)
def test_honest_columns_are_in_the_log_without_a_warning(features, folder, command):
    found = run(TEXT.replace(HARX, features), command)
    assert not any("future" in w for w in found["warnings"])
    rows = harness.open_log("reports").read(found["run_id"])["tables"]["foresight"]
    assert len(rows["feature"]) >= 1
    assert not any(rows["suspected"])


def test_measures_of_the_same_prices_are_no_columns_to_suspect(folder, command):
    text = TEXT.replace(HARX, '["log(rv_1h)", "log(bv_4h)"]').replace('"flow"', '"bv"')
    found = run(text, command)
    table = harness.open_log("reports").read(found["run_id"])["tables"]["foresight"]
    assert table["feature"] == []


def test_a_model_that_does_not_decide_is_not_looked_at(folder, command):
    text = TEXT.replace('candidates = ["har", "harx"]', 'candidates = ["har"]')
    found = run(text, command)
    assert not any("future" in w for w in found["warnings"])
