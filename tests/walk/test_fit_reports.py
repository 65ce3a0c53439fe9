"""What a fit reports of itself: was it cut short, is it one of its parts, and over many fits."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support import learned
from support.worlds import LOG_SIGMA

from harness.models.protocol import cut_short
from harness.types import FitReport, Fold, Samples, Training, Window
from harness.walk.fit_reports import merged, over_seeds
from harness.walk.fold_fit import Settings, fit_fold

ROWS, TARGETS = learned.world(700)
NAMES = list(learned.NAMES)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


def report(kind: str, *, y: Any = TARGETS, **params: Any) -> FitReport:
    """The report of one fit on 600 rows, the last 100 of them held out, as the walk makes it."""
    samples = Samples("1d", ROWS, y, y, ROWS.formed_at + 1, ("A",), 0, 0)
    fold = Fold(Window(0, 0, 600, 600, 700, 500), slice(0, 600), slice(600, 700))
    model = learned.model(kind, **params)
    return fit_fold(kind, model, samples, Settings(0, LOG_SIGMA), fold).report


# --- cut short


@pytest.mark.parametrize(
    ("best", "ran", "allowed", "late"),
    [
        (100, 100, 100, True), (96, 100, 100, True), (95, 100, 100, False), (97, 99, 100, False),
        (12, 12, 12, True), (11, 12, 12, False), (1, 1, 1, True),
    ],
)  # fmt: skip
def test_a_training_is_cut_short_if_its_limit_ended_it_within_the_last_twentieth(
    best, ran, allowed, late
):
    # Where patience ended it before the limit, more epochs would change nothing.
    assert cut_short("epochs", best, ran, allowed) == (("epochs",) if late else ())


def test_trees_name_their_rounds_if_more_of_them_would_have_been_better():
    slow = {"learning_rate": 0.01, "min_data_in_leaf": 5}
    assert report("lightgbm", rounds=5, early_stopping=5, **slow).cut_short == {"rounds": 1}
    assert report("lightgbm", rounds=400, early_stopping=5, learning_rate=0.3).cut_short == {}
    assert report("lightgbm", rounds=5, **slow).cut_short == {}  # no early stopping, no held out


@needs_torch
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_net_names_its_epochs_if_they_ended_it(kind):
    tiny = learned.TINY
    assert report(kind, **tiny | {"epochs": 2}).cut_short == {"epochs": 1}
    # A rate so high that the first epoch is the best: patience ends it.
    wild = {"epochs": 9, "patience": 2, "learning_rate": 1.0, "loss": "qlike"}
    assert report(kind, **tiny | wild).cut_short == {}


@needs_torch
def test_the_key_is_that_of_the_stage_and_of_the_strategy():
    first = {"kind": "lstm", "features": NAMES, **learned.TINY, "epochs": 1}
    trees = {"min_data_in_leaf": 5, "rounds": 3, "learning_rate": 0.001, "early_stopping": 3}
    assert set(report("stacked", first=first, **trees).cut_short) >= {"first.epochs"}
    net = {k: v for k, v in learned.TINY.items() if k not in ("epochs", "batch")}
    net |= {"heads": 2, "lesson_epochs": 1, "lesson_batch": 64}
    assert report("transfer", strategy="scratch", **net).cut_short == {"lesson_epochs": 1}


# --- alone


def test_a_stack_whose_trees_find_nothing_is_its_first_stage():
    first = {"kind": "ols", "features": NAMES}
    X = ROWS.X
    flat = X @ np.full(X.shape[1], 0.1) - 5.0  # the line that the first stage finds exactly
    assert report("stacked", y=flat, first=first, rounds=20).alone == {"its first stage": 1}
    bent = flat + 0.5 * (X[:, 0] > np.median(X[:, 0]))
    assert report("stacked", y=bent, first=first, rounds=20).alone == {}
    assert report("lightgbm", rounds=5).alone == {}  # it has no parts


@needs_torch
@pytest.mark.parametrize("form", ["residual", "regimes"])
def test_a_hybrid_that_learned_nothing_is_its_har(form):
    tiny = {k: v for k, v in learned.TINY.items() if k not in ("epochs", "batch")}
    tiny |= {"heads": 2, "lesson_epochs": 2, "form": form, "features": NAMES}
    har = {"har": NAMES[:1]}
    still = report("hybrid", **tiny, **har, lesson_learning_rate=1e-9)
    assert still.alone == {"its HAR part": 1}
    assert report("hybrid", **tiny, **har, lesson_learning_rate=0.01).alone == {}
    assert [len(w) for w in still.weights.values()] == ([1, 1, 1] if form == "regimes" else [])


# --- many fits


def one(**own: Any) -> FitReport:
    training = Training(
        5, epochs=own.pop("epochs", 3), best=own.pop("best", 2), train_loss=(0.3, 0.2, 0.1),
        notes=own.pop("notes", {}),
    )  # fmt: skip
    return replace(FitReport(1, 0, 1.0, 0.1, training), **own)


def test_counts_and_weights_of_many_fits_are_kept_apart_by_name():
    found = merged(
        [
            one(cut_short={"epochs": 1}, weights={"a": (0.1,)}, alone={"p": 1}),
            one(cut_short={"epochs": 1, "rounds": 1}, weights={"a": (0.9,)}),
        ]
    )
    assert found.fits == 2 and found.cut_short == {"epochs": 2, "rounds": 1}
    assert found.alone == {"p": 1} and found.weights == {"a": (0.1, 0.9)}


def test_a_report_over_seeds_has_the_costs_and_notes_of_all_and_the_curves_of_the_first():
    first, second = one(epochs=3, notes={"insane": 2}), one(epochs=9, best=7, notes={"insane": 1})
    found = over_seeds([first, replace(second, failed=1)])
    assert (found.fits, found.failed, found.fit_seconds) == (2, 1, 2.0)
    assert found.training == replace(first.training, notes={"insane": 3})
    assert over_seeds([first]) == first
