"""A run on a panel of many assets, end to end: what its card and record say of the symbols."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from support.many_assets import FEAR, HYPOTHESIS, PANEL, asset

import harness
from harness.errors import SpecError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parts = [asset(name, seed) for seed, name in enumerate("ABCDE")]
    bad = asset("F", 9).with_columns(
        r=pl.when(pl.int_range(pl.len()) == 99).then(-2.0).otherwise("r")
    )
    pl.concat([*parts, bad, asset("G", 10, first=150)]).write_parquet(tmp_path / "assets.parquet")
    fear = asset("V", 11).select("date", vix=pl.col("close") * 2)
    fear.filter(pl.int_range(pl.len()) >= 3).write_parquet(tmp_path / "fear.parquet")
    (tmp_path / "labels.csv").write_text("symbol,sector\nA,Oil | *gas*\nB,Tech\nC,Tech\n")
    (tmp_path / "assets.toml").write_text(PANEL)
    (tmp_path / "fear.toml").write_text(FEAR)
    return tmp_path


def run(folder: Path, *changes: tuple[str, str]) -> tuple[dict, str]:
    text = HYPOTHESIS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "assets-har.toml").write_text(text)
    log = harness.open_log(folder / "reports")
    hypothesis = harness.load_hypothesis(folder / "assets-har.toml")
    outcome = harness.run(hypothesis, log, search=[folder], keep=False)
    return log.read(outcome.run_id), outcome.card.read_text(encoding="utf-8")


def test_the_card_says_which_symbols_take_no_part_and_why(folder):
    record, card = run(folder)
    panel = record["panel"]
    assert panel["symbols"] == list("ABCDE")
    assert [e["symbol"] for e in panel["excluded"]] == ["F", "G"]
    assert "| excluded | 2 of 7 symbols, listed below |" in card
    assert "| F | r: cannot adjust: got -2.0 at row 1,400" in card
    assert "| G | history from 2021-05-31 only; wanted from 2021-02-21 or before |" in card
    assert "| left out | 15 rows without status == 1 |" in card
    assert "| prices | adjusted by return |" in card
    assert r"| label sector | Tech 2, unknown 2, Oil \| \*gas\* 1 |" in card
    assert "side series vix | vix of fear, as last known; not known at 15 bars" in card
    assert panel["labels"]["sector"]["A"] == "Oil | *gas*"


def test_a_selection_stands_on_the_card(folder):
    record, card = run(folder, ('name = "assets"\n', 'name = "assets"\nsymbols = ["B", "A"]\n'))
    assert record["panel"]["symbols"] == ["A", "B"]
    assert "| not asked for | 5 of the panel's 7 symbols in the span |" in card
    assert "listed below" not in card
    drawn, _ = run(folder, ('name = "assets"\n', 'name = "assets"\ndraw = 4\ndraw_seed = 2\n'))
    panel = drawn["panel"]
    assert len(panel["symbols"]) + len(panel["excluded"]) == 4


def test_a_run_repeats_bit_for_bit(folder):
    (first, _), (again, _) = run(folder), run(folder)
    assert first["panel"] == again["panel"]
    assert first["tables"]["scores"] == again["tables"]["scores"]


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ('symbols = ["AA"]', "panel.symbols[0]: got 'AA', wanted one of the 7 symbols of assets"),
        ("draw = 8", "panel.draw: got 8, wanted at most 7"),
        ('symbols = ["F"]', "no symbol is left: F: r: cannot adjust"),
    ],
)
def test_symbols_that_cannot_be_had_are_a_named_error(new, words, folder):
    with pytest.raises(UsageError) as caught:
        run(folder, ('name = "assets"\n', f'name = "assets"\n{new}\n'))
    assert words in str(caught.value)


def test_fitted_by_asset_a_young_symbol_is_left_out_until_it_can_be_and_counted(folder):
    record, card = run(
        folder,
        ('min_history = "100d"\n', ""),
        ('first_test = "2021-06-01"', 'first_test = "2021-06-01"\nmin_train = 30'),
        ('kind = "ols"', 'kind = "ols"\nscope = "asset"'),
    )
    assert record["panel"]["symbols"] == [*"ABCDE", "G"]
    assert list(record["panel"]["unfitted"]["5d"]) == ["G"]
    left = record["panel"]["unfitted"]["5d"]["G"]
    assert (
        f"dropped, too few training rows of their symbol | {left} of 1 symbol: G {left} |" in card
    )
    scores = record["tables"]["group_scores"]
    n = dict(zip(scores["name"], scores["n"], strict=True))
    assert left > 0
    assert n["G"] == n["A"] / 2  # the second of two windows
    assert n["Tech"] == n["B"] + n["C"]
    assert n["unknown"] == n["D"] + n["E"] + n["G"]
    assert "## MAE log by sector, 5d horizon" in card
    assert "Better than persistence in: har" in card
    fits = [f for f, m in zip(record["tables"]["fits"]["fits"], record["tables"]["fits"]["model"],
                              strict=True) if m == "har"]  # fmt: skip
    assert fits == [5, 6]


def test_calm_and_crisis_by_a_side_series(folder):
    record, card = run(
        folder, ("[verdict]", '[regimes]\ncalm = "vix_1d < 21"\ncrisis = "vix_1d >= 21"\n[verdict]')
    )
    scores = record["tables"]["group_scores"]
    n = dict(zip(scores["name"], scores["n"], strict=True))
    assert n["calm"] + n["crisis"] == sum(n[s] for s in "ABCDE")
    assert min(n["calm"], n["crisis"]) > 50
    assert "calm: `vix_1d < 21`; crisis: `vix_1d >= 21`" in card


def test_features_across_symbols_are_of_the_assets_of_the_study_and_pass_the_audit(folder):
    section = ('"log(vix_1d)"', '"panel_mean(log(rv_5d))", "panel_sd(log(rv_5d))"')
    record, _ = run(folder, section)
    assert record["audit"]["passed"]
    names = set(record["tables"]["coefficients"]["name"])
    assert {"panel_mean(log(rv_5d))", "panel_sd(log(rv_5d))"} <= names
    with pytest.raises(SpecError) as raised:
        run(folder, section, ('min_history = "100d"', 'symbols = ["B"]'))
    assert str(raised.value).endswith(
        "assets-har.toml: models.har: got 'panel_mean(log(rv_5d))', wanted two symbols or more for "
        "panel_mean; the study has one"
    )
