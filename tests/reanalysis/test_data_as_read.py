"""A run verified on a panel that has grown or changed since: its data are cut where they ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.growing import HOURS, TINY, grow, lay_out_grown, lay_out_ranges, spec, write

import harness
from harness.log.atomic_files import digest, encode
from harness.reanalysis.data_as_read import study_as_read
from harness.samples.measured import read_contents
from harness.spec.reading import parse_hypothesis
from harness.study.stages import measure_study
from harness.study.study import set_up

MIDDAY = 30 * 24 + 7
SIDE = '[side.gauge]\npanel = "gauge"\ncolumn = "close"\n'


def run(command) -> str:
    (ran,) = command("run", TINY, "--json").done().json
    run_id: str = ran["run_id"]
    return run_id


def test_a_run_is_verified_on_a_panel_that_has_grown_since(in_workspace, command):
    lay_out_ranges(in_workspace)
    write(in_workspace, MIDDAY)
    run_id = run(command)
    write(in_workspace, HOURS)
    told = command("verify", run_id).done().out
    assert told.endswith(
        "every number is the same, and so are data, code, libraries, machine and threads\n"
    )


def test_data_that_changed_before_the_record_ended_are_the_cause_that_is_told(
    in_workspace, command
):
    lay_out_ranges(in_workspace)
    write(in_workspace, MIDDAY)
    run_id = run(command)
    write(in_workspace, HOURS, lambda c: c["high"].__setitem__(400, c["high"][400] * 1.01))
    ran = command("verify", run_id)
    assert ran.code == 1
    assert (
        "bars of tiny until 2021-01-31 07:00: was those of the record, is high from 2021-01-17 on; "
        "by at most " in ran.out
    )


def test_a_symbol_that_came_later_is_not_in_the_replay(in_workspace, command):
    lay_out_grown(in_workspace, ('symbol = "X"\n', ""), ('ts = "ts"', 'ts = "ts"\nsymbol = "name"'))
    grow(in_workspace, 30, symbols="XY")
    run_id = run(command)
    grow(in_workspace, 40, symbols="XYZ")
    file = Path("panels/prices.csv")
    old = [f"2021-01-{day:02d}" for day in range(1, 31)]
    lines = file.read_text().splitlines()
    file.write_text("\n".join(x for x in lines if x[-1] != "Z" or x[:10] not in old) + "\n")
    command("verify", run_id).done()


def lay_out_side(folder: Path) -> None:
    lay_out_ranges(folder)
    panel = folder / "panels/tiny.toml"
    text = panel.read_text()
    (folder / "panels/gauge.toml").write_text(
        text.replace('"tiny"', '"gauge"').replace("prices.csv", "gauge.csv")
    )
    panel.write_text(text + "\n" + SIDE)
    (folder / TINY).write_text(
        spec(
            ('measures = ["rv", "pk"]', 'measures = ["rv", "pk", "gauge"]'),
            ('"log(rv_1d)"', '"log(rv_1d)", "gauge_4h"'),
        )
    )


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(("then", "now"), [(MIDDAY - 30, MIDDAY - 30), (MIDDAY + 50, MIDDAY + 99)])
def test_a_side_series_is_cut_at_its_own_end(in_workspace, command, then, now, older):
    lay_out_side(in_workspace)
    write(in_workspace, MIDDAY)
    write(in_workspace, then, name="gauge")
    run_id = run(command)
    if older:
        forget_side_end(run_id)
    write(in_workspace, HOURS)
    write(in_workspace, now + 24, name="gauge")
    ran = command("verify", run_id)
    assert (ran.code == 0) is not older


def forget_side_end(run_id: str) -> None:
    """As records were before they named the end of each side series."""
    folder = harness.open_log("reports").runs_directory / f"run_id={run_id}"
    record = json.loads((folder / "record.json").read_bytes())
    del record["panel"]["side"]["gauge"]["end"]
    (folder / "record.json").write_bytes(encode(record))
    (folder / "record.sha256").write_bytes(digest(encode(record)))


def test_the_source_panel_is_cut_too(in_workspace):
    lay_out_ranges(in_workspace)
    panel = Path("panels/tiny.toml").read_text()
    Path("panels/taught.toml").write_text(
        panel.replace('"tiny"', '"taught"').replace("prices.csv", "taught.csv")
    )
    write(in_workspace, HOURS)
    write(in_workspace, MIDDAY, name="taught")
    text = spec(("[sample]", '[source]\nname = "taught"\n\n[sample]'), ("[verdict]", NET))
    hypothesis = parse_hypothesis(text, Path(TINY))
    measured = measure_study(set_up(hypothesis, [Path("panels")]), keep=False)
    read = measured.data
    assert read.source is not None
    record = {"panel": read.words(), "source": read.source.words()}
    for words in record.values():
        words["symbols"] = ["X"]
    write(in_workspace, HOURS, name="taught")
    again = study_as_read(hypothesis, record, [Path("panels")])
    assert again.source is not None
    assert read_contents(again.source.panel, again.source.plan)[0] == read.source.fingerprint
    assert read_contents(again.panel, again.plan)[0] == read.fingerprint


NET = """\
[models.net]
kind = "transfer"
strategy = "frozen"
features = ["log(pk_4h)"]

[verdict]"""
