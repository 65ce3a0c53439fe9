"""VaR and ES through the whole chain: laws fitted on training rows, tables, card, figure, spec."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import workspace
from support.worlds import LOG_SIGMA, InSample, make_forecasts, make_samples

import harness
from harness.cards.figures import illustrate, run_figures
from harness.cards.render import render_card
from harness.errors import SpecError
from harness.log.query import run_query
from harness.models.linear import Ols
from harness.panel.panel import load_frame
from harness.panel.reading import read_panel
from harness.samples.splits import Fitting
from harness.scores.risk.assess import RiskRow, _wins, assess
from harness.scores.risk.forecasts import tail_forecast
from harness.scores.scoring import series
from harness.spec.reading import parse_hypothesis
from harness.types import Window
from harness.walk.fold_fit import Settings
from harness.walk.residuals.kept import ResidualPlan
from harness.walk.residuals.tails import QUANTILE, RESIDUALS, SHORTFALL, Tails
from harness.walk.walk_forward import walk_forward

RISK = """[risk]
levels = [0.05, 0.025]
residuals = ["historical", "t", "normal"]

[verdict]"""
HOUR = 3_600_000_000_000


# -- the walk ----------------------------------------------------------------------------------


def walked(samples, model, scope, levels=(0.05,)):
    """Two windows over the second half of the samples."""
    formed = samples.rows.formed_at
    cuts = [int(formed[formed.size // 2]), int(formed[3 * formed.size // 4]), int(formed[-1]) + 1]
    windows = tuple(
        Window(k, int(formed[0]) + k * 50 * HOUR, a - HOUR, a, b)
        for k, (a, b) in enumerate(pairwise(cuts))
    )
    tails = Tails(levels, RESIDUALS, 4, LOG_SIGMA)
    fitting = {"m": Fitting(windows, windows, scope=scope)}
    settings = Settings(HOUR, LOG_SIGMA, min_train=20, keep=ResidualPlan(tails=tails))
    return walk_forward({"m": model}, samples, windows, fitting, settings), windows, tails


def with_returns(**keys):
    """Samples and the returns over their targets' spans, a few of them unknown."""
    samples = make_samples(**keys)
    rng = np.random.default_rng(5)
    returns = 2.0 * np.exp(samples.y) * rng.standard_t(5, samples.y.size)
    returns[::97] = np.nan
    return samples, returns


MODEL = {"ols": Ols(("x0_1h", "x1_1h")), "nearest": InSample(("x0_1h", "x1_1h"))}


@pytest.mark.parametrize("scope", ["pooled", "asset"])
@pytest.mark.parametrize("kind", MODEL)
@pytest.mark.parametrize(("symbols", "ragged"), [(1, False), (3, False), (3, True)])
def test_a_fit_s_tails_are_those_of_its_own_training_rows(kind, scope, symbols, ragged):
    samples, returns = with_returns(n=300, symbols=symbols, ragged=ragged)
    samples = replace(samples, returns=returns)
    part, windows, tails = walked(samples, MODEL[kind], scope)
    fit, formed = part.fits["m"], samples.rows.formed_at
    for k, w in enumerate(windows):
        train = (formed >= w.train_start) & (samples.resolved_at <= w.limit)
        for code in range(symbols):
            own = train if scope == "pooled" else train & (samples.rows.symbol == code)
            rows = np.flatnonzero(own)
            fitted = MODEL[kind].fit(samples.rows.take(rows).columns(MODEL[kind].features),
                                     samples.y[rows])  # fmt: skip
            predicted = fitted.predict(samples.rows.take(rows).columns(MODEL[kind].features))
            e = samples.y[rows] - predicted
            shift = 2.0 * e.mean() + 2.0 * e.var()
            wanted = tails.of(returns[rows], predicted, shift)
            of_symbols = scope == "asset" and fit.tails.ndim == 5
            found = fit.tails[k, code] if of_symbols else fit.tails[k]
            assert found == pytest.approx(wanted, rel=2e-5, nan_ok=True)


def test_with_effects_one_law_serves_all_symbols():
    samples, returns = with_returns(n=300, symbols=3)
    part, windows, tails = walked(replace(samples, returns=returns), MODEL["ols"], "effects")
    w, fit, rows = windows[0], part.fits["m"], samples.rows
    train = (rows.formed_at >= w.train_start) & (samples.resolved_at <= w.limit)
    dummies = np.eye(3)[rows.symbol[train]]
    x = np.column_stack([rows.X[train][:, :2], dummies])
    y = samples.y[train]
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    wanted = tails.of(returns[train], fitted, 2.0 * (y - fitted).var())
    assert fit.tails[0] == pytest.approx(wanted, rel=2e-5, nan_ok=True)


def test_a_row_s_var_is_its_fit_s_quantile_times_its_forecast_sigma():
    samples, returns = with_returns(n=300, symbols=2)
    part, _, tails = walked(replace(samples, returns=returns), MODEL["ols"], "asset")
    values = series(part, LOG_SIGMA)[1]["m"]
    found = tail_forecast(part, "m", values, tails, 0, 0)
    fit = part.fits["m"]
    for row in (0, part.y.size // 2, part.y.size - 1):
        k, code = part.window[row], part.symbol[row]
        sigma = math.sqrt(4 * math.exp(2 * part.yhat["m"][row] + fit.var_shift[k, code]))
        assert found.var[row] == pytest.approx(sigma * fit.tails[k, code, 0, 0, QUANTILE])
        assert found.es[row] == pytest.approx(sigma * fit.tails[k, code, 0, 0, SHORTFALL])


def test_a_symbol_whose_training_returns_are_few_has_no_var_and_costs_no_forecast():
    samples, returns = with_returns(n=300, symbols=2)
    returns[samples.rows.symbol == 1] = np.nan
    part, _, tails = walked(replace(samples, returns=returns), MODEL["ols"], "asset")
    risk = assess(part, series(part, LOG_SIGMA)[1], tails, baseline="m", seed=0)
    by_symbol = {(r.residuals, r.symbol): r for r in risk.rows}
    assert (
        part.y.size
        == 2 * by_symbol["t", "S0"].n + 2 * np.isnan(part.returns[part.symbol == 0]).sum()
    )
    for law in RESIDUALS:
        row = by_symbol[law, "S1"]
        assert (row.n, row.violations, row.tested) == (0, 0, 0)
        assert np.isnan([row.rate, row.joint_loss, row.kupiec_p, row.z2_p]).all()
        assert by_symbol[law, "all"].joint_loss == by_symbol[law, "S0"].joint_loss
    assert [(w.symbols, w.tested) for w in risk.wins] == [(1, 1)] * 3


def assessed(returns, *, overlap=0, symbols=1, sigma=None, levels=(0.05,)):
    """Risk of a model whose forecast variance is 1 and whose residuals are standard normal."""
    n = returns.size
    y = np.zeros(n) if sigma is None else np.log(sigma)
    part = make_forecasts(y, {"a": y, "b": y + 0.1}, overlap=overlap, symbols=symbols)
    tails = Tails(levels, ("normal",), 1, LOG_SIGMA)
    z = np.random.default_rng(0).normal(size=1_000)
    own = tails.of(z / math.sqrt(np.mean(z**2)), np.zeros(1_000), 0.0)[None]
    fits = {name: replace(fit, tails=own) for name, fit in part.fits.items()}
    part = replace(part, returns=returns, fits=fits)
    return assess(part, series(part, LOG_SIGMA)[1], tails, baseline="a", seed=0, drawn=["b"])


def test_targets_that_overlap_are_tested_one_after_the_other():
    returns = np.random.default_rng(1).normal(size=401)
    apart, every = assessed(returns, overlap=4), assessed(returns)
    assert [r.tested for r in apart.rows] == [81, 81]
    assert [r.tested for r in every.rows] == [401, 401]
    assert [r.rate for r in apart.rows] == [r.rate for r in every.rows]
    picked = assessed(returns[::5])
    assert [r.kupiec for r in apart.rows] == [r.kupiec for r in picked.rows]
    assert [r.z2_p for r in apart.rows] == [r.z2_p for r in picked.rows]


def test_a_constant_sigma_and_no_violation_give_numbers_and_one_row_does_too():
    calm = assessed(np.full(200, 0.01)).rows[0]
    assert (calm.violations, calm.rate) == (0, 0.0)
    assert calm.kupiec_p < 0.001
    assert calm.independence_p == 1.0
    assert math.isnan(calm.z1)
    single = assessed(np.array([-9.0])).rows[0]
    assert (single.n, single.violations, single.tested) == (1, 1, 1)
    assert math.isfinite(single.joint_loss)
    assert math.isnan(single.dq_p)


def test_symbols_are_tested_one_by_one_and_counted():
    rng = np.random.default_rng(2)
    returns = rng.normal(size=(500, 3)) * [1.0, 1.0, 3.0]
    risk = assessed(returns.ravel(), symbols=3)
    rows = {(r.model, r.symbol): r for r in risk.rows}
    assert math.isnan(rows["a", "all"].kupiec_p)
    assert rows["a", "all"].tested == 0
    assert rows["a", "all"].violations == sum(rows["a", f"S{k}"].violations for k in range(3))
    own = [rows["a", f"S{k}"].joint_loss for k in range(3)]
    assert rows["a", "all"].joint_loss == pytest.approx(np.mean(own))
    a, b = risk.wins
    assert (a.wins, a.symbols, a.tested) == (0, 3, 3)
    lower = [rows["b", f"S{k}"].joint_loss < own[k] for k in range(3)]
    assert b.wins == sum(lower)
    pairs = [(rows["b", f"S{k}"], rows["a", f"S{k}"]) for k in range(3)]
    assert b.quantile_wins == sum(i.quantile_loss < j.quantile_loss for i, j in pairs)
    apart = [abs(i.rate / i.level - 1) - abs(j.rate / j.level - 1) for i, j in pairs]
    assert b.rate_wins == sum(x < -1e-12 for x in apart)
    assert b.rate_ties == sum(abs(x) <= 1e-12 for x in apart)
    assert (a.quantile_wins, a.rate_wins, a.rate_ties) == (0, 0, 3)
    assert lower[2]  # 3 times the risk forecast: the higher forecast is the better one
    rejected = [rows["a", f"S{k}"].kupiec_p < 0.05 for k in range(3)]
    assert a.rejected == sum(rejected)
    assert rejected[2]


def test_a_path_is_kept_of_the_models_drawn_alone():
    returns = np.random.default_rng(3).normal(size=1_200)
    paths = assessed(returns, levels=(0.01, 0.05)).paths
    assert {(p.model, p.level, p.symbol) for p in paths} == {("b", 0.01, "S0")}
    assert [p.realised for p in paths] == returns[-1_000:].tolist()


# -- a run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory, own_cache):
    """A run with [risk] and one without: (log, record with, record without)."""
    folder = tmp_path_factory.mktemp("risk")
    workspace.lay_out(folder)
    log = harness.open_log(folder / "reports")
    texts = [workspace.changed(("[verdict]", RISK), ('"1h", "4h"]\nback', '"4h"]\nback')),
             workspace.changed(('"1h", "4h"]\nback', '"4h"]\nback'))]  # fmt: skip
    records = []
    for text in texts:
        h = parse_hypothesis(text, folder / "hypotheses/tiny-har.toml")
        outcome = harness.run(h, log, search=[folder / "panels"])
        records.append(log.read(outcome.run_id))
    return log, *records


def test_risk_changes_no_forecast_no_score_and_no_verdict(ran):
    log, risky, plain = ran
    one, two = (log.read_forecasts(r["run_id"]) for r in (risky, plain))
    assert one.equals(two)
    assert risky["tables"]["scores"] == plain["tables"]["scores"]
    assert risky["verdict"] == plain["verdict"]
    assert risky["spec_hash"] != plain["spec_hash"]


def test_a_run_without_risk_has_no_table_no_section_and_no_setting_of_it(ran):
    plain = ran[2]
    assert not {"risk", "risk_wins", "risk_path"} & set(plain["tables"])
    assert plain["settings"]["risk"] is None
    assert "VaR" not in plain["card"]
    assert "risk" not in [figure.name for figure in run_figures(plain)]


def test_the_record_has_a_row_for_every_model_law_and_level(ran):
    table = ran[1]["tables"]["risk"]
    assert tuple(table) == RiskRow._fields
    keys = list(zip(table["model"], table["residuals"], table["level"], strict=True))
    assert sorted(keys) == sorted(
        (m, r, level) for m in ("persistence", "har") for r in RESIDUALS for level in (0.025, 0.05)
    )
    assert set(table["symbol"]) == {"all"}
    n = ran[1]["tables"]["scores"]["n"][0]
    assert set(table["n"]) == {n}
    assert set(table["tested"]) == {math.ceil(n / 4)}  # a decision an hour, four hours each
    assert all(0 < rate < 0.2 for rate in table["rate"])
    assert all(rate == v / n for rate, v in zip(table["rate"], table["violations"], strict=True))


def test_the_realised_return_is_the_panel_s_over_the_target_s_span(ran):
    log, risky, _ = ran
    path = risky["tables"]["risk_path"]
    bars = load_frame(read_panel(log.root.parent / "panels/tiny.toml"))
    ends = bars["ts"].dt.offset_by("5m").dt.replace_time_zone(None).to_numpy().astype("M8[us]")
    close = dict(zip(ends.tolist(), bars["close"].to_list(), strict=True))
    moments = np.array([t.removesuffix("+00:00") for t in path["formed_at"]], "M8[us]")
    for k in (0, 17, 200):
        at = moments[k]
        wanted = math.log(close[(at + np.timedelta64(4, "h")).item()] / close[at.item()])
        assert path["realised"][k] == pytest.approx(wanted, rel=1e-9)
    hits = [y < q for y, q in zip(path["realised"], path["var"], strict=True)]
    assert all(e < q for e, q in zip(path["es"], path["var"], strict=True))
    table = risky["tables"]["risk"]
    rows = zip(table["model"], table["residuals"], table["level"], table["violations"], strict=True)
    wanted = sum(v for _, law, level, v in rows if law == "historical" and level == 0.025)
    assert sum(hits) == wanted  # both models are drawn, and all decisions are under a thousand


def test_the_card_says_what_the_tables_say_and_is_made_again_from_the_record(ran):
    risky = ran[1]
    section = risky["card"].split("## VaR and ES, 4h horizon")[1].split("\n## ")[0]
    assert render_card(risky) == risky["card"]
    assert "A target overlaps those of the next 3 forecast origins" in section
    rows = [line for line in section.splitlines() if line.startswith("| 2.5 % | ")]
    assert [line.split(" | ")[1:3] for line in rows] == [
        [law, model] for law in ("historical", "t", "normal") for model in ("persistence", "har")
    ]
    table = risky["tables"]["risk"]
    assert f"| {table['violations'][0]:,} ({100 * table['rate'][0]:.2f} %) |" in section
    for word in ("Kupiec", "DQ", "Z2", "asymmetric-Laplace", "chi2(2)"):
        assert word in section


def test_the_card_of_an_undefined_test_is_the_same_from_the_record(ran):
    """NaN while the run lasts, null once it is stored."""
    risky = {**ran[1], "tables": dict(ran[1]["tables"])}
    cards = []
    for nothing in (None, math.nan):
        table = {key: list(values) for key, values in ran[1]["tables"]["risk"].items()}
        for key in ("z1_p", "dq_p", "joint_loss"):
            table[key][0] = nothing
        risky["tables"]["risk"] = table
        cards.append(render_card(risky))
    assert cards[0] == cards[1]
    assert "| n/a |" in cards[0]


def test_the_log_answers_questions_about_risk(ran):
    log, risky, _ = ran
    found = run_query(
        log, "select model, min(kupiec_p), count(*) from risk group by all order by all"
    )[1]
    assert [(row[0], row[2]) for row in found] == [("har", 6), ("persistence", 6)]
    count = run_query(log, "select count(*), min(formed_at) < max(formed_at) from risk_path")[1]
    assert count == [(len(risky["tables"]["risk_path"]["var"]), True)]


def test_the_figure_is_drawn_from_the_record(ran):
    log, risky, _ = ran
    drawn = illustrate(log, risky["run_id"])
    assert not drawn.failed
    (path,) = [p for p in drawn.paths if p.name == "risk.svg"]
    assert "VaR har" in path.read_text(encoding="utf-8")
    (figure,) = [f for f in run_figures(risky) if f.name == "risk"]
    assert figure.words == "Returns over 4h and 2.5 % VaR, historical residuals"


# -- many assets -------------------------------------------------------------------------------


def test_many_assets_have_win_rates_and_shares_of_rejections(tmp_path, own_cache):
    rng, n = np.random.default_rng(4), 420
    parts = []
    for k, name in enumerate("ABCD"):
        r = 0.01 * (1 + k) * np.exp(np.sin(np.arange(n) / 20)) * rng.standard_t(5, n)
        dates = pl.date_range(pl.date(2020, 1, 1), pl.date(2021, 12, 31), eager=True)[:n]
        close = 100 * np.exp(np.cumsum(r))
        parts.append(pl.DataFrame({"symbol": name, "date": dates, "close": close}))
    pl.concat(parts).write_parquet(tmp_path / "assets.parquet")
    (tmp_path / "assets.toml").write_text(
        '[panel]\nname = "assets"\ntitle = "Four"\nbar = "1d"\ncalendar = "sessions"\n'
        'timezone = "UTC"\nhow_to_get = "made by the test"\n[source]\nkind = "parquet"\n'
        'path = "assets.parquet"\n[columns]\nts = "date"\nsymbol = "symbol"\nclose = "close"\n'
    )
    text = workspace.changed(
        ('name = "tiny"', 'name = "assets"'), ('every = "1h"', 'every = "1d"'),
        ('scales = ["1h", "4h", "1d"]', 'scales = ["1d", "5d"]'),
        ('horizons = ["1h", "4h"]', 'horizons = ["1d"]'), ('train = "10d"', 'train = "200d"'),
        ('test = "5d"', 'test = "100d"'), ('"2021-01-13"', '"2020-08-01"'),
        ('kind = "persistence"', 'kind = "garch"'),
        ('features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]', 'features = ["log(rv_5d)"]'),
        ('horizon = "4h"', 'horizon = "1d"'), ("[verdict]", RISK),
    )  # fmt: skip
    log = harness.open_log(tmp_path / "reports")
    hypothesis = parse_hypothesis(text, tmp_path / "h.toml")
    record = log.read(harness.run(hypothesis, log, search=[tmp_path]).run_id)
    wins = record["tables"]["risk_wins"]
    assert len(wins["wins"]) == 2 * 3 * 2
    assert set(wins["symbols"]) == {4}
    table = record["tables"]["risk"]
    losses = {
        key: value
        for *key, value in zip(table["model"], table["symbol"], table["residuals"], table["level"],
                               table["joint_loss"], strict=True)
        for key in [tuple(key)]
    }  # fmt: skip
    rows = zip(wins["model"], wins["residuals"], wins["level"], wins["wins"], strict=True)
    for model, law, level, count in rows:
        lower = [
            losses[model, s, law, level] < losses["persistence", s, law, level] for s in "ABCD"
        ]
        assert count == sum(lower)
    section = record["card"].split("## VaR and ES")[1].split("\n## ")[0]
    assert "By symbol, against persistence:" in section
    head = "lower quantile loss | lower joint loss | rate closer to the level"
    assert head in section
    assert set(wins["quantile_wins"]) <= set(range(5))
    assert "| har | " in section
    assert "Kupiec p" not in section
    assert render_card(record) == record["card"]


# -- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("risk", "message"),
    [
        ('levels = [0.01]\nresiduals = ["students"]', "risk.residuals[0]: got 'students', wanted"),
        ('levels = [0.01]\nresiduals = ["historic"]', "did you mean 'historical'?"),
        ('levels = [0.01]\nresiduals = ["t", "t"]', "risk.residuals[1]: got 't', wanted residuals"),
        ('levels = [0.01]\nresiduals = []', "risk.residuals"),
        ('levels = [0.6]\nresiduals = ["t"]', "risk.levels: got [0.6], wanted a list of one to"),
        ('levels = []\nresiduals = ["t"]', "risk.levels"),
        ('levels = [0.01, 0.01]\nresiduals = ["t"]', "different levels"),
        ('levels = [1]\nresiduals = ["t"]', "risk.levels"),
        ('levels = [nan]\nresiduals = ["t"]', "risk.levels"),
        ('residuals = ["t"]', "risk.levels: wanted this key, which is missing"),
        ("levels = [0.01]", "risk.residuals: wanted this key, which is missing"),
        ('level = [0.01]\nresiduals = ["t"]', "did you mean 'levels'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_risk_is_told_by_file_and_key(risk, message):
    text = workspace.changed(("[verdict]", f"[risk]\n{risk}\n[verdict]"))
    with pytest.raises(SpecError) as refused:
        parse_hypothesis(text, Path("h.toml"))
    assert message in str(refused.value)


def test_the_order_of_levels_and_of_laws_means_nothing():
    other = RISK.replace("0.05, 0.025", "0.025, 0.05").replace('"t", "normal"', '"normal", "t"')
    one, two = (
        parse_hypothesis(workspace.changed(("[verdict]", r)), Path("h.toml")) for r in (RISK, other)
    )
    assert one.spec_hash == two.spec_hash


def test_a_panel_without_a_close_is_refused_by_name(tmp_path):
    (tmp_path / "tiny.toml").write_text(
        '[panel]\nname = "tiny"\ntitle = "No close"\nbar = "1h"\ncalendar = "24/7"\n'
        'timezone = "UTC"\nhow_to_get = "none"\n[source]\nkind = "csv"\npath = "p.csv"\n'
        'symbol = "X"\n[columns]\nts = "ts"\n[columns.extra]\nrv5 = { column = "v", unit = '
        '"variance" }\n'
    )
    text = workspace.changed(
        ('measures = ["rv"]', 'measures = ["rv5"]'), ('measure = "rv"', 'measure = "rv5"'),
        ('features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]', 'features = ["log(rv5_1h)"]'),
        ("[verdict]", RISK),
    )  # fmt: skip
    hypothesis = parse_hypothesis(text, tmp_path / "h.toml")
    with pytest.raises(SpecError) as refused:
        harness.run(hypothesis, harness.open_log(tmp_path / "log"), search=[tmp_path])
    assert "risk: wanted a panel with a close, for the returns of VaR; tiny has none" in str(
        refused.value
    )


def test_rates_on_either_side_of_the_level_and_as_far_from_it_are_as_near():
    # Of 100 returns at a level of 5 %: 4 against 6 violations, 6 against 9, 0 against 4.
    counts = {"a": (6, 9, 4), "b": (4, 6, 0)}
    rows = [_row(m, f"S{k}", n) for m, own in counts.items() for k, n in enumerate(own)]
    wins = {w.model: w for w in _wins(rows, "a")}
    assert (wins["b"].rate_wins, wins["b"].rate_ties, wins["b"].symbols) == (1, 1, 3)


def _row(model: str, symbol: str, violations: int) -> RiskRow:
    head = "1d", model, "normal", 0.05, symbol, 100, violations, violations / 100
    return RiskRow(*head, *[1.0] * (len(RiskRow._fields) - len(head)))
