"""The best of many useless ideas, by its own p-value and by that of its family."""

from __future__ import annotations

import pytest

from harness.calibration.search_rates import calibrate_searches, search_rates, search_section
from harness.calibration.searches import IDEAS, SEARCHES, Found, search
from harness.calibration.settings import SETTINGS


@pytest.mark.parametrize("name", SEARCHES)
def test_a_family_counts_every_idea_wherever_it_was_tried(name):
    found = search(SEARCHES[name], 3, 0, alpha=0.05)
    assert found.comparisons == IDEAS
    assert found.p_holm == pytest.approx(min(1.0, IDEAS * found.p_value))


def test_rates_are_counted_by_hand():
    of = SEARCHES["search-panel"]
    found = [
        Found(confirmed=True, p_value=0.001, p_holm=0.03, comparisons=IDEAS),
        Found(confirmed=True, p_value=0.01, p_holm=0.3, comparisons=IDEAS),
        Found(confirmed=False, p_value=0.2, p_holm=1.0, comparisons=IDEAS),
        Found(confirmed=False, p_value=0.2, p_holm=1.0, comparisons=IDEAS),
    ]
    rates = search_rates(of, found, 0.05)
    assert (rates.own, rates.family, rates.comparisons) == (0.5, 0.25, IDEAS)
    assert not rates.met and "Not as wanted: `search-panel`" in search_section([rates])
    right = search_rates(of, found[1:], 0.05)
    assert right.met and "Not as wanted" not in search_section([right])
    lost = Found(confirmed=False, p_value=0.2, p_holm=1.0, comparisons=IDEAS - 1)
    assert not search_rates(of, [*found[1:], lost], 0.05).met


def test_a_search_is_the_same_whoever_makes_it():
    one, two = (
        calibrate_searches(["search-parts"], worlds=2, seed=5, alpha=0.05, workers=workers)
        for workers in (1, 2)
    )
    assert one == two
    other = search(SEARCHES["search-parts"], 6, 0, alpha=0.05)
    assert other != search(SEARCHES["search-parts"], 5, 0, alpha=0.05)


def test_searches_are_a_group_of_the_command(in_workspace, command):
    done = command("calibrate", "--worlds", "2", "searches", "--out", "x.md", "--workers", "1")
    assert all(name in done.done().out for name in SEARCHES)
    text = (in_workspace / "x.md").read_text()
    assert "## Searches" in text and "What is not covered" not in text
    done = command("calibrate", "--worlds", "2", "search-panel", "--json", "--workers", "1").done()
    (entry,) = done.json["searches"]
    assert (entry["search"], entry["ideas"], entry["worlds"]) == ("search-panel", IDEAS, 2)
    done = command("calibrate", "search-panl")
    assert done.code == 2 and done.err.rstrip().endswith("did you mean 'search-panel'?")
    assert not SEARCHES.keys() & SETTINGS.keys()
