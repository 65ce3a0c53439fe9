"""Every file that ships: it loads, and what needs no data of the user's own runs."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from support.workspace import ROOT

import harness
from harness.errors import PanelError
from harness.models.table import KINDS
from harness.panel.reading import read_panel
from harness.panel.report import check_panel
from harness.study.study import set_up

HYPOTHESES = sorted((ROOT / "hypotheses").glob("*.toml"))
PANELS = sorted((ROOT / "panels").glob("*.toml"))
OFFLINE = {"arch", "simulated"}
DATA = os.environ.get("HARNESS_DATA")


TORCH = importlib.util.find_spec("torch") is not None
NETS = {name for name, kind in KINDS.items() if kind.library == "torch"}


def kind_of(hypothesis: Path) -> str:
    panel = harness.load_hypothesis(hypothesis).panel.name
    return read_panel(ROOT / "panels" / f"{panel}.toml").kind


def test_there_is_something_to_ship():
    assert {p.stem for p in HYPOTHESES} >= {"har-rv-j", "har-rv-j-simulated", "sp500-har"}
    assert {p.stem for p in PANELS} >= {"btcusdt-1m", "simulated-1m", "sp500-daily"}


@pytest.mark.parametrize("file", HYPOTHESES, ids=lambda p: p.stem)
def test_a_shipped_hypothesis_loads_and_is_called_like_its_file(file):
    hypothesis = harness.load_hypothesis(file)
    assert hypothesis.identity.name == file.stem
    assert hypothesis.verdict.min_gain > 0
    assert (ROOT / "panels" / f"{hypothesis.panel.name}.toml").exists()


@pytest.mark.parametrize("file", HYPOTHESES, ids=lambda p: p.stem)
def test_the_card_of_a_shipped_hypothesis_is_of_it_as_it_stands(file):
    hypothesis = harness.load_hypothesis(file)
    name = f"????-??-??-{hypothesis.identity.name}-????????.md"
    cards = list((ROOT / "reports").glob(name))
    if not cards:
        pytest.skip(f"{file.name} has no card in reports/ yet")
    assert [hypothesis.spec_hash in card.read_text(encoding="utf-8") for card in cards] == [True]


@pytest.mark.parametrize("file", PANELS, ids=lambda p: p.stem)
def test_a_shipped_panel_loads_and_says_how_to_get_it(file):
    panel = read_panel(file)
    assert panel.how_to_get.strip()
    assert "\n" not in panel.how_to_get


@pytest.mark.parametrize(
    "file", [p for p in PANELS if read_panel(p).kind == "arch"], ids=lambda p: p.stem
)
def test_a_bundled_panel_passes_its_check(file):
    report = check_panel(read_panel(file))
    assert report.ok, report
    assert report.rows > 1_000


@pytest.mark.parametrize(
    "file", [p for p in HYPOTHESES if kind_of(p) in OFFLINE], ids=lambda p: p.stem
)
def test_an_offline_hypothesis_runs_to_its_verdict(file, tmp_path):
    kinds = {k for m in harness.load_hypothesis(file).models.values() for k in m.kinds}
    if kinds & NETS and not TORCH:
        pytest.skip("torch is not installed")
    log = harness.open_log(tmp_path)
    outcome = harness.run(harness.load_hypothesis(file), log, search=[ROOT / "panels"])
    expected = {"sp500-har": "inconclusive", "har-rv-j-simulated": "refuted"}
    assert outcome.verdict.status == expected.get(file.stem, outcome.verdict.status)
    assert outcome.card.read_text(encoding="utf-8").startswith("# ")
    assert log.runs() == [outcome.run_id]


@pytest.mark.parametrize(
    "file", [p for p in HYPOTHESES if kind_of(p) not in OFFLINE], ids=lambda p: p.stem
)
def test_a_hypothesis_on_data_that_is_not_there_says_how_to_get_it(file, monkeypatch):
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    hypothesis = harness.load_hypothesis(file)
    with pytest.raises(PanelError) as refused:
        set_up(hypothesis, [ROOT / "panels"])
    # What is learned from is opened first where the panel is what it has left.
    asked = hypothesis.source if hypothesis.panel.unseen else hypothesis.panel
    how = read_panel(ROOT / "panels" / f"{asked.name}.toml").how_to_get
    assert how in str(refused.value)


@pytest.mark.skipif(not DATA, reason="HARNESS_DATA is not set: no Bitcoin minutes")
def test_the_card_s_study_gives_the_published_figures_on_bitcoin_minutes(tmp_path):
    """IC, R², MAE of log sigma: an independent script's figures on the same minutes."""
    log = harness.open_log(tmp_path)
    hypothesis = harness.load_hypothesis(ROOT / "hypotheses/har-rv-j.toml")
    outcome = harness.run(hypothesis, log, search=[ROOT / "panels"])
    models = ("persistence", "har-rv", "har-rv-j", "har-rv-cj")
    published = {
        "1h": ((0.8243, 0.6485, 0.2881), (0.8390, 0.7057, 0.2651), (0.8397, 0.7071, 0.2644),
               (0.8387, 0.7054, 0.2654)),
        "4h": ((0.7502, 0.5536, 0.3163), (0.7966, 0.6604, 0.2769), (0.7976, 0.6623, 0.2759),
               (0.7973, 0.6616, 0.2757)),
        "1d": ((0.7366, 0.4524, 0.2912), (0.7601, 0.5803, 0.2555), (0.7575, 0.5788, 0.2564),
               (0.7571, 0.5783, 0.2568)),
    }  # fmt: skip
    for scores in outcome.scores:
        assert scores.n == 45_984
        for model, figures in zip(models, published[scores.horizon], strict=True):
            for metric, wanted in zip(("ic", "r2_log", "mae_log"), figures, strict=True):
                got = scores.value(model, metric)
                assert got == pytest.approx(wanted, abs=0.001), (scores.horizon, model, metric)
    assert outcome.verdict.status == "refuted"
    folds = log.read(outcome.run_id)["tables"]["folds"]
    assert max(folds["window"]) == 20
    assert min(folds["slack_ns"]) >= 0
