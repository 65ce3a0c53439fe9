"""The HAR family: the insanity filter in every path, weighted fits, HARQ; the documents' table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from support.workspace import ROOT
from support.worlds import LOG_SIGMA, START, close_to, make_samples, make_task

import harness
from harness.durations import NS_PER_MINUTE, parse_duration
from harness.errors import RunError, SpecError
from harness.models.har import Harq
from harness.models.insanity_filter import Sanity
from harness.models.linear import Linear
from harness.models.protocol import Forecaster, ModelError, make_model
from harness.models.table import KINDS
from harness.samples.splits import Fitting, Scheme, make_windows
from harness.spec.reading import parse_hypothesis
from harness.types import Forecasts, Samples
from harness.walk.fold_fit import Settings
from harness.walk.walk_forward import walk_forward

HOUR = 60 * NS_PER_MINUTE
EMBARGO = 3 * HOUR
FIRST_TEST = START + 150 * HOUR
TRAIN, TEST = parse_duration("5d"), parse_duration("30h")
TASK = make_task("1h")
MIN_TRAIN = 20
HAR = ["x0_1h", "x1_1h", "x2_1h"]


def walk(models: dict[str, Forecaster], samples: Samples, scope: str, scale=LOG_SIGMA) -> Forecasts:
    end, scheme = int(samples.resolved_at.max()), Scheme(FIRST_TEST, train=TRAIN)
    some, every = (
        make_windows(scheme, test=TEST, step=TEST, span_end=end, embargo=EMBARGO, beyond=beyond)
        for beyond in (False, True)
    )
    fittings = dict.fromkeys(models, Fitting(some, every, scope=scope))
    return walk_forward(models, samples, some, fittings, Settings(EMBARGO, scale, 1, MIN_TRAIN))


def clipped(symbols: int, *, ragged: bool = False) -> Samples:
    """Samples whose targets are cut off where their line goes on; each symbol at its own level."""
    samples = make_samples(420, seed=3, symbols=symbols, ragged=ragged)
    low, high = np.quantile(samples.y, (0.2, 0.8))
    return replace(samples, y=np.clip(samples.y, low, high) + 0.5 * samples.rows.symbol)


def build(kind: str, **params: object) -> Linear:
    return make_model(kind, KINDS[kind].params(**params), TASK)


def trained(samples: Samples, window) -> np.ndarray:
    inside = samples.rows.formed_at >= window.train_start
    return inside & (samples.resolved_at <= window.limit)


@pytest.mark.parametrize(
    ("scope", "symbols", "ragged"),
    [
        ("pooled", 1, False),
        ("pooled", 3, False),
        ("pooled", 2, True),
        ("effects", 3, False),
        ("asset", 3, False),
        ("asset", 2, True),
    ],
)
@pytest.mark.parametrize("kind", ["ols", "wls", "harq"])
def test_a_forecast_outside_the_training_targets_becomes_their_mean(kind, scope, symbols, ragged):
    if scope not in KINDS[kind].scopes:
        pytest.skip(f"{kind} is not fitted with {scope}")
    samples = clipped(symbols, ragged=ragged)
    more = {"wls": {"weight": "abs(x2_1h)"}, "harq": {"quarticity": "square(x2_1h)"}}.get(kind, {})
    samples = with_columns(samples, ["abs(x2_1h)", "square(x2_1h)"])
    models = {
        "plain": build(kind, features=HAR, **more),
        "sane": build(kind, features=HAR, insanity=True, **more),
    }
    got = walk(models, samples, scope)
    wanted, counts = got.yhat["plain"].copy(), np.zeros(len(got.windows), int)
    for k, window in enumerate(got.windows):
        for code in range(symbols):
            own = trained(samples, window)
            mine = (got.window == k) & (got.symbol == code)
            if scope != "pooled":
                own &= samples.rows.symbol == code
            y = samples.y[own]
            insane = mine & ((wanted < y.min()) | (wanted > y.max()))
            wanted[insane] = y.mean()
            counts[k] += insane.sum()
    assert counts.sum() > 5
    assert close_to(got.yhat["sane"], wanted, 1e-12)
    notes = [r.training.notes["insane"] for r in got.fits["sane"].reports]
    assert notes == counts.tolist()
    assert all(r.training is None for r in got.fits["plain"].reports)
    # The way back from logs is that of the fit, which the filter has no part in.
    plain, sane = got.fits["plain"].shifted, got.fits["sane"].shifted
    assert np.array_equal(plain, sane)


def with_columns(samples: Samples, texts: list[str]) -> Samples:
    """Further columns, as features of x2 and the product that HARQ makes."""
    x0, _, x2 = samples.rows.X.T
    made = {
        "abs(x2_1h)": np.abs(x2) + 0.1,
        "square(x2_1h)": np.square(x2),
        "x0_1h * sqrt(square(x2_1h))": x0 * np.abs(x2),
    }
    columns = np.column_stack((samples.rows.X, *made.values()))
    assert set(texts) <= set(made)
    names = (*samples.rows.names, *made)
    return replace(samples, rows=replace(samples.rows, X=np.asfortranarray(columns), names=names))


def test_ranges_of_windows_are_those_of_their_rows():
    rng = np.random.default_rng(5)
    y = rng.standard_t(2, 300)
    first = rng.integers(0, 290, 80)
    last = first + rng.integers(0, 11, 80) ** 2 // 2
    last = np.minimum(last, 300)
    mean = rng.random(80)
    found = Sanity.of_windows(y, first, last, mean)
    for k, (a, b) in enumerate(zip(first, last, strict=True)):
        wanted = (y[a:b].min(), y[a:b].max()) if b > a else (np.nan, np.nan)
        assert np.array_equal((found.least[k], found.greatest[k]), wanted, equal_nan=True)
    assert (first == last).any() and (last - first > 32).any()
    none = Sanity.of_windows(y, np.zeros(2, int), np.zeros(2, int), mean[:2])
    assert none.replaced(np.array([1e9, -1e9]), np.array([0, 1, 2]))[1].tolist() == [0, 0]


@pytest.mark.parametrize("intercept", [True, False])
def test_weighted_least_squares_is_that_of_statsmodels(intercept):
    samples = make_samples(300, seed=6, features=4)
    weight = np.random.default_rng(7).gamma(0.5, 1e8, 300)
    x = samples.rows.X.copy(order="F")
    x[:, 3] = weight
    rows = replace(samples.rows, X=x)
    model = build("wls", features=HAR, weight="x3_1h", intercept=intercept)
    fitted = model.fit(rows, samples.y)
    design = sm.add_constant(x[:, :3]) if intercept else x[:, :3]
    theirs = sm.WLS(samples.y, design, weight).fit()
    assert close_to(list(fitted.coefficients.values()), theirs.params, 1e-9)
    assert list(fitted.coefficients) == [*["intercept"][: int(intercept)], *HAR]
    assert close_to(fitted.predict(rows), theirs.predict(design), 1e-9)
    ols = build("ols", features=HAR, intercept=intercept).fit(rows, samples.y)
    assert not close_to(fitted.predict(rows), ols.predict(rows), 1e-3)


@pytest.mark.parametrize("scope", ["pooled", "asset"])
def test_weighted_fits_walk_forward_on_the_rows_that_had_resolved(scope):
    samples = with_columns(make_samples(400, seed=8, symbols=2), ["abs(x2_1h)"])
    got = walk({"wls": build("wls", features=HAR[:2], weight="abs(x2_1h)")}, samples, scope)
    weight = samples.rows.X[:, samples.rows.names.index("abs(x2_1h)")]
    design = sm.add_constant(samples.rows.X[:, :2])
    for k, window in enumerate(got.windows):
        for code in range(2):
            train = trained(samples, window)
            if scope == "asset":
                train &= samples.rows.symbol == code
            fit = sm.WLS(samples.y[train], design[train], weight[train]).fit()
            mine = (got.window == k) & (got.symbol == code)
            inside = np.isin(samples.rows.formed_at, got.formed_at[mine])
            inside &= samples.rows.symbol == code
            assert close_to(got.yhat["wls"][mine], fit.predict(design[inside]), 1e-9)


def test_a_weight_that_is_not_above_zero_is_told_in_words():
    samples = make_samples(400, seed=9)
    with pytest.raises(ModelError, match=r"weight x2_1h is -.* training rows, wanted above 0"):
        build("wls", features=HAR[:2], weight="x2_1h").fit(samples.rows, samples.y)
    with pytest.raises(RunError, match=r"model wls, horizon 1h, window 1 .*: weight x2_1h is -"):
        walk({"wls": build("wls", features=HAR[:2], weight="x2_1h")}, samples, "pooled")


@pytest.mark.parametrize("value", [0.0, 0.1, -13.8])
def test_a_constant_feature_of_a_weighted_fit_is_named(value):
    samples = make_samples(500, seed=10)
    x = samples.rows.X.copy(order="F")
    x[:, 1], x[:, 2] = value, np.square(x[:, 2])
    model = build("wls", features=["x1_1h", "x0_1h"], weight="x2_1h")
    with pytest.raises(ModelError, match="feature x1_1h is constant"):
        model.fit(replace(samples.rows, X=x), samples.y)


PRODUCT = "x0_1h * sqrt(square(x2_1h))"


@pytest.mark.parametrize(
    ("scope", "symbols"), [("pooled", 1), ("pooled", 2), ("effects", 2), ("asset", 1)]
)
def test_harq_is_least_squares_with_the_product_and_its_day_is_stated_as_declared(scope, symbols):
    samples = with_columns(make_samples(400, seed=11, symbols=symbols), [PRODUCT])
    models = {
        "none": build("harq", features=HAR[:2], quarticity="square(x2_1h)", centre="none"),
        "root": build("harq", features=HAR[:2], quarticity="square(x2_1h)"),
        "ols": Linear((*HAR[:2], PRODUCT)),
    }
    got = walk(models, samples, scope)
    quarticity = np.square(samples.rows.X[:, 2])
    stated = {name: got.fits[name].coefficients for name in models}
    assert got.fits["root"].names == ("intercept", *HAR[:2], PRODUCT)
    assert got.yhat["none"].tobytes() == got.yhat["root"].tobytes() == got.yhat["ols"].tobytes()
    assert np.array_equal(stated["none"], stated["ols"])
    for k, window in enumerate(got.windows):
        root = np.sqrt(quarticity[trained(samples, window)].mean())
        moved = stated["none"][k].copy()
        moved[1] += moved[-1] * root
        assert close_to(stated["root"][k], moved, 1e-10)
        assert not close_to(stated["root"][k], stated["none"][k], 1e-2)


def test_harq_centred_has_the_coefficients_of_the_centred_regression():
    samples = with_columns(make_samples(300, seed=12), [PRODUCT])
    model = build("harq", features=HAR[:2], quarticity="square(x2_1h)")
    assert isinstance(model, Harq) and model.features == (*HAR[:2], PRODUCT, "square(x2_1h)")
    x0, x1, x2 = samples.rows.X.T[:3]
    error = np.abs(x2) - np.sqrt(np.mean(x2**2))
    design = sm.add_constant(np.column_stack((x0, x1, x0 * error)))
    theirs = sm.OLS(samples.y, design).fit().params
    found = model.fit(samples.rows, samples.y).coefficients
    assert close_to(list(found.values()), theirs, 1e-9)


# The table of docs/hypotheses.md, run as it stands there.

PAGE = ROOT / "docs" / "hypotheses.md"
PANEL = """\
[panel]
name = "hours"
title = "Simulated hours"
bar = "1h"
calendar = "24/7"
timezone = "UTC"
how_to_get = "made by the test"
[source]
kind = "parquet"
path = "hours.parquet"
symbol = "X"
[columns]
ts = "ts"
close = "close"
[columns.extra]
rvar = { column = "rvar", unit = "variance" }
vix = { column = "vix", unit = "none" }
"""
HYPOTHESIS = """\
[hypothesis]
name = "family"
title = "The HAR family"
claim = "One of them is best."
[panel]
name = "hours"
[sample]
every = "1d"
scales = ["1d", "5d", "22d"]
measures = ["rv", "bv", "j", "jj", "jc", "rq", "rsp", "rsn", "ret", "rvar", "vix"]
jump_alpha = 0.3
[target]
measure = "{measure}"
scale = "{scale}"
horizons = ["1d"]
{back}
[walk_forward]
scheme = "rolling"
train = "60d"
test = "20d"
embargo = "1d"
first_test = "2021-04-15"
{models}
[models.random-walk]
kind = "persistence"
[verdict]
baseline = "random-walk"
candidates = {names}
metric = "qlike"
horizon = "1d"
min_gain = 0.01
alpha = 0.05
"""


def family() -> list[tuple[str, str, str, str]]:
    """(name, measure, scale, TOML) of every row of the documents' table."""
    part = PAGE.read_text(encoding="utf-8").split("## The HAR family as features")[1]
    rows = [line for line in part.split("\n## ")[0].splitlines() if line.startswith("| ")]
    cells = [[c.strip() for c in row.strip("|").split(" | ")] for row in rows[2:]]
    found = []
    for name, target, keys, *_ in cells:
        measure, scale = target.strip("`").split(", ")
        toml = "\n".join(key.strip("`") for key in keys.split("<br>"))
        found.append((name.lower().replace(" ", "-").replace(",", ""), measure, scale, toml))
    return found


def hours(folder: Path) -> None:
    """300 days of hourly bars with jumps and a leverage effect, a squared return and a VIX."""
    rng, n = np.random.default_rng(13), 300 * 24
    log_vol, r = 0.0, np.empty(n)
    vols = np.empty(n)
    for t in range(n):
        vols[t] = 0.004 * np.exp(log_vol)
        r[t] = vols[t] * rng.standard_t(4) + (rng.random() < 0.01) * rng.normal(0.0, 0.03)
        log_vol = 0.98 * log_vol + 0.06 * rng.normal() - min(max(r[t], -0.02), 0.0)
    ts = np.datetime64("2021-01-01", "ns") + np.arange(n) * np.timedelta64(1, "h")
    pl.DataFrame(
        {
            "ts": ts, "close": 100.0 * np.exp(np.cumsum(r)), "rvar": np.square(r),
            "vix": 2_000.0 * vols * np.exp(0.1 * rng.normal(size=n)),
        }
    ).write_parquet(folder / "hours.parquet")  # fmt: skip
    (folder / "hours.toml").write_text(PANEL)


def run_family(folder: Path, rows: list[tuple[str, str, str, str]]) -> tuple[dict, str]:
    _, measure, scale, _ = rows[0]
    text = HYPOTHESIS.format(
        measure=measure,
        scale=scale,
        back='back = "lognormal"' if scale == "log" else "",
        models="\n".join(f"[models.{name}]\n{toml}" for name, _, _, toml in rows),
        names=[name for name, *_ in rows],
    )
    (folder / "family.toml").write_text(text)
    log = harness.open_log(folder / "reports")
    hypothesis = harness.load_hypothesis(folder / "family.toml")
    outcome = harness.run(hypothesis, log, search=[folder], keep=False)
    return log.read(outcome.run_id), outcome.card.read_text(encoding="utf-8")


@pytest.mark.parametrize("target", ["rvar level", "rv level", "rv log"])
def test_every_row_of_the_documents_family_runs(tmp_path, target):
    hours(tmp_path)
    rows = [row for row in family() if [row[1], row[2]] == target.split()]
    assert len(rows) >= 3
    record, card = run_family(tmp_path, rows)
    scores = record["tables"]["scores"]
    assert {name for name, *_ in rows} <= set(scores["model"])
    assert all(np.isfinite(v) for v in scores["value"])
    for name, *_ in rows:
        assert f"| {name} |" in card


def test_the_table_names_every_member_of_the_family():
    names = {name for name, *_ in family()}
    wanted = {"har", "har-square-root", "har-log", "har-j", "har-cj", "char", "harq", "shar",
              "lhar", "har-x", "har-wls"}  # fmt: skip
    assert names >= wanted


def test_the_card_states_centring_filter_and_how_many_forecasts_it_replaced(tmp_path):
    hours(tmp_path)
    features = 'features = ["rvar_1d", "rvar_5d", "rvar_22d"]\ninsanity = true'
    harq = f'kind = "harq"\n{features}\nquarticity = "square(square(rq_1d))"'
    record, card = run_family(tmp_path, [("harq", "rvar", "level", harq)])
    replaced = sum(record["tables"]["fit_notes"]["count"])
    assert replaced > 0
    assert "quarticity square(square(rq\\_1d)), centre root-mean" in card
    assert "insanity True" in card
    assert f"harq: {replaced} insane (forecasts outside the range of the training targets" in card
    _, card = run_family(tmp_path, [("harq", "rvar", "level", harq + '\ncentre = "none"')])
    assert "centre none" in card


def spec_hash(toml: str) -> str:
    text = HYPOTHESIS.format(
        measure="rv", scale="level", back="", names=["m"], models=f"[models.m]\n{toml}"
    )
    return parse_hypothesis(text, Path("h.toml")).spec_hash


def test_the_filter_switched_off_leaves_the_hash_of_a_hypothesis_alone():
    ols = 'kind = "ols"\nfeatures = ["rv_1d"]\n'
    assert spec_hash(ols) == spec_hash(ols + "insanity = false")
    assert spec_hash(ols) != spec_hash(ols + "insanity = true")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('kind = "wls"\nfeatures = ["rv_1d"]', "models.m.weight: wanted this key"),
        (
            'kind = "wls"\nfeatures = ["rv_1d"]\nweight = "1 / sqare(rv_1d)"',
            "models.m.weight: got '1 / sqare(rv_1d)', wanted a feature expression",
        ),
        (
            'kind = "wls"\nfeatures = ["rv_1d"]\nweight = "rv_2d"',
            "models.m.weight: got 'rv_2d', wanted",
        ),
        (
            'kind = "harq"\nfeatures = ["rv_1d"]\nquarticity = "rq_1d"\ncentre = "mean"',
            "models.m.centre: got 'mean', wanted",
        ),
        (
            'kind = "harq"\nfeatures = ["rv_1d"]\nquarticity = "rq_1d%s"' % (" + rq_1d" * 60),
            "models.m: ",
        ),
    ],
)
def test_mistakes_in_these_kinds_are_told_in_one_line(toml, words):
    with pytest.raises(SpecError) as caught:
        spec_hash(toml)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
