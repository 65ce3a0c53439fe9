"""The study of the verdict card on real Bitcoin minutes: its sample size, scores and verdict."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.workspace import ROOT

import harness
from harness.pipeline import Outcome

DATA = os.environ.get("HARNESS_DATA")
pytestmark = pytest.mark.skipif(
    DATA is None or not Path(DATA, "btcusdt_1m.parquet").is_file(),
    reason="HARNESS_DATA is not set or has no btcusdt_1m.parquet",
)
# An independent script's IC, R2 (log) and MAE (log), pooled over the test windows.
SCRIPT = {
    ("1h", "persistence"): (0.8243, 0.6485, 0.2881),
    ("1h", "har-rv"): (0.8390, 0.7057, 0.2651),
    ("1h", "har-rv-j"): (0.8397, 0.7071, 0.2644),
    ("1h", "har-rv-cj"): (0.8387, 0.7054, 0.2654),
    ("4h", "persistence"): (0.7502, 0.5536, 0.3163),
    ("4h", "har-rv"): (0.7966, 0.6604, 0.2769),
    ("4h", "har-rv-j"): (0.7976, 0.6623, 0.2759),
    ("4h", "har-rv-cj"): (0.7973, 0.6616, 0.2757),
    ("1d", "persistence"): (0.7366, 0.4524, 0.2912),
    ("1d", "har-rv"): (0.7601, 0.5803, 0.2555),
    ("1d", "har-rv-j"): (0.7575, 0.5788, 0.2564),
    ("1d", "har-rv-cj"): (0.7571, 0.5783, 0.2568),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    hypothesis = harness.load_hypothesis(ROOT / "hypotheses" / "har-rv-j.toml")
    log = harness.open_log(tmp_path_factory.mktemp("reports"))
    return harness.run(hypothesis, log, search=[ROOT / "panels"], keep=False)


def test_every_horizon_has_the_cards_rows_and_windows(study):
    assert [s.horizon for s in study.scores] == ["1h", "4h", "1d"]
    for scores in study.scores:
        assert scores.n == 45_984
        assert len(scores.window_n) == 21
        assert sum(scores.window_n) == 45_984


@pytest.mark.parametrize(("horizon", "model"), SCRIPT)
def test_scores_are_those_of_an_independent_script(study, horizon, model):
    scores = next(s for s in study.scores if s.horizon == horizon)
    found = [scores.value(model, metric) for metric in ("ic", "r2_log", "mae_log")]
    assert found == pytest.approx(SCRIPT[horizon, model], abs=1e-3)


def test_the_jump_terms_claim_of_three_points_is_refuted(study):
    verdict = study.verdict
    assert verdict.status == "refuted"
    assert (verdict.best.candidate, verdict.best.horizon) == ("har-rv-j", "4h")
    assert verdict.best.gain == pytest.approx(0.0019, abs=5e-4)
    assert verdict.best.gain_high < 0.03
    assert study.card.is_file()
