"""Plug-ins that know what they must not know are found in every run, sound ones never."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import cheats, workspace
from threadpoolctl import threadpool_info

import harness
from harness.audit import foreign_models, fresh_process
from harness.log.store import Log
from harness.study.stages import measure_study
from harness.study.study import set_up

ALONE, FRESH, SHUFFLE = "rows forecast alone", "fit in a fresh process", "target shuffle"
MODEL = """\
[models.cheat]
kind = "{kind}"
features = ["log(rv_4h)", "log(rv_1h)"]
how = "{how}"
least = {least}
share = {share}
file = "truth.npz"

[verdict]"""


def hypothesis(how: str, least: int = 0, share: float = 1.0, kind: str = "cheat") -> str:
    """The workspace's hypothesis with a cheat, tested on 360 rows at once."""
    return workspace.changed(
        ("[verdict]", MODEL.format(how=how, least=least, share=share, kind=kind)),
        ('horizons = ["1h", "4h"]', 'horizons = ["4h"]'),
        ('test = "5d"', 'test = "15d"'),
        ('baseline = "persistence"', 'baseline = "har"'),
        ('candidates = ["har"]', 'candidates = ["cheat"]'),
    )


@pytest.fixture
def installed(in_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The workspace, with the cheats installed and a file of the outcomes."""
    monkeypatch.syspath_prepend(cheats.install(in_workspace / "site"))
    monkeypatch.setenv("HOW_PARENT", str(os.getpid()))
    file = in_workspace / "hypotheses/tiny-har.toml"
    study = set_up(harness.load_hypothesis(file), [in_workspace / "panels"])
    samples = measure_study(study).samples("4h")
    np.savez(in_workspace / "truth.npz", formed_at=samples.rows.formed_at, y=samples.y)
    yield in_workspace
    sys.modules.pop("cheats", None)


def ran(folder: Path, text: str, log: str = "reports") -> dict[str, Any]:
    """The record of a run."""
    (folder / "hypotheses/cheat.toml").write_text(text)
    store: Log = harness.open_log(folder / log)
    outcome = harness.run(harness.load_hypothesis(folder / "hypotheses/cheat.toml"), store)
    return store.read(outcome.run_id)


def failed(record: dict[str, Any]) -> dict[str, str]:
    """Failed checks with their first reason."""
    checks = record["audit"]["checks"]
    return {c["name"]: c["failures"][0]["reason"] for c in checks if not c["passed"]}


@pytest.mark.parametrize(
    ("how", "least", "share", "kind", "check"),
    [
        ("file", 0, 1.0, "cheat", SHUFFLE),
        ("file", 0, 0.3, "cheat", SHUFFLE),
        ("file", 0, 1.0, "own-cheat", SHUFFLE),
        ("history", 300, 1.0, "cheat", ALONE),
        ("history", 100, 1.0, "cheat", ALONE),
        ("history of the last row", 300, 1.0, "cheat", FRESH),
        ("level of all rows", 65, 1.0, "cheat", ALONE),
        ("level of all rows", 300, 1.0, "cheat", ALONE),
        ("last row", 65, 1.0, "cheat", ALONE),
        ("first row", 65, 1.0, "cheat", ALONE),
        ("all targets", 200, 1.0, "cheat", FRESH),
        ("all rows", 200, 1.0, "cheat", ALONE),
        ("memory of forecasts", 0, 1.0, "cheat", FRESH),
        ("in its first process", 0, 1.0, "cheat", FRESH),
    ],
)
def test_a_plug_in_that_cheats_where_the_rows_are_many_is_void(
    how, least, share, kind, check, installed
):
    record = ran(installed, hypothesis(how, least, share, kind))
    assert record["status"] == "void"
    assert check in failed(record), record["audit"]["checks"]
    assert "cheats-of-vol 1.0" in failed(record)[check]


def test_a_plug_in_that_remembers_outcomes_between_two_runs_is_void_in_the_second(installed):
    text = hypothesis("memory").replace('test = "15d"', 'test = "3d"')
    assert ran(installed, text, "first")["status"] != "void"
    again = ran(installed, text, "second")
    assert again["status"] == "void"
    assert failed(again)[FRESH].startswith("the run forecast ")


@pytest.mark.parametrize("how", ["honest", "fixed", "mlp", "knn", "forest", "single"])
def test_a_sound_plug_in_passes_with_two_fits_of_its_own(how, installed):
    record = ran(installed, hypothesis(how))
    assert record["audit"]["passed"], failed(record)
    assert not record["audit"]["left_out"]
    covered = {c["name"]: c["covered"] for c in record["audit"]["checks"]}
    assert "cheat at 4h, window 1: as in the run" in covered[FRESH]
    assert "24 rows alone, 8 parts of the rows" in covered[ALONE]
    assert "cheat at 4h, window 1: 1 shuffle of rows and" in covered[SHUFFLE]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("hangs elsewhere", "it had not finished after 1 s and was ended"),
        ("dies elsewhere", "its process ended with exit code 7 before it had forecast"),
        ("is killed elsewhere", "its process was killed by SIGKILL"),
        ("raises elsewhere", "it raised: RuntimeError: no such device (cheats.py, line "),
    ],
)
def test_a_plug_in_that_gives_nothing_in_a_fresh_process_is_void_in_one_line(
    how, words, installed, monkeypatch
):
    if how == "hangs elsewhere":
        monkeypatch.setattr(foreign_models, "_LEAST_SECONDS", 1.0)
    record = ran(installed, hypothesis(how))
    assert record["status"] == "void"
    (reason,) = failed(record).values()
    assert reason.startswith(f"fitted in a fresh process, {words}")
    look_for = "state of the module, files" if how == "raises elsewhere" else "locks, the network"
    assert f"look for {look_for}" in reason
    assert reason.endswith("[cheats-of-vol 1.0 (cheats:CHEAT)]")
    assert "\n" not in reason


def test_a_plug_in_that_refuses_shuffled_targets_is_void(installed):
    record = ran(installed, hypothesis("raises at shuffled targets"))
    assert record["status"] == "void"
    assert "RuntimeError: odd rows" in failed(record)[SHUFFLE]


def test_a_fresh_process_has_the_threads_of_this_one_whatever_the_environment_says_now(monkeypatch):
    blas = [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", str(blas[-1] + 6))
    assert fresh_process._environment()["OPENBLAS_NUM_THREADS"] == str(blas[-1])
