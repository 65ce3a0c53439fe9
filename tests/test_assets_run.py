"""A run on a panel of many assets, end to end: what its card and record say of the symbols."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import harness
from harness.errors import UsageError

PANEL = """\
[panel]
name = "assets"
title = "Eight assets by day"
bar = "1d"
calendar = "sessions"
timezone = "UTC"
on_bad = "exclude"
how_to_get = "made by the test"
[source]
kind = "parquet"
path = "assets.parquet"
[columns]
ts = "date"
symbol = "symbol"
close = "close"
return = "r"
[rows]
keep = "status == 1"
[labels]
path = "labels.csv"
symbol = "symbol"
columns = { sector = "sector" }
[side.vix]
panel = "fear"
column = "vix"
"""
FEAR = """\
[panel]
name = "fear"
title = "A side series"
bar = "1d"
calendar = "sessions"
timezone = "UTC"
[source]
kind = "parquet"
path = "fear.parquet"
symbol = "VIX"
[columns]
ts = "date"
[columns.extra]
vix = { column = "vix", unit = "none" }
"""
HYPOTHESIS = """\
[hypothesis]
name = "assets-har"
title = "HAR on some assets"
claim = "Fear helps."
[panel]
name = "assets"
min_history = "100d"
[sample]
every = "1d"
scales = ["1d", "5d"]
measures = ["rv", "vix"]
[target]
measure = "rv"
scale = "log"
horizons = ["5d"]
back = "naive"
[walk_forward]
scheme = "expanding"
train = "100d"
test = "50d"
embargo = "5d"
first_test = "2021-06-01"
[models.persistence]
kind = "persistence"
[models.har]
kind = "ols"
features = ["log(rv_5d)", "log(vix_1d)"]
[verdict]
baseline = "persistence"
candidates = ["har"]
metric = "mae_log"
horizon = "5d"
min_gain = 0.01
alpha = 0.05
"""
N = 260


def asset(name: str, seed: int, first: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    r = np.expm1(rng.normal(0.0, 0.01, N) * np.exp(np.sin(np.arange(N) / 20)))
    dates = pl.date_range(pl.date(2021, 1, 1), pl.date(2021, 12, 31), eager=True)[:N]
    status = np.ones(N, int)
    status[50:53] = 0
    return pl.DataFrame(
        {"symbol": name, "date": dates, "close": 10.0 + rng.random(N), "r": r, "status": status}
    )[first:]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
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


def run(desk: Path, *changes: tuple[str, str]) -> tuple[dict, str]:
    text = HYPOTHESIS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (desk / "assets-har.toml").write_text(text)
    log = harness.open_log(desk / "reports")
    hypothesis = harness.load_hypothesis(desk / "assets-har.toml")
    outcome = harness.run(hypothesis, log, search=[desk], keep=False)
    return log.read(outcome.run_id), outcome.card.read_text(encoding="utf-8")


def test_the_card_says_which_symbols_take_no_part_and_why(desk):
    record, card = run(desk)
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


def test_a_selection_stands_on_the_card(desk):
    record, card = run(desk, ('name = "assets"\n', 'name = "assets"\nsymbols = ["B", "A"]\n'))
    assert record["panel"]["symbols"] == ["A", "B"]
    assert "| not asked for | 5 of the panel's 7 symbols in the span |" in card
    assert "listed below" not in card
    drawn, _ = run(desk, ('name = "assets"\n', 'name = "assets"\ndraw = 4\ndraw_seed = 2\n'))
    panel = drawn["panel"]
    assert len(panel["symbols"]) + len(panel["excluded"]) == 4


def test_a_run_repeats_bit_for_bit(desk):
    (first, _), (again, _) = run(desk), run(desk)
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
def test_symbols_that_cannot_be_had_are_a_named_error(new, words, desk):
    with pytest.raises(UsageError) as caught:
        run(desk, ('name = "assets"\n', f'name = "assets"\n{new}\n'))
    assert words in str(caught.value)


def test_fitted_by_asset_a_young_symbol_is_left_out_until_it_can_be_and_counted(desk):
    record, card = run(
        desk,
        ('min_history = "100d"\n', ""),
        ('first_test = "2021-06-01"', 'first_test = "2021-06-01"\nmin_train = 30'),
        ('kind = "ols"', 'kind = "ols"\nscope = "asset"'),
    )
    assert record["panel"]["symbols"] == [*"ABCDE", "G"]
    assert list(record["panel"]["unfitted"]["5d"]) == ["G"]
    left = record["panel"]["unfitted"]["5d"]["G"]
    assert (
        f"left out, too few training rows of their symbol | {left} of 1 symbols: G {left} |" in card
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


def test_calm_and_crisis_by_a_side_series(desk):
    record, card = run(
        desk, ("[verdict]", '[regimes]\ncalm = "vix_1d < 21"\ncrisis = "vix_1d >= 21"\n[verdict]')
    )
    scores = record["tables"]["group_scores"]
    n = dict(zip(scores["name"], scores["n"], strict=True))
    assert n["calm"] + n["crisis"] == sum(n[s] for s in "ABCDE")
    assert min(n["calm"], n["crisis"]) > 50
    assert "calm: `vix_1d < 21`; crisis: `vix_1d >= 21`" in card
