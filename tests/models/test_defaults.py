"""What `auto` stands for: a loss by the verdict, stopping by the walk, batch and epochs by rows."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import workspace
from support.learned import model, world
from support.runs import study as run_study
from support.worlds import LOG_SIGMA, make_task

from harness.errors import SpecError
from harness.models.nets.schedule import batch_for, epochs_for
from harness.models.params import (
    BoostingParams,
    RecurrentParams,
    StackedParams,
    TransferParams,
    TransvolParams,
)
from harness.models.protocol import make_model
from harness.scores.metrics import METRICS
from harness.spec.hypothesis import Hypothesis
from harness.spec.reading import parse_hypothesis, stored_hypothesis
from harness.study.study import set_up
from harness.verdict.training_loss import of_the_training_loss

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
LEARNED = """
[models.net]
kind = "lstm"
features = ["log(rv_1h)"]

[models.trees]
kind = "lightgbm"
features = ["log(rv_1h)"]

[models.two]
kind = "stacked"
features = ["log(rv_1h)"]

[models.two.first]
kind = "gru"
features = ["log(rv_1h)"]

[verdict]"""
VALIDATION = ('embargo = "1d"', 'embargo = "1d"\nvalidation = "3d"')
TEXT = workspace.changed(("\n[verdict]", LEARNED), VALIDATION)


def parsed(*changes: tuple[str, str], text: str = TEXT) -> Hypothesis:
    return parse_hypothesis(workspace.changed(*changes, text=text), Path("h.toml"))


def judged_by(metric: str, *changes: tuple[str, str]) -> Hypothesis:
    return parsed(('metric = "r2_log"', f'metric = "{metric}"'), *changes)


# --- the loss


@pytest.mark.parametrize("metric", ["r2_log", "mae_log", "ic", "direction", "mape", "mae"])
def test_a_verdict_on_logs_or_ratios_trains_by_the_squared_error_of_ln_sigma(metric):
    assert judged_by(metric).trained["net"].params.loss == "log-mse"


@pytest.mark.parametrize("metric", ["qlike", "nll", "mse_var"])
def test_a_verdict_on_the_variance_trains_by_qlike(metric):
    assert judged_by(metric).trained["net"].params.loss == "qlike"


@pytest.mark.parametrize("metric", ["rmse", "mse", "corr"])
def test_a_verdict_in_levels_trains_in_levels_unless_the_way_back_is_to_the_mean(metric):
    levels = ('scale = "log"', 'scale = "level"'), ('back = "lognormal"\n', "")
    assert judged_by(metric, *levels).trained["net"].params.loss == "mse"
    assert judged_by(metric).trained["net"].params.loss == "log-mse"


def test_a_verdict_on_risk_trains_by_qlike():
    assert {m.trains for m in METRICS.values() if m.of_risk} == {"qlike"}


def test_a_stated_loss_stays_and_a_stage_gets_the_same_as_a_model():
    stated = LEARNED.replace('kind = "lstm"', 'kind = "lstm"\nloss = "mse"')
    found = parsed((LEARNED, stated), ('metric = "r2_log"', 'metric = "qlike"')).trained
    assert found["net"].params.loss == "mse"
    assert found["two"].params.first.loss == "qlike"


def test_a_hypothesis_says_auto_and_its_hash_does_not_depend_on_what_that_stands_for():
    assert parsed().models["net"].words()["loss"] == "auto"
    stated = LEARNED.replace('kind = "lstm"', 'kind = "lstm"\nloss = "log-mse"')
    assert parsed((LEARNED, stated)).spec_hash != parsed().spec_hash


def test_cached_fits_are_known_by_the_loss_that_was_used(tmp_path):
    workspace.lay_out(tmp_path)

    def keys(metric: str) -> dict[str, str]:
        found = set_up(judged_by(metric), [tmp_path / "panels"])
        return dict(found.fits("4h").models)

    logs, shares, variances = keys("r2_log"), keys("mape"), keys("qlike")
    assert logs == shares
    assert {name for name in logs if logs[name] != variances[name]} == {"net", "two"}


@needs_torch
def test_a_model_that_is_made_has_a_loss():
    params = RecurrentParams(features=["x0_1h"])
    for loss in ("log-mse", "qlike", "mse"):
        made = make_model("lstm", params, replace(make_task(scale=LOG_SIGMA), loss=loss))
        assert made.params.loss == loss


# --- a stated loss that does not fit


def test_a_stated_loss_at_odds_with_the_verdict_is_warned_of():
    stated = (
        LEARNED.replace('kind = "lstm"', 'kind = "lstm"\nloss = "qlike"')
        .replace('kind = "gru"', 'kind = "gru"\nloss = "qlike"')
        .replace('kind = "lightgbm"', 'kind = "lightgbm"\nobjective = "qlike"')
    )
    every = ('candidates = ["har"]', 'candidates = ["net", "trees", "two"]')
    warned = of_the_training_loss(parsed((LEARNED, stated), every))
    assert [words.split(" = ")[0] for words in warned] == [
        "net: trained by loss",
        "trees: trained by objective",
        "two: trained by first.loss",
    ]
    assert all("R² log asks for the squared error of ln σ" in words for words in warned)
    fitting = parsed((LEARNED, stated), every, ('metric = "r2_log"', 'metric = "qlike"'))
    assert of_the_training_loss(fitting) == []
    assert of_the_training_loss(parsed(every)) == []
    assert of_the_training_loss(parsed((LEARNED, stated))) == []  # they are not compared


def test_either_loss_of_levels_fits_a_verdict_in_levels():
    for loss in ("mse", "log-mse"):
        stated = LEARNED.replace('kind = "lstm"', f'kind = "lstm"\nloss = "{loss}"')
        every = ('candidates = ["har"]', 'candidates = ["net"]')
        changes = (LEARNED, stated), every, ('metric = "r2_log"', 'metric = "rmse"')
        assert of_the_training_loss(parsed(*changes)) == []


# --- early stopping of trees


def test_trees_stop_early_where_the_walk_holds_rows_out_and_never_else():
    held, whole = parsed(), parsed(VALIDATION[::-1])
    for name in ("trees", "two"):
        assert held.models[name].params.early_stopping == "auto"
        assert held.trained[name].params.early_stopping == 30
        assert whole.trained[name].params.early_stopping == "never"


def test_trees_that_may_stop_early_need_no_validation_and_those_told_to_do(tmp_path):
    workspace.lay_out(tmp_path)
    trees = '\n[models.trees]\nkind = "lightgbm"\nfeatures = ["log(rv_1h)"]\n\n[verdict]'
    plain = workspace.changed(("\n[verdict]", trees))
    told = plain.replace('kind = "lightgbm"', 'kind = "lightgbm"\nearly_stopping = 5')
    made = [parse_hypothesis(text, Path("h.toml")) for text in (plain, told)]
    set_up(made[0], [tmp_path / "panels"]).require_validation()
    with pytest.raises(SpecError, match=r"validation rows, because models\.trees stops early"):
        set_up(made[1], [tmp_path / "panels"]).require_validation()


@pytest.mark.parametrize("stop", ["never", None])
def test_trees_told_never_to_stop_make_all_rounds(stop):
    rows, y = world(300)
    fitted = model("lightgbm", rounds=40, early_stopping=stop).fit(rows, y, validation=(rows, y))
    assert fitted.training.epochs == 40 and not fitted.training.validation_loss


# --- batch and epochs


def test_the_batch_grows_with_the_rows_and_an_epoch_has_enough_steps():
    rows = (10, 800, 1_600, 3_200, 6_400, 12_800, 10**6)
    assert [batch_for("auto", n) for n in rows] == [16, 16, 32, 64, 128, 256, 256]
    for n in rows:
        batch = batch_for("auto", n)
        assert batch == 16 or n / batch >= 50
    assert batch_for(7, 10**6) == 7


def test_epochs_are_fewer_the_more_steps_each_has():
    made = {n: epochs_for("auto", batch_for("auto", n), n) for n in (10, 1_600, 52_000, 10**6)}
    assert made == {10: 100, 1_600: 100, 52_000: 49, 10**6: 30}
    assert epochs_for(3, 16, 1_600) == 3


@needs_torch
@pytest.mark.parametrize("kind", ["lstm", "gru", "transvol"])
def test_a_fit_uses_and_reports_what_fits_its_rows(kind, monkeypatch):
    from harness.models.nets import training_loop as loop

    sizes: list[int] = []
    step = loop._step

    def watched(net: Any, loss: Any, x: Any, *rest: Any) -> Any:
        sizes.append(len(x))
        return step(net, loss, x, *rest)

    monkeypatch.setattr(loop, "_step", watched)
    rows, y = world(900)
    shape = {"lstm": {"layers": 1}, "gru": {"layers": 1}, "transvol": {"window": 2, "heads": 1}}
    tiny = {"sequence_length": 3, "width": 2, "patience": 1, "device": "cpu", **shape[kind]}
    net = model(kind, batch="auto", epochs="auto", **tiny)
    early, late = np.arange(810), np.arange(810, 900)
    fitted = net.fit(rows.take(early), y[early], validation=(rows.take(late), y[late]))
    assert max(sizes) == fitted.training.batch == 16
    assert fitted.training.most_epochs == 100 >= fitted.training.epochs
    sizes.clear()
    net.estimate(1_600, 100)
    assert set(sizes) == {32}


def test_the_kinds_agree_on_what_is_auto():
    for params in (RecurrentParams, TransvolParams):
        made = params(features=["x"])
        assert (made.loss, made.batch, made.epochs) == ("auto", "auto", "auto")
    made = TransferParams(features=["x"], strategy="scratch")
    # The numbers of its document.
    assert (made.loss, made.batch, made.epochs) == ("auto", 16, 30)
    assert (made.lesson_batch, made.lesson_epochs) == (32, 50)
    for trees in (BoostingParams, StackedParams):
        assert trees.model_fields["early_stopping"].default == "auto"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ('batch = "atuo"', "models.net.batch: got 'atuo', wanted 'auto' or a whole number from 1"),
        ("batch = 0", "models.net.batch: got 0, wanted 'auto' or a whole number from 1 to 100,000"),
        ("epochs = true", "models.net.epochs: got true, wanted 'auto' or a whole number from 1"),
        ("epochs = 2.5", "models.net.epochs: got 2.5, wanted 'auto' or a whole number"),
        ('loss = "atuo"', "models.net.loss: got 'atuo', wanted one of auto, qlike"),
    ],
)
def test_a_wrong_size_or_loss_is_one_line(words, told):
    with pytest.raises(SpecError) as refused:
        parsed((LEARNED, LEARNED.replace('kind = "lstm"', f'kind = "lstm"\n{words}')))
    assert told in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("value", ["0", "'sometimes'", "-3"])
def test_a_wrong_early_stopping_is_one_line(value):
    trees = LEARNED.replace('kind = "lightgbm"', f'kind = "lightgbm"\nearly_stopping = {value}')
    wanted = "'auto' or 'never' or a whole number from 1 to 100,000"
    with pytest.raises(SpecError, match=wanted):
        parsed((LEARNED, trees))


# --- stored runs


def test_a_stored_run_has_the_defaults_that_it_was_run_with():
    today = parsed()
    words = {name: spec.words() for name, spec in today.models.items()}
    old = {"loss": "qlike", "batch": 256, "epochs": 100, "learning_rate": 1e-3}
    words["net"] |= old
    words["two"] = words["two"] | {"first": words["two"]["first"] | old}
    words["trees"] |= {"early_stopping": None, "num_leaves": 31}
    record = {"run_id": "0badcafe", "spec": TEXT, "settings": {"models": words}}
    then = stored_hypothesis(record)
    assert {name: spec.words() for name, spec in then.models.items()} == words
    assert then.trained["net"].params.loss == "qlike"
    assert then.trained["trees"].params.early_stopping is None
    assert then.spec_hash != today.spec_hash
    new = record | {"settings": {"models": {n: s.words() for n, s in today.models.items()}}}
    assert stored_hypothesis(new).spec_hash == today.spec_hash


def test_a_card_shows_what_was_used_and_the_run_verifies(tmp_path, command, monkeypatch):
    trees = '\n[models.trees]\nkind = "lightgbm"\nfeatures = ["log(rv_1h)"]\n\n[verdict]'
    log, run_id = run_study(tmp_path, workspace.changed(("\n[verdict]", trees), VALIDATION))
    record = log.read(run_id)
    assert record["settings"]["models"]["trees"]["early_stopping"] == "auto"
    assert record["settings"]["trained"]["trees"]["early_stopping"] == 30
    assert "early_stopping 30 (auto)" in record["card"]
    monkeypatch.chdir(tmp_path)
    assert "every number is the same" in command("verify", run_id, "--log", log.root).done().out
