"""Transfer: lessons from what was known, strategies that move what they say, kept and shared."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import workspace
from support.learned import world
from support.runs import assert_same, study
from support.worlds import LOG_SIGMA, make_samples, make_task

from harness.errors import SpecError
from harness.models.params import TransferParams
from harness.models.pretraining import PretrainedModel, PretrainedWeights, known, pretraining_rows
from harness.models.protocol import ModelError, make_model
from harness.spec.reading import parse_hypothesis
from harness.types import FitTime

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
STRATEGIES = ("scratch", "frozen", "full", "differential", "gradual", "aggressive")
TINY: dict[str, Any] = {
    "features": ["x0_1h"],
    "sequence_length": 3,
    "layers": 2,
    "width": 8,
    "heads": 2,
    "dropout": 0.0,
    "epochs": 3,
    "lesson_epochs": 2,
    "batch": 32,
    "lesson_batch": 64,
    "device": "cpu",
}
HOUR = 3_600_000_000_000


# --- what may be learned


def test_only_what_had_resolved_teaches_and_the_last_third_is_held_out():
    source = make_samples(300, seed=1, overlap=3)
    limit = int(source.resolved_at[200])
    train, held_out = known(source, limit, 5 * HOUR)
    assert source.resolved_at[held_out].max() == limit
    assert abs(held_out.size - 67) <= 1
    begin = source.rows.formed_at[held_out].min()
    assert source.resolved_at[train].max() <= begin - 5 * HOUR
    assert train.size > 100


def test_what_resolves_later_changes_no_pretraining_and_what_did_before_does():
    source = make_samples(300, seed=1)
    limit = int(source.resolved_at[200])
    later = replace(source, y=np.where(source.resolved_at > limit, 99.0, source.y))
    first, second = (pretraining_rows(s, source.rows.names, limit, HOUR) for s in (source, later))
    for name in ("y", "held_out_y"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    assert first.rows.X.tobytes() == second.rows.X.tobytes()
    earlier = replace(source, y=np.where(source.resolved_at <= limit, 99.0, source.y))
    assert (
        pretraining_rows(earlier, source.rows.names, limit, HOUR).y.tobytes() != first.y.tobytes()
    )


def test_too_short_a_source_is_told_in_numbers():
    source = make_samples(300, seed=1)
    with pytest.raises(ModelError, match="12 training rows and 7 held-out rows"):
        pretraining_rows(source, source.rows.names, int(source.resolved_at[20]), 0)


# --- the net


def net(strategy: str, **changes: Any) -> Any:
    params = TransferParams(**{**TINY, **changes}, strategy=strategy)
    return make_model("transfer", params, make_task(scale=LOG_SIGMA))


def a_course() -> Any:
    rows, y = world(200, seed=9)
    source = replace(
        make_samples(200, seed=3),
        rows=rows,
        y=y,
        resolved_at=rows.formed_at + 1,
    )
    return pretraining_rows(source, ("x0_1h",), int(rows.formed_at[-1]) + 1, 1)


def fitted(strategy: str, pretrained: PretrainedWeights | None, **changes: Any) -> Any:
    rows, y = world(150, seed=2)
    early, late = np.arange(110), np.arange(110, 150)
    model = net(strategy, **changes)
    if pretrained is not None:
        model = model.with_pretrained(pretrained)
    mine = rows.columns(("x0_1h",))
    return model.fit(mine.take(early), y[early], validation=(mine.take(late), y[late]), seed=4)


@pytest.fixture(scope="module")
def pretrained() -> PretrainedWeights:
    return net("full").pretrained(a_course(), seed=7)


def moved(model: Any, pretrained: PretrainedWeights) -> dict[str, bool]:
    """By part of the net: whether any weight is another than the lesson left."""
    parts: dict[str, bool] = {}
    for name, weights in model.weights().items():
        part = "head" if name.startswith("output") else name.split(".")[1]
        parts[part] = (
            parts.get(part, False) or weights.tobytes() != pretrained.weights[name].tobytes()
        )
    return parts


@needs_torch
@pytest.mark.parametrize(
    ("strategy", "encoder"),
    [("frozen", False), ("full", True), ("differential", True), ("aggressive", True)],
)
def test_a_strategy_moves_what_it_says_and_nothing_else(strategy, encoder, pretrained):
    model = fitted(strategy, pretrained)
    assert moved(model, pretrained) == {"recurrent": encoder, "attention": encoder, "head": True}


@needs_torch
def test_gradual_unfreezing_opens_one_part_after_the_other(pretrained):
    opened = [fitted("gradual", pretrained, epochs=3)]
    assert opened[0].training.epochs == 3  # one epoch of each third
    net_, schedules = net("gradual"), net("gradual")._schedules(100)
    assert [dict(s.rates) for s in schedules] == [
        {"encoder": 0.0},
        {"encoder.recurrent": 0.0},
        {},
    ]
    assert {s.epochs for s in schedules} == {net_.params.epochs // 3}
    usual = TransferParams(features=["x0_1h"], strategy="gradual")
    stages = make_model("transfer", usual, make_task("1h", scale=LOG_SIGMA))._schedules(100)
    assert all(s.plateau < s.patience < s.epochs for s in stages)  # they can act in a stage
    assert moved(opened[0], pretrained)["head"]


@needs_torch
def test_differential_rates_move_the_encoder_less_than_full_ones(pretrained):
    def distance(strategy: str) -> float:
        own = fitted(strategy, pretrained, learning_rate=1e-2, epochs=1).weights()
        name = "encoder.attention.merge.weight"
        return float(np.abs(own[name] - pretrained.weights[name]).max())

    assert 0.0 < distance("differential") < 0.5 * distance("full")


@needs_torch
def test_a_pretraining_is_the_same_bytes_from_a_seed_and_known_by_what_it_depends_on(pretrained):
    again = net("frozen").pretrained(a_course(), seed=7)
    assert all(again.weights[k].tobytes() == w.tobytes() for k, w in pretrained.weights.items())
    other = net("full").pretrained(a_course(), seed=8)
    assert any(other.weights[k].tobytes() != w.tobytes() for k, w in pretrained.weights.items())
    subjects = {net(strategy).pretraining_key for strategy in STRATEGIES}
    assert len(subjects) == 1
    assert net("full", epochs=9, learning_rate=0.1, batch=7).pretraining_key in subjects
    for changes in ({"width": 16}, {"lesson_epochs": 9}, {"dropout": 0.5}, {"loss": "mse"}):
        assert net("full", **changes).pretraining_key not in subjects


@needs_torch
def test_a_pretrained_model_begins_where_the_pretraining_ended(pretrained):
    taught, untaught = fitted("full", pretrained), fitted("full", None)
    assert isinstance(net("full"), PretrainedModel)
    assert taught.training.train_loss[0] != untaught.training.train_loss[0]
    wanted = sum(w.size for w in pretrained.weights.values())
    assert taught.training.parameters == wanted


@needs_torch
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
def test_pretrained_weights_that_no_epoch_improves_make_the_forecasts(
    strategy, pretrained, monkeypatch
):
    from harness.models.nets import training_loop as loop

    rising = count(1.0)
    monkeypatch.setattr(loop, "mean_loss", lambda *_: (next(rising), None))
    model = fitted(strategy, pretrained)
    assert model.training.best == 0 < model.training.epochs
    assert not any(moved(model, pretrained).values())
    assert model.training.lesson_validation_loss == pretrained.validation_loss


@needs_torch
def test_the_papers_net_has_these_parameters():
    model = net("full", layers=3, width=64, heads=4)
    sizes = {name: p.numel() for name, p in model._fresh().named_parameters()}
    of = {part: sum(v for k, v in sizes.items() if k.startswith(part)) for part in
          ("encoder.recurrent", "encoder.attention", "output")}  # fmt: skip
    assert of == {"encoder.recurrent": 83_712, "encoder.attention": 16_640, "output": 2_113}


# --- whole runs

OTHER = workspace.changed(
    ('name = "tiny"', 'name = "other"'), ("seed = 7", "seed = 8"), text=workspace.PANEL
)
MODELS = "".join(
    f"""[models.{name}]
kind = "transfer"
strategy = "{name}"
features = ["log(rv_4h)"]
sequence_length = 3
layers = 1
width = 4
heads = 2
epochs = 3
lesson_epochs = 2
batch = 64
lesson_batch = 64
device = "cpu"

"""
    for name in ("scratch", "full", "frozen")
)
SPEC = workspace.changed(
    ("[verdict]", f'{MODELS}[source]\nname = "other"\n\n[verdict]'),
    ('baseline = "persistence"', 'baseline = "scratch"'),
    ('candidates = ["har"]', 'candidates = ["full", "frozen"]'),
    ('embargo = "1d"', 'embargo = "1d"\nvalidation = "3d"'),
    ('horizons = ["1h", "4h"]', 'horizons = ["4h"]'),
)


def laid_out(folder: Path, source: str = OTHER) -> None:
    (folder / "panels").mkdir(exist_ok=True)
    (folder / "panels/other.toml").write_text(source)


@pytest.fixture
def fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("harness.study.study.fits_folder", lambda: tmp_path / "fits")
    return tmp_path / "fits"


@needs_torch
def test_a_run_tells_its_source_and_a_rerun_learns_and_fits_nothing(tmp_path, fits, monkeypatch):
    from harness.models.transfer import TransferNet

    pretraining: list[int] = []
    teach = TransferNet.pretrained

    def counted(model: Any, given: Any, *, seed: int = 0) -> PretrainedWeights:
        if model.params.lesson_epochs > 1:  # the audit's own are not counted
            pretraining.append(seed)
        return teach(model, given, seed=seed)

    monkeypatch.setattr(TransferNet, "pretrained", counted)
    laid_out(tmp_path)
    log, run_id = study(tmp_path, SPEC)
    record = log.read(run_id)
    windows = len(set(record["tables"]["folds"]["window"]))
    assert len(pretraining) == windows  # one for both strategies
    assert record["source"]["name"] == "other" and record["source"]["lesson_rows"]["4h"] > 500
    assert "| pretraining source | other: " in record["card"]
    assert record["source"]["fingerprint"] in record["card"]
    again = study(tmp_path, SPEC)
    assert len(pretraining) == windows
    assert_same((log, run_id), again)
    fresh = study(tmp_path, SPEC, keep=False)
    assert_same((log, run_id), fresh)


@needs_torch
def test_another_source_makes_other_forecasts_of_pretrained_models_alone(tmp_path, fits):
    laid_out(tmp_path)
    log, first = study(tmp_path, SPEC)
    laid_out(tmp_path, OTHER.replace("seed = 8", "seed = 9"))
    _, second = study(tmp_path, SPEC)
    frames = [log.read_forecasts(run) for run in (first, second)]
    for model in ("scratch", "full", "frozen", "har"):
        one, two = (f.filter(f["model"] == model)["yhat"].to_numpy().tobytes() for f in frames)
        assert (one == two) == (model in ("scratch", "har"))
    records = [log.read(run) for run in (first, second)]
    prints = [record["source"]["fingerprint"] for record in records]
    assert prints[0] != prints[1]
    assert records[0]["status"] != "void"
    (why,) = records[1]["verdict"]["reasons"]
    assert why.startswith("The source panel changed: its file says otherwise how bars are read")
    assert f"Run {first} of " in why
    assert all(one in why for one in prints)


@needs_torch
def test_audit_and_verify_know_the_source(tmp_path, fits, command, monkeypatch):
    laid_out(tmp_path)
    log, run_id = study(tmp_path, SPEC)
    monkeypatch.chdir(tmp_path)
    assert log.read(run_id)["verdict"]["status"] != "void"
    assert "same" in command("verify", run_id, "--log", log.root).done().out
    command("audit", "hypotheses/tiny-har.toml").done()
    plan = command("plan", "hypotheses/tiny-har.toml", "--json").done().json
    assert {row["model"] for row in plan["training"]} == {"scratch", "full", "frozen"}
    (one,) = command("register", "hypotheses/tiny-har.toml", "--json").done().json
    assert one["source"]["fingerprint"] == log.read(run_id)["source"]["fingerprint"]
    laid_out(tmp_path, OTHER.replace("seed = 8", "seed = 9"))
    refused = command("verify", run_id, "--log", log.root)
    assert "source's data" in refused.out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            [('[source]\nname = "other"\n\n', "")],
            "source: wanted this section, because models.full is pretrained on another panel",
        ),
        (
            [("[source]\n", '[source]\nstart = "2021-02-01"\nend = "2021-01-01"\n')],
            "source.end: got '2021-01-01', wanted a moment after source.start, 2021-02-01",
        ),
        (
            [("[source]\n", "[source]\nsymbol = 'X'\n")],
            "source.symbol: got 'symbol', wanted one of the keys name, start, end, symbols",
        ),
        ([('strategy = "frozen"', 'strategy = "frosen"')], "models.frozen.strategy: got 'frosen'"),
    ],
)
def test_a_mistake_in_source_or_strategy_is_one_line(changes, words):
    with pytest.raises(SpecError) as refused:
        parse_hypothesis(workspace.changed(*changes, text=SPEC), Path("x.toml"))
    assert words in str(refused.value)


@pytest.fixture
def planned(tmp_path: Path, command: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plan of a text, as a command ends."""
    workspace.lay_out(tmp_path)
    laid_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hypotheses/tiny-har.toml"

    def plan(text: str) -> Any:
        file.write_text(text)
        return command("plan", str(file), "--json")

    return plan


@needs_torch
def test_a_plan_counts_pretraining_runs_once_for_all_who_share_them(planned, monkeypatch):
    from harness.models.recurrent import RecurrentNet

    def second_an_epoch(net: Any, schedules: Any, n: int, held_out: int) -> FitTime:
        seconds = float(sum(schedule.epochs for schedule in schedules))
        return FitTime(seconds, seconds, 1.0)

    monkeypatch.setattr(RecurrentNet, "_time", second_an_epoch)
    plan = planned(SPEC.replace("lesson_epochs = 2", "lesson_epochs = 40")).done().json
    fits = {row["model"]: row["fits"] for row in plan["training"]}
    seconds = {row["model"]: row["seconds of one core"] for row in plan["training"]}
    n = fits["full"]
    assert fits == {"scratch": n, "full": n, "frozen": n}
    assert seconds == {"scratch": 40.0 * n, "full": (3.0 + 40.0) * n, "frozen": 3.0 * n}


@needs_torch
def test_a_plan_tells_of_too_few_rows_to_learn_from(planned):
    source = '[source]\nname = "other"\n'
    told = planned(SPEC.replace(source, f'{source}start = "2021-01-10"\n')).refused(1)
    assert "model full, horizon 4h, window 1 (2021-01-13 to 2021-01-18): the source panel" in told
    assert "has 0 training rows and 13 held-out rows" in told


def test_a_source_nobody_learns_from_is_refused():
    text = workspace.changed(("[verdict]", '[source]\nname = "other"\n\n[verdict]'))
    with pytest.raises(SpecError, match="source: wanted no such section: no model is pretrained"):
        parse_hypothesis(text, Path("x.toml"))


def test_the_hash_covers_the_source_and_a_file_without_one_keeps_its_own():
    other = workspace.changed(('[source]\nname = "other"', '[source]\nname = "third"'), text=SPEC)
    hashes = {parse_hypothesis(text, Path("x.toml")).spec_hash for text in (SPEC, other)}
    assert len(hashes) == 2
