"""Several seeds: means on the tables, their spread in the test; one lucky seed confirms nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support import workspace
from support.overlapping import autocorrelated
from support.runs import assert_same, study
from support.worlds import acceptance, make_forecasts

from harness.cards.render import number
from harness.errors import SpecError
from harness.inference.diebold_mariano import standard_error
from harness.inference.gains import Seed, evidence
from harness.log.query import run_query
from harness.samples.target_scale import TargetScale
from harness.scores.metrics import of_volatility
from harness.scores.scoring import series
from harness.spec.reading import parse_hypothesis
from harness.verdict.rule import decide

TREES = """
[models.trees]
kind = "lightgbm"
features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]
rounds = 20
min_data_in_leaf = 5
bagging_fraction = 0.5
"""
NAIVE = TargetScale("log", "sigma", "naive", 1e-6)


def spec(seeds: int, *changes: tuple[str, str], seed: int = 1) -> str:
    run = f"[run]\nseed = {seed}\nseeds = {seeds}\n"
    return workspace.changed(
        ("[verdict]", f"{TREES}\n{run}\n[verdict]"),
        ('candidates = ["har"]', 'candidates = ["trees"]'),
        *changes,
    )


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, own_cache: Any) -> dict[str, Any]:
    log, run_id = study(tmp_path_factory.mktemp("three"), spec(3))
    return log.read(run_id)


def column(record: dict[str, Any], name: str, **where: Any) -> list[Any]:
    table = record["tables"][name]
    keep = [
        all(table[key][k] == value for key, value in where.items())
        for k in range(len(next(iter(table.values()))))
    ]
    wanted = "gain" if name in ("tests", "fragility") else "value"
    return [v for v, kept in zip(table[wanted], keep, strict=True) if kept]


def test_every_seed_is_what_a_run_with_that_seed_gives(three, tmp_path):
    for seed in (1, 2, 3):
        log, run_id = study(tmp_path, spec(1, seed=seed), keep=False)
        alone = log.read(run_id)
        assert not alone["tables"]["seeds"]["seed"]
        for metric in of_volatility():
            where = {"horizon": "4h", "model": "trees", "metric": metric}
            (own,) = column(alone, "scores", scope="pooled", **where)
            assert column(three, "seeds", seed=seed, **where) == [own]


def test_tables_show_means_over_seeds_and_models_without_a_seed_as_they_are(three, tmp_path):
    log, run_id = study(tmp_path, spec(1))
    alone = log.read(run_id)
    for metric in ("r2_log", "qlike", "ic"):
        where = {"horizon": "4h", "metric": metric}
        each = column(three, "seeds", model="trees", **where)
        (pooled,) = column(three, "scores", model="trees", scope="pooled", **where)
        assert len(set(each)) == 3 and pooled == pytest.approx(np.mean(each), rel=1e-14)
        for model in ("har", "persistence"):
            assert column(three, "scores", model=model, **where) == column(
                alone, "scores", model=model, **where
            )
    assert set(three["tables"]["seeds"]["model"]) == {"trees"}
    assert three["tables"]["folds"] == alone["tables"]["folds"]


def test_gain_and_fragility_have_every_seed(three):
    table = {key: values[0] for key, values in three["tables"]["tests"].items()}
    each = column(three, "fragility", kind="seed")
    assert table["seeds"] == 3 and len(each) == 3
    assert (table["seed_least"], table["seed_greatest"]) == (min(each), max(each))
    assert table["gain"] == pytest.approx(np.mean(each), rel=1e-14)
    # Satterthwaite's lie between the fewer and the sum of those in time and over seeds.
    assert 2.0 <= table["df"] <= table["cosines"] + 2
    assert "mean over 3 seeds, with gains from" in three["verdict"]["reasons"][-1]
    fits = three["tables"]["fits"]
    counts = dict(zip(fits["model"], fits["fits"], strict=True))
    assert counts == {"persistence": 1, "har": 1, "trees": 3}


def test_the_card_tells_the_spread(three):
    card = three["card"]
    section = card[card.index("### Seeds") :].split("\n## ")[0]
    values = column(three, "seeds", model="trees", horizon="4h", metric="r2_log")
    mean, deviation = number(float(np.mean(values))), number(float(np.std(values, ddof=1)))
    assert f"| trees | 3 | {mean} | {deviation} |" in section
    assert "over its 3 seeds, each taken alone" in section
    assert "seed 2 alone" in card


def test_kept_fits_and_the_log_know_seeds_apart(three, tmp_path):
    first = study(tmp_path, spec(3), keep=False)
    again = study(tmp_path, spec(3))
    assert_same(first, again)
    log = again[0]
    rows = run_query(
        log,
        "select seed, value from seeds where metric = 'r2_log' and horizon = '4h' "
        f"and run_id = '{again[1]}' order by seed",
    )[1]
    assert [v for _, v in rows] == column(
        three, "seeds", model="trees", horizon="4h", metric="r2_log"
    )
    assert [s for s, _ in rows] == [1, 2, 3]


def test_a_model_that_draws_nothing_is_fitted_once(tmp_path):
    plain = ("bagging_fraction = 0.5\n", "")
    several, one = (study(tmp_path, workspace.changed(plain, text=spec(n)))[0:2] for n in (3, 1))
    records = [log.read(run_id) for log, run_id in (several, one)]
    assert not records[0]["tables"]["seeds"]["seed"]
    assert records[0]["tables"]["tests"] == records[1]["tables"]["tests"]
    assert "### Seeds" not in records[0]["card"]


def test_a_verdict_in_a_regime_is_over_its_rows_with_every_seed(tmp_path):
    regime = ("alpha = 0.05", 'alpha = 0.05\nregime = "busy"')
    busy = ("[verdict]\nbaseline", '[regimes]\nbusy = "rv_1d >= 0.0017"\n\n[verdict]\nbaseline')
    log, run_id = study(tmp_path, spec(2, regime, busy))
    record = log.read(run_id)
    table = {key: values[0] for key, values in record["tables"]["tests"].items()}
    each = column(record, "fragility", kind="seed")
    assert table["seeds"] == 2 and table["gain"] == pytest.approx(np.mean(each), rel=1e-12)
    assert table["n"] < 360


def test_a_run_with_seeds_is_made_again_bit_for_bit(tmp_path, command, monkeypatch):
    log, run_id = study(tmp_path, spec(2))
    monkeypatch.chdir(tmp_path)
    assert "same" in command("verify", run_id, "--log", log.root).done().out


def test_one_seed_is_no_part_of_the_hash_and_several_are():
    plain = workspace.changed(("[verdict]", f"{TREES}\n[verdict]"))
    hashes = [
        parse_hypothesis(text, "x.toml").spec_hash
        for text in (plain, plain + "\n[run]\nseeds = 1\n", plain + "\n[run]\nseeds = 5\n")
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("seeds", ["0", "101", "2.5", '"five"'])
def test_another_number_of_seeds_is_refused(seeds):
    text = workspace.HYPOTHESIS + f"\n[run]\nseeds = {seeds}\n"
    with pytest.raises(SpecError, match=r"run\.seeds: got .*wanted a whole number from 1 to 100"):
        parse_hypothesis(text, "x.toml")


# --- the test itself


def proven(gains: np.ndarray, n: int = 250, *, seed: int = 0, noise: float = 1.0) -> Any:
    """Evidence and verdict where the loss saved is each seed's gain plus noise that all share."""
    y = np.zeros(n)
    shared = noise * autocorrelated(n, seed=seed, overlap=0)
    # Absolute errors: of the baseline 10, of the candidate 10 less what it saves.
    of = {k: 10.0 - gain - shared for k, gain in enumerate(gains)}
    forecasts = make_forecasts(y, {"base": np.full(n, 10.0), "own": of[0]}, overlap=0)
    outcome, _ = series(forecasts, NAIVE)
    seeds = []
    for own in of.values():
        made = make_forecasts(y, {"base": np.full(n, 10.0), "own": own}, overlap=0)
        values = series(made, NAIVE)[1]
        gain = 10.0 - float(np.abs(own).mean())
        seeds.append(Seed(values, {"own": gain}, 10.0))
    (found,) = evidence(
        forecasts, outcome, seeds, baseline="base", candidates=("own",), metric="mae_log",
        gain_as="difference", alpha=0.05,
    )  # fmt: skip
    return found, decide([found], acceptance()), shared


def test_seeds_that_agree_change_nothing():
    one, many = proven(np.array([0.2]))[0], proven(np.full(5, 0.2))[0]
    assert many.gain == pytest.approx(one.gain, rel=1e-14)
    for name in ("gain_low", "gain_high", "statistic", "p_value", "standard_error", "detectable"):
        assert getattr(many, name) == pytest.approx(getattr(one, name), rel=1e-9), name
    assert (many.df, one.df) == (many.cosines, one.cosines)
    assert one.seeds == () and len(many.seeds) == 5


def test_spread_adds_its_square_with_welchs_degrees_of_freedom():
    gains = np.array([0.1, 0.5, -0.2, 0.3, 0.4])
    found, _, shared = proven(gains)
    time = standard_error(-shared, found.cosines)
    over = gains.std(ddof=1) / math.sqrt(5)
    total = math.hypot(time, over)
    assert found.standard_error == pytest.approx(total, rel=1e-9)
    df = total**4 / (time**4 / found.cosines + over**4 / 4)
    assert found.df == pytest.approx(df, rel=1e-9)
    from scipy import stats

    assert found.statistic == pytest.approx(found.gain / total, rel=1e-9)
    assert found.p_value == pytest.approx(stats.t.sf(found.statistic, df), rel=1e-9)
    half = stats.t.ppf(0.95, df) * total
    assert found.gain_high - found.gain == pytest.approx(half, rel=1e-9)


def test_a_gain_of_one_lucky_seed_is_not_confirmed():
    lucky = np.array([2.0, 0.02, -0.03, 0.01, -0.02])
    alone = proven(lucky[:1], noise=0.5)[1]
    assert alone.status == "confirmed"
    found, verdict, _ = proven(lucky, noise=0.5)
    assert found.gain > 0.3 and verdict.status == "inconclusive"
    assert "with gains from" in verdict.reasons[-1]
    steady = proven(np.array([0.5, 0.4, 0.45, 0.38, 0.42]), noise=0.5)[1]
    assert steady.status == "confirmed"


def test_a_model_no_better_over_seeds_is_confirmed_as_seldom_as_alpha_says():
    draws = np.random.default_rng(5)
    confirmed = [
        proven(draws.normal(0.0, 0.3, 5), 120, seed=k)[1].status == "confirmed" for k in range(400)
    ]
    # One-sided 5 %: 400 worlds have a standard error of 1.1 points.
    assert np.mean(confirmed) < 0.085
