"""What a run says while it trains: the estimate first, then how far it is; and not too often."""

from __future__ import annotations

import importlib.util
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import count, pairwise
from types import SimpleNamespace

import pytest
from support import workspace
from support.tiny_nets import HELD_OUT, NET
from support.walks import EMBARGO, LINEAR, SAMPLES, X0, spans, walk
from support.worlds import LOG_SIGMA, Elsewhere, Studious, Validated, make_samples

from harness.cli import terminal as screen
from harness.cli.terminal import Progress
from harness.samples.splits import Fitting, hold_out, make_folds
from harness.types import Window
from harness.walk.fold_fit import Settings
from harness.walk.training_time import TrainingTime, in_words
from harness.walk.walk_forward import foresee, walk_forward
from harness.walk.workers import Workers

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


def test_the_estimate_comes_before_the_first_epoch_and_every_fit_tells_of_its_epochs():
    said: list[str] = []
    models = {"base": LINEAR["persistence"], "net": Studious((X0,))}
    got = walk(models, executor=Workers(1), progress=said.append, epochs=said.append)
    n, w = [p.n_train for p in got.proofs], len(got.windows)
    mean = round(sum(n) / w)
    assert said[0] == (
        f"1h: training net: {w} fits, about {w * (0.1 * mean):,.0f} s of one core, "
        f"at most {w * (0.2 * mean):,.0f} s"
    )
    epochs = [line for line in said if "epoch" in line]
    assert epochs[:2] == [
        f"1h: net, fit 1 of {w}: epoch 1 of 2, training 1",
        f"1h: net, fit 1 of {w}: epoch 2 of 2, training 0.5",
    ]
    assert len(epochs) == 2 * w
    assert said[-1] == f"1h: net, {w} fits"


def test_being_watched_changes_no_byte_and_worker_processes_still_get_the_model():
    models = {"net": Studious((X0,))}
    said: list[str] = []
    alone, watched = walk(models), walk(models, epochs=said.append)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        made: list[str] = []
        shared = walk(models, executor=Elsewhere(pool, 1), epochs=made.append)
    w = len(alone.windows)
    assert said
    assert made == [f"1h: net, fit {k} of {w}: done, {k} of {w} in all" for k in range(1, w + 1)]
    for other in (watched, shared):
        assert other.yhat["net"].tobytes() == alone.yhat["net"].tobytes()


def test_models_fitted_by_symbol_count_every_fit_and_name_the_symbol():
    samples = make_samples(400, seed=2, symbols=2)
    said: list[str] = []
    got = walk({"net": Studious((X0,))}, samples, scope="asset",
               executor=Workers(1), progress=said.append, epochs=said.append)  # fmt: skip
    fits = sum(r.fits for r in got.fits["net"].reports)
    assert said[0].startswith(f"1h: training net: {fits} fits, ")
    assert {s.split(",")[1].strip() for s in said if "epoch" in s} == {"S0", "S1"}
    assert sum("epoch 2" in s for s in said) == fits


def held_out(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    return tuple(w._replace(validation=w.cut - 40 * 3_600_000_000_000) for w in windows)


def test_a_walk_foreseen_trains_nothing_and_has_the_proofs_of_the_walk(monkeypatch):
    end = int(SAMPLES.resolved_at.max())
    windows = held_out(spans(end))
    fitting = Fitting(windows, held_out(spans(end, beyond=True)))
    models = {"base": LINEAR["persistence"], "net": Validated((X0,))}
    fittings, settings = dict.fromkeys(models, fitting), Settings(EMBARGO, LOG_SIGMA)
    done = walk_forward(models, SAMPLES, windows, fittings, settings)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(Studious, "fit", refuse)
    found = foresee(models, SAMPLES, windows, fittings, settings)
    assert found.proofs == done.proofs
    sizes = [
        [rows.size for rows in hold_out(SAMPLES, fold, EMBARGO)]
        for fold in make_folds(SAMPLES, windows)
    ]
    n, v = (round(sum(column) / len(sizes)) for column in zip(*sizes, strict=True))
    assert v > 20
    (time,) = found.times
    assert (time.horizon, time.model, time.fits) == ("1h", "net", len(windows))
    assert time.typical == pytest.approx(len(windows) * (0.1 * n + v))
    assert time.most == pytest.approx(len(windows) * (0.2 * n + v))
    alone = foresee({"net": models["net"]}, SAMPLES, windows, {"net": fitting}, settings)
    assert (alone.proofs, alone.times) == (found.proofs, found.times)


def test_the_estimate_of_several_models_is_one_line_of_their_sums():
    times = (TrainingTime("1d", "a", 1, 2.0, 3.0), TrainingTime("1d", "b", 2, 1_000.0, 2_000.0))
    assert (
        in_words(times) == "1d: training a, b: 3 fits, about 1,002 s of one core, at most 2,003 s"
    )
    assert in_words(times[:1]) == "1d: training a: 1 fit, about 2.0 s of one core, at most 3.0 s"


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_off_a_terminal_epochs_are_a_line_now_and_then_and_nothing_done_is_lost(
    capsys, monkeypatch
):
    clock = Clock()
    monkeypatch.setattr(screen, "time", clock)
    with Progress("x") as progress:
        progress("1d: training net: 1 fit, about 40 s, at most 90 s")
        progress.epochs("1d: net, fit 1 of 1: epoch 1 of 100, validation 0.5")
        assert capsys.readouterr().err == ""  # a run of under a second says nothing
        for k in range(2, 102):
            clock.now = 1.0 + 0.5 * k
            progress.epochs(f"epoch {k} of 100, validation 0.5")
        progress("1d: net, 1 windows")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "x: 1d: training net: 1 fit, about 40 s, at most 90 s (2.0 s)"
    assert lines[-1] == "x: 1d: net, 1 windows (51.5 s)"
    assert all(workspace.PROGRESS.search(line) for line in lines)
    seconds = [float(line.rpartition("(")[2].removesuffix(" s)")) for line in lines[:-1]]
    assert len(lines) == 6
    assert all(b - a >= screen._BETWEEN_EPOCHS for a, b in pairwise(seconds))


@needs_torch
def test_a_plan_estimates_training_without_doing_it(in_workspace, command, monkeypatch):
    from harness.models.recurrent import RecurrentNet
    from harness.types import FitTime

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained")

    ticks = SimpleNamespace(perf_counter=count(0.0, 10.0).__next__)
    monkeypatch.setattr("harness.study.plan.time", ticks)
    monkeypatch.setattr("harness.study.plan.available", lambda: 3)
    monkeypatch.setattr(RecurrentNet, "fit", refuse)
    monkeypatch.setattr(RecurrentNet, "estimate", lambda *_: FitTime(100.0, 300.0, 1.0))
    text = workspace.changed(HELD_OUT, ("[models.har]", NET))
    (in_workspace / "hypotheses/tiny-har.toml").write_text(text)
    plan = command("plan", "hypotheses/tiny-har.toml", "--json").done().json
    assert plan["training"] == [
        {"horizon": h, "model": "net", "fits": 3, "seconds of one core": 300.0, "at most": 900.0}
        for h in ("1h", "4h")
    ]
    assert (plan["estimated seconds"], plan["seconds at most"]) == (213.0, 613.0)
    assert (plan["of them training"], plan["cores"]) == (200.0, 3)
    assert [w["test rows"] for w in plan["windows"]] == [120] * 6
    shown = command("plan", "hypotheses/tiny-har.toml").done().out
    assert "horizon  model  fits  seconds of one core  at most" in shown


@needs_torch
def test_a_plan_of_a_model_that_needs_held_out_rows_asks_for_them(in_workspace, command):
    (in_workspace / "hypotheses/tiny-har.toml").write_text(workspace.changed(("[models.har]", NET)))
    said = command("plan", "hypotheses/tiny-har.toml").refused()
    assert "walk_forward.validation" in said
