"""Verdicts on the losses of VaR and ES, through the whole chain; and what a file may say."""

# ruff: noqa: E501 - a message stands here as the user sees it: on one line

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from support import workspace
from support.runs import study

from harness.cards.render import render_card
from harness.errors import SpecError
from harness.inference.diebold_mariano import diebold_mariano
from harness.log.query import run_query
from harness.log.registrations import rule_difference, rule_of
from harness.reanalysis.replay import verify_run
from harness.scores.metrics import OF_RISK
from harness.scores.risk.losses import fz_loss
from harness.spec.reading import parse_hypothesis
from harness.tables import rows_of

RISK = """[risk]
levels = [0.05, 0.1]
residuals = ["normal", "historical"]

[verdict]
level = 0.05
residuals = "historical"
"""
METRIC = 'metric = "r2_log"'


def spec(metric: str = "fz_loss", *changes: tuple[str, str], risk: str = RISK) -> str:
    return workspace.changed(
        ("[verdict]\n", risk), (METRIC, f'metric = "{metric}"'), ("min_gain = 0.01", "min_gain = 0.0"),
        ('horizons = ["1h", "4h"]', 'horizons = ["4h"]'), *changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory, own_cache):
    """A log with one run on the FZ0 loss, and its record."""
    log, run_id = study(tmp_path_factory.mktemp("risk-verdict"), spec())
    return log, log.read(run_id)


def of_table(record, model, level=0.05, residuals="historical"):
    """The row of the table `risk` over all rows."""
    keys = {"model": model, "level": level, "residuals": residuals, "symbol": "all"}
    (row,) = [
        row for row in rows_of(record["tables"]["risk"])
        if all(row[key] == value for key, value in keys.items())
    ]  # fmt: skip
    return row


def gain_of(record, loss="fz_loss", **keys):
    return of_table(record, "persistence", **keys)[loss] - of_table(record, "har", **keys)[loss]


def test_the_gain_is_the_difference_of_the_losses_in_the_table_of_var(ran):
    v = ran[1]["verdict"]
    assert (v["metric"], v["level"], v["residuals"]) == ("fz_loss", 0.05, "historical")
    assert v["gain"] == pytest.approx(gain_of(ran[1]), rel=1e-10)
    assert v["gain_low"] < v["gain"] < v["gain_high"]


def test_the_test_is_diebold_mariano_s_on_the_losses_of_every_row(ran):
    """All forecasts are fewer than the thousand of the path that the record keeps."""
    record = ran[1]
    path, losses = record["tables"]["risk_path"], {}
    assert set(path["level"]) == {0.05}
    assert set(path["residuals"]) == {"historical"}
    for name in ("persistence", "har"):
        rows = [row for row in rows_of(path) if row["model"] == name]
        y, q, e = (np.array([row[key] for row in rows]) for key in ("realised", "var", "es"))
        losses[name] = fz_loss(y, 0.05, q, e)
    d = losses["persistence"] - losses["har"]
    (test,) = rows_of(record["tables"]["tests"])
    assert test["n"] == d.size
    overlap = record["settings"]["overlap"]["4h"]
    assert test["p_value"] == pytest.approx(diebold_mariano(d, overlap)[1], rel=1e-8)
    (gw,) = [r for r in rows_of(record["tables"]["ability"]) if r["test"] == "giacomini-white"]
    assert gw["effect"] == pytest.approx(d.mean(), rel=1e-10)


def test_scores_and_wins_have_the_losses_by_window_and_regime(ran):
    scores = rows_of(ran[1]["tables"]["scores"])
    windows = {
        name: np.array([
            row["value"] for row in scores
            if (row["scope"], row["metric"], row["model"]) == ("window", "fz_loss", name)
        ])
        for name in ("persistence", "har")
    }  # fmt: skip
    (wins,) = rows_of(ran[1]["tables"]["wins"])
    assert wins["wins"] == np.sum(windows["har"] < windows["persistence"])
    assert wins["windows"] == windows["har"].size > 1
    pooled = {row["metric"]: row["value"] for row in scores if row["scope"] == "pooled"
              and row["model"] == "har"}  # fmt: skip
    for loss in OF_RISK:
        assert pooled[loss] == pytest.approx(of_table(ran[1], "har")[loss], rel=1e-10)


def test_the_fragility_has_other_losses_levels_residuals_years_and_regimes(ran):
    rows = {row["variant"]: row for row in rows_of(ran[1]["tables"]["fragility"])}
    other = {
        "loss quantile_loss": gain_of(ran[1], "quantile_loss"),
        "loss joint_loss": gain_of(ran[1], "joint_loss"),
        "VaR and ES at 10 %": gain_of(ran[1], level=0.1),
        "normal residuals": gain_of(ran[1], residuals="normal"),
    }
    for name, gain in other.items():
        assert rows[name]["gain"] == pytest.approx(gain, rel=1e-9), name
        assert rows[name]["status"] in ("confirmed", "refuted", "inconclusive")
    assert rows["normal residuals"]["kind"] == "residuals"
    assert "loss qlike" not in rows
    assert rows["half the train length, 5d"]["gain"] is not None  # fitted anew, with tails
    assert "returns are observed" in rows["another measure than rv"]["note"]
    assert any(row["kind"] == "regime" and row["gain"] is not None for row in rows.values())
    assert any(row["kind"] == "windows" for row in rows.values())


def test_the_card_says_on_what_it_decides_and_is_made_again_from_the_record(ran):
    record = ran[1]
    card = record["card"]
    assert render_card(record) == card
    assert "| decided on | VaR and ES at 5 %, historical residuals |" in card
    assert "Gain over persistence at 4h, VaR and ES at 5 %, historical residuals (in" in card
    assert (
        "quantile loss, joint loss, FZ0 loss: of VaR and ES at 5 %, historical residuals." in card
    )
    assert "At 5 % and 10 % fewer than 50 violations are expected" in card
    assert "No reality check: fz\\_loss scores VaR and ES" in card


def test_the_log_and_the_replay_know_the_level_and_the_method(ran):
    log, record = ran
    found = run_query(log, "select metric, level, residuals from verdicts")[1]
    assert found == [("fz_loss", 0.05, "historical")]
    rows = run_query(log, "select distinct p_values, expected < 50 from risk")[1]
    assert rows == [("own distribution", True)]
    assert record["methods"]["risk"] == record["methods"]["risk_wins"] == 2
    replay = verify_run(log, record["run_id"], search=[log.root.parent / "panels"])
    assert replay.same, replay.parts


def test_another_level_is_another_comparison_and_another_rule():
    one, other = (
        parse_hypothesis(spec("fz_loss", ("level = 0.05", f"level = {level}")), Path("h.toml"))
        for level in (0.05, 0.1)
    )
    assert one.comparison_hash != other.comparison_hash
    assert one.spec_hash != other.spec_hash
    assert rule_difference(rule_of(one), rule_of(other)) == ["level 0.05, now 0.1"]


def test_the_only_residuals_need_not_be_named():
    plain = RISK.replace('"normal", ', "")
    silent = plain.replace('residuals = "historical"\n', "")
    one, other = (parse_hypothesis(spec(risk=text), Path("h.toml")) for text in (plain, silent))
    assert other.verdict.residuals == "historical"
    assert one.spec_hash == other.spec_hash


@pytest.mark.parametrize("metric", ["quantile_loss", "joint_loss"])
def test_every_loss_decides_a_regime_a_share_and_several_seeds(metric, tmp_path, own_cache):
    trees = '[models.trees]\nkind = "lightgbm"\nrounds = 20\nbagging_fraction = 0.5\n'
    trees += 'min_data_in_leaf = 5\nfeatures = ["log(rv_1h)", "log(rv_4h)"]\n\n'
    regime = '[regimes]\ncalm = "rv_1h < 0.002"\n\n[run]\nseeds = 2\n\n'
    log, run_id = study(
        tmp_path,
        spec(
            metric,
            ("[risk]", trees + regime + "[risk]"),
            ('candidates = ["har"]', 'candidates = ["trees"]\nregime = "calm"'),
            ("alpha", 'gain = "relative"\nalpha' if metric == "quantile_loss" else "alpha"),
        ),
        keep=False,
    )
    record = log.read(run_id)
    v, seeds = record["verdict"], rows_of(record["tables"]["seeds"])
    own = [row["value"] for row in seeds if row["metric"] == metric]
    assert len(own) == 2
    assert own[0] != own[1]
    groups = {
        (row["name"], row["model"]): row["value"]
        for row in rows_of(record["tables"]["group_scores"]) if row["metric"] == metric
    }  # fmt: skip
    base, trees_of = groups["calm", "persistence"], groups["calm", "trees"]
    gain = base - trees_of
    gain = gain / base if v["gain_as"] == "relative" else gain
    assert v["gain"] == pytest.approx(gain, rel=1e-6)
    kinds = {row["kind"] for row in rows_of(record["tables"]["fragility"])}
    assert {"seed", "level", "residuals", "loss"} <= kinds
    assert math.isfinite(v["gain_low"])


def test_a_level_without_an_expected_violation_is_told_in_words(tmp_path, own_cache):
    rare = RISK.replace("[0.05, 0.1]", "[0.0001, 0.1]").replace("level = 0.05", "level = 0.0001")
    calm = rare.replace('"normal", "historical"', '"normal"').replace('"historical"', '"normal"')
    log, run_id = study(tmp_path, spec(risk=calm, metric="quantile_loss"))
    record = log.read(run_id)
    n = of_table(record, "har", 0.0001, "normal")["n"]
    warning = next(words for words in record["cautions"] if "violations are expected" in words)
    assert f"VaR at 0.01 % over {n} forecasts: {n * 0.0001:.3g} violations are expected" in warning
    section = record["card"].split("## VaR and ES")[1].split("\n## ")[0]
    assert "At 0.01 % fewer than one violation is expected" in section
    assert "nan" not in record["card"].lower().replace("covenant", "")
    row = of_table(record, "har", 0.0001, "normal")
    if not row["violations"]:
        assert "no return fell below VaR of" in section
        assert row["z1"] is None


# -- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([(RISK.split("[verdict]")[0], "")], "verdict.metric: got 'fz_loss', wanted a metric of volatility, or a table [risk]"),
        ([("level = 0.05\n", "level = 0.06\n")], "verdict.level: got 0.06, wanted one of risk.levels: 0.05, 0.1; did you mean '0.05'?"),
        ([("level = 0.05\n", "")], "verdict.level: wanted this key, one of risk.levels: 0.05, 0.1"),
        ([("level = 0.05\n", "level = 0.7\n")], "verdict.level: got 0.7, wanted one of risk.levels"),
        ([('residuals = "historical"\n', "")], "verdict.residuals: wanted this key, one of risk.residuals: normal, historical"),
        ([('residuals = "historical"', 'residuals = "t"')], "verdict.residuals: got 't', wanted one of normal, historical"),
        ([('residuals = "historical"', 'residuals = "historic"')], "did you mean 'historical'?"),
        ([('metric = "fz_loss"', 'metric = "qlike"')], "verdict.level: got 0.05, wanted no such key with the metric qlike"),
        ([('metric = "fz_loss"', 'metric = "fz_los"')], "did you mean 'fz_loss'?"),
        ([("alpha", 'gain = "relative"\nalpha')], "verdict.gain: got 'relative', wanted 'difference': fz_loss can be negative"),
        ([('back = "lognormal"', 'back = "lognormal"\nwindow = "1h"')], "target.window: got '1h', wanted no such key together with [risk]"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_file_and_key(changes, said):
    text = spec()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(SpecError) as refused:
        parse_hypothesis(text, Path("h.toml"))
    assert said in str(refused.value)


def test_metrics_of_risk_are_listed_with_source_and_say_that_they_need_no_proxy():
    from harness.cli.catalogue import metrics

    entries = {entry["metric"]: entry for entry in metrics()}
    papers = {
        "quantile_loss": ("Koenker & Bassett 1978", "Giacomini & Komunjer 2005"),
        "joint_loss": ("Taylor 2019",),
        "fz_loss": ("Patton, Ziegel & Chen 2019", "Fissler & Ziegel 2016"),
    }
    for name, sources in papers.items():
        assert all(source in entries[name]["definition"] for source in sources)
        assert "none is needed" in entries[name]["noisy proxy"]
