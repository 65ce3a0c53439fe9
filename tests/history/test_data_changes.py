"""Data that changed between runs: void, whatever was edited in the hypothesis, or a caution."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.growing import HOURS, TINY, Prices, lay_out_ranges, spec, write

import harness
from harness.log.atomic_files import digest, encode

SHORT = 30 * 24


@pytest.fixture
def ranges(in_workspace: Path) -> Path:
    lay_out_ranges(in_workspace)
    write(in_workspace, HOURS)
    return in_workspace


def run(command, *changes: tuple[str, str]) -> dict[str, Any]:
    Path(TINY).write_text(spec(*changes))
    (ran,) = command("run", TINY, "--json").done().json
    record = harness.open_log("reports").read(ran["run_id"])
    assert record["cautions"] == ran["warnings"]
    return record


def revisions(record: dict[str, Any]) -> list[str]:
    found: list[str] = record["registration"]["revisions"]
    assert all(sentence in record["cautions"] for sentence in found)
    return found


def by_half(columns: Prices) -> None:
    for values in columns.values():
        values[300:320] *= 1.5


def times(factor: float) -> Callable[[Prices], None]:
    def edit(columns: Prices) -> None:
        for values in columns.values():
            values *= factor

    return edit


def one_close(columns: Prices) -> None:
    """A close within the range of its bar, which a target of ranges does not read."""
    columns["close"][400] = (columns["high"][400] * columns["low"][400]) ** 0.5


EDITS = [
    [],
    [("min_gain = 0.01", "min_gain = 0.0101")],
    [("alpha = 0.05", "alpha = 0.06")],
    [("Three scales beat", "Three scales clearly beat")],
    [('"tiny-har"', '"renamed"')],
    [('"tiny-har"', '"renamed"'), ("min_gain = 0.01", "min_gain = 0.02")],
    [('train = "10d"', 'train = "9d"')],
    [('"tiny-har"', '"renamed"'), ('train = "10d"', 'train = "9d"')],
    [('"tiny-har"', '"renamed"'), ("models.har", "models.three"), ('["har"]', '["three"]')],
    [('"log(pk_4h)", ', "")],
    [("[verdict]", "[run]\nseed = 5\n\n[verdict]")],
    [('measures = ["rv", "pk"]', 'measures = ["pk", "rv"]')],
]


@pytest.mark.parametrize("edits", EDITS)
def test_no_edit_of_the_hypothesis_makes_changed_data_forgotten(ranges, command, edits):
    first = run(command)
    write(ranges, HOURS, by_half)
    changed = run(command, *edits)
    assert changed["status"] == "void"
    (why,) = changed["verdict"]["reasons"]
    assert f"Run {first['run_id']} of " in why
    assert "close from 2021-01-" in why
    assert "in ln of volatility. " in why
    command("register", TINY).done()
    assert run(command, *edits)["status"] != "void"


def test_an_earlier_version_that_was_registered_alone_holds_the_later_ones(ranges, command):
    command("register", TINY).done()
    write(ranges, HOURS, by_half)
    changed = run(command, ("min_gain = 0.01", "min_gain = 0.02"))
    assert changed["status"] == "void"
    assert "The registration of " in changed["verdict"]["reasons"][0]


def test_a_version_that_is_not_registered_on_the_changed_data_stays_void(ranges, command):
    run(command)
    write(ranges, HOURS, by_half)
    command("register", TINY).done()
    assert run(command)["status"] != "void"
    edit = ("min_gain = 0.01", "min_gain = 0.02")
    assert run(command, edit)["status"] == "void"
    command("register", TINY).done()
    assert run(command, edit)["status"] != "void"


def test_another_hypothesis_is_told_of_changed_data_and_is_not_void(ranges, command):
    first = run(command)
    write(ranges, HOURS, by_half)
    other = ('"tiny-har"', '"other"'), ('"log(pk_4h)", ', "")
    record = run(command, *other)
    assert record["status"] != "void"
    (told,) = revisions(record)
    assert told.startswith(f"The panel has changed since run {first['run_id']} of tiny-har read it")
    assert "close from 2021-01-" in told
    assert told in record["card"]


def test_the_same_name_on_another_panel_is_no_changed_data(ranges, command):
    run(command)
    panel = Path("panels/tiny.toml").read_text()
    Path("panels/two.toml").write_text(panel.replace('"tiny"', '"two"').replace("prices", "two"))
    write(ranges, HOURS, by_half, name="two")
    record = run(command, ('[panel]\nname = "tiny"', '[panel]\nname = "two"'))
    assert record["status"] != "void"
    assert revisions(record) == []


def tolerant(folder: Path, tolerance: str) -> None:
    lay_out_ranges(folder, ('bar = "1h"', f'bar = "1h"\nrevision_tolerance = {tolerance}'))


def test_rescaled_and_rounded_prices_are_void_or_told_as_the_panel_declares(ranges, command):
    first = run(command)
    write(ranges, HOURS, times(0.9876), digits=6)
    rounded = run(command)
    assert rounded["status"] == "void"
    (why,) = rounded["verdict"]["reasons"]
    assert "declare revision_tolerance = 1e-0" in why
    assert "in [panel] of tiny.toml." in why
    tolerant(ranges, "1e-4")
    record = run(command)
    assert record["status"] == first["status"]
    (told,) = revisions(record)
    assert "by at most " in told
    assert "in ln of volatility" in told
    assert "the revision_tolerance of 0.0001 that the panel declares now (none when it" in told
    assert told.replace("_", "\\_") in record["card"]
    assert "revision_tolerance of" in command("run", TINY).done().out.replace("\n    ", " ")


def test_a_tolerance_that_is_raised_does_not_hide_what_it_lets_through(ranges, command):
    tolerant(ranges, "1e-9")
    run(command)
    tolerant(ranges, "0.01")
    write(ranges, HOURS, lambda c: c["close"].__setitem__(400, c["close"][400] * 1.00001))
    (told,) = revisions(run(command))
    assert "0.01 that the panel declares now (1e-09 when it was read then)" in told


@pytest.mark.parametrize("factor", [2.0, 1.0371, 1e-3])
def test_a_factor_on_all_prices_is_told_and_not_void(ranges, command, factor):
    run(command)
    write(ranges, HOURS, times(factor), digits=14)
    record = run(command)
    assert record["status"] != "void"
    (told,) = revisions(record)
    assert "no return differs by more than rounding" in told


def test_a_close_that_changed_under_data_that_grew_is_found_though_no_target_reads_it(
    ranges, command
):
    write(ranges, SHORT)
    first = run(command)
    write(ranges, HOURS, one_close)
    record = run(command)
    assert record["status"] == "void"
    (why,) = record["verdict"]["reasons"]
    assert why.startswith("The panel changed: close from 2021-01-17 on; by at most ")
    assert first["run_id"] in why


def test_data_that_only_grew_and_a_last_day_that_was_finished_are_not_worth_a_word(ranges, command):
    for hours in (SHORT, SHORT + 7, SHORT + 30, HOURS):
        write(ranges, hours)
        record = run(command)
        assert record["status"] != "void"
        assert revisions(record) == []


@pytest.mark.parametrize(("first", "way"), [(96, "4 days later"), (24 * 3, "3 days later")])
def test_a_history_that_begins_at_another_day_is_told_and_not_void(ranges, command, first, way):
    run(command)
    write(ranges, HOURS, first=first)
    record = run(command)
    assert record["status"] != "void"
    (told,) = revisions(record)
    assert f"its history begins {way}, 2021-01-0" in told
    write(ranges, HOURS)
    assert "earlier, 2021-01-01" in revisions(run(command))[-1]


def test_a_history_that_begins_later_and_was_revised_is_void(ranges, command):
    run(command)
    write(ranges, HOURS, by_half, first=96)
    assert run(command)["status"] == "void"


def test_a_history_that_lost_its_end_is_void_unless_the_hypothesis_ends_there(ranges, command):
    run(command)
    ended = ('[panel]\nname = "tiny"', '[panel]\nname = "tiny"\nend = "2021-02-05"')
    record = run(command, ended)
    assert record["status"] != "void"
    assert revisions(record) == []
    write(ranges, HOURS - 96)
    lost = run(command)
    assert lost["status"] == "void"
    assert "no bars after 2021-02-05, where there were some" in lost["verdict"]["reasons"][0]


def as_older_records() -> None:
    """Records without the contents of the data, as older versions wrote them."""
    log = harness.open_log("reports")
    for run_id in log.runs():
        folder = log.runs_directory / f"run_id={run_id}"
        record = json.loads((folder / "record.json").read_bytes())
        for key in ("contents", "selection", "tolerance"):
            del record["panel"][key]
        (folder / "record.json").write_bytes(encode(record))
        (folder / "record.sha256").write_bytes(digest(encode(record)))


@pytest.mark.parametrize(
    ("edit", "void"), [(lambda _: None, False), (one_close, True), (by_half, True)]
)
@pytest.mark.parametrize("changes", [[], [("min_gain = 0.01", "min_gain = 0.02")]])
def test_an_older_record_is_compared_with_the_panel_cut_at_its_end(
    ranges, command, edit, void, changes
):
    write(ranges, SHORT)
    run(command)
    as_older_records()
    write(ranges, HOURS, edit)
    assert (run(command, *changes)["status"] == "void") is void
