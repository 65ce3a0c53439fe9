"""Distributions through the whole chain: what calibrates each fit, tables, card, figures, spec."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from support import workspace
from support.worlds import LOG_SIGMA, InSample, Nearest, Studious, Validated, make_samples

import harness
from harness.cards.figures import illustrate, run_figures
from harness.cards.render import render_card
from harness.errors import RunError, SpecError
from harness.log.query import run_query
from harness.models.linear import Ols
from harness.samples.splits import Fitting
from harness.scores.distribution.assess import DistributionRow
from harness.spec.reading import parse_hypothesis
from harness.types import Window
from harness.walk.fit_cache import FitCache
from harness.walk.fold_fit import Settings
from harness.walk.residuals.kept import ResidualPlan
from harness.walk.residuals.laws import COUNT, LAWS, Laws
from harness.walk.walk_forward import foresee, walk_forward
from harness.walk.workers import Workers

ASKED = """[distribution]
levels = [0.9, 0.1, 0.5]
laws = ["conformal", "adaptive-conformal", "residual", "normal"]

[verdict]"""
HELD_OUT = ('train = "10d"', 'train = "10d"\nvalidation = "3d"')
HOUR = 3_600_000_000_000
LEVELS = (0.1, 0.5, 0.9)
HELD = 2  # laws of rows held out: the first ones


# -- the walk ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stopping(Validated):
    """The nearest row, held to what it was given."""

    def fit(self, rows, y, *, validation=None, seed=0):
        assert validation is not None
        assert rows.formed_at.max() < validation[0].formed_at.min()
        return super().fit(rows, y, seed=seed)


@dataclass(frozen=True)
class Chain(InSample):
    """The nearest row, fitted in a chain."""

    look_back: ClassVar[int] = 0

    def fit_chain(self, rows, y, trains, *, seed=0):
        for train in trains:
            yield self.fit(rows.take(train), y[train])


FEATURES = ("x0_1h", "x1_1h")
MODEL = {
    "ols": Ols(FEATURES),
    "nearest": InSample(FEATURES),
    "chain": Chain(FEATURES),
    "stopping": Stopping(FEATURES),
}


def windows_of(samples, held_out=60):
    """Two windows over the second half of the samples."""
    formed = samples.rows.formed_at
    cuts = [int(formed[formed.size // 2]), int(formed[3 * formed.size // 4]), int(formed[-1]) + 1]
    return tuple(
        Window(k, int(formed[0]) + k * 20 * HOUR, a - HOUR, a, b, a - held_out * HOUR)
        for k, (a, b) in enumerate(pairwise(cuts))
    )


def walked(samples, model, scope="pooled", *, laws=LAWS, held_out=60, store=None, **run):
    windows = windows_of(samples, held_out)
    fitting = {"m": Fitting(windows, windows, scope=scope)}
    keep = ResidualPlan(laws=Laws(LEVELS, laws))
    settings = Settings(HOUR, LOG_SIGMA, min_train=20, keep=keep, store=store)
    return walk_forward({"m": model}, samples, windows, fitting, settings, **run)


def fitted(model, samples, rows, of):
    """Forecasts by hand of the rows `of` by a fit on `rows`."""
    model = Nearest(FEATURES) if isinstance(model, Nearest) else model
    given = samples.rows.columns(FEATURES)
    return model.fit(given.take(rows), samples.y[rows]).predict(given.take(of))


@pytest.mark.parametrize("scope", ["pooled", "asset"])
@pytest.mark.parametrize("kind", MODEL)
@pytest.mark.parametrize(("symbols", "ragged"), [(1, False), (3, False), (3, True)])
def test_conformal_laws_are_of_rows_that_a_fit_has_not_seen(kind, scope, symbols, ragged):
    samples = make_samples(n=300, symbols=symbols, ragged=ragged)
    if kind == "chain" and symbols > 1 and scope == "pooled":
        pytest.skip("a chain is of one symbol")
    part = walked(samples, MODEL[kind], scope)
    formed, resolved, laws = samples.rows.formed_at, samples.resolved_at, Laws(LEVELS, LAWS)
    found = part.fits["m"].laws
    for k, w in enumerate(part.windows):
        train = (formed >= w.train_start) & (resolved <= w.limit)
        before = train & (resolved <= w.validation - HOUR)
        sliced = train & (formed >= w.validation)
        for code in range(symbols):
            of = True if scope == "pooled" else samples.rows.symbol == code
            early, slice_ = (np.flatnonzero(rows & of) for rows in (before, sliced))
            wanted = laws.calibrated(samples.y[slice_]
                                     - fitted(MODEL[kind], samples, early, slice_))  # fmt: skip
            every = found[k, code] if found.ndim == 4 else found[k]
            for got in every[:HELD]:
                assert got[COUNT] == slice_.size
                assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9)
            # In sample they are of the rows that the fit was made from, all or the early ones.
            own = early if kind == "stopping" else np.flatnonzero(train & of)
            wanted = laws.of(samples.y[own] - fitted(MODEL[kind], samples, own, own))[HELD:]
            assert every[HELD:] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_with_effects_one_law_serves_all_symbols():
    samples = make_samples(n=300, symbols=3)
    part = walked(samples, MODEL["ols"], "effects")
    w, rows = part.windows[0], samples.rows
    train = (rows.formed_at >= w.train_start) & (samples.resolved_at <= w.limit)
    early = train & (samples.resolved_at <= w.validation - HOUR)
    sliced = train & (rows.formed_at >= w.validation)
    x = np.column_stack([rows.X[:, :2], np.eye(3)[rows.symbol]])
    beta = np.linalg.lstsq(x[early], samples.y[early], rcond=None)[0]
    wanted = Laws(LEVELS, LAWS).calibrated(samples.y[sliced] - x[sliced] @ beta)
    assert part.fits["m"].laws[0, 0] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", MODEL)
def test_what_is_asked_of_residuals_changes_no_forecast(kind):
    samples = make_samples(n=300)
    asked, bare = (walked(samples, MODEL[kind], laws=laws) for laws in (LAWS, ("normal",)))
    assert asked.yhat["m"].tobytes() == bare.yhat["m"].tobytes()
    assert asked.fits["m"].var_shift.tobytes() == bare.fits["m"].var_shift.tobytes()
    assert asked.fits["m"].laws[..., -1, :].tobytes() == bare.fits["m"].laws[..., 0, :].tobytes()
    assert asked.proofs == bare.proofs


def test_an_interpolating_model_has_intervals_only_by_conformal():
    """The nearest training row's residuals in sample are 0, so nothing else lies between them."""
    samples = make_samples(n=600)
    part = walked(samples, MODEL["nearest"], held_out=150)
    found = part.fits["m"].laws
    assert (found[:, HELD:, 1:] == 0.0).all()
    fits = np.repeat(np.arange(2), np.diff(part.fits["m"].edges))
    r = part.y - part.yhat["m"]
    covered = np.mean((found[fits, 0, 1] <= r) & (r <= found[fits, 0, 3]))
    assert abs(covered - 0.8) < 0.08  # 300 rows by 150 residuals: two standard errors


def test_left_out_rows_give_an_interpolating_model_intervals_that_cover():
    samples = make_samples(n=600)
    part = walked(samples, Nearest(FEATURES), held_out=150)
    found = part.fits["m"].laws
    fits = np.repeat(np.arange(2), np.diff(part.fits["m"].edges))
    r = part.y - part.yhat["m"]
    for place in range(found.shape[1]):
        covered = np.mean((found[fits, place, 1] <= r) & (r <= found[fits, place, 3]))
        assert abs(covered - 0.8) < 0.08


def test_a_symbol_with_too_few_rows_before_the_slice_has_no_conformal_law():
    samples = make_samples(n=300, symbols=2)
    begun = samples.rows.formed_at >= samples.rows.formed_at[0] + 100 * HOUR
    late = (samples.rows.symbol == 0) | begun  # the slice begins 15 hours later, the test 75
    part = walked(samples.of(np.flatnonzero(late)), MODEL["ols"], "asset")
    found = part.fits["m"].laws
    assert np.isnan(found[0, 1, :HELD]).all()
    assert np.isfinite(found[0, 1, HELD:]).all()
    assert np.isfinite(found[0, 0]).all()


def test_a_slice_without_rows_before_it_is_a_run_error_that_says_which_fits():
    samples = make_samples(n=300)
    with pytest.raises(
        RunError, match=r"conformal distributions, refits before the held-out rows: window 1"
    ):
        walked(samples, MODEL["ols"], held_out=400)


def test_the_same_bytes_here_and_in_worker_processes():
    samples = make_samples(n=200, symbols=2)
    here = walked(samples, MODEL["nearest"], "asset")
    with Workers(2) as workers:
        there = walked(samples, MODEL["nearest"], "asset", executor=workers.suited(math.inf))
    assert here.fits["m"].laws.tobytes() == there.fits["m"].laws.tobytes()


def test_later_rows_leave_the_laws_of_earlier_fits_bit_for_bit():
    samples = make_samples(n=400, symbols=2)
    part = walked(samples, MODEL["ols"], "asset")
    after = samples.rows.formed_at > part.windows[0].cut
    rng = np.random.default_rng(1)
    X = samples.rows.X.copy(order="F")
    X[after] = rng.normal(size=X[after].shape)
    changed = replace(
        samples,
        rows=replace(samples.rows, X=X),
        y=np.where(samples.resolved_at > part.windows[0].limit, 9.0, samples.y),
    )
    again = walked(changed, MODEL["ols"], "asset").fits["m"].laws
    assert again[0].tobytes() == part.fits["m"].laws[0].tobytes()
    assert again[1].tobytes() != part.fits["m"].laws[1].tobytes()


@dataclass(frozen=True)
class Remembered(InSample):
    """The nearest row, kept."""

    made: ClassVar[list[int]] = []

    def fit(self, rows, y, *, validation=None, seed=0):
        self.made.append(y.size)
        return super().fit(rows, y, seed=seed)

    def made_by(self):
        return {}

    def weights(self):
        return {}


def test_fits_before_the_slice_are_kept_too_and_asking_is_another_fit(tmp_path):
    samples, model = make_samples(n=300), Remembered(FEATURES)
    store = FitCache(tmp_path / "fits", {"m": "a model"})
    first = walked(samples, model, store=store)
    assert len(model.made) == 4  # two windows, each on all rows and before its slice
    again = walked(samples, model, store=store)
    assert len(model.made) == 4
    assert again.fits["m"].laws.tobytes() == first.fits["m"].laws.tobytes()
    bare = walked(samples, model, laws=("normal",), store=store)
    assert len(model.made) == 6  # what is asked of a fit's residuals is of the fit
    assert bare.fits["m"].laws.shape[1] == 1


def test_fits_before_the_slice_count_in_what_training_will_take():
    samples = make_samples(n=300)
    windows = windows_of(samples)
    fitting = {"m": Fitting(windows, windows)}
    settings = [
        Settings(HOUR, LOG_SIGMA, keep=ResidualPlan(laws=Laws(LEVELS, (law,))))
        for law in ("conformal", "residual")
    ]
    for model, fits in ((Studious(FEATURES), [2, 2]), (Validated(FEATURES), [2])):
        foreseen = [foresee({"m": model}, samples, windows, fitting, s) for s in settings]
        assert [t.fits for t in foreseen[0].times] == fits
        assert [t.fits for t in foreseen[1].times] == [2]


# -- a run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory, own_cache):
    """A run with [distribution] and one without: (log, record with, record without)."""
    folder = tmp_path_factory.mktemp("distribution")
    workspace.lay_out(folder)
    log = harness.open_log(folder / "reports")
    horizon = ('"1h", "4h"]\nback', '"4h"]\nback')
    records = []
    for text in (workspace.changed(("[verdict]", ASKED), HELD_OUT, horizon),
                 workspace.changed(HELD_OUT, horizon)):  # fmt: skip
        h = parse_hypothesis(text, folder / "hypotheses/tiny-har.toml")
        outcome = harness.run(h, log, search=[folder / "panels"])
        records.append(log.read(outcome.run_id))
    return log, *records


TABLES = ("distribution", "quantiles", "coverage", "pit", "fan")


def test_distributions_change_no_forecast_no_score_and_no_verdict(ran):
    log, asked, plain = ran
    one, two = (log.read_forecasts(r["run_id"]) for r in (asked, plain))
    assert one.equals(two)
    for table in ("scores", "coefficients", "folds", "fragility"):
        assert asked["tables"][table] == plain["tables"][table]
    assert asked["verdict"] == plain["verdict"]
    assert asked["spec_hash"] != plain["spec_hash"]
    assert not set(TABLES) & set(plain["tables"])
    assert plain["settings"]["distribution"] is None
    assert "Forecast distributions" not in plain["card"]
    assert not {"pit", "fan"} & {figure.name for figure in run_figures(plain)}


def test_the_record_has_a_row_for_every_model_law_and_window(ran):
    table = ran[1]["tables"]["distribution"]
    assert tuple(table) == DistributionRow._fields
    scopes = list(zip(table["model"], table["law"], table["scope"], table["name"], strict=True))
    windows = sum(s == "window" for s in ran[1]["tables"]["scores"]["scope"])
    windows //= 2 * len(set(ran[1]["tables"]["scores"]["metric"]))
    assert len(set(scopes)) == len(scopes) == 2 * len(LAWS) * (1 + windows)
    n = ran[1]["tables"]["scores"]["n"][0]
    pooled = [k for k, s in enumerate(table["scope"]) if s == "pooled"]
    assert {table["n"][k] for k in pooled} == {n}
    assert all(0 < crps < 1 for crps in table["crps"])
    # Three days of hours, less the embargo of a day after which they are known.
    conformal = {c for c, law in zip(table["calibrated"], table["law"], strict=True)
                 if law == "conformal"}  # fmt: skip
    assert all(40 <= c <= 72 for c in conformal)


def test_stored_forecasts_and_the_fan_agree(ran):
    log, asked, _ = ran
    fan, frame = asked["tables"]["fan"], log.read_forecasts(asked["run_id"])
    assert set(fan["model"]) == {"persistence", "har"}
    assert set(fan["law"]) == {"conformal"}
    har = frame.filter((frame["model"] == "har") & (frame["horizon"] == "4h"))
    rows = [k for k, m in enumerate(fan["model"]) if m == "har" and fan["level"][k] == 0.5]
    assert len(rows) == 120
    assert [fan["y"][k] for k in rows] == har["y"].to_list()[-120:]
    assert [fan["yhat"][k] for k in rows] == har["yhat"].to_list()[-120:]


def test_the_card_says_what_the_tables_say_and_is_made_again_from_the_record(ran):
    asked = ran[1]
    section = asked["card"].split("## Forecast distributions, 4h horizon")[1].split("\n## ")[0]
    assert render_card(asked) == asked["card"]
    lines = section.splitlines()
    rows = [line for line in lines if line.startswith(tuple(f"| {law} " for law in LAWS))]
    assert [tuple(line.split(" | ")[:2]) for line in rows] == 3 * [
        (f"| {law}", model) for law in LAWS for model in ("persistence", "har")
    ]
    header = lines[next(k for k, line in enumerate(lines) if line.startswith("| distribution"))]
    assert "inside 80 % | width" in header
    coverage = asked["tables"]["coverage"]
    assert f"{100 * coverage['covered'][0]:.1f} %" in rows[0]
    # Every table's rows have as many cells as its head.
    tables = [block for block in section.split("\n\n") if block.startswith("| distribution")]
    assert len(tables) == 3
    for block in tables:
        assert len({line.count("|") for line in block.strip().splitlines()}) == 1
    assert "exchangeable" in section
    assert "\n\n\n" not in section.rstrip()


def test_the_log_answers_questions_about_distributions(ran):
    log, asked, _ = ran
    for table in TABLES:
        count = run_query(log, f"select count(*) from {table}")[1]
        assert count == [(len(asked["tables"][table]["model"]),)]
    found = run_query(log, "select sum(share), sum(count) from pit group by model, law")[1]
    assert len(found) == 2 * len(LAWS)
    assert all(abs(share - 1.0) < 1e-9 for share, _ in found)


def test_the_figures_are_drawn_from_the_record(ran):
    log, asked, _ = ran
    first = illustrate(log, asked["run_id"])
    assert not first.failed
    drawn = {path.stem: path.read_bytes() for path in first.paths}
    assert b"PIT of the outcome" in drawn["pit"]
    assert b"rv over the next 4h" in drawn["fan"]
    again = {path.stem: path.read_bytes() for path in illustrate(log, asked["run_id"]).paths}
    assert drawn == again
    (figure,) = [f for f in run_figures(asked) if f.name == "fan"]
    assert "conformal intervals (80 %), last 120 forecast origins" in figure.words


# -- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('levels = [0.1, 0.9]\nlaws = ["conform"]', "did you mean 'conformal'?"),
        ('levels = [0.1, 0.9]\nlaws = ["normal", "normal"]', "distribution.laws[1]: got 'normal'"),
        ('levels = [0.1, 0.9]\nlaws = []', "distribution.laws"),
        ('levels = [0.1]\nlaws = ["normal"]', "distribution.levels: got [0.1], wanted a list of"),
        ('levels = [0.1, 1.0]\nlaws = ["normal"]', "above 0 and below 1"),
        ('levels = [0.1, 0.1]\nlaws = ["normal"]', "different levels"),
        ('levels = [0, 1]\nlaws = ["normal"]', "distribution.levels"),
        ('laws = ["normal"]', "distribution.levels: wanted this key, which is missing"),
        ("levels = [0.1, 0.9]", "distribution.laws: wanted this key, which is missing"),
        ('level = [0.1, 0.9]\nlaws = ["normal"]', "did you mean 'levels'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_distribution_is_told_by_file_and_key(keys, message):
    text = workspace.changed(("[verdict]", f"[distribution]\n{keys}\n[verdict]"))
    with pytest.raises(SpecError) as refused:
        parse_hypothesis(text, Path("h.toml"))
    assert message in str(refused.value)


def test_the_order_of_levels_and_of_laws_means_nothing():
    other = ASKED.replace("0.9, 0.1, 0.5", "0.1, 0.5, 0.9").replace(
        '"conformal", "adaptive-conformal"', '"adaptive-conformal", "conformal"'
    )
    one, two = (
        parse_hypothesis(workspace.changed(("[verdict]", a)), Path("h.toml"))
        for a in (ASKED, other)
    )
    assert one.spec_hash == two.spec_hash


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ([], "walk_forward.validation"),
        (
            [('scheme = "rolling"\ntrain = "10d"', 'scheme = "fixed"\ntrain_from = "2021-01-01"')],
            "walk_forward.validate_from",
        ),
        (
            [('scheme = "rolling"\ntrain = "10d"',
              'scheme = "proportional"\nshares = [0.5, 0.0, 0.5]'),
             ('first_test = "2021-01-13"\n', "")],
            "walk_forward.shares",
        ),
    ],
)  # fmt: skip
def test_conformal_without_rows_held_out_says_which_key_to_add(changes, key, in_workspace):
    text = workspace.changed(("[verdict]", ASKED), *changes)
    hypothesis = parse_hypothesis(text, in_workspace / "hypotheses/tiny-har.toml")
    with pytest.raises(SpecError) as refused:
        harness.run(
            hypothesis, harness.open_log(in_workspace / "log"), search=[in_workspace / "panels"]
        )
    assert f"{key}: wanted validation rows, to calibrate the conformal law" in str(refused.value)


def test_laws_in_sample_need_no_rows_held_out(in_workspace, own_cache):
    text = workspace.changed(
        ("[verdict]", ASKED.replace('"conformal", "adaptive-conformal", ', ""))
    )
    hypothesis = parse_hypothesis(text, in_workspace / "hypotheses/tiny-har.toml")
    log = harness.open_log(in_workspace / "log")
    record = log.read(harness.run(hypothesis, log, search=[in_workspace / "panels"]).run_id)
    assert set(record["tables"]["pit"]["law"]) == {"residual", "normal"}
    assert set(record["tables"]["distribution"]["horizon"]) == {"1h", "4h"}
