"""Two stages: the second learns from forecasts out of sample, from no row that the first had."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from support import workspace
from support.runs import assert_same, study
from support.worlds import LOG_SIGMA, make_samples, make_task

from harness.durations import NS_PER_MINUTE
from harness.errors import RunError, SpecError
from harness.models.lightgbm_trees import LightGbm
from harness.models.params import BoostingParams, StackedParams
from harness.models.protocol import FIRST_STAGE_HELD_OUT, ModelError, Staged, make_model
from harness.models.stacked import FIRST, Stacked
from harness.samples.splits import in_stages, left_out_in_turn, make_folds
from harness.spec.reading import parse_hypothesis
from harness.types import F64, FitTime, Fold, Rows, Samples, Window
from harness.walk.fit_cache import FitCache
from harness.walk.fit_rows import fit_rows
from harness.walk.fold_fit import Settings, fit_fold
from harness.walk.residual_rows import PARTS
from harness.walk.training_time import training_time

TORCH = importlib.util.find_spec("torch") is not None
HOUR = 60 * NS_PER_MINUTE
EMBARGO = 5 * HOUR
SAMPLES = make_samples(900, seed=3, overlap=3)
NAMES = SAMPLES.rows.names


@dataclass(frozen=True)
class Memory:
    """A first stage that knows every row it was fitted on by heart, and of others one number.

    `seen` are the moments of all rows that it was fitted on or stopped early on.
    """

    features: tuple[str, ...]
    validates: bool = False
    look_back: ClassVar[int] = 0
    training: ClassVar[None] = None
    coefficients: ClassVar[dict[str, float]] = {}
    seen: list[Rows] = field(default_factory=list)
    by_heart: dict[int, float] = field(default_factory=dict)
    told: list[int] = field(default_factory=list)

    def fit(
        self,
        rows: Rows,
        y: F64,
        *,
        validation: tuple[Rows, F64] | None = None,
        seed: int = 0,
    ) -> Self:
        self.seen.append(rows)
        if validation is not None:
            self.seen.append(validation[0])
        by_heart = dict(zip(rows.formed_at.tolist(), y.tolist(), strict=True))
        return replace(self, by_heart=by_heart)

    def predict(self, rows: Rows) -> F64:
        self.told.extend(rows.formed_at.tolist())
        middle = float(np.mean(list(self.by_heart.values())))
        return np.array([self.by_heart.get(t, middle) for t in rows.formed_at.tolist()])

    def estimate(self, n_rows: int, n_validation: int) -> FitTime:
        return FitTime(float(n_rows), 2.0 * n_rows, float(n_validation))

    def watched(self, _: object) -> Self:
        return self


@dataclass(frozen=True)
class Watched(LightGbm):
    """A second stage that notes which rows it is fitted on and stops early on."""

    fitted_on: list[Rows] = field(default_factory=list)
    stopped_on: list[Rows] = field(default_factory=list)

    def fit(self, rows: Rows, y: F64, *, validation: Any = None, seed: int = 0) -> Self:
        self.fitted_on.append(rows)
        if validation is not None:
            self.stopped_on.append(validation[0])
        return super().fit(rows, y, validation=validation, seed=seed)


def stacked(first: Any, *, stop: int | None = 5, share: float = 0.6) -> Stacked:
    params = BoostingParams(
        features=list(NAMES), rounds=60, min_data_in_leaf=5, early_stopping=stop
    )
    second = Watched((*NAMES, FIRST), params, LOG_SIGMA)
    return Stacked((*NAMES,), share, first, second)


def fold(samples: Samples = SAMPLES, cut: int = 700, held_out: int = 100) -> Fold:
    """Trained on the first `cut` hours, the last `held_out` of them held out."""
    start = int(samples.rows.formed_at[0])
    at = start + cut * HOUR
    window = Window(0, start, at - EMBARGO, at, at + 60 * HOUR, at - held_out * HOUR)
    return make_folds(samples, [window])[0]


def settings(**more: Any) -> Settings:
    return Settings(EMBARGO, LOG_SIGMA, **more)


# --- which rows


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("first_validates", [False, True])
def test_the_parts_of_a_fit_are_apart_in_time_by_their_targets(ragged, first_validates):
    samples = make_samples(900, seed=4, overlap=6, symbols=2, ragged=ragged)
    one = fold(samples)
    model = stacked(Memory(NAMES, first_validates))
    seen = fit_rows(model, samples, one, EMBARGO)
    parts = [seen.first, seen.first_held_out, seen.train, seen.held_out]
    parts = [p for p in parts if p is not None]
    assert len(parts) == 3 + first_validates
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    for before, later in pairwise(parts):
        assert resolved[before].max() <= formed[later].min() - EMBARGO
    assert resolved[seen.held_out].max() <= one.window.limit
    # Whatever lies between two parts is purged for its target alone, and no other row is lost.
    train = np.arange(samples.y.size)[one.train]
    lost = np.setdiff1d(train[formed[train] < one.window.validation], np.concatenate(parts))
    borders = [formed[later].min() for later in parts[1:]]
    assert lost.size
    assert all(any(formed[i] < b < resolved[i] + EMBARGO + 1 for b in borders) for i in lost)


def test_the_share_is_of_the_rows_that_train_and_the_first_holds_out_its_last_quarter():
    model = stacked(Memory(NAMES, True), share=0.5)
    seen = fit_rows(model, SAMPLES, fold(), EMBARGO)
    trained = int(SAMPLES.y.size * 0 + 600 - 8)  # 100 h held out, 3 + 5 h purged before them
    assert abs(seen.train.size - trained / 2) <= 1
    assert abs(seen.first_held_out.size - FIRST_STAGE_HELD_OUT * (trained / 2 - 8)) <= 2


def test_in_stages_of_nothing_is_nothing():
    nothing = np.empty(0, np.int64)
    assert [part.size for part in in_stages(SAMPLES, nothing, 0.6, EMBARGO)] == [0, 0]


def test_the_second_stage_sees_no_row_that_the_first_had():
    model = stacked(first := Memory(NAMES, True))
    result = fit_fold("two", model, SAMPLES, settings(), fold())
    second = model.second
    had = {t for rows in first.seen for t in rows.formed_at.tolist()}
    assert len(first.seen) == 2 and len(second.fitted_on) == len(second.stopped_on) == 1
    asked = {t for rows in second.fitted_on + second.stopped_on for t in rows.formed_at.tolist()}
    assert not had & asked
    # Nor is it asked to forecast one of them: residuals, too, are those of later rows.
    assert not had & set(first.told)
    assert len(result.yhat) == 60


def test_a_first_stage_that_knows_its_rows_by_heart_does_not_ruin_the_second():
    alone = LightGbm(NAMES, stacked(Memory(NAMES)).second.params, LOG_SIGMA)
    y = SAMPLES.y[fold().test]

    def error(model: Any) -> float:
        return float(np.square(y - fit_fold("m", model, SAMPLES, settings(), fold()).yhat).mean())

    assert error(stacked(Memory(NAMES))) < 1.5 * error(alone) < 0.6 * y.var()
    # Fitted on rows that the first knows, the trees would find nothing left to correct.
    seen = fit_rows(stacked(Memory(NAMES)), SAMPLES, fold(), EMBARGO)
    rows = SAMPLES.rows
    leaky = stacked(Memory(NAMES), stop=None).begun(rows.take(seen.first), SAMPLES.y[seen.first])
    leaky = leaky.fit(rows.take(seen.first), SAMPLES.y[seen.first])
    assert np.square(y - leaky.predict(rows.take(fold().test))).mean() > 0.9 * y.var()


def test_the_way_back_is_made_of_residuals_of_rows_that_neither_stage_was_trained_on():
    model = stacked(first := Memory(NAMES), stop=None)
    result = fit_fold("two", model, SAMPLES, settings(), fold())
    train, left = np.arange(SAMPLES.y.size)[fold().train], np.empty(0)
    for rows, out in left_out_in_turn(SAMPLES, train, PARTS, EMBARGO):
        part = fit_rows(model, SAMPLES, fold()._replace(train=rows), EMBARGO)
        assert not np.isin(out, np.concatenate((part.first, part.train))).any()
        again = model.begun(SAMPLES.rows.take(part.first), SAMPLES.y[part.first])
        again = again.fit(SAMPLES.rows.take(part.train), SAMPLES.y[part.train])
        left = np.concatenate((left, SAMPLES.y[out] - again.predict(SAMPLES.rows.take(out))))
    seen = fit_rows(model, SAMPLES, fold(), EMBARGO)
    whole = model.begun(SAMPLES.rows.take(seen.first), SAMPLES.y[seen.first])
    whole = whole.fit(SAMPLES.rows.take(seen.train), SAMPLES.y[seen.train])
    mean = (SAMPLES.y[seen.train] - whole.predict(SAMPLES.rows.take(seen.train))).mean()
    wanted = LOG_SIGMA.shifts(mean, left.var())
    assert result.shifts == pytest.approx(wanted, rel=1e-12)
    assert len(first.seen) == 2 * (1 + PARTS)


@pytest.mark.parametrize("cut", [60, 130])
def test_too_few_rows_for_a_stage_name_window_horizon_and_what_helps(cut):
    samples = make_samples(900, seed=4, overlap=20)
    with pytest.raises(RunError) as refused:
        fit_fold("two", stacked(Memory(NAMES)), samples, settings(), fold(samples, cut, 30))
    words = str(refused.value)
    assert "window 1 (2021-03-" in words and "horizon 1h" in words
    assert "rows" in words and ("walk_forward.train" in words or "held out" in words)


# --- the model


def real(**more: Any) -> Stacked:
    given = {
        "first": {"kind": "ols", "features": [NAMES[0]]},
        "features": [NAMES[1], NAMES[2]],
        "rounds": 20,
        "min_data_in_leaf": 5,
    }
    return make_model("stacked", StackedParams(**given | more), make_task("1h"))


def test_it_adds_what_the_trees_say_to_what_the_first_says():
    model = real()
    assert isinstance(model, Staged)
    assert model.features == NAMES
    assert (model.look_back, model.validates, model.seeded) == (0, False, False)
    rows, y = SAMPLES.rows, SAMPLES.y
    early, late = np.arange(300), np.arange(320, 600)
    begun = model.begun(rows.take(early), y[early])
    fitted = begun.fit(rows.take(late), y[late])
    test = rows.take(np.arange(620, 700))
    alone = model.first.fit(rows.columns(model.first.features).take(early), y[early])
    base = alone.predict(test.columns(alone.features))
    seen = Rows(
        np.column_stack((test.columns(NAMES[1:]).X, base)),
        (*NAMES[1:], FIRST),
        test.symbol,
        test.formed_at,
    )
    assert fitted.predict(test).tobytes() == (base + fitted.second.predict(seen)).tobytes()
    assert abs(sum(fitted.coefficients.values()) - 1.0) < 1e-12
    assert set(fitted.coefficients) == {*NAMES[1:], FIRST}
    assert np.square(y[620:700] - fitted.predict(test)).mean() < np.square(y[620:700] - base).mean()


def test_a_second_stage_without_a_first_is_an_error_and_no_guess():
    with pytest.raises(ModelError, match="first stage is not fitted"):
        real().fit(SAMPLES.rows, SAMPLES.y)


def test_forecasts_do_not_depend_on_the_rows_that_follow():
    model = real().begun(SAMPLES.rows.take(np.arange(300)), SAMPLES.y[:300])
    later = np.arange(320, 600)
    model = model.fit(SAMPLES.rows.take(later), SAMPLES.y[later])
    whole = model.predict(SAMPLES.rows)
    for n in (1, 63, 500):
        assert model.predict(SAMPLES.rows.take(np.arange(n))).tobytes() == whole[:n].tobytes()


def test_the_estimate_is_that_of_the_first_stage_with_its_own_rows():
    model = stacked(Memory(NAMES, True))
    seen = fit_rows(model, SAMPLES, fold(), EMBARGO)
    took = training_time("two", model, [(SAMPLES, fold())] * 2, horizon="1h", settings=settings())
    assert (took.fits, took.typical) == (2, 2.0 * seen.first.size)


# --- kept


def entries(folder: Path) -> int:
    return len(list(folder.glob("*.safetensors")))


def test_a_kept_fit_knows_the_rows_of_both_stages(tmp_path):
    store = FitCache(tmp_path / "fits", {"two": "two stages"})
    model, asked = real(early_stopping=5), settings(store=store)
    first = fit_fold("two", model, SAMPLES, asked, fold())
    again = fit_fold("two", model, SAMPLES, asked, fold())
    assert first.yhat.tobytes() == again.yhat.tobytes()
    assert (first.report.kept, again.report.kept, entries(store.folder)) == (0, 1, 1)
    seen = fit_rows(model, SAMPLES, fold(), EMBARGO)
    count = 1
    for part in (seen.first, seen.train, seen.held_out):
        y = SAMPLES.y.copy()
        y[part[5]] += 1e-12
        fit_fold("two", model, replace(SAMPLES, y=y), asked, fold())
        count += 1
        assert entries(store.folder) == count
    unused = np.setdiff1d(np.arange(600), np.concatenate([seen.first, seen.train, seen.held_out]))[
        0
    ]
    y = SAMPLES.y.copy()
    y[unused] += 1.0
    fit_fold("two", model, replace(SAMPLES, y=y), asked, fold())
    fit_fold("two", replace(model, share=0.5), SAMPLES, asked, fold())
    assert entries(store.folder) == count + 1


# --- whole runs

TABLE = """[models.two]
kind = "stacked"
features = ["log(rv_1h)", "log(rv_4h)"]
rounds = 10
min_data_in_leaf = 5

[models.two.first]
kind = "ols"
features = ["log(rv_4h)"]

"""
SPEC = workspace.changed(("[verdict]", TABLE + "[verdict]"), ('["1h", "4h"]\nback', '["4h"]\nback'))
FIRST_KIND = '[models.two.first]\nkind = "'
FIRST_OLS = f'{FIRST_KIND}ols"\n'


@pytest.fixture
def fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("harness.study.study.fits_folder", lambda: tmp_path / "fits")
    return tmp_path / "fits"


def test_a_run_has_its_two_stages_in_record_and_card_and_a_rerun_is_the_same(tmp_path, fits):
    log, run_id = study(tmp_path, SPEC)
    record = log.read(run_id)
    assert FIRST in record["tables"]["coefficients"]["name"]
    assert "lightgbm" in record["environment"]["libraries"]
    again = study(tmp_path, SPEC)
    assert_same((log, run_id), again)
    assert_same((log, run_id), study(tmp_path, SPEC, keep=False))


@pytest.mark.skipif(not TORCH, reason="torch is not installed")
@pytest.mark.parametrize("kind", ["transvol", "lstm"])
def test_a_net_as_first_stage_is_seeded_and_probed_by_the_short_audit(tmp_path, fits, kind):
    shape = {"transvol": "heads = 2\nwindow = 3", "lstm": "layers = 1"}[kind]
    net = (
        f'kind = "{kind}"\nsequence_length = 4\nwidth = 4\nepochs = 2\nbatch = 64\n'
        f'device = "cpu"\n{shape}'
    )
    text = workspace.changed(
        ('[models.two.first]\nkind = "ols"', f"[models.two.first]\n{net}"),
        ('embargo = "1d"', 'embargo = "4h"'),
        text=SPEC,
    )
    log, run_id = study(tmp_path, text + "\n[run]\nseeds = 2\n")
    record = log.read(run_id)
    assert "torch" in record["environment"]["libraries"]
    assert not record["audit"]["left_out"]
    assert not record["audit"]["unprobed"]
    assert record["settings"]["models"]["two"]["first"]["loss"] == "auto"
    assert "loss log-mse (auto)" in record["card"]  # the verdict is on R2 log
    assert "| first stage: squared error of ln σ (no unit) |" in record["card"]
    assert "two: each feature's share of the total reduction of the training loss" in record["card"]
    frame = log.read_forecasts(run_id)
    assert "two" in frame["model"].unique().to_list()
    kept = list(fits.glob("*.safetensors"))
    assert_same((log, run_id), study(tmp_path, text + "\n[run]\nseeds = 2\n"))
    assert list(fits.glob("*.safetensors")) == kept


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            [(f"{FIRST_KIND}ols", f"{FIRST_KIND}olss")],
            "models.two.first.kind: got 'olss', wanted one of",
        ),
        (
            [('[models.two.first]\nkind = "ols"', "[models.two.first]\nx = 1")],
            "models.two.first: got {'x': 1, ",
        ),
        (
            [
                (
                    'kind = "ols"\nfeatures = ["log(rv_4h)"]',
                    'kind = "lstm"\nfeaturs = ["log(rv_4h)"]',
                )
            ],
            "models.two.first.featu",
        ),
        (
            [("rounds = 10", "rounds = 10\nobjective = 'qlike'")],
            "models.two.objective: got 'qlike', wanted one of l2, l1",
        ),
        (
            [
                (
                    'kind = "ols"\nfeatures = ["log(rv_4h)"]',
                    'kind = "ols"\nfeatures = ["log(rv_9h)"]',
                )
            ],
            "models.two.first.features[0]: got 'log(rv_9h)', wanted columns of rv",
        ),
        (
            [(f'{FIRST_KIND}ols"\n', f'{FIRST_KIND}transvol"\nheads = 5\n')],
            "models.two.first.heads: got 5, wanted a divisor of the width, 16",
        ),
        (
            [('\n[models.two.first]\nkind = "ols"\nfeatures = ["log(rv_4h)"]\n', "")],
            "models.two.first: wanted a table with a kind, one of ols, lstm, gru, transvol",
        ),
    ],
)
def test_a_mistake_in_either_stage_is_one_line(changes, words):
    with pytest.raises(SpecError) as refused:
        parse_hypothesis(workspace.changed(*changes, text=SPEC), Path("x.toml"))
    assert words in str(refused.value)


def test_the_hash_covers_the_first_stage_and_not_how_it_is_written():
    def hash_of(*changes: tuple[str, str]) -> str:
        return parse_hypothesis(workspace.changed(*changes, text=SPEC), Path("x.toml")).spec_hash

    plain = hash_of()
    assert hash_of(('features = ["log(rv_4h)"]', 'features = ["log( rv_4h )"]')) == plain
    assert hash_of((FIRST_OLS, FIRST_OLS + "intercept = true\n")) == plain
    assert hash_of((FIRST_OLS, FIRST_OLS + "intercept = false\n")) != plain
    assert hash_of(('features = ["log(rv_4h)"]', 'features = ["log(rv_1d)"]')) != plain


# --- a target over the last part of its horizon

PART = workspace.changed(
    ('horizons = ["1h", "4h"]', 'horizons = ["1d"]\nwindow = "4h"'),
    ('horizon = "4h"', 'horizon = "1d"'),
)


def test_a_target_over_the_horizons_last_part_is_that_of_those_bars_alone(tmp_path):
    text = PART.replace("[models.har]", '[models.ewma]\nkind = "ewma"\n\n[models.har]')
    (tmp_path / "other").mkdir()
    log, run_id = study(tmp_path, text)
    whole = workspace.changed(('["1h", "4h"]\nback', '["4h"]\nback'))
    other, other_id = study(tmp_path / "other", whole)
    part, full = log.read_forecasts(run_id), other.read_forecasts(other_id)
    part = part.filter(part["model"] == "har").sort("formed_at")
    full = full.filter(full["model"] == "har")
    # A day ahead, over the last four hours: four hours ahead of twenty hours later.
    later = dict(zip(full["formed_at"].to_list(), full["y"].to_list(), strict=True))
    pairs = [
        (y, later[t + timedelta(hours=20)])
        for t, y in zip(part["formed_at"].to_list(), part["y"].to_list(), strict=True)
        if t + timedelta(hours=20) in later
    ]
    assert len(pairs) > 100
    assert all(a == b for a, b in pairs)
    assert log.read(run_id)["verdict"]["status"] != "void"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            [('window = "4h"', 'window = "1d"')],
            "target.window: got '1d', wanted longer than every horizon or shorter than every one",
        ),
        (
            [('horizons = ["1d"]', 'horizons = ["1h", "1d"]')],
            "target.window: got '4h', wanted longer than every horizon or shorter than every one",
        ),
        (
            [("[models.har]", '[models.g]\nkind = "garch"\n\n[models.har]')],
            "models.g.kind: got 'garch', wanted a kind that reads features: garch forecasts the "
            "whole horizon",
        ),
        (
            [('train = "10d"', 'train = "2d"')],
            "walk_forward.train: got '2d', wanted longer than the horizon 1d plus the embargo",
        ),
        (
            [('embargo = "1d"', 'embargo = "1d"\nvalidation = "36h"')],
            "walk_forward.validation: got '36h', wanted longer than the horizon 1d plus",
        ),
    ],
)
def test_a_horizon_or_window_that_makes_no_sense_is_named(changes, words):
    with pytest.raises(SpecError) as refused:
        parse_hypothesis(workspace.changed(*changes, text=PART), Path("x.toml"))
    assert words in str(refused.value)
