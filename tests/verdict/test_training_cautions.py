"""Warnings of models that learned nothing, whose parts died, or that were stopped too soon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import workspace
from support.runs import study
from support.worlds import make_forecasts

from harness.types import FitReport, Forecasts, Repeat, Training
from harness.verdict.training_cautions import (
    of_equal_forecasts,
    of_flat_forecasts,
    of_the_parts,
    of_the_training,
)

N, WINDOWS = 400, 4
TRAINED = FitReport(1, 0, 0.1, 0.1, Training(5, epochs=3, best=2))


def world(seed: int = 0, symbols: int = 1) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Targets, of which `har` explains a half and `net` as much, each in its own way."""
    rng = np.random.default_rng(seed)
    signal, noise = rng.normal(0.0, 0.3, N), rng.normal(0.0, 0.3, (3, N))
    level = -5.0 + (np.arange(N) % symbols)
    return level + signal + noise[0], {
        "har": level + 0.8 * signal + 0.1 * noise[1],
        "net": level + 0.7 * signal + 0.1 * noise[2],
    }


def run_of(
    y: np.ndarray,
    yhat: dict[str, np.ndarray],
    reports: dict[str, list[FitReport]] | None = None,
    *,
    symbols: int = 1,
) -> Forecasts:
    """Forecasts in WINDOWS windows, each a fit; `net` trains in epochs unless it is said how."""
    made = make_forecasts(y, yhat, windows=WINDOWS, symbols=symbols)
    every = {"net": [TRAINED] * WINDOWS} | (reports or {})
    fits = {
        name: replace(fit, reports=tuple(every.get(name, [FitReport(1, 0, 0.0, 0.0)] * WINDOWS)))
        for name, fit in made.fits.items()
    }
    return replace(made, fits=fits)


def with_seed(forecasts: Forecasts, yhat: np.ndarray, reports: list[FitReport]) -> Forecasts:
    """The same, with `net` fitted with another seed too."""
    fit = replace(forecasts.fits["net"], reports=tuple(reports))
    return replace(forecasts, repeats=(Repeat(2, {"net": yhat}, {"net": fit}),))


def reported(**own: object) -> FitReport:
    return replace(TRAINED, **own)


def said_of_parts(*reports: FitReport, again: list[FitReport] | None = None) -> list[str]:
    forecasts = run_of(*world(), {"net": list(reports)})
    if again:
        forecasts = with_seed(forecasts, forecasts.yhat["net"], again)
    return of_the_parts({"1d": forecasts})


# --- parts


def test_a_weight_at_an_end_is_told_with_its_fits_over_seeds_and_symbols():
    alive, dead = reported(weights={"weight of HAR": (0.6,)}), {"weight of HAR": (0.9991,)}
    assert said_of_parts(*[alive] * WINDOWS, again=[alive] * WINDOWS) == []
    (told,) = said_of_parts(
        *[alive] * 3, reported(weights=dead), again=[alive, alive, alive, reported(weights=dead)]
    )
    assert told.startswith("net: weight of HAR ends over 99 % in 2 of 8 fits, at 0.9991 (means")
    by_symbol = reported(fits=3, weights={"weight of HAR": (0.5, 0.0001, 0.2)})
    (told,) = said_of_parts(*[by_symbol] * WINDOWS)
    assert told.startswith("net: weight of HAR ends under 1 % in 4 of 12 fits, at 0.0001")


@pytest.mark.parametrize(
    ("weight", "warned"),
    [(0.0099, True), (0.0101, False), (0.9899, False), (0.9901, True), (0.0, True), (1.0, True)],
)
def test_the_ends_of_a_weight_are_one_and_ninety_nine_per_cent(weight, warned):
    assert bool(said_of_parts(*[reported(weights={"alpha": (weight,)})] * WINDOWS)) == warned


def test_a_regime_that_plays_no_part_is_named():
    three = {"regime 1": (0.6,), "regime 2": (0.396,), "regime 3": (0.004,)}
    (told,) = said_of_parts(*[reported(weights=three)] * WINDOWS)
    assert "regime 3 ends under 1 % in 4 of 4 fits, at 0.0040" in told
    assert "regime 1" not in told and "regime 2" not in told


def test_forecasts_that_are_those_of_a_part_are_told_once():
    same = reported(alone={"its first stage": 1})
    (told,) = said_of_parts(TRAINED, same, same, TRAINED, again=[same] * WINDOWS)
    assert told.startswith("net makes the same forecasts as its first stage in 6 of 8 fits")
    # A saturated weight says the same of the same fit.
    both = reported(alone={"its HAR part": 1}, weights={"weight of HAR": (1.0,)})
    (told,) = said_of_parts(*[both] * WINDOWS)
    assert "weight of HAR ends over 99 %" in told


# --- equal forecasts


def test_two_models_with_the_same_forecasts_are_told_with_their_horizons():
    y, yhat = world()
    single = yhat["net"].astype(np.float32).astype(np.float64)
    assert not np.array_equal(single, yhat["net"])
    one = run_of(y, yhat | {"copy": single})
    other = run_of(y, yhat | {"copy": yhat["net"] + 1e-3})
    (told,) = of_equal_forecasts({"1h": one, "4h": other, "1d": one}, (), "har")
    assert told.startswith("copy makes the same forecasts as net at 1h, 1d, up to rounding")
    assert of_equal_forecasts({"4h": other}, (), "har") == []
    # A tie with the baseline is told as such already, whichever of the two comes first.
    assert of_equal_forecasts({"1h": one}, ("copy",), "net") == []
    assert of_equal_forecasts({"1h": one}, ("net",), "copy") == []
    assert len(of_equal_forecasts({"1h": one}, ("copy",), "har")) == 1


def test_one_row_that_differs_is_no_equal_forecast():
    y, yhat = world()
    near = yhat["net"].copy()
    near[200] += 1e-4
    assert of_equal_forecasts({"1d": run_of(y, yhat | {"copy": near})}, (), "har") == []


# --- flat forecasts


def test_a_net_with_one_number_for_all_days_is_told_by_fit_and_seed():
    y, yhat = world()
    flat = yhat["net"].copy()
    flat[100:200] = -5.0 + 1e-4 * np.arange(100) / 100
    (told,) = of_flat_forecasts({"1d": run_of(y, yhat | {"net": flat})})
    assert told.startswith("net forecasts almost one number at 1d in 1 of 4 fits: the standard")
    assert "those of har correlate by 0.6" in told or "those of har correlate by 0.7" in told
    sound = run_of(y, yhat)
    assert of_flat_forecasts({"1d": sound}) == []
    (told,) = of_flat_forecasts({"1d": with_seed(sound, flat, [TRAINED] * WINDOWS)})
    assert "in 1 of 8 fits" in told


def test_one_number_for_each_symbol_is_flat_too():
    y, yhat = world(symbols=2)
    own = -5.0 + (np.arange(N) % 2)
    (told,) = of_flat_forecasts({"1d": run_of(y, yhat | {"net": own}, symbols=2)})
    assert "in 4 of 4 fits" in told


def test_a_flat_forecast_is_right_where_nothing_can_be_forecast():
    rng = np.random.default_rng(3)
    y, flat = rng.normal(-5.0, 0.3, N), np.full(N, -5.0)
    yhat = {"har": -5.0 + 0.02 * rng.normal(size=N), "walk": np.roll(y, 1), "net": flat}
    assert of_flat_forecasts({"1d": run_of(y, yhat)}) == []


def test_a_model_that_trains_nothing_may_be_flat():
    y, yhat = world()
    mean = {"har": yhat["har"], "mean": np.full(N, y.mean())}
    assert of_flat_forecasts({"1d": run_of(y, mean)}) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_cautious_forecast_is_not_flat_and_one_outlier_makes_none(seed):
    y, yhat = world(seed)
    y[50] += 200.0
    shrunk = -5.0 + 0.05 * (yhat["net"] + 5.0)
    assert of_flat_forecasts({"1d": run_of(y, yhat | {"net": shrunk})}) == []


# --- stopped too soon


def test_epochs_that_ended_a_training_too_soon_are_told_with_the_key_to_raise():
    late, enough = reported(cut_short={"epochs": 1}), TRAINED
    rounds = {"trees": [reported(cut_short={"rounds": 1})] * WINDOWS}
    y, yhat = world()
    found = run_of(y, yhat | {"trees": yhat["har"]}, {"net": [late, late, enough, enough]} | rounds)
    found = with_seed(found, yhat["net"], [late] * WINDOWS)
    epochs, trees = of_the_training({"1d": found, "1h": run_of(y, yhat)})
    assert epochs.startswith("The best epoch on the held-out rows is among the last 5 % that")
    assert "`epochs` allows: net in 6 of 12 fits." in epochs and "raise `epochs`" in epochs
    assert trees.startswith("The best round") and "trees in 4 of 4 fits" in trees
    assert of_the_training({"1d": run_of(y, yhat)}) == []


# --- a whole run

TREES = """[models.trees]
kind = "lightgbm"
features = ["log(rv_1h)", "log(rv_4h)"]
rounds = 3
learning_rate = 0.01
min_data_in_leaf = 5
early_stopping = 3

[models.twin]
kind = "ols"
features = ["log(rv_1h)-log(rv_4h)", "log(rv_4h)-log(rv_1d)", "log(rv_1d)"]

[verdict]"""


def test_a_run_warns_on_its_card_and_in_its_record_of_models_that_are_not_judged(tmp_path):
    text = workspace.changed(
        ("[verdict]", TREES), ('embargo = "1d"', 'embargo = "1d"\nvalidation = "3d"')
    )
    log, run_id = study(tmp_path, text)
    record = log.read(run_id)
    fits = record["tables"]["fits"]["model"].count("trees")
    (same,) = [w for w in record["cautions"] if "same forecasts" in w]
    assert same.startswith("twin makes the same forecasts as har at 1h, 4h, up to rounding")
    (late,) = [w for w in record["cautions"] if "`rounds` allows" in w]
    assert f"trees in {fits} of {fits} fits" in late
    assert "twin makes the same forecasts as har" in record["card"]
