"""Learned models: exactness, the same bytes twice, causality, early stopping, what is refused."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import workspace
from support.learned import NAMES, TINY, model, world
from support.workspace import ROOT
from support.worlds import LEVEL_SIGMA, LOG_SIGMA, close_to

from harness.environment import CodeVersion, describe
from harness.errors import SpecError, UsageError
from harness.models.linear import Linear
from harness.models.protocol import Forecaster, ModelError, Trained
from harness.models.sklearn_regressors import MODULES, regressors
from harness.samples.target_scale import TargetScale
from harness.spec.reading import parse_hypothesis
from harness.types import F64, Rows

NETS = ("lstm", "gru")
TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not TORCH, reason="torch is not installed")


def here(names: Iterable[str]) -> list[object]:
    """The names as parameters, nets marked as in need of torch."""
    return [pytest.param(n, marks=needs_torch if n in NETS else ()) for n in names]


def regressor(name: str, **params: object) -> Forecaster:
    settings = {k: params.pop(k) for k in ("standardise", "sequence_length") if k in params}
    return model("sklearn", **{"class": f"sklearn.{name}", "params": params, **settings})


def split(rows: Rows, y: F64, share: float = 0.75) -> tuple[Rows, F64, Rows, F64]:
    cut = int(share * y.size)
    early, late = np.arange(cut), np.arange(cut, y.size)
    return rows.take(early), y[early], rows.take(late), y[late]


EVERY = {
    "ridge": lambda: regressor("linear_model.Ridge", alpha=0.5),
    "forest": lambda: regressor("ensemble.RandomForestRegressor", n_estimators=3),
    "lightgbm": lambda: model("lightgbm", rounds=8, bagging_fraction=0.6, feature_fraction=0.6),
    "lightgbm-stop": lambda: model("lightgbm", rounds=8, early_stopping=3),
    "lstm": lambda: model("lstm", **TINY, attention=True),
    "gru": lambda: model("gru", **{**TINY, "layers": 2}),
}


# --- scikit-learn


@pytest.mark.parametrize("standardise", [True, False])
def test_sklearns_least_squares_is_the_ols_kind(standardise):
    rows, y = world()
    got = regressor("linear_model.LinearRegression", standardise=standardise).fit(rows, y)
    want = Linear(NAMES).fit(rows, y)
    assert close_to(got.predict(rows), want.predict(rows), 1e-11)
    assert got.coefficients == pytest.approx(dict(want.coefficients), rel=1e-9)
    assert got.training.parameters == 4 and got.training.converged


def test_a_flat_sequence_is_the_lagged_features_side_by_side():
    rows, y = world()
    flat = regressor("linear_model.LinearRegression", sequence_length=2).fit(rows, y)
    assert flat.look_back == 2
    past = rows.history.values[:, rows.at - 1].T
    both = Rows(np.hstack((rows.X, past)), tuple("abcdef"), rows.symbol, rows.formed_at)
    want = Linear(tuple("abcdef")).fit(both, y)
    assert close_to(flat.predict(rows), want.predict(both), 1e-11)
    assert list(flat.coefficients) == ["intercept", *NAMES, *(f"lag({n}, 1)" for n in NAMES)]


def test_features_are_standardised_by_the_training_rows_alone():
    rows, y = world()
    x = rows.X[:300]
    moved = replace(rows, X=np.vstack((x, 1e6 + rows.X[300:])))
    fitted = regressor("linear_model.Ridge", alpha=50.0).fit(moved.take(slice(0, 300)), y[:300])
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    centred = y[:300] - y[:300].mean()
    slopes = np.linalg.solve(z.T @ z + 50.0 * np.eye(3), z.T @ centred)
    assert close_to(fitted.predict(rows.take(slice(0, 300))), y[:300].mean() + z @ slopes, 1e-10)


def test_an_optimiser_that_gives_up_is_told_of_and_not_printed(capfd):
    rows, y = world()
    fitted = regressor("neural_network.MLPRegressor", max_iter=2).fit(rows, y)
    assert not fitted.training.converged
    assert fitted.training.epochs == 2 == len(fitted.training.train_loss)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("module", MODULES)
def test_every_module_on_the_list_has_regressors(module):
    assert regressors(module)
    assert not [n for n in regressors(module) if "Classif" in n or n.startswith("MultiTask")]


HYPOTHESIS = """
[hypothesis]
name = "learned"
title = "learned"
claim = "it learns"
[panel]
name = "p"
[sample]
every = "1h"
scales = ["1h", "4h"]
measures = ["rv"]
[target]
measure = "rv"
scale = "log"
horizons = ["1h"]
back = "naive"
[walk_forward]
scheme = "rolling"
train = "12mo"
test = "3mo"
embargo = "1d"
first_test = "2021-01-02"
[models.base]
kind = "persistence"
[models.m]
{model}
[verdict]
baseline = "base"
candidates = ["m"]
metric = "qlike"
horizon = "1h"
min_gain = 0.0
alpha = 0.05
"""


def refused(words: str) -> str:
    with pytest.raises(SpecError) as error:
        parse_hypothesis(HYPOTHESIS.format(model=words), Path("h.toml"))
    assert "\n" not in str(error.value)
    return str(error.value)


def sklearn_words(name: str, params: str = "") -> str:
    return f'kind = "sklearn"\nclass = "{name}"\nfeatures = ["log(rv_h)"]\nparams = {{{params}}}'


@pytest.mark.parametrize(
    ("words", "key", "near"),
    [
        (sklearn_words("sklearn.linear_model.Rigde"), "class", "sklearn.linear_model.Ridge"),
        (sklearn_words("SVR"), "class", "sklearn.svm.SVR"),
        (sklearn_words("os.system"), "class", None),
        (sklearn_words("sklearn.linear_model.LogisticRegression"), "class", "sklearn."),
        (sklearn_words("sklearn.model_selection.GridSearchCV"), "class", "sklearn."),
        (sklearn_words("sklearn.linear_model.Ridge", "alhpa = 1.0"), "params.alhpa", "alpha"),
        (sklearn_words("sklearn.linear_model.Ridge", 'alpha = "x"'), "params", None),
        (sklearn_words("sklearn.linear_model.Ridge", "alpha = inf"), "params", None),
        (sklearn_words("sklearn.linear_model.Ridge", "alpha = 2020-01-01"), "params", None),
        (sklearn_words("sklearn.svm.LinearSVR", "random_state = 1"), "params.random_state", None),
        ('kind = "sklearn"\nfeatures = ["log(rv_h)"]', "class", None),
        ('kind = "sklearn"\nclas = "x"\nfeatures = ["log(rv_h)"]', "clas", "class"),
        ('kind = "lightgbm"\nobjective = "l3"\nfeatures = ["log(rv_h)"]', "objective", "l2"),
        ('kind = "lstm"\nloss = "log_mse"\nfeatures = ["log(rv_h)"]', "loss", "log-mse"),
        ('kind = "gru"\ndropout = 1.0\nfeatures = ["log(rv_h)"]', "dropout", None),
    ],
)
def test_what_no_library_takes_is_refused_with_the_file_where_it_stands(words, key, near):
    said = refused(words)
    assert said.startswith(f"h.toml: models.m.{key}")
    assert (f"did you mean '{near}" in said) if near else ("did you mean" not in said)


def test_a_class_that_is_on_the_list_is_part_of_what_is_hashed():
    one, two = (
        parse_hypothesis(HYPOTHESIS.format(model=sklearn_words(f"sklearn.{n}")), Path("h.toml"))
        for n in ("linear_model.Ridge", "linear_model.Lasso")
    )
    assert one.spec_hash != two.spec_hash


def test_a_hypothesis_loads_no_library_that_it_does_not_name():
    code = (
        "import sys; from pathlib import Path;"
        "from harness.spec.reading import parse_hypothesis;"
        f"parse_hypothesis({HYPOTHESIS.format(model=NET_WORDS)!r}, Path('h.toml'));"
        "print(*sorted({'torch', 'sklearn', 'lightgbm', 'scipy'} & set(sys.modules)))"
    )
    assert run_alone(code) == ""


NET_WORDS = 'kind = "lstm"\nfeatures = ["log(rv_h)"]'


def run_alone(code: str) -> str:
    path = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]
    code = f"import sys; sys.path[:0] = {path!r}\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


# --- all of them


def bytes_of(fitted: Forecaster, rows: Rows) -> bytes:
    return fitted.predict(rows).tobytes() + repr((fitted.coefficients, fitted.training)).encode()


def fit_of(name: str, seed: int = 3) -> tuple[Forecaster, Rows]:
    rows, y = world(300, symbols=2, seed=5)
    x, t, held, z = split(rows, y)
    return EVERY[name]().fit(x, t, validation=(held, z), seed=seed), rows


@pytest.mark.parametrize("name", here(EVERY))
def test_the_same_seed_gives_the_same_bytes_and_survives_pickling(name):
    fitted, rows = fit_of(name)
    assert bytes_of(fitted, rows) == bytes_of(*fit_of(name))
    assert bytes_of(pickle.loads(pickle.dumps(fitted)), rows) == bytes_of(fitted, rows)


@pytest.mark.parametrize("name", here(["forest", "lightgbm", *NETS]))
def test_another_seed_is_another_fit(name):
    fitted, rows = fit_of(name)
    assert fitted.predict(rows).tobytes() != fit_of(name, seed=4)[0].predict(rows).tobytes()


def test_another_process_gives_the_same_bytes():
    names = [n for n in EVERY if TORCH or n not in NETS]
    code = f"from test_learned import *\nprint(*(digest(n) for n in {names}))"
    assert run_alone(code) == " ".join(map(digest, names))


def digest(name: str) -> str:
    return hashlib.sha256(bytes_of(*fit_of(name))).hexdigest()


@pytest.mark.parametrize("name", here(EVERY))
def test_a_forecast_does_not_depend_on_the_rows_after_it(name):
    fitted, rows = fit_of(name)
    many = rows.take(np.tile(np.arange(600), 3))
    whole = fitted.predict(many)
    for n in (1, 7, 600, 1_025):
        assert fitted.predict(many.take(slice(0, n))).tobytes() == whole[:n].tobytes(), n


@pytest.mark.parametrize("name", here(NETS))
def test_a_forecast_sees_its_own_past_and_nothing_later(name):
    fitted, rows = fit_of(name)
    before = fitted.predict(rows)
    values = rows.history.values.copy()
    place = int(rows.at[300])
    values[:, place] += 1.0
    after = fitted.predict(replace(rows, history=replace(rows.history, values=values)))
    changed = set(rows.at[after != before].tolist())
    assert changed == {place, place + 1, place + 2}  # sequences of 3 steps, of this symbol


@pytest.mark.parametrize("name", here(EVERY))
def test_a_constant_feature_is_named_or_ignored_but_never_garbage(name):
    rows, y = world()
    values = rows.history.values.copy()
    values[1] = 0.1
    flat = replace(
        rows, X=values[:, rows.at].T.copy(), history=replace(rows.history, values=values)
    )
    if name.startswith("lightgbm"):
        assert EVERY[name]().fit(flat, y).coefficients["x1_1h"] == 0.0
    else:
        with pytest.raises(ModelError, match="x1_1h is constant over the training rows"):
            EVERY[name]().fit(flat, y)


PLANTED = {
    "forest": {"n_estimators": 20, "min_samples_leaf": 5},
    "lightgbm": {"rounds": 80, "min_data_in_leaf": 10, "learning_rate": 0.1},
    "gru": {**TINY, "width": 12, "epochs": 30, "learning_rate": 0.02, "dropout": 0.0},
    "lstm": {**TINY, "width": 12, "epochs": 30, "learning_rate": 0.02, "dropout": 0.0},
}


@pytest.mark.parametrize("name", here(PLANTED))
def test_a_planted_product_is_learned_which_least_squares_cannot(name):
    rows, y = world(900, planted=True, seed=8)
    if name in ("forest", "lightgbm"):  # rows alone: the earlier decision's feature beside them
        past = rows.history.values[1, rows.at - 1]
        rows = replace(rows, X=np.column_stack((rows.X[:, :2], past)))
    x, t, held, z = split(rows, y)
    made = (
        regressor("ensemble.RandomForestRegressor", **PLANTED[name])
        if name == "forest"
        else model(name, **PLANTED[name])
    )
    error = np.mean(np.square(z - made.fit(x, t, validation=(held, z)).predict(held)))
    linear = np.mean(np.square(z - Linear(NAMES).fit(x, t).predict(held)))
    assert error < 0.65 * linear


# --- LightGBM


def test_boosting_stops_early_and_keeps_the_best_round():
    rows, y = world(planted=True)
    x, t, held, z = split(rows, y)
    wanted = model("lightgbm", rounds=300, early_stopping=5, learning_rate=0.3)
    assert wanted.validates and not model("lightgbm").validates
    told = wanted.fit(x, t, validation=(held, z)).training
    assert told.best == int(np.argmin(told.validation_loss)) + 1
    assert told.epochs == told.best + 5 < 300
    kept = model("lightgbm", rounds=told.best, learning_rate=0.3).fit(x, t)
    stopped = wanted.fit(x, t, validation=(held, z))
    assert stopped.predict(held).tobytes() == kept.predict(held).tobytes()
    assert told.validation_loss[told.best - 1] == pytest.approx(
        np.mean(np.square(z - stopped.predict(held))), rel=1e-5
    )


@pytest.mark.parametrize(
    "scale", [LOG_SIGMA, LEVEL_SIGMA, TargetScale("level", "variance", "", 1e-6)]
)
def test_the_qlike_of_boosting_is_that_of_the_variance(scale):
    rows, y = world()
    y = scale.target(np.exp(y) if scale.unit == "sigma" else np.exp(2.0 * y))
    fitted = model("lightgbm", scale, objective="qlike", rounds=30).fit(rows, y)
    ratio = scale.variance(y) / scale.variance(fitted.predict(rows))
    qlike = np.mean(ratio - np.log(ratio) - 1.0)
    assert fitted.training.train_loss[-1] == pytest.approx(qlike, rel=1e-4)
    assert qlike < 0.7 * fitted.training.train_loss[0]


def test_shares_of_the_gain_sum_to_one_and_find_the_feature_that_counts():
    rows, y = world()
    gains = model("lightgbm", rounds=20).fit(rows, y).coefficients
    assert sum(gains.values()) == pytest.approx(1.0)
    assert max(gains, key=gains.get) == "x0_1h"


def test_too_few_rows_for_a_split_are_counted():
    rows, y = world(30)
    with pytest.raises(ModelError, match="30 training rows, wanted at least 40 for one split"):
        model("lightgbm").fit(rows, y)


# --- nets


@pytest.mark.parametrize("kind", here(NETS))
def test_early_stopping_keeps_the_weights_of_the_best_epoch(kind):
    rows, y = world(planted=True)
    x, t, held, z = split(rows, y)
    settings = {**TINY, "learning_rate": 0.05, "epochs": 60, "patience": 4, "loss": "log-mse"}
    told = (fitted := model(kind, **settings).fit(x, t, validation=(held, z))).training
    assert told.best == int(np.argmin(told.validation_loss)) + 1
    assert told.epochs == told.best + 4 < 60
    assert told.validation_loss[told.best - 1] == pytest.approx(
        np.mean(np.square(z - fitted.predict(held))), rel=1e-4
    )
    settings |= {"epochs": told.best}
    assert (
        model(kind, **settings).fit(x, t, validation=(held, z)).predict(held).tobytes()
        == fitted.predict(held).tobytes()
    )


@needs_torch
@pytest.mark.parametrize("loss", ["qlike", "log-mse", "mse"])
@pytest.mark.parametrize("unit", ["sigma", "variance"])
@pytest.mark.parametrize("kind", ["log", "level"])
def test_a_nets_losses_are_their_formulas_in_the_targets_terms(kind, unit, loss):
    scale = TargetScale(kind, unit, "none", 1e-6)
    rows, y = world(200)
    y = scale.target(np.exp(y) if unit == "sigma" else np.exp(2.0 * y))
    x, t, held, z = split(rows, y)
    fitted = model("gru", scale, **{**TINY, "epochs": 1}, loss=loss).fit(x, t, validation=(held, z))
    got = fitted.predict(held)
    measure, forecast = (np.exp(z), np.exp(got)) if kind == "log" else (z, got)
    mean = (np.exp(t) if kind == "log" else t).mean()
    ratio = (measure / forecast) ** (2.0 if unit == "sigma" else 1.0)
    want = {
        "qlike": np.mean(ratio - np.log(ratio) - 1.0),
        "log-mse": np.mean(np.square(0.5 * np.log(ratio))),
        "mse": np.mean(np.square((measure - forecast) / mean)),
    }[loss]
    assert fitted.training.validation_loss[0] == pytest.approx(want, rel=1e-4)
    assert np.all(forecast > 0.0)


@needs_torch
def test_attention_weights_are_shares_of_the_steps():
    fitted, _ = fit_of("lstm")
    assert len(fitted.training.attention) == 3
    assert sum(fitted.training.attention) == pytest.approx(1.0, abs=1e-5)
    assert fit_of("gru")[0].training.attention == ()


@needs_torch
@pytest.mark.parametrize(("kind", "gates"), [("lstm", 4), ("gru", 3)])
def test_parameters_are_counted(kind, gates):
    rows, y = world(100)
    fitted = model(kind, **{**TINY, "layers": 2, "width": 5}).fit(rows, y)
    layers = gates * (5 * 3 + 5 * 5 + 10) + gates * (5 * 5 + 5 * 5 + 10)
    assert fitted.training.parameters == layers + 6
    assert fitted.training.epochs == fitted.training.best == 3  # none held out: all are run


@needs_torch
def test_a_symbols_own_scale_takes_its_level_out():
    rows, y = world(150, symbols=2)
    shift = np.array([0.0, 3.0])
    values = rows.history.values + np.repeat(5.0 * shift, 155)
    moved = replace(
        rows, X=values[:, rows.at].T.copy(), history=replace(rows.history, values=values)
    )
    fits = [
        model("gru", **TINY, standardise="symbol").fit(r, t, seed=1).predict(r)
        for r, t in ((rows, y), (moved, y + shift[rows.symbol]))
    ]
    assert np.allclose(fits[1], fits[0] + shift[rows.symbol], atol=1e-4)
    stranger = replace(rows, symbol=np.full(300, 7, np.int32))
    assert np.isfinite(
        model("gru", **TINY, standardise="symbol").fit(rows, y).predict(stranger)
    ).all()


@needs_torch
def test_a_loss_that_is_no_number_names_its_epoch():
    rows, y = world(200)
    with pytest.raises(ModelError, match="the loss of epoch 1 is not a number"):
        model("gru", **TINY, loss="qlike").fit(rows, np.where(np.arange(200) == 7, 300.0, y))


@needs_torch
def test_a_net_says_how_far_it_is_and_how_long_it_will_take():
    rows, y = world(200)
    said: list[str] = []
    net = model("gru", **TINY)
    assert isinstance(net, Trained) and not isinstance(model("lightgbm"), Trained)
    x, t, held, z = split(rows, y)
    fitted = net.watched(said.append).fit(x, t, validation=(held, z))
    assert [s.split(",")[0] for s in said] == [f"epoch {k} of 3" for k in (1, 2, 3)]
    assert said[-1].endswith(f"validation {fitted.training.validation_loss[-1]:.4g}")
    time = net.estimate(6_400, 640)
    assert 0.0 < time.epoch < time.typical <= time.most


@needs_torch
def test_an_estimate_counts_steps_blocks_and_epochs(monkeypatch):
    from harness.models.nets import training_loop as loop

    monkeypatch.setattr(loop, "_seconds", lambda work: 0.01)
    net = model("lstm", **{**TINY, "epochs": 44, "patience": 10})
    time = net.estimate(6_400, 1_024)  # 100 batches of 64, and a block of 1,024 to validate on
    assert time.epoch == pytest.approx(100 * 0.01 + 0.01)
    assert time.most == pytest.approx(44 * time.epoch + 0.01 * 7.25)
    assert time.typical == pytest.approx(22 * time.epoch + 0.01 * 7.25)  # sqrt(11 * 44)


def test_torch_that_is_not_installed_is_asked_for(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("harness.models.recurrent")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"the kind of model lstm needs torch.*\[torch\]"):
        model("lstm", **TINY)


@needs_torch
def test_the_showdowns_sixteen_inputs_can_be_written():
    lags = ["{}", *(f"lag({{}}, {k})" for k in range(1, 5))]
    inputs = [
        *(lag.format("log(gk_1d)") for lag in lags),
        *(lag.format("ret_1d") for lag in lags),
        *(lag.format("volume_1d / volume_20d") for lag in lags),
        "log(vix_1d)",
    ]
    net = model("lstm", features=inputs)
    assert len(net.features) == 16 and net.look_back == 20


def test_the_record_states_the_library_that_a_model_was_made_with():
    trees = '[models.trees]\nkind = "lightgbm"\nfeatures = ["log(rv_1h)"]\n\n[verdict]'
    plain, boosted = (
        describe(CodeVersion(), parse_hypothesis(text, Path("h.toml")).libraries)
        for text in (workspace.HYPOTHESIS, workspace.changed(("[verdict]", trees)))
    )
    assert set(boosted["libraries"]) - set(plain["libraries"]) == {"lightgbm"}
