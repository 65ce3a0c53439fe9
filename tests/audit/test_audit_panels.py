"""The leak audit on honest panels: no false alarm, whatever the bars of a symbol look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import honest_panels as panels
from support import leaks, workspace

import harness
from harness.audit import probe
from harness.audit.auditor import Auditor
from harness.audit.findings import Audit
from harness.audit.perturb import noise, scaled
from harness.audit.probe import Probe, World
from harness.audit.stretch import Stretch
from harness.errors import PanelError, RunError
from harness.panel.panel import Panel
from harness.panel.sources.table import RawBars
from harness.study.stages import measure_study
from harness.study.study import Study, set_up
from harness.types import Forecasts


def over_seeds(study: Study, seeds: int) -> list[Audit]:
    """Its audits under as many claims: each has another hash, and so looks elsewhere."""
    measured = measure_study(study, keep=False)
    h = study.hypothesis
    rows = [measured.samples(horizon) for horizon in map(str, h.target.horizons)]
    found = []
    for seed in range(seeds):
        identity = h.identity.model_copy(update={"claim": f"claim {seed}"})
        other = replace(study, hypothesis=replace(h, identity=identity))
        auditor = Auditor(replace(measured, study=other))
        for samples in rows:
            auditor.rows(samples)
        found.append(auditor.result())
    return found


def of(folder: Path, text: str) -> Study:
    """The workspace's study of this text, on the panel that lies there."""
    (folder / "hypotheses/tiny-har.toml").write_text(text)
    hypothesis = harness.load_hypothesis(folder / "hypotheses/tiny-har.toml")
    return set_up(hypothesis, [folder / "panels"])


@pytest.mark.parametrize(
    ("panel", "text", "seeds"),
    [
        (panels.exchange, panels.HYPOTHESIS, 20),
        (lambda folder: panels.exchange(folder, "out"), panels.HYPOTHESIS, 3),
        (panels.ragged, panels.BY_SYMBOL, 20),
        (panels.still, panels.HYPOTHESIS, 25),  # the one that stops is among three of 16
        (panels.still, panels.EFFECTS, 20),
    ],
    ids=[
        "sessions with gaps",
        "sessions without nights",
        "ragged days",
        "one stops moving",
        "effects of three features",
    ],
)
def test_an_honest_panel_raises_no_false_alarm(
    panel: Callable[[Path], None], text: str, seeds: int, tmp_path: Path
):
    workspace.lay_out(tmp_path)
    panel(tmp_path)
    for seed, audit in enumerate(over_seeds(of(tmp_path, text), seeds)):
        assert audit.passed, (seed, audit.forbidden)
        assert audit.stretches, (seed, audit.left_out)
        assert not audit.unprobed, (seed, audit.left_out)
        assert not audit.left_out, seed


def test_the_run_s_own_measures_are_compared_bar_by_bar_on_sessions_too(tmp_path, monkeypatch):
    workspace.lay_out(tmp_path)
    panels.exchange(tmp_path)
    (honest,) = over_seeds(of(tmp_path, panels.HYPOTHESIS), 1)
    (own,) = (c for c in honest.checks if c.name == "the run's own measures")
    assert own.count > 100
    leaks.scaled_measure(monkeypatch)
    (audit,) = over_seeds(of(tmp_path, panels.HYPOTHESIS), 1)
    (own,) = (c for c in audit.checks if c.name == "the run's own measures")
    assert {f.subject for f in own.failures} == {"measure rv_1d", "measure rv_5d", "measure rv_22d"}


def test_models_that_look_back_forecast_around_a_window_of_a_few_symbols(tmp_path):
    workspace.lay_out(tmp_path)
    panels.ragged(tmp_path)
    garch = workspace.changed(
        ("[verdict]", '[models.garch]\nkind = "garch"\n\n[verdict]'),
        ('train = "200d"', 'train = "500d"'),
        text=panels.HYPOTHESIS,
    )
    (audit,) = over_seeds(of(tmp_path, garch), 1)
    assert audit.passed, audit.forbidden
    # The symbol that trades rarely has too few returns in the stretch; what is left is compared.
    assert audit.unprobed == ("garch",)
    (late,) = (c for c in audit.checks if c.name == "late targets")
    assert "garch at 5d" in late.covered


def test_a_scaled_copy_goes_on_from_the_last_value_of_its_own_column():
    ts = np.arange(6) * 10
    columns = {"close": np.arange(1.0, 7.0), "adj_close": np.arange(2.0, 8.0)}
    raw = RawBars("X", ts, columns, (), str, lambda row, column: "")
    found = scaled(raw, 10, 50, np.random.default_rng(0)).columns  # the last row is later
    assert found["close"].tolist() == [1, 2, 3, 4, 5, pytest.approx(5 * (6 / 5) ** 2)]
    assert found["adj_close"].tolist() == [2, 3, 4, 5, 6, pytest.approx(6 * (7 / 6) ** 2)]


def refusing(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The bars of a stretch cannot be read the first so many times."""
    true, left = Auditor._open, iter([True] * times)

    def refuse(self: Auditor, stretch: Stretch, names: tuple[str, ...], end: int) -> Study:
        if next(left, False):
            raise PanelError("no bar of X")
        return true(self, stretch, names, end)

    monkeypatch.setattr(Auditor, "_open", refuse)


def test_another_stretch_is_tried_where_one_cannot_be_read(tmp_path, monkeypatch):
    workspace.lay_out(tmp_path)
    refusing(monkeypatch, 2)
    (audit,) = over_seeds(of(tmp_path, workspace.HYPOTHESIS), 1)
    assert audit.passed
    assert len(audit.stretches) == 1
    assert not audit.left_out


def test_a_panel_that_no_stretch_can_be_read_of_is_a_caution_and_not_void(tmp_path, monkeypatch):
    workspace.lay_out(tmp_path)
    refusing(monkeypatch, 99)
    hypothesis = harness.load_hypothesis(tmp_path / "hypotheses/tiny-har.toml")
    log = harness.open_log(tmp_path / "reports")
    outcome = harness.run(hypothesis, log, search=[tmp_path / "panels"])
    assert outcome.verdict.status != "void"
    record = log.read(outcome.run_id)
    assert record["audit"]["passed"]
    assert record["audit"]["words"].endswith(" checks; no stretch of bars was checked")
    assert record["audit"]["left_out"] == ["bars after an origin replaced: no bar of X"]
    assert record["cautions"][0].startswith("The leak audit found no stretch of this panel")
    assert "on which it could replace later bars" in record["card"]


def test_a_world_that_can_be_made_no_more_is_a_failure(tmp_path, monkeypatch):
    workspace.lay_out(tmp_path)
    true = Probe.world

    def world(self: Probe, bars: Panel, origin: int | None = None, *, fit: bool = True) -> World:
        found = true(self, bars, origin, fit=fit)
        return found if origin is None else {k: v for k, v in found.items() if k[0] not in lost}

    monkeypatch.setattr(Probe, "world", world)
    lost = {"target at 4h"}
    (audit,) = over_seeds(of(tmp_path, workspace.HYPOTHESIS), 1)
    (noise,) = (c for c in audit.checks if c.name == "noise after the origin")
    assert [f.subject for f in noise.failures] == ["target at 4h"]
    monkeypatch.setattr(Probe, "world", lambda *a, **k: true(*a, **k) if len(a) < 3 else {})
    (audit,) = over_seeds(of(tmp_path, workspace.HYPOTHESIS), 1)
    (noise,) = (c for c in audit.checks if c.name == "bars read to the origin only")
    assert noise.failures[0].reason.startswith("nothing that was known could be recomputed")


def test_a_fit_that_fails_in_another_world_alone_is_said(tmp_path, monkeypatch):
    workspace.lay_out(tmp_path)
    true, walk_forward, origins = Probe.world, probe.walk_forward, []

    def world(self: Probe, bars: Panel, origin: int | None = None, *, fit: bool = True) -> World:
        origins.append(origin)
        return true(self, bars, origin, fit=fit)

    def walk(models: dict[str, object], *rest: object) -> Forecasts:
        if "har" in models and origins[-1] is not None:
            raise RunError("no such fit")
        return walk_forward(models, *rest)

    monkeypatch.setattr(Probe, "world", world)
    monkeypatch.setattr(probe, "walk_forward", walk)
    (audit,) = over_seeds(of(tmp_path, workspace.HYPOTHESIS), 1)
    assert audit.passed
    assert "model har at 4h, noise after the origin: no such fit" in audit.left_out
    assert audit.unprobed == ("har",)
    assert audit.cautions({"har"})[0].startswith(
        "The leak audit did not check the forecasts of har, on which the verdict rests"
    )
    assert audit.cautions({"persistence"}) == []


def test_noise_changes_the_returns_that_a_row_quotes_itself():
    ts = np.arange(6) * 10
    columns = {"close": np.arange(1.0, 7.0), "pre_close": np.arange(0.5, 6.5)}
    raw = RawBars("X", ts, columns, (), str, lambda row, column: "")
    found = noise(raw, 10, 40, np.random.default_rng(0)).columns  # the last two rows are later
    assert found["close"][:4].tolist() == [1, 2, 3, 4]
    assert found["pre_close"][:5].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    gross = found["close"] / found["pre_close"]
    assert (gross[4:] != (columns["close"] / columns["pre_close"])[4:]).all()
    # What is adjusted over night stays: the previous close goes with the close before it.
    assert found["pre_close"][5] / found["close"][4] == pytest.approx(5.5 / 5.0)


CLEANED = """\
pre_close = "pre"

[rows]
keep = "volume < 1000"
largest_move = 0.05
largest_adjustment = 0.1
drop_repeated = true
"""


def cleaned(folder: Path) -> None:
    """Ragged days whose rules leave out many of the rows that an audit makes of them."""
    panels.ragged(folder)
    file = folder / "panels/tiny.toml"
    text = file.read_text().replace('bar = "1d"', 'bar = "1d"\non_bad = "exclude"')
    file.write_text(text + CLEANED)
    prices = folder / "panels/prices.parquet"
    frame = pl.read_parquet(prices)
    before = pl.col("close").shift().over("symbol").fill_null(pl.col("close"))
    volume = 300.0 + 10.0 * (pl.int_range(pl.len()) % 7)
    frame.with_columns(pre=before, volume=volume).write_parquet(prices)


def test_rows_that_only_noise_makes_unsound_raise_no_false_alarm(tmp_path):
    workspace.lay_out(tmp_path)
    cleaned(tmp_path)
    for seed, audit in enumerate(over_seeds(of(tmp_path, panels.HYPOTHESIS), 12)):
        assert audit.passed, (seed, audit.forbidden)
        assert not audit.unprobed, (seed, audit.left_out)


def test_a_feature_that_knows_the_future_is_found_on_such_a_panel_too(tmp_path, monkeypatch):
    workspace.lay_out(tmp_path)
    cleaned(tmp_path)
    leaks.scaled_measure(monkeypatch)
    assert not all(a.passed for a in over_seeds(of(tmp_path, panels.HYPOTHESIS), 3))
