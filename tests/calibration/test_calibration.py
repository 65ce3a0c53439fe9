"""Worlds whose truth is known, and what is counted over them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.calibration.rates import calibrate, rates
from harness.calibration.trials import SETTINGS, Trial, try_world
from harness.calibration.worlds import DAILY, HOURLY, SAMPLINGS, make_world
from harness.inference.evidence import Evidence


def world(sampling, seed=3, loading=0.2):
    return make_world(sampling, loading, np.random.default_rng(seed))


def column(samples, name):
    return samples.rows.X[:, samples.rows.names.index(name)].reshape(-1, len(samples.symbols))


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_a_target_is_what_the_har_feature_of_its_span_will_be(sampling):
    samples = world(sampling)
    y = samples.y.reshape(-1, sampling.assets)
    later = column(samples, f"har_{sampling.span}")
    assert np.array_equal(y[: -sampling.span], later[sampling.span :])
    assert np.array_equal(samples.last.reshape(y.shape), later)
    length = samples.resolved_at - samples.rows.formed_at
    assert set(length.tolist()) == {sampling.every * sampling.span}
    assert samples.overlap == sampling.span - 1
    assert np.isfinite(samples.rows.X).all() and np.isfinite(samples.y).all()


def test_a_part_is_stationary_of_unit_variance_with_its_half_life():
    paths = [column(world(DAILY, seed), "noise") for seed in range(5)]
    values = np.concatenate([p.ravel() for p in paths])
    assert values.var() == pytest.approx(1.0, abs=0.1)
    lagged = np.mean([np.mean(p[5:] * p[:-5]) for p in paths])
    assert lagged == pytest.approx(0.5, abs=0.07)  # the half-life of the part
    between = np.mean([np.mean(p[:, 0] * p[:, 1]) for p in paths])
    assert between == pytest.approx(0.5, abs=0.25)  # half of the variance is common


def test_what_a_and_b_do_comes_a_target_later_and_noise_does_nothing():
    samples = world(HOURLY, loading=0.3)
    y = samples.y
    found = {n: np.corrcoef(column(samples, n)[:, 0], y)[0, 1] for n in ("a", "b", "noise")}
    assert min(found["a"], found["b"]) > 0.2
    assert abs(found["noise"]) < 0.15


def evidence(gain, half, p):
    return Evidence(
        candidate="candidate", baseline="baseline", metric="r2_log", horizon="1d", gain=gain,
        gain_low=gain - half, gain_high=gain + half, level=0.9, statistic=0.0, p_value=p,
        p_adjusted=p, n=100, cosines=9, overlap=0, standard_error=half / 2.0, critical=2.0,
        detectable=half, windows=10,
    )  # fmt: skip


def test_rates_are_counted_by_hand():
    # The truth is the mean gain, 0.02: the intervals of the first and the last miss it.
    trials = [
        Trial(evidence(-0.02, 0.01, 0.9), 0.04),
        Trial(evidence(0.02, 0.03, 0.2), 0.001),
        Trial(evidence(0.02, 0.01, 0.01), 0.001),
        Trial(evidence(0.06, 0.01, 0.001), 0.2),
    ]
    found = rates(SETTINGS["hourly-gain-0.2"], trials, 0.05)
    assert found.truth == pytest.approx(0.02)
    assert (found.coverage, found.below, found.above) == (0.5, 0.25, 0.25)
    assert found.half_width == pytest.approx(0.015)
    assert (found.confirmed, found.plain) == (0.5, 0.75)
    assert found.claims == {"half": pytest.approx(0.01), "twice": pytest.approx(0.04)}
    # The third's interval begins at half the truth, so it does not lie above it.
    assert found.confirmed_at == {"half": 0.25, "twice": 0.25}
    assert found.refuted_at == {"half": 0.25, "twice": 0.5}
    assert found.error(0.5) == 0.25
    assert not found.met
    null = rates(SETTINGS["hourly-nested"], trials, 0.05)
    assert null.claims == {"three": 0.03}
    assert null.confirmed_at == {"three": 0.25}


def test_what_is_wanted_bounds_coverage_and_false_confirmations():
    setting = SETTINGS["hourly-equal"]
    good = rates(setting, [Trial(evidence(0.0, 0.1, 0.5), 0.5)] * 2, 0.05)
    assert replace(good, coverage=0.87, confirmed=0.03).met
    assert not replace(good, coverage=0.869, confirmed=0.05).met
    assert not replace(good, coverage=0.9, confirmed=0.071).met
    assert not replace(good, coverage=0.9, confirmed=0.029).met
    nested = replace(good, setting=SETTINGS["daily-nested"], coverage=0.9)
    assert replace(nested, confirmed=0.0).met
    assert not replace(nested, confirmed=0.066).met


def test_a_world_is_the_same_whoever_tries_it():
    one, two = (
        calibrate(["daily-nested"], worlds=3, seed=5, alpha=0.05, workers=workers)
        for workers in (1, 2)
    )
    assert one == two
    again = try_world(SETTINGS["daily-nested"], 5, 2, alpha=0.05)
    assert again == try_world(SETTINGS["daily-nested"], 5, 2, alpha=0.05)
    assert again.found.gain != try_world(SETTINGS["daily-nested"], 6, 2, alpha=0.05).found.gain


def test_a_plain_test_confirms_what_is_not_there_and_ours_seldom():
    (found,) = calibrate(["hourly-equal"], worlds=40, seed=2, alpha=0.05, workers=1)
    assert found.confirmed <= 0.15  # 40 worlds at 5 %: above with a chance of 1 in 200
    assert found.plain >= 0.15
    assert abs(found.truth) < 4 * found.truth_error
    (known,) = calibrate(["daily-gain-0.2"], worlds=6, seed=2, alpha=0.05, workers=1)
    assert known.truth > 0.0 and known.confirmed > 0.5


def test_the_command_writes_the_page_and_its_figure(in_workspace, command):
    ran = command("calibrate", "--worlds", "2", "--workers", "1", "daily-nested", "daily-gain-0.2")
    assert "daily-gain-0.2" in ran.done().out
    page = (in_workspace / "reports/calibration.md").read_text()
    assert "Made by `harness calibrate --worlds 2 --seed 1 daily-nested daily-gain-0.2`" in page
    assert "## False confirmations" in page and "## Power" in page
    assert (in_workspace / "reports/calibration-power.svg").read_text().startswith("<?xml")
    found = command("calibrate", "--worlds", "2", "--workers", "1", "daily-nested", "--json")
    (one,) = found.done().json["settings"]
    assert one["setting"] == "daily-nested" and math.isfinite(one["truth"])


def test_a_setting_that_is_none_is_one_line(in_workspace, command):
    ran = command("calibrate", "daily-nestd")
    assert ran.code == 2
    assert "SETTING: got 'daily-nestd', wanted hourly-equal" in ran.err
    assert ran.err.rstrip().endswith("did you mean 'daily-nested'?")


def test_a_page_that_cannot_be_written_is_known_before_the_worlds(in_workspace, command):
    (in_workspace / "page.md").mkdir()
    ran = command("calibrate", "daily-nested", "--out", "page.md")
    assert (ran.code, ran.err) == (2, "error: --out: got the folder 'page.md', wanted a file\n")
