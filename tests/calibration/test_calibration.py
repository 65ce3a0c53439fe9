"""What is counted over worlds whose truth is known, and the command that shows it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from harness.calibration import settings as every
from harness.calibration.group_tables import tables
from harness.calibration.rates import calibrate, rates
from harness.calibration.settings import GROUPS, SETTINGS
from harness.calibration.trials import Trial, try_world
from harness.cli import calibrate as cli
from harness.inference.evidence import Evidence


def trial(found, whole, plain):
    """A world whose loss differences do not persist."""
    return Trial(found, found, whole, plain)


def evidence(gain, half, p):
    return Evidence(
        candidate="candidate", baseline="baseline", metric="r2_log", horizon="1d", gain=gain,
        gain_low=gain - half, gain_high=gain + half, level=0.9, statistic=0.0, p_value=p,
        p_adjusted=p, n=100, cosines=9, overlap=0, standard_error=half / 2.0, critical=2.0,
        detectable=half, windows=10,
    )  # fmt: skip


# The truth is the mean gain, 0.02: the intervals of the first and the last miss it.
TRIALS = [
    trial(evidence(-0.02, 0.01, 0.9), 1.0, 0.04),
    trial(evidence(0.02, 0.03, 0.2), 1.0, 0.001),
    trial(evidence(0.02, 0.01, 0.01), 1.0, 0.001),
    trial(evidence(0.06, 0.01, 0.001), 1.0, 0.2),
]


def test_rates_are_counted_by_hand():
    found = rates(SETTINGS["hourly-gain-0.2"], TRIALS, 0.05)
    assert found.truth == pytest.approx(0.02)
    assert found.truth_error == pytest.approx(math.sqrt(0.0032 / 3) / 2)
    assert (found.coverage, found.below, found.above) == (0.5, 0.25, 0.25)
    assert found.half_width == pytest.approx(0.01)
    assert (found.confirmed, found.plain) == (0.5, 0.75)
    claims = {
        f"{k:g} times the truth": pytest.approx(0.02 * k) for k in (0.5, 0.75, 1, 1.1, 1.3, 2)
    }
    assert found.claims == claims
    assert found.confirmed_at["1.1 times the truth"] == 0.25
    assert found.confirmed_at["2 times the truth"] == 0.25
    assert found.refuted_at["0.5 times the truth"] == 0.25
    assert found.refuted_at["2 times the truth"] == 0.5
    assert set(found.above_truth) == {f"{k} times the truth" for k in (1.1, 1.3, 2)}
    assert found.error(0.5) == 0.25
    null = rates(SETTINGS["hourly-nested"], TRIALS, 0.05)
    assert null.claims == {"3 % more": 0.03}
    assert null.confirmed_at == {"3 % more": 0.25}
    assert null.truth == pytest.approx(0.02)  # not known by symmetry
    known = rates(SETTINGS["hourly-equal"], TRIALS, 0.05)
    assert (known.truth, known.truth_error) == (0.0, 0.0)


def test_a_true_share_is_a_ratio_of_means():
    # One world gains 10 % of 1, the other 40 % of 3: together 1.3 of 4.
    trials = [
        trial(evidence(0.1, 0.01, 0.1), 1.0, 0.5),
        trial(evidence(0.4, 0.01, 0.1), 3.0, 0.5),
    ]
    found = rates(SETTINGS["daily-gain-0.1"], trials, 0.05)
    assert found.truth == pytest.approx(1.3 / 4)
    by_hand = [0.5 * (0.1 - 0.325), 1.5 * (0.4 - 0.325)]
    assert found.truth_error == pytest.approx((by_hand[1] - by_hand[0]) / 2)


def test_only_what_can_be_claimed_of_a_share_of_symbols_is():
    won = [trial(evidence(gain, 0.1, 0.5), 1.0, 0.5) for gain in (0.7, 0.9)]
    edge = rates(SETTINGS["wins-edge"], won, 0.05)
    assert list(edge.claims) == [f"{k} times the truth" for k in (0.75, 1, 1.1)]
    assert edge.claims["1.1 times the truth"] == pytest.approx(0.88)
    assert rates(SETTINGS["wins-equal"], won, 0.05).claims == {"3 % more": 0.53}


def test_what_is_wanted_bounds_coverage_and_false_confirmations():
    good = rates(SETTINGS["hourly-equal"], [trial(evidence(0.0, 0.1, 0.5), 1.0, 0.5)] * 2, 0.05)
    assert replace(good, coverage=0.87, confirmed=0.03).met
    low = replace(good, coverage=0.869, confirmed=0.05)
    assert low.outside == ("the interval covers 86.9 %",) and not low.met
    assert replace(good, coverage=0.9, confirmed=0.071).outside == (
        "any gain is confirmed in 7.1 %",
    )
    assert not replace(good, coverage=0.9, confirmed=0.029).met
    many = replace(good, worlds=1_000, confirmed=0.05)  # a standard error of 1.1 at 86 %
    assert replace(many, coverage=0.86).close and not replace(many, coverage=0.84).close
    assert not replace(many, coverage=0.86, confirmed=0.1).close
    nested = replace(good, setting=SETTINGS["daily-nested"], coverage=0.9)
    assert replace(nested, confirmed=0.0).met
    assert not replace(nested, confirmed=0.066).met
    edge = rates(SETTINGS["hourly-gain-0.2"], TRIALS, 0.05)
    assert edge.outside == (
        "the interval covers 50.0 %",
        "a claim of 1.1 times the truth is confirmed in 25.0 %",
    )


def test_a_world_is_the_same_whoever_tries_it():
    one, two = (
        calibrate(["daily-nested"], worlds=3, seed=5, alpha=0.05, workers=workers)
        for workers in (1, 2)
    )
    assert one == two
    for name in ("daily-nested", "seeds-3-gain", "wins-edge", "short-r2-edge-jumps-60"):
        again = try_world(SETTINGS[name], 5, 2, alpha=0.05)
        assert again == try_world(SETTINGS[name], 5, 2, alpha=0.05)
        assert again.found.gain != try_world(SETTINGS[name], 6, 2, alpha=0.05).found.gain


def test_a_plain_test_confirms_what_is_not_there_and_ours_seldom():
    (found,) = calibrate(["hourly-equal"], worlds=40, seed=2, alpha=0.05, workers=1)
    assert found.confirmed <= 0.15  # 40 worlds at 5 %: above with a chance of 1 in 200
    assert found.plain >= 0.15
    assert found.below + found.above <= 0.3
    (known,) = calibrate(["daily-gain-0.2"], worlds=6, seed=2, alpha=0.05, workers=1)
    assert known.truth > 0.0 and known.confirmed > 0.5


def test_a_grid_has_a_cell_for_every_setting_of_its_group():
    own = [s for s in SETTINGS.values() if s.group == "short"]
    found = [rates(s, TRIALS, 0.05) for s in own]
    coverage, false, at_truth = tables(GROUPS["short"], found)
    assert at_truth.count("| with an edge |") == coverage.count("| with an edge |") == 8
    for table in (coverage, false):
        rows = [line for line in table.splitlines() if line.startswith("|")][2:]
        assert sum(row.count("%") for row in rows) == len(own)
        italic = [row for row in rows if "| *" in row]
        assert "| equally accurate | relative QLIKE | t3 |" in italic[0]
        assert [row.split(" | ")[1] for row in italic[1:]] == ["difference of R² (log)"] * 4
    assert "| 60 days | 120 days | 250 days | 1,000 days |" in coverage


def test_a_part_overwrites_no_page(in_workspace, command):
    page = in_workspace / "reports/calibration.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("published")
    ran = command("calibrate", "--worlds", "2", "--workers", "1", "daily-nested", "daily-gain-0.2")
    assert "daily-gain-0.2" in ran.done().out
    assert "No page of a part: --out FILE writes one." in ran.out
    assert page.read_text() == "published"
    found = command("calibrate", "--worlds", "2", "--workers", "1", "daily-nested", "--json")
    (one,) = found.done().json["settings"]
    assert found.json["page"] is None
    assert one["setting"] == "daily-nested" and math.isfinite(one["truth"])
    assert list(page.parent.iterdir()) == [page]


def test_a_page_says_what_is_not_covered_and_has_its_figures(in_workspace, command):
    names = ["daily-gain-0.2", "short-qlike-equal-t3-60", "slow"]
    ran = command("calibrate", "--worlds", "4", "--workers", "1", "--out", "x/part.md", *names)
    assert ran.done().out.rstrip().endswith("x/part.md and x/part-power.svg and x/part-claims.svg")
    page = (in_workspace / "x/part.md").read_text()
    assert f"Made by `harness calibrate --worlds 4 --seed 1 {' '.join(names)}`" in page
    beyond = page.partition("## What is not covered")[2].partition("\n## ")[0]
    assert "the mean QLIKE does not exist" in beyond
    assert "`short-qlike-equal-t3-60`" in beyond
    headings = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    shown = [GROUPS[name].heading for name in ("walked", "short", "slow")]
    assert headings == ["What is not covered", *shown, "The worlds"]
    for name in ("power", "claims"):
        drawn = (in_workspace / f"x/part-{name}.svg").read_text()
        assert drawn.startswith("<?xml") and "confirmed (% of worlds)" in drawn
        assert f"(part-{name}.svg)" in page


def test_only_all_settings_with_enough_worlds_are_published(in_workspace, command, monkeypatch):
    few = {name: SETTINGS[name] for name in ("slow-0.9-250", "short-r2-edge-t3-60")}
    monkeypatch.setattr(every, "SETTINGS", few)
    monkeypatch.setattr(cli, "_FULL", 3)
    page = Path("reports/calibration.md")
    command("calibrate", "--worlds", "2", "--workers", "1").done()
    command("calibrate", "--worlds", "3", "--workers", "1", "slow-0.9-250").done()
    assert not page.exists()
    command("calibrate", "--worlds", "3", "--workers", "1").done()
    assert "Made by `harness calibrate --worlds 3 --seed 1`:" in page.read_text()


def test_a_setting_that_is_none_is_one_line(in_workspace, command):
    ran = command("calibrate", "daily-nestd")
    assert ran.code == 2
    assert "SETTING: got 'daily-nestd', wanted a group (walked, together, seeds" in ran.err
    assert ran.err.rstrip().endswith("did you mean 'daily-nested'?")


def test_a_page_that_cannot_be_written_is_known_before_the_worlds(in_workspace, command):
    (in_workspace / "page.md").mkdir()
    ran = command("calibrate", "daily-nested", "--out", "page.md")
    assert (ran.code, ran.err) == (2, "error: --out: got the folder 'page.md', wanted a file\n")
