"""Kept fits: a rerun makes none, a killed run goes on, what changed is made again and no more."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from support import workspace
from support.runs import assert_same, study
from support.walks import EMBARGO, X0, spans
from support.worlds import LOG_SIGMA, Nearest, make_samples

import harness
from harness.cache import PACKAGE, code_hash
from harness.errors import RunError
from harness.samples.splits import Fitting
from harness.types import F64, Forecasts, Rows, Samples
from harness.walk import fit_cache as fit_store
from harness.walk.fit_cache import FitCache
from harness.walk.fold_fit import Settings
from harness.walk.walk_forward import foresee, walk_forward
from harness.walk.workers import Workers

BOOSTED = """
[models.trees]
kind = "lightgbm"
features = ["log(rv_1h)", "log(rv_4h)"]
rounds = 5
min_data_in_leaf = 5
"""
TREES = workspace.changed(("[verdict]", f"{BOOSTED}\n[verdict]"))


@dataclass(frozen=True)
class Remembered(Nearest):
    """A forecaster whose fits are kept, and counted by whoever makes them."""

    made: ClassVar[list[int]] = []
    fails_at: ClassVar[int | None] = None
    validates: ClassVar[bool] = False
    overfits: ClassVar[bool] = False

    def fit(self, rows: Rows, y: F64, *, validation: object = None, seed: int = 0) -> Self:
        if len(self.made) == self.fails_at:
            raise KeyboardInterrupt
        self.made.append(y.size)
        return super().fit(rows, y, validation=validation, seed=seed)

    def made_by(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def weights(self) -> dict[str, np.ndarray]:
        return {"x": np.arange(3.0), "n": np.array([7])}


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    Remembered.made.clear()
    yield
    Remembered.fails_at = None


@pytest.fixture
def store(tmp_path: Path) -> FitCache:
    return FitCache(tmp_path / "fits", {"net": "a model", "other": "another"})


SAMPLES = make_samples(400, seed=2, symbols=2)


def walked(
    store: FitCache | None,
    samples: Samples = SAMPLES,
    names: tuple[str, ...] = ("net",),
    scope: str = "pooled",
    **settings: Any,
) -> Forecasts:
    fittings = {name: fitting(scope) for name in names}
    windows = fittings[names[0]].windows
    models = {name: Remembered((X0,)) for name in names}
    asked = Settings(EMBARGO, LOG_SIGMA, min_train=10, store=store, **settings)
    return walk_forward(models, samples, windows, fittings, asked)


def fitting(scope: str = "pooled") -> Fitting:
    end = int(SAMPLES.resolved_at.max())
    return Fitting(spans(end), spans(end, beyond=True), scope=scope)


def made() -> int:
    count = len(Remembered.made)
    Remembered.made.clear()
    return count


@pytest.mark.parametrize("scope", ["pooled", "asset"])
def test_a_second_walk_fits_nothing_and_forecasts_the_same_bytes(store, scope):
    first, fits = walked(store, scope=scope), made()
    again = walked(store, scope=scope)
    assert fits >= len(first.windows) > 3 and made() == 0
    fresh = walked(None, scope=scope)
    for other in (again, fresh):
        assert other.yhat["net"].tobytes() == first.yhat["net"].tobytes()
        for a, b in ((first.fits["net"], other.fits["net"]),):
            assert a.var_shift.tobytes() == b.var_shift.tobytes()
            assert a.coefficients.tobytes() == b.coefficients.tobytes()
    assert sum(r.kept for r in again.fits["net"].reports) == fits
    assert not sum(r.kept for r in first.fits["net"].reports)
    # What stands there is what the fit took when it was made.
    took = [[r.fit_seconds for r in f.fits["net"].reports] for f in (first, again)]
    assert took[0] == took[1]


def test_a_walk_that_was_ended_goes_on_where_it_was(store):
    Remembered.fails_at = 4
    with pytest.raises(KeyboardInterrupt):
        walked(store)
    assert made() == 4
    Remembered.fails_at = None
    whole = walked(store)
    assert made() == len(whole.windows) - 4
    assert whole.yhat["net"].tobytes() == walked(None).yhat["net"].tobytes()


def changed(name: str, at: int) -> Samples:
    """The samples with one target, feature or moment of one row moved."""
    rows, y = SAMPLES.rows, SAMPLES.y
    if name == "y":
        y = y.copy()
        y[at] += 1e-12
    elif name == "X":
        x = rows.X.copy(order="F")
        x[at, rows.names.index(X0)] += 1e-12
        rows = replace(rows, X=x)
    return replace(SAMPLES, rows=rows, y=y)


@pytest.mark.parametrize("what", ["y", "X"])
def test_a_changed_row_makes_those_fits_again_that_saw_it_and_no_other(store, what):
    base = walked(store)
    total, at = made(), int(np.searchsorted(SAMPLES.rows.formed_at, base.windows[4].cut))
    walked(store, changed(what, at))
    again = made()
    formed = SAMPLES.rows.formed_at[at]
    trained = sum(
        w.train_start <= formed and SAMPLES.resolved_at[at] <= w.limit for w in base.windows
    )
    forecast = sum(w.cut <= formed < w.end for w in base.windows) if what == "X" else 0
    assert 0 < again == trained + forecast < total


def test_another_seed_model_or_parameter_is_another_fit(store):
    walked(store)
    each = made()
    walked(store, seed=1)
    assert made() == each
    walked(store, names=("net", "other"))
    assert made() == each
    walked(FitCache(store.folder, {"net": "a model with another parameter"}))
    assert made() == each
    walked(store)
    assert made() == 0


def test_how_symbols_are_numbered_is_no_part_of_a_fit(store):
    walked(store, scope="asset")
    made()
    codes = 1 - SAMPLES.rows.symbol
    other = replace(
        SAMPLES, rows=replace(SAMPLES.rows, symbol=codes), symbols=SAMPLES.symbols[::-1]
    )
    walked(store, other, scope="asset")
    assert made() == 0


def test_another_text_of_the_code_or_version_is_another_fit(store, monkeypatch):
    walked(store)
    each = made()
    monkeypatch.setattr("harness.walk.fit_cache._code", lambda: "another")
    walked(store)
    assert made() == each
    monkeypatch.undo()
    monkeypatch.setattr(Remembered, "made_by", lambda _: {"numpy": "9.9"})
    walked(store)
    assert made() == each


# A hybrid fits HAR, whose sums are those of kernels/moments.py.
@pytest.mark.parametrize(
    "file",
    [
        "models/recurrent.py",
        "models/nets/training_loop.py",
        "models/nets/attention.py",
        "kernels/moments.py",
    ],
)
def test_the_text_of_what_fits_is_part_of_a_fit(file, tmp_path):
    package = tmp_path / "harness"
    shutil.copytree(PACKAGE, package)
    before = code_hash(*fit_store.MADE_BY, package=package)
    assert before == code_hash(*fit_store.MADE_BY)
    with (package / file).open("a") as text:
        text.write("# changed")
    assert code_hash(*fit_store.MADE_BY, package=package) != before


def test_fits_that_are_kept_are_not_estimated(store):
    from support.worlds import Studious

    @dataclass(frozen=True)
    class Both(Studious):
        made_by = Remembered.made_by
        weights = Remembered.weights

    settings = Settings(EMBARGO, LOG_SIGMA, store=store)
    windows = fitting().windows
    ask = {"net": Both((X0,))}, SAMPLES, windows, {"net": fitting()}, settings
    said: list[str] = []
    assert foresee(*ask).times[0].fits == len(windows)
    walk_forward(*ask, executor=Workers(1), progress=said.append)
    assert any("training net" in line for line in said)
    said.clear()
    walk_forward(*ask, executor=Workers(1), progress=said.append)
    assert not any("training" in line for line in said)
    assert not foresee(*ask).times


def whole_file(store: FitCache) -> Path:
    walked(store)
    made()
    return min(store.folder.iterdir())


def flipped(content: bytes) -> bytes:
    """With one bit of the last number changed."""
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: b"",
        lambda c: c[:20],
        lambda c: c[:-8],
        flipped,
        lambda c: pickle.dumps({"fit": 1}),
        lambda c: (2**62).to_bytes(8, "little") + c[8:],
        lambda c: c.replace(b'\\"shifts\\": [', b'\\"shifts\\": [1', 1),
        lambda c: c.replace(b"checksum", b"checkedm", 1),
        lambda c: c.replace(b"made_from", b"made_form", 1),
    ],
    ids=["empty", "head", "short", "bit", "pickle", "endless", "words", "no checksum", "no origin"],
)
def test_a_damaged_file_is_named_and_never_believed(store, damage):
    path = whole_file(store)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError) as refused:
        walked(store)
    words = str(refused.value)
    assert words.startswith(f"{path}: a cached fit, damaged") and "\n" not in words
    assert "delete the file or run with --fresh" in words
    path.unlink()
    walked(store)
    assert made() == 1


def test_a_fit_under_anothers_name_is_refused(store):
    first = whole_file(store)
    other = max(store.folder.iterdir())
    shutil.copy(other, first)
    with pytest.raises(RunError, match="a cached fit, made from another rows: delete"):
        walked(store)


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path):
    (tmp_path / "fits").write_text("a file")
    blocked = FitCache(tmp_path / "fits" / "deeper", {"net": "a model"})
    first = walked(None)
    with pytest.raises(RunError, match="a cached fit, Not a directory"):
        walked(blocked)
    empty = FitCache(tmp_path / "new", {"net": "a model"})
    empty.folder.mkdir()
    empty.folder.chmod(0o500)
    assert walked(empty).yhat["net"].tobytes() == first.yhat["net"].tobytes()


def test_a_file_holds_numbers_and_words_alone(store):
    from safetensors.numpy import load_file

    arrays = load_file(whole_file(store))
    assert set(arrays) == {"yhat", "weight.x", "weight.n"}
    assert arrays["weight.n"].dtype == np.int64 and arrays["weight.x"].tolist() == [0, 1, 2]
    content = min(store.folder.iterdir()).read_bytes()
    size = int.from_bytes(content[:8], "little")
    words = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["fit"])
    assert words["made_from"]["model"] == "a model"
    assert set(words["made_from"]) == {"layout", "model", "code", "libraries", "rows", "settings"}


# --- whole runs


def fitted(log: harness.Log, run_id: str) -> tuple[int, int]:
    """Fits of the trees, and how many of them were kept."""
    table = log.read(run_id)["tables"]["fit_times"]
    kept = [k for m, k in zip(table["model"], table["kept"], strict=True) if m == "trees"]
    return len(kept), sum(kept)


def test_a_run_repeated_refits_nothing_and_fresh_refits_all(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.study.study.fits_folder", lambda: tmp_path / "fits")
    runs = [study(tmp_path, TREES), study(tmp_path, TREES), study(tmp_path, TREES, keep=False)]
    fits = fitted(*runs[0])[0]
    assert [fitted(*run) for run in runs] == [(fits, 0), (fits, fits), (fits, 0)]
    assert_same(runs[0], runs[1])
    assert_same(runs[0], runs[2])
    cards = [log.read(run_id)["card"] for log, run_id in runs]
    # The table of costs is of the verdict's horizon, one of two.
    said = f"Cached fits, with the seconds of the run that made them: {fits // 2} of trees.\n"
    assert [said in card for card in cards] == [False, True, False]


def test_a_renamed_model_and_a_changed_rule_refit_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.study.study.fits_folder", lambda: tmp_path / "fits")
    study(tmp_path, TREES)
    other = TREES.replace("[models.trees]", "[models.trees]  # the same").replace(
        "min_gain = 0.0", "min_gain = 0.1"
    )
    log, run_id = study(tmp_path, other)
    fits, kept = fitted(log, run_id)
    assert fits == kept > 0


def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(tmp_path, own_cache, monkeypatch):
    for name in ("broken", "whole"):
        shutil.copytree(own_cache / "kernels", tmp_path / name / "kernels", dirs_exist_ok=True)
    text = TREES.replace("rounds = 5", "rounds = 600").replace("_leaf = 5", "_leaf = 2")
    workspace.lay_out(tmp_path)
    (tmp_path / "hypotheses/tiny-har.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "broken"))
    fits = tmp_path / "broken/fits"
    with workspace.process("run", "hypotheses/tiny-har.toml", stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and (not fits.exists() or len(list(fits.glob("*.safe*"))) < 2):
            time.sleep(0.005)
        running.kill()
    assert running.returncode == -signal.SIGKILL
    there = len(list(fits.glob("*.safetensors")))
    resumed = study(tmp_path, text)
    total, kept = fitted(*resumed)
    assert 2 <= kept == there < total
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "whole"))
    whole = study(tmp_path, text)
    assert fitted(*whole) == (total, 0)
    assert_same(resumed, whole)
