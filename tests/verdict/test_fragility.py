"""The fragility table: a variant is the hypothesis changed by hand, and the card counts rightly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from support import many_assets as many
from support import workspace
from support.workspace import changed
from support.worlds import DAY, LEVEL_SIGMA, LOG_SIGMA, make_forecasts, make_samples

import harness
from harness.cards.fragility_rows import fragility_rows
from harness.cards.render import render_card
from harness.durations import parse_duration
from harness.inference.evidence import Verdict
from harness.log.store import Log
from harness.study.study import set_up
from harness.tables import rows_of
from harness.types import Measured, Window
from harness.verdict.fragility.proxies import Proxy, choose, stand_in
from harness.verdict.fragility.training import halved, other_spans, with_span
from harness.verdict.judge import Judged, vary

# Over New Year, with nine windows of two days.
LONG = changed(('start = "2021-01-01"', 'start = "2020-12-16"'), text=workspace.PANEL)
MANY = changed(('test = "5d"', 'test = "2d"'), ("2021-01-13", "2020-12-28"))
CANDIDATES = changed(
    ('candidates = ["har"]', 'candidates = ["har", "week"]'),
    ("[verdict]", '[models.week]\nkind = "ols"\nfeatures = ["log(rv_1h)"]\n\n[verdict]'),
    text=MANY,
)


def run(
    folder: Path, text: str = workspace.HYPOTHESIS, panel: str = workspace.PANEL
) -> tuple[Log, str]:
    """The run's log and id."""
    workspace.lay_out(folder)
    (folder / "panels/tiny.toml").write_text(panel)
    file = folder / "hypotheses/tiny-har.toml"
    file.write_text(text)
    log = harness.open_log(folder / "reports")
    return log, harness.run(harness.load_hypothesis(file), log, search=[folder / "panels"]).run_id


def record_of(
    folder: Path, text: str = workspace.HYPOTHESIS, panel: str = workspace.PANEL
) -> dict[str, Any]:
    log, run_id = run(folder, text, panel)
    return log.read(run_id)


def rows(record: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [r for r in rows_of(record["tables"]["fragility"]) if r["kind"] == kind]


def row(record: dict[str, Any], variant: str) -> dict[str, Any]:
    (found,) = [r for r in rows_of(record["tables"]["fragility"]) if r["variant"] == variant]
    return found


def assert_is_the_verdict_of(found: dict[str, Any], record: dict[str, Any]) -> None:
    """Bit by bit, the record's verdict on the same candidate."""
    v = record["verdict"]
    assert found["candidate"] == v["candidate"]
    for key in ("gain", "gain_low", "gain_high", "p_value", "status", "metric", "min_gain"):
        assert found[key] == v[key], key
    assert found["n"] == record["tables"]["tests"]["n"][0]


ASSETS = changed(('min_history = "100d"\n', ""), text=many.HYPOTHESIS)


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """Three of the assets of test_assets_run, none excluded."""
    pl.concat([many.asset(name, seed) for seed, name in enumerate("ABC")]).write_parquet(
        tmp_path / "assets.parquet"
    )
    dates = many.asset("A", 0)["date"]
    vix = 15.0 + np.random.default_rng(3).random(dates.len())
    pl.DataFrame({"date": dates, "vix": vix}).write_parquet(tmp_path / "fear.parquet")
    (tmp_path / "labels.csv").write_text("symbol,sector\nA,x\nB,y\n")
    for name, text in (("assets", many.PANEL), ("fear", many.FEAR)):
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path


def run_assets(folder: Path, text: str) -> tuple[Log, str]:
    file = folder / "assets-har.toml"
    file.write_text(text)
    log = harness.open_log(folder / "reports")
    return log, harness.run(harness.load_hypothesis(file), log, search=[folder]).run_id


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> tuple[Log, dict[str, Any]]:
    log, run_id = run(tmp_path_factory.mktemp("usual"), MANY, LONG)
    return log, log.read(run_id)


SPANS = {
    "expanding instead of rolling": ('scheme = "rolling"', 'scheme = "expanding"'),
    "half the train length, 5d": ('train = "10d"', 'train = "5d"'),
    "double the train length, 20d": ('train = "10d"', 'train = "20d"'),
}


@pytest.mark.parametrize("variant", SPANS)
def test_a_training_variant_is_the_verdict_of_the_file_changed_by_hand(usual, variant, tmp_path):
    found = row(usual[1], variant)
    assert_is_the_verdict_of(found, record_of(tmp_path, changed(SPANS[variant], text=MANY), LONG))
    assert found["gain"] != usual[1]["verdict"]["gain"]


INTERVAL = ('measures = ["rv"]', 'measures = ["rv"]\ninterval = "15m"')


def test_an_interval_is_the_verdict_of_the_file_changed_by_hand(usual, tmp_path):
    assert [r["variant"] for r in rows(usual[1], "interval")] == ["returns over 15m"]
    found = row(usual[1], "returns over 15m")
    by_hand = record_of(tmp_path, changed(INTERVAL, text=MANY), LONG)
    assert_is_the_verdict_of(found, by_hand)
    assert found["gain"] != usual[1]["verdict"]["gain"]
    assert rows(by_hand, "interval") == []  # no longer one is tried


def test_an_interval_that_does_not_divide_the_grid_says_so(tmp_path):
    text = changed(
        ('every = "1h"', 'every = "40m"'), ('["1h", "4h", "1d"]', '["40m", "4h", "1d"]'),
        ('["1h", "4h"]', '["40m", "4h"]'), ("log(rv_1h)", "log(rv_40m)"), text=MANY,
    )  # fmt: skip
    found = row(record_of(tmp_path, text, LONG), "returns over 15m")
    assert found["gain"] is None
    assert "sample.interval: got '15m', wanted a length that divides" in found["note"]


def test_rolling_is_the_variant_of_expanding(usual, tmp_path):
    record = record_of(tmp_path, changed(('"rolling"', '"expanding"'), text=MANY), LONG)
    assert_is_the_verdict_of(row(record, "rolling instead of expanding"), usual[1])


def test_a_training_span_that_begins_before_the_data_says_so(usual):
    assert row(usual[1], "double the train length, 20d")["note"] == (
        "the data start within 4 of 9 training spans"
    )
    assert row(usual[1], "half the train length, 5d")["note"] == ""


@pytest.mark.parametrize("metric", ["qlike", "mse", "mae"])
def test_a_loss_is_the_verdict_of_the_file_with_that_metric_and_any_gain(usual, metric, tmp_path):
    text = changed(("r2_log", metric), ("min_gain = 0.01", "min_gain = 0.0"), text=MANY)
    record = record_of(tmp_path, text, LONG)
    assert_is_the_verdict_of(row(usual[1], f"loss {metric}"), record)
    assert [r["metric"] for r in rows(record, "loss")] == [
        m for m in ("qlike", "mse", "mae", "r2_log") if m != metric
    ]


def test_a_relative_minimum_holds_for_every_loss_and_any_gain_for_r2(tmp_path):
    relative = ("min_gain = 0.01\nalpha", 'min_gain = 0.02\ngain = "relative"\nalpha')
    texts = [changed(("r2_log", metric), relative, text=MANY) for metric in ("qlike", "mae")]
    first, second = (record_of(tmp_path, text, LONG) for text in texts)
    assert_is_the_verdict_of(row(first, "loss mae"), second)
    r2 = row(first, "loss r2_log")
    assert (r2["gain_as"], r2["min_gain"]) == ("difference", 0.0)
    any_gain = row(first, "as registered, but for any gain")
    assert r2["agrees"] == (r2["status"] == any_gain["status"])


def test_p_is_adjusted_for_all_candidates_of_whom_the_best_was_chosen(usual, tmp_path):
    record = record_of(tmp_path, CANDIDATES, LONG)
    assert record["verdict"]["candidate"] == "har"
    for variant in ("half the train length, 5d", "loss mse"):
        one, two = row(usual[1], variant), row(record, variant)
        assert two["p_value"] == pytest.approx(min(1.0, 2.0 * one["p_value"]))
        assert two["gain"] == pytest.approx(one["gain"], rel=1e-12)


def log_gain(frame: pl.DataFrame) -> float:
    """The gain in R2 (log) of har over persistence, from stored forecasts at 4h."""
    wide = frame.filter(pl.col("horizon") == "4h").pivot(
        "model", index=["formed_at", "window", "y"], values="yhat"
    )
    y, base, own = (wide[c].to_numpy() for c in ("y", "persistence", "har"))
    spread = np.sum((y - y.mean()) ** 2)
    return (np.sum((y - base) ** 2) - np.sum((y - own) ** 2)) / spread


def test_without_the_three_best_windows_by_hand(usual):
    log, record = usual
    frame = log.read_forecasts(record["run_id"])
    wide = frame.filter(pl.col("horizon") == "4h").pivot(
        "model", index=["formed_at", "window", "y"], values="yhat"
    )
    saved = wide.with_columns(
        s=(pl.col("y") - pl.col("persistence")) ** 2 - (pl.col("y") - pl.col("har")) ** 2
    )
    totals = saved.group_by("window").agg(pl.col("s").sum()).sort("s", descending=True)
    best = totals["window"][:3].to_list()
    found = row(record, "without the 3 best windows")
    kept = frame.filter(~pl.col("window").is_in(best))
    assert found["gain"] == pytest.approx(log_gain(kept), rel=1e-9)
    assert found["n"] == kept.filter(horizon="4h", model="har").height
    cuts = pl.Series(sorted(best)) * 2
    days = [str(d)[:10] for d in np.datetime64("2020-12-28") + cuts.to_numpy()]
    assert found["note"] == "left out: those from " + ", ".join(days)
    assert found["gain"] < record["verdict"]["gain"]


def test_years_part_the_rows_and_each_is_the_gain_of_its_rows(usual):
    log, record = usual
    frame = log.read_forecasts(record["run_id"])
    years = rows(record, "year")
    assert [y["variant"] for y in years] == ["year 2020", "year 2021"]
    assert sum(y["n"] for y in years) == row(record, "as registered")["n"] == 9 * 48 - 3
    for year in years:
        own = frame.filter(pl.col("formed_at").dt.year() == int(year["variant"][5:]))
        assert year["gain"] == pytest.approx(log_gain(own), rel=1e-9)


def test_thirds_of_volatility_stand_in_for_regimes_where_none_is_declared(usual):
    _, record = usual
    regimes = rows(record, "regime")
    assert [r["variant"] for r in regimes] == [
        f"regime volatility-{third}" for third in ("low", "middle", "high")
    ]
    assert sum(r["n"] for r in regimes) == 9 * 48 - 3


REGIMES = (
    "[verdict]",
    '[regimes]\nday = "log(rv_1d) >= -6.8"\nvol = { terciles = "rv_4h" }\n\n[verdict]',
)


def test_regimes_are_the_declared_ones_and_equal_the_cards_scores(tmp_path):
    record = record_of(tmp_path, changed(REGIMES, text=MANY), LONG)
    found = rows(record, "regime")
    names = ["day", "vol-low", "vol-middle", "vol-high"]
    assert [r["variant"] for r in found] == [f"regime {name}" for name in names]
    scores = {
        (r["name"], r["model"]): r["value"]
        for r in rows_of(record["tables"]["group_scores"])
        if r["horizon"] == "4h" and r["metric"] == "r2_log"
    }
    for name, regime in zip(names, found, strict=True):
        assert regime["gain"] == scores[name, "har"] - scores[name, "persistence"]


def test_a_verdict_on_a_regime_varies_within_it_and_beside_it(usual, tmp_path):
    text = changed(REGIMES, ("alpha = 0.05", 'alpha = 0.05\nregime = "vol-low"'), text=MANY)
    record = record_of(tmp_path, text, LONG)
    inside = row(usual[1], "regime volatility-low")
    assert row(record, "as registered")["gain"] == inside["gain"]
    half = changed(SPANS["half the train length, 5d"], text=text)
    assert_is_the_verdict_of(
        row(record, "half the train length, 5d"), record_of(tmp_path, half, LONG)
    )
    mse = changed(("r2_log", "mse"), ("min_gain = 0.01", "min_gain = 0.0"), text=text)
    assert_is_the_verdict_of(row(record, "loss mse"), record_of(tmp_path, mse, LONG))
    assert sum(y["n"] for y in rows(record, "year")) == inside["n"]
    others = [r["variant"] for r in rows(record, "regime")]
    assert others == ["regime day", "regime vol-middle", "regime vol-high"]
    assert "in the regime vol-low, one choice changed at a time" in record["card"]


def test_an_equality_keeps_its_margin_where_that_means_something(tmp_path):
    equal = ("alpha = 0.05", 'alpha = 0.05\nclaim = "equal"')
    record = record_of(tmp_path, changed(equal, text=MANY), LONG)
    table = rows_of(record["tables"]["fragility"])
    assert [r["variant"] for r in rows(record, "registered")] == ["as registered"]
    assert all(r["same_sign"] is None for r in table)
    for loss in rows(record, "loss"):
        assert (loss["status"], loss["agrees"]) == (None, None)
        assert loss["gain"] is not None
        assert loss["note"] == (
            f"no verdict: a margin in r2_log says nothing about {loss['metric']}"
        )
    half = changed(equal, SPANS["half the train length, 5d"], text=MANY)
    assert_is_the_verdict_of(
        row(record, "half the train length, 5d"), record_of(tmp_path, half, LONG)
    )
    assert "| allowed difference | verdict | agrees |\n" in record["card"]


def test_a_metric_without_a_loss_of_a_row_has_every_variant(usual, tmp_path):
    record = record_of(tmp_path, changed(("r2_log", "ic"), text=MANY), LONG)
    table = rows_of(record["tables"]["fragility"])
    assert all(r["gain"] is not None for r in table)
    assert len(table) == len(rows_of(usual[1]["tables"]["fragility"])) + 1  # r2_log is one more
    half = changed(("r2_log", "ic"), SPANS["half the train length, 5d"], text=MANY)
    assert_is_the_verdict_of(
        row(record, "half the train length, 5d"), record_of(tmp_path, half, LONG)
    )


def test_a_panel_of_many_assets_has_every_variant_by_decision_times(assets):
    log, run_id = run_assets(assets, ASSETS)
    record = log.read(run_id)
    table = rows_of(record["tables"]["fragility"])
    made = {r["variant"]: r for r in table if r["gain"] is not None}
    times = log.read_forecasts(run_id)["formed_at"].n_unique()
    assert made["as registered"]["n"] == made["loss qlike"]["n"] == times
    assert made["scored by bv instead of rv"]["n"] == times
    assert {r["kind"] for r in table if r["gain"] is None} == {"windows", "year"}
    for name, change in (
        ("rolling instead of expanding", ('"expanding"', '"rolling"')),
        ("half the train length, 50d", ('train = "100d"', 'train = "50d"')),
    ):
        by_hand = run_assets(assets, changed(change, text=ASSETS))
        assert_is_the_verdict_of(made[name], by_hand[0].read(by_hand[1]))


def test_one_window_leaves_nothing_to_roll_or_to_leave_out(tmp_path):
    record = record_of(tmp_path, changed(('test = "5d"', 'test = "15d"')))
    same = row(record, "expanding instead of rolling")
    assert (same["gain"], same["agrees"]) == (None, None)
    assert same["note"] == "every fit has the same training rows"
    assert row(record, "without the 3 best windows")["note"] == "there is 1 test window"
    assert row(record, "by year")["note"] == "all forecast origins are in the year 2021"
    assert row(record, "half the train length, 5d")["gain"] is not None
    assert "3 could not be computed, see below" in record["card"]


def test_a_variant_that_fails_is_a_row_that_says_why(tmp_path):
    record = record_of(tmp_path, changed(('train = "10d"', 'train = "2d"')))
    half = row(record, "half the train length, 1d")
    assert half["gain"] is None
    assert half["note"].startswith("window 1 (2021-01-13), horizon 4h: ")
    assert "no training row" in half["note"]
    assert row(record, "double the train length, 4d")["gain"] is not None


def test_a_scheme_with_one_declared_span_has_no_training_variant(tmp_path):
    fixed = (('scheme = "rolling"\ntrain = "10d"', 'scheme = "fixed"\ntrain_from = "2021-01-03"'),)
    record = record_of(tmp_path, changed(*fixed))
    (found,) = rows(record, "training")
    assert found["note"] == "not applicable: scheme 'fixed' has one declared training span"
    assert found["agrees"] is None


WLS = (
    'kind = "ols"\nfeatures = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]',
    'kind = "wls"\nweight = "1 / rv_1d"\nfeatures = ["log(rv_1h)", "log(rv_1d)"]',
)


def test_costly_models_are_fitted_on_other_spans_only_when_asked(
    in_workspace, command, monkeypatch
):
    text = changed(WLS, text=MANY)
    log, run_id = run(in_workspace, text, LONG)
    record = log.read(run_id)
    for found in (*rows(record, "training"), *rows(record, "interval")):
        assert found["gain"] is None
        assert found["note"] == (
            "not run, since har must be refitted: harness fragility RUN --full"
        )
    full = command("fragility", run_id[:6], "--full", "--json").done()
    assert "fitting persistence, har 4 times, other training spans and intervals: about" in full.err
    made = {r["variant"]: r for r in full.json["rows"]}
    stored = {r["variant"]: r for r in rows_of(record["tables"]["fragility"])}
    assert {k for k in made if made[k] != stored[k]} == {*SPANS, "returns over 15m"}
    assert full.json["unmade"] == 0
    for variant, change in {**SPANS, "returns over 15m": INTERVAL}.items():
        by_hand = changed(WLS, change, text=MANY)
        assert_is_the_verdict_of(made[variant], record_of(in_workspace, by_hand, LONG))
    assert log.read(run_id) == record
    (in_workspace / "panels/tiny.toml").write_text(changed(("seed = 7", "seed = 8"), text=LONG))
    told = command("fragility", run_id, "--full")
    assert told.code == 1
    assert f"error: the panel tiny has changed since run {run_id}" in told.err


def test_the_command_shows_the_newest_run_of_a_file_and_what_is_wrong(in_workspace, command):
    run(in_workspace)
    log, run_id = run(in_workspace)
    shown = command("fragility", "hypotheses/tiny-har.toml", "--json").done().json
    assert shown["run_id"] == max(log.runs(), key=lambda i: (log.read(i)["started"], i))
    table = rows_of(log.read(run_id)["tables"]["fragility"])
    assert shown["rows"] == table
    out = command("fragility", run_id).done().out
    assert out.splitlines()[0].startswith(f"{shown['agree']} of {shown['of']} variants agree with")
    assert all(r["variant"] in out for r in table)
    whole = command("fragility", run_id, "--full").done()
    assert "nothing to refit" in whole.err
    (in_workspace / "hypotheses/tiny-har.toml").write_text(
        changed(("min_gain = 0.01", "min_gain = 0.02"))
    )
    told = command("fragility", "hypotheses/tiny-har.toml").refused()
    assert "no run of hypotheses/tiny-har.toml as it is now in" in told
    assert "no run 'zz'" in command("fragility", "zz").refused()


def test_a_run_from_before_there_was_a_table_says_so(in_workspace, command):
    log, run_id = run(in_workspace)
    old = log.read(run_id)
    del old["tables"]["fragility"]
    again = log.publish(lambda new: old | {"run_id": new, "forecasts": {}}, [])
    assert "made by an earlier version" in command("fragility", again).refused()
    assert fragility_rows(old) is None
    assert "## Fragility" not in render_card(old)


def test_the_card_counts_what_agrees(usual):
    _, record = usual
    table = rows_of(record["tables"]["fragility"])
    held = [r for r in table if r["kind"] != "registered" and r["gain"] is not None]
    registered = {r["min_gain"]: r["status"] for r in rows(record, "registered")}
    agree = [r["status"] == registered[r["min_gain"]] for r in held]
    assert [r["agrees"] for r in held] == agree
    signs = [np.sign(r["gain"]) == np.sign(record["verdict"]["gain"]) for r in held]
    assert [r["same_sign"] for r in held] == signs
    parts = [a for r, a in zip(held, agree, strict=True) if r["kind"] in ("year", "regime")]
    n, k = len(agree) - len(parts), sum(agree) - sum(parts)
    unsure = sum(not a and r["status"] == "inconclusive" for r, a in zip(held, agree, strict=True))
    assert unsure
    assert (
        f"**{sum(agree)} of {len(agree)} variants agree** with the registered verdict, "
        f"{record['status']}: {k} of {n} other choices, {sum(parts)} of {len(parts)} years and "
        f"regimes; {unsure} of the others are inconclusive, which is no contradiction; "
        f"{sum(signs)} of {len(signs)} have a gain of the same sign."
    ) in record["card"]
    assert len(held) == 3 + 3 + 1 + 1 + 1 + 2 + 3


def test_a_void_verdict_has_nothing_to_vary(usual):
    _, record = usual
    void = Verdict("void", ("forbidden",), None)
    judged = Judged((), (), (), void, (None, {}))
    assert vary(None, None, judged) == []
    empty = {key: [] for key in record["tables"]["fragility"]}
    card = render_card({**record, "tables": record["tables"] | {"fragility": empty}})
    assert "A void verdict has no fragility table." in card
    assert "variants agree" not in card


def test_the_bits_of_the_registered_verdict_are_those_without_a_table(usual):
    v, own = usual[1]["verdict"], row(usual[1], "as registered")
    assert [own[k] for k in ("gain", "gain_low", "gain_high", "p_value", "status")] == [
        v[k] for k in ("gain", "gain_low", "gain_high", "p_value", "status")
    ]


# -- other measures --------------------------------------------------------------------------


def test_a_proxy_is_the_same_whether_the_run_measures_it_or_not(usual, tmp_path):
    wider = record_of(tmp_path, changed(('["rv"]', '["rv", "bv"]'), text=MANY), LONG)
    assert row(wider, "scored by bv instead of rv") == row(usual[1], "scored by bv instead of rv")


def test_a_proxy_row_by_hand(usual, tmp_path):
    """Bipower variation from the closes with NumPy, put on rv's level over the first window."""
    log, record = usual
    closes = harness.load_frame(harness.find_panel("tiny", [log.root.parent / "panels"]))[
        "close"
    ].to_numpy()
    r = np.abs(np.diff(np.log(closes), prepend=np.nan))
    end = np.arange(48, closes.size + 1, 12)  # the ends of four hours of 5-minute bars

    def over(x: np.ndarray, k: int, bars: int) -> np.ndarray:
        return np.array([x[e - bars : e].sum() for e in end]) / k

    rv = np.sqrt(over(r**2, 48, 48))
    bv = np.sqrt(np.pi / 2.0 * over(np.append(np.nan, r[1:] * r[:-1]), 48, 47))
    ends = np.datetime64("2020-12-16") + end * np.timedelta64(5, "m")
    decision = ends - np.timedelta64(4, "h")
    cut = np.datetime64("2020-12-28")
    train = (decision >= cut - np.timedelta64(10, "D")) & (ends <= cut - np.timedelta64(1, "D"))
    level = np.mean(np.log(rv[train]) - np.log(bv[train]))
    proxy = dict(zip(decision.astype("M8[us]").tolist(), np.log(bv) + level, strict=True))
    frame = log.read_forecasts(record["run_id"])
    moments = frame["formed_at"].dt.replace_time_zone(None).to_list()
    scored = frame.with_columns(pl.Series("y", [proxy.get(m, np.nan) for m in moments]))
    found = row(record, "scored by bv instead of rv")
    assert found["gain"] == pytest.approx(log_gain(scored), rel=1e-8)
    assert f"bv_4h times {np.exp(level):.4g}, to match the target's mean ln σ" in found["note"]


@pytest.mark.parametrize("scale", [LOG_SIGMA, LEVEL_SIGMA])
@pytest.mark.parametrize("metric", ["r2_log", "mae", "qlike", "direction", "mape", "nll"])
def test_a_proxy_that_is_the_target_times_a_constant_changes_nothing(scale, metric):
    samples = make_samples(200, symbols=2)
    y = samples.y if scale.is_log else np.exp(samples.y)
    samples = replace(samples, y=y)
    n = 2 * 60
    tail = slice(y.size - n, None)
    forecasts = make_forecasts(y[tail], {"a": y[tail]}, symbols=2)
    times = samples.rows.formed_at[tail], samples.resolved_at[tail]
    cut = int(times[0][0])
    forecasts = replace(
        forecasts,
        formed_at=times[0],
        resolved_at=times[1],
        windows=(Window(0, 0, cut, cut, cut + DAY),),
    )
    sigma = scale.sigma(samples.y.copy())
    measured = tuple(
        Measured(
            name,
            samples.resolved_at[samples.rows.symbol == k],
            {"x_1h": 3.0 * sigma[samples.rows.symbol == k] ** 2},
            np.empty(0, np.int64), 1, 1,
        )
        for k, name in enumerate(samples.symbols)
    )  # fmt: skip
    proxy = Proxy("x", "x_1h", "variance", measured, noisy=False)
    found = stand_in(proxy, forecasts, samples, scale, metric)
    assert found.known.all()
    assert np.allclose(found.forecasts.y, forecasts.y, rtol=1e-12, atol=1e-12)
    assert "x_1h times 0.5774" in found.note  # of the variance, on the scale of sigma


def test_rows_where_the_proxy_is_unknown_or_does_not_move_are_left_out():
    samples = make_samples(200)
    forecasts = make_forecasts(samples.y[150:], {"a": samples.y[150:]})
    cut = int(samples.rows.formed_at[150])
    forecasts = replace(
        forecasts,
        formed_at=samples.rows.formed_at[150:],
        resolved_at=samples.resolved_at[150:],
        windows=(Window(0, 0, cut, cut, cut + DAY),),
    )
    values = np.exp(samples.y)
    values[[160, 161]] = 0.0, np.nan
    known_at = np.delete(samples.resolved_at, 170)
    measured = Measured(
        "S0", known_at, {"x_1h": np.delete(values, 170)}, np.empty(0, np.int64), 1, 1
    )
    proxy = Proxy("x", "x_1h", "sigma", (measured,), noisy=False)
    found = stand_in(proxy, forecasts, samples, LOG_SIGMA, "r2_log")
    assert np.flatnonzero(~found.known).tolist() == [10, 11, 20]
    assert found.note.endswith("3 rows left out where it is unknown or at the floor")
    assert np.isfinite(found.forecasts.y).all()
    single = stand_in(replace(proxy, noisy=True), forecasts, samples, LOG_SIGMA, "r2_log")
    assert single.note.startswith(
        "one return per horizon is very noisy, which lowers R² and gains; "
    )
    values[:150] = np.nan
    told = stand_in(
        replace(proxy, measured=(replace(measured, columns={"x_1h": np.delete(values, 170)}),)),
        forecasts, samples, LOG_SIGMA, "r2_log",
    )  # fmt: skip
    assert told == "x_1h is unknown over the first training window"


@pytest.mark.parametrize(
    ("target", "bars", "columns", "extra", "stands"),
    [
        ("rv", 48, "close", {}, "bv"),
        ("rv", 1, "close", {}, None),
        ("rv", 1, "close high low", {}, "pk"),
        ("bv", 48, "close", {}, "rv"),
        ("pk", 1, "close high low", {}, "rv"),
        ("gk", 1, "open high low", {}, None),
        ("rsp", 48, "close high low", {}, None),
        ("rv5", 1, "close", {"rv5": "variance", "medrv5": "variance", "bv5": "none"}, "medrv5"),
        ("rv5", 1, "high low", {"rv5": "variance", "vix": "sigma"}, "pk"),
        ("bv5", 1, "", {"rv5": "variance", "bv5": "variance"}, "rv5"),
        ("turnover", 1, "high low", {"turnover": "variance", "rv5": "variance"}, None),
    ],
)
def test_what_stands_in_for_a_measure(target, bars, columns, extra, stands):
    spec = SimpleNamespace(columns=dict.fromkeys(columns.split()), extra_units=extra)
    assert choose(spec, target, bars) == stands


def test_a_panel_that_allows_no_other_measure_says_so(in_workspace):
    flow = (
        'close = "close"',
        'close = "close"\n[columns.extra]\nact = { column = "act", unit = "sigma" }',
    )
    hours = pl.datetime_range(
        pl.datetime(2021, 1, 1), pl.datetime(2021, 1, 30), "1h", eager=True, closed="left"
    )
    rng = np.random.default_rng(3)
    pl.DataFrame(
        {
            "ts": hours,
            "close": 9.0 + rng.random(hours.len()),
            "act": rng.gamma(3.0, 1.0, hours.len()),
        }
    ).write_csv(in_workspace / "panels/prices.csv")
    panel = changed(('name = "file"', 'name = "tiny"'), flow, text=workspace.CSV_PANEL)
    text = changed(
        ('measures = ["rv"]', 'measures = ["act"]'), ('measure = "rv"', 'measure = "act"'),
        ('"log(rv_1h)", "log(rv_4h)", "log(rv_1d)"', '"log(act_1h)", "log(act_1d)"'),
    )  # fmt: skip
    record = record_of(in_workspace, text, panel)
    assert row(record, "another measure than act")["note"] == (
        "the panel has no other measure of what act measures over 4h"
    )


# -- lengths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "half"),
    [("12mo", "6mo"), ("1y", "6mo"), ("3y", "18mo"), ("3mo", "1mo"), ("1mo", "15d"), ("4y", "2y"),
     ("1d", "12h"), ("3w", "252h"), ("2w", "1w"), ("1h", "30m"), ("5m", "2m")],
)  # fmt: skip
def test_half_a_length_is_whole(length, half):
    assert str(halved(parse_duration(length))) == half


def test_half_and_double_keep_everything_else(in_workspace):
    walk = harness.load_hypothesis("hypotheses/tiny-har.toml").walk_forward
    spans = list(other_spans(walk).values())
    assert [(w.scheme, str(w.train)) for w in spans] == [
        ("expanding", "10d"), ("rolling", "5d"), ("rolling", "20d"),
    ]  # fmt: skip
    assert {(w.test, w.step, w.embargo, w.first_test) for w in spans} == {
        (walk.test, walk.step, walk.embargo, walk.first_test)
    }


def test_other_spans_keep_nothing_of_residuals(in_workspace):
    risk = '[risk]\nlevels = [0.05]\nresiduals = ["normal"]\n'
    risk += '[distribution]\nlevels = [0.1, 0.9]\nlaws = ["normal"]\n\n[verdict]'
    (in_workspace / "hypotheses/tiny-har.toml").write_text(workspace.changed(("[verdict]", risk)))
    hypothesis = harness.load_hypothesis(in_workspace / "hypotheses/tiny-har.toml")
    study = set_up(hypothesis, [in_workspace / "panels"])
    assert study.tails("4h") is not None
    assert study.laws is not None
    for walk in other_spans(hypothesis.walk_forward).values():
        bare = with_span(study, walk, ["har"])
        assert bare.tails("4h") is None
        assert bare.laws is None
