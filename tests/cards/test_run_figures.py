"""A run's figures: from its record alone, the same bytes again, and never at the run's cost."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import workspace
from support.tiny_nets import HELD_OUT, NET

import harness
from harness.cards import figures as cards_figures
from harness.cards.figures import illustrate, run_figures
from harness.cards.fit_rows import training_rows
from harness.cards.render import render_card
from harness.cards.run_figure import what_is_forecast
from harness.errors import RunError
from harness.log.index import rebuild_index
from harness.log.query import run_query
from harness.log.store import Log
from harness.spec.reading import parse_hypothesis

TORCH = importlib.util.find_spec("torch") is not None
SWEPT = """[sweep]
model = "smooth"
decay = [0.5, 0.94]

[models.smooth]
kind = "ewma"

[models.har]"""
REST = """[regimes]
busy = "rv_1d >= 0.0017"
after-shift = { shifts = "log(rv_1h)", largest = 2, days = 12, window = 24 }

[run]
figures = true

[verdict]"""


def spec(*changes: tuple[str, str]) -> str:
    return workspace.changed(('horizons = ["1h", "4h"]', 'horizons = ["4h"]'), *changes)


def run(folder: Path, text: str) -> tuple[Log, dict[str, Any]]:
    workspace.lay_out(folder)
    file = folder / "hypotheses/tiny-har.toml"
    file.write_text(text)
    log = harness.open_log(folder / "reports")
    outcome = harness.run(harness.load_hypothesis(file), log, search=[folder / "panels"])
    return log, log.read(outcome.run_id)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> tuple[Log, dict[str, Any]]:
    """A run with figures: a sweep, regimes, shifts, and a net where there is torch."""
    changes = [("[models.har]", SWEPT), ("[verdict]", REST)]
    text = spec(*changes)
    if TORCH:
        text = workspace.changed(HELD_OUT, ("[models.har]", NET), text=text)
    return run(tmp_path_factory.mktemp("drawn"), text)


def pictures(log: Log, record: dict[str, Any]) -> dict[str, bytes]:
    return {p.stem: p.read_bytes() for p in log.card_path(record).with_suffix("").iterdir()}


def test_a_run_that_asks_for_figures_has_every_one_that_its_record_allows(drawn):
    log, record = drawn
    names = {"loss", "forecasts", "calibration", "regimes", "adaptation-after-shift", "memory"}
    names |= {f"coefficients-{name}" for name in ("har", "smooth-0-5", "smooth-0-94")}
    if TORCH:
        names |= {"training-net", "attention-net"}
    assert set(pictures(log, record)) == names
    assert [f["name"] for f in record["figures"]] == [f.name for f in run_figures(record)]
    for svg in pictures(log, record).values():
        assert ET.fromstring(svg).tag.endswith("svg")
        assert b"no data" not in svg


def test_the_card_refers_to_figures_that_are_there_and_is_its_records(drawn):
    log, record = drawn
    card = log.card_path(record).read_text("utf-8")
    assert card == render_card(record) == record["card"]
    links = re.findall(r"!\[.+\]\((.+\.svg)\)", card)
    assert len(links) == len(record["figures"])
    assert all((log.root / link).is_file() for link in links)


def test_drawing_again_gives_the_same_bytes_and_the_command_prints_their_paths(drawn, command):
    log, record = drawn
    before = pictures(log, record)
    for name in ("loss", "forecasts"):
        log.figure_path(record, name).unlink()
    warned = command("index", "--log", log.root).done().err
    assert f"figures of run {record['run_id']} are missing" in warned
    said = command("figures", record["run_id"][:5], "--log", log.root).done()
    assert pictures(log, record) == before
    assert [Path(line).stem for line in said.out.splitlines()] == [
        figure["name"] for figure in record["figures"]
    ]
    assert "missing" not in command("index", "--log", log.root).done().err


def test_the_figures_show_what_the_record_says(drawn):
    log, record = drawn
    svg = {name: data.decode() for name, data in pictures(log, record).items()}
    for model in record["settings"]["models"]:
        assert f">{model}<" in svg["loss"]
        assert f">{model}<" in svg["regimes"]
    assert ">busy<" in svg["regimes"]
    assert ">R² log (share of variance, at most 1)<" in svg["loss"]
    assert ">cumulative squared error of ln σ (no unit)<" in svg["adaptation-after-shift"]
    assert ">decay<" in svg["memory"] and "best at " in svg["memory"]
    assert ">log(rv_1h)<" in svg["coefficients-har"]
    assert ">intercept<" not in svg["coefficients-har"]
    assert "rv over the next 4h (exp of its log)" in svg["forecasts"]
    assert ">outcome<" in svg["forecasts"] and ">har<" in svg["forecasts"]


@pytest.mark.skipif(not TORCH, reason="torch is not installed")
def test_attention_is_stored_by_lag_and_training_shown_by_model(drawn):
    log, record = drawn
    table = record["tables"]["attention"]
    weights = np.reshape(table["weight"], (-1, 3))
    assert np.allclose(weights.sum(axis=1), 1.0, atol=1e-5)
    assert table["step"][:3] == [0, 1, 2] and set(table["model"]) == {"net"}
    rebuild_index(log)
    _, rows = run_query(log, "select fit, step, weight from attention order by all")
    assert [row[2] for row in rows] == table["weight"]
    (row,) = training_rows(record)
    best = [
        e for m, e in zip(*(record["tables"]["fits"][c] for c in ("model", "best_epoch")),
                          strict=True) if m == "net"
    ]  # fmt: skip
    assert row["fits"] == len(best)
    assert row["best"] == " to ".join(dict.fromkeys(map(str, (min(best), max(best)))))
    t = record["tables"]["training"]
    last = [k for k, fit in enumerate(t["fit"]) if fit == max(t["fit"])]
    held = [t["loss"][k] for k in last if t["split"][k] == "validation"]
    assert row["validation"] == held[best[-1] - 1] == min(held)
    assert f"| net | {len(best)} | " in record["card"].partition("## Training, 4h horizon")[2]
    assert f"weights kept: epoch {best[-1]}<" in pictures(log, record)["training-net"].decode()


def test_attention_is_read_newest_first():
    from harness.record.fit_tables import _attention
    from harness.types import FitReport, Forecasts, ModelFit, Training

    nothing = np.empty(0)
    told = FitReport(1, 0, 0.0, 0.0, Training(1, attention=(0.1, 0.2, 0.7)))
    fit = ModelFit("m", (), nothing, nothing, nothing, nothing, nothing, (told,))
    part = object.__new__(Forecasts)
    object.__setattr__(part, "fits", {"m": fit})
    table = _attention({"1h": part})
    assert (table["step"], table["weight"]) == ([0, 1, 2], [0.7, 0.2, 0.1])


def test_a_run_without_the_key_draws_nothing_and_its_figures_can_be_drawn_later(two_runs, command):
    root, (run_id, _) = two_runs
    log = harness.open_log(root)
    record = log.read(run_id)
    assert "figures" not in record and "## Figures" not in record["card"]
    assert not log.card_path(record).with_suffix("").exists()
    shown = command("figures", run_id, "--log", root, "--json").done().json
    assert {Path(p).stem for p in shown} == {"loss", "forecasts", "calibration", "coefficients-har"}
    assert log.card_path(record).read_text("utf-8") == record["card"]


def test_whether_figures_are_drawn_is_not_part_of_the_hash():
    texts = [
        workspace.changed(("[verdict]", f"[run]\nfigures = {v}\n\n[verdict]"))
        for v in ("true", "false")
    ]
    hashes = {
        parse_hypothesis(text, Path("h")).spec_hash for text in [*texts, workspace.HYPOTHESIS]
    }
    assert len(hashes) == 1


def test_a_figure_that_cannot_be_drawn_costs_neither_the_run_nor_the_others(
    in_workspace, command, monkeypatch
):
    (in_workspace / "hypotheses/tiny-har.toml").write_text(
        spec(("[verdict]", "[run]\nfigures = true\n\n[verdict]"))
    )

    def broken(*_: object, **__: object) -> bytes:
        raise ImportError("no matplotlib\nhere")

    monkeypatch.setattr(cards_figures, "loss_over_windows", broken)
    ran = command("run", "hypotheses/tiny-har.toml", "--json").done()
    (told,) = ran.json
    stems = {Path(p).stem for p in told["figures"]}
    assert stems == {"forecasts", "calibration", "coefficients-har"}
    words = f"warning: run {told['run_id']}: figures (loss) not drawn: no matplotlib here"
    assert words in ran.err.splitlines()
    assert command("figures", told["run_id"]).code == 1
    monkeypatch.setattr(
        Log, "write_figure", lambda *_: (_ for _ in ()).throw(RunError("disk full"))
    )
    ran = command("run", "hypotheses/tiny-har.toml").done()
    assert "figures (all) not drawn: disk full" in ran.err


def test_an_unknown_run_has_no_figures(two_runs, command):
    said = command("figures", "nope", "--log", two_runs[0]).refused()
    assert "no run 'nope'" in said


def test_of_several_symbols_the_one_with_most_forecasts_is_shown(drawn):
    import polars as pl

    log, record = drawn
    frame = log.read_forecasts(record["run_id"])
    few = frame.head(5).with_columns(pl.lit("few").alias("symbol"))
    many = {**record, "panel": {**record["panel"], "symbols": ["few", "SIM"]}}
    draw = next(f.draw for f in run_figures(many) if f.name == "forecasts")
    svg = draw(pl.concat([few, frame])).decode()
    assert f"rv over the next 4h, {frame['symbol'][0]} (exp" in svg


def test_an_older_record_has_the_figures_that_it_allows(drawn):
    _, record = drawn
    tables = {name: record["tables"][name] for name in ("scores", "coefficients", "fits")}
    old = {**record, "tables": tables}
    names = {figure.name.split("-")[0] for figure in run_figures(old)}
    assert names == {"loss", "forecasts", "memory", "coefficients"}


def test_illustrate_is_the_same_from_python(drawn):
    log, record = drawn
    before = pictures(log, record)
    found = illustrate(log, record["run_id"])
    assert not found.failed and {p.stem for p in found.paths} == set(before)
    assert pictures(log, record) == before


@pytest.mark.parametrize(
    ("window", "words"),
    [(None, "rv over the next 1d"), ("22d", "rv over the 22d that end 1d ahead")],
)
def test_a_target_over_a_window_of_its_own_is_called_so(window, words):
    assert what_is_forecast({"target": "rv", "window": window}, "1d") == words
