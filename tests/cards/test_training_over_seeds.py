"""The card's table of training is over all seeds, and what is of one seed says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import workspace
from support.runs import study

from harness.cards.figures import run_figures
from harness.cards.fit_rows import training_rows
from harness.cards.render import number, render_card
from harness.log.query import run_query
from harness.log.store import Log
from harness.tables import rows_of

TREES = "".join(
    f"""
[models.{name}]
kind = "lightgbm"
features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]
rounds = 40
min_data_in_leaf = 5
bagging_fraction = 0.5
learning_rate = {rate}
early_stopping = 3
"""
    for name, rate in (("trees", 0.1), ("quick", 0.2))
)
SEEDS = (1, 2, 3)


def spec(seeds: int, seed: int = 1) -> str:
    return workspace.changed(
        ("[verdict]", f"{TREES}\n[run]\nseed = {seed}\nseeds = {seeds}\n\n[verdict]"),
        ('candidates = ["har"]', 'candidates = ["quick"]'),
        ('baseline = "persistence"', 'baseline = "trees"'),
        ('embargo = "1d"', 'embargo = "1d"\nvalidation = "3d"'),
    )


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, own_cache: Any) -> tuple[Log, dict[str, Any]]:
    log, run_id = study(tmp_path_factory.mktemp("three"), spec(3))
    return log, log.read(run_id)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory, own_cache: Any) -> list[dict[str, Any]]:
    """The records of runs with one seed each."""
    runs = (study(tmp_path_factory.mktemp(f"s{seed}"), spec(1, seed)) for seed in SEEDS)
    return [log.read(run_id) for log, run_id in runs]


def test_every_seeds_training_is_that_of_a_run_with_this_seed(three, apart):
    log, record = three
    every = rows_of(record["tables"]["seed_training"])
    for seed, alone in zip(SEEDS, apart, strict=True):
        own = [row for row in every if row["seed"] == seed]
        assert own == rows_of(alone["tables"]["seed_training"])
        assert [(r["epochs"], r["best_epoch"]) for r in own] == [
            (r["epochs"], r["best_epoch"]) for r in rows_of(alone["tables"]["fits"]) if r["epochs"]
        ]
    sql = "select distinct seed from seed_training where model = 'trees' order by seed"
    assert [row[0] for row in run_query(log, sql)[1]] == list(SEEDS)


def test_the_card_has_mean_and_range_over_seeds(three, apart):
    _, record = three
    singles = [next(r for r in training_rows(a) if r["model"] == "trees") for a in apart]
    row = next(r for r in training_rows(record) if r["model"] == "trees")
    assert (row["fits"], row["seeds"]) == (sum(r["fits"] for r in singles), 3)
    for mean in ("mean_epochs", "mean_best", "train", "validation"):
        values = [r[mean] for r in singles]
        assert len(set(values)) > 1, "seeds that agree show nothing"
        assert row[mean] == pytest.approx(np.mean(values), rel=1e-12)
    held = [r["validation"] for r in singles]
    assert (row["least"]["validation"], row["most"]["validation"]) == (min(held), max(held))
    bests = [
        r["best_epoch"]
        for a in apart
        for r in rows_of(a["tables"]["fits"])
        if r["model"] == "trees" and r["horizon"] == "4h"
    ]
    section = record["card"].partition("## Training, 4h horizon")[2]
    assert f"| {np.mean(bests):,.1f} ({min(bests)} to {max(bests)}) |" in section
    spread = f"{number(row['validation'])} ({number(min(held))} to {number(max(held))})"
    assert f"| {spread} |" in section
    costs = record["card"].partition("## Cost of complexity")[2].partition("##")[0]
    (line,) = [text for text in costs.splitlines() if text.startswith("| trees |")]
    assert line.split("|")[7].strip() == str(round(row["mean_epochs"]))


def test_figures_and_coefficients_say_whose_seed_they_show(three, apart):
    _, record = three
    words = {figure.name: figure.words for figure in run_figures(record)}
    for name in ("training-trees", "training-quick", "coefficients-trees"):
        assert words[name].endswith(", seed 1 of 3")
    assert words["forecasts"].endswith(", trees, quick with seed 1 of 3")
    assert words["loss"].endswith(", means over 3 seeds: trees, quick")
    assert "seed" not in words["coefficients-har"]
    assert "trees, quick: with seed 1 of 3." in record["card"]
    assert not any("seed" in figure.words for figure in run_figures(apart[0]))


def test_measured_seconds_an_epoch_stand_beside_the_claim_if_both_models_have_epochs(three):
    _, record = three
    head = record["card"].partition("## Key metrics")[2].partition("## Approach")[0]
    for row in training_rows(record):
        times = rows_of(record["tables"]["fit_times"])
        own = [t for t in times if t["model"] == row["model"] and t["horizon"] == "4h"]
        epochs = row["fits"] * row["mean_epochs"]
        assert row["speed"] == pytest.approx(sum(t["fit_seconds"] for t in own) / epochs)
        line = f"| seconds an epoch 4h {row['model']}, measured | {number(row['speed'])} |"
        assert line in head
    linear = record | {"verdict": record["verdict"] | {"baseline": "har"}}
    assert "seconds an epoch 4h" not in render_card(linear)


def test_a_record_from_before_the_table_still_has_a_card(three, apart):
    _, record = three
    old = record | {"tables": {k: v for k, v in record["tables"].items() if k != "seed_training"}}
    (first,) = [r for r in training_rows(old) if r["model"] == "trees"]
    alone = next(r for r in training_rows(apart[0]) if r["model"] == "trees")
    assert (first["best"], first["validation"]) == (alone["best"], alone["validation"])
    assert first["speed"] is None  # the seconds are of all seeds, the epochs of one
    section = render_card(old).partition("## Training, 4h horizon")[2]
    assert "This older record has epochs and losses of seed 1 alone." in section
    assert "This older record" not in record["card"]
