"""A search cannot leave its family: by a copy of the panel, a part of it, or by deleted runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import log_writers as small
from support import searches, workspace

from harness.history.family_report import report_family
from harness.log.run_digests import all_digests, read_digests
from harness.log.store import Log
from harness.reanalysis.family_today import families_today

TRIED = searches.COLUMNS


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 29 hypotheses, one a column of noise; the first of them is a real run."""
    folder = tmp_path_factory.mktemp("search")
    searches.write_panel(folder, "noisy", searches.prices())
    record = searches.try_column(folder, 0)
    log = Log(folder / "reports")
    for column in range(1, TRIED):
        searches.pretend(log, record, column, column / TRIED)
    all_digests(log)
    return folder


@pytest.fixture
def search(searched: Path, tmp_path: Path) -> Path:
    """The search in a folder of its own."""
    return Path(shutil.copytree(searched, tmp_path / "search"))


def family(record: dict[str, Any]) -> dict[str, Any]:
    return {key: record["family"][key] for key in ("comparisons", "runs", "lost")}


def changed(close: list[float], factor: float, hour: int) -> list[float]:
    return [c * factor if k == hour else c for k, c in enumerate(close)]


@pytest.mark.parametrize(
    "copy",
    [
        {},
        {"close": changed(searches.prices(), 1.0000001, 2_000)},
        {"hours": range(1, 3600)},
        {"digits": 2},
        {"price": "px"},
        {"close": [7.3 * c for c in searches.prices()]},
        {"hours": range(1_000, 3_000)},
        {"close": [c * 1.5 if 500 <= k < 520 else c for k, c in enumerate(searches.prices())]},
    ],
    ids=[
        "name",
        "one value",
        "first row",
        "cents",
        "column",
        "scale",
        "part",
        "20 values",
    ],
)
def test_the_best_of_a_search_alone_on_a_copy_of_its_panel_counts_the_whole_search(search, copy):
    searches.write_panel(search, "copy", **({"close": searches.prices()} | copy))
    start = ('"2021-01-25"', '"2021-03-20"')
    record = searches.try_column(search, 3, "copy", start)
    assert family(record) == {"comparisons": TRIED + 1, "runs": TRIED + 1, "lost": 0}
    (row,) = record["family"]["candidates"]
    assert row["p_holm"] == min(1.0, (TRIED + 1) * row["p_value"]) or row["p_value"] > 1 / TRIED


def test_other_prices_at_the_same_times_are_another_search(search):
    searches.write_panel(search, "other", searches.prices()[::-1])
    assert family(searches.try_column(search, 3, "other"))["comparisons"] == 1


def test_half_years_of_one_panel_one_by_one_are_one_search(search):
    close = searches.prices()
    counted = []
    for k, name in enumerate(("early", "late")):
        searches.write_panel(search, name, close, hours=range(1_800 * k, 1_800 * (k + 1)))
        start = ('"2021-01-25"', f'"2021-0{1 + 3 * k}-25"')
        counted.append(family(searches.try_column(search, 3, name, start))["comparisons"])
    assert counted == [TRIED + 1, TRIED + 2]


def made(log: Log) -> list[str]:
    """The runs of the log that are made, by their column."""
    runs = {run.hypothesis: run.run_id for run in all_digests(log)[0]}
    return [runs[f"n{column}-on-noisy"] for column in range(1, TRIED)]


def delete(search: Path, count: int = 5) -> list[str]:
    """Delete some of the made runs by hand."""
    gone = made(Log(search / "reports"))[:count]
    for run_id in gone:
        shutil.rmtree(search / f"reports/runs/run_id={run_id}")
    return sorted(gone)


@pytest.mark.parametrize("with_digests", [True, False])
def test_runs_that_were_deleted_count_and_are_named_everywhere(search, command, with_digests):
    log = Log(search / "reports")
    gone = delete(search)
    if not with_digests:  # then only later records tell of them
        (search / "reports/tried.jsonl").unlink()
    searches.write_panel(search, "copy", searches.prices())
    record = searches.try_column(search, 0, "copy")
    lost = 0 if with_digests else 5
    assert family(record) == {"comparisons": TRIED + 1, "runs": TRIED - 5 + 1, "lost": lost}
    assert record["family"]["gone"] == gone
    told = f"5 runs of this family are gone from the log: {', '.join(gone)}."
    assert told in record["card"]
    assert any(told in caution for caution in record["cautions"])
    place = ("--log", log.root)
    assert told in command("family", "noisy", *place).done().err
    assert f"5 runs of this log are gone from the log: {gone[0]}" in command("list", *place).err
    doctor = command("doctor", *place, "--json").done().json
    (runs,) = [check for check in doctor if check["check"] == "runs"]
    assert runs["state"] == "note"
    assert gone[0] in runs["detail"]
    report = report_family(log, "noisy")
    assert (report.comparisons, report.family.gone) == (TRIED + 1, tuple(gone))


def test_what_was_tried_after_a_run_stands_beside_its_card(search, command):
    log = Log(search / "reports")
    first = next(run for run in all_digests(log)[0] if run.hypothesis == "n0-on-noisy")
    card = log.card(first.run_id)
    shown = command("show", first.run_id, "--log", log.root).done().out
    assert shown.startswith(card)
    assert f"Comparisons in the family of this run: {TRIED} today (1 on the card)." in shown
    assert "is 1 today (0.98 on the card)" in shown
    today = command("show", first.run_id, "--log", log.root, "--json").done().json["family_today"]
    assert (today["comparisons"], today["p_holm"], today["gone"]) == (TRIED, 1.0, [])
    delete(search, 1)
    assert "1 run of this family is gone" in command("show", first.run_id, "--log", log.root).out


def test_a_card_to_which_nothing_was_added_stands_alone(in_workspace, command):
    (ran,) = command("run", "hypotheses/tiny-har.toml", "--json").done().json
    assert "Today" not in command("show", ran["run_id"]).done().out


def test_a_verdict_that_its_family_takes_back_is_warned_of_wherever_it_stands(
    in_workspace, command
):
    path = Path("hypotheses/tiny-har.toml")
    path.write_text(workspace.changed(("alpha = 0.05", "alpha = 0.2")))
    (first,) = command("run", path, "--json").done().json
    assert (first["p_holm"], first["family_comparisons"]) == (first["p_value"], 1)
    log = Log("reports")
    panel = log.read(first["run_id"])["panel"]
    tests = {
        "candidate": [f"c{k}" for k in range(400)],
        "gain": [0.0] * 400,
        "p_value": [1.0] * 400,
    }
    made = {"panel": panel, "tables": {"tests": tests, "folds": {}}}
    log.publish(lambda run_id: small.small_record(run_id, **made), [])
    (second,) = command("run", path, "--json").done().json
    assert second["status"] == "confirmed"
    assert (second["p_holm"], second["family_comparisons"]) == (1.0, 401)
    assert any("Holm-adjusted p of har is 1, not below 0.2" in w for w in second["warnings"])
    told = command("run", path).done().out
    assert "Holm-adjusted p among the 401 comparisons of its family: 1." in told
    assert "not below 0.2" in " ".join(told.split())
    listed = command("list").done().out
    assert listed.count("1 !") == 3
    assert f"! {first['run_id']}: confirmed alone; among the 401 comparisons" in listed
    rows = {row["run_id"]: row for row in command("list", "--json").done().json}
    row = rows[first["run_id"]]
    assert (row["p_holm"], row["family_comparisons"]) == (first["p_value"], 1)
    assert row["family_today"]["p_holm"] == 1.0
    assert "not below 0.2" in row["family_today"]["warning"]
    where = f"where run_id = '{second['run_id']}'"
    for table in ("verdicts", "runs"):
        sql = f"select p_holm, family_comparisons as n from {table} {where}"
        assert command("query", sql, "--json").done().json == [{"p_holm": 1.0, "n": 401}]


def test_the_list_fits_a_terminal_of_80_columns(search, command, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = command("list", "--log", search / "reports").done().out.splitlines()
    assert lines[0].startswith("run_id")
    assert max(map(len, lines)) <= 80


def test_a_run_that_was_renamed_or_forged_is_named_and_what_it_tried_still_counts(search, command):
    log = Log(search / "reports")
    moved, forged, torn = made(log)[:3]
    folder = search / "reports/runs"
    (folder / f"run_id={moved}").rename(folder / "run_id=00000000")
    for run_id, text in ((forged, {"verdict": [], "tables": 7}), (torn, None)):
        path = folder / f"run_id={run_id}/record.json"
        record = json.loads(path.read_bytes())
        path.write_text("{" if text is None else json.dumps(record | text))
    found = read_digests(log)
    assert found.unreadable == sorted(["00000000", forged, torn])
    assert found.gone == [moved]
    report = report_family(log, "noisy")
    assert report.comparisons == TRIED
    assert command("list", "--log", log.root).code == 0
    assert command("family", "noisy", "--log", log.root).done().out.count("(gone)") == 3


def test_a_record_with_values_of_another_kind_is_left_out_in_words(tmp_path):
    log = Log(tmp_path)
    for wrong in (
        {"verdict": ["confirmed"]},
        {"tables": {"tests": {"candidate": ["c"], "gain": [0.1], "p_value": ["small"]}}},
        {"tables": {"tests": {"candidate": ["c"], "gain": [0.1], "p_value": [-1.0]}}},
        {"targets": "1:no sketch"},
        {"family": {"run_ids": 7}},
    ):
        log.publish(lambda run_id, wrong=wrong: small.small_record(run_id, **wrong), [])
    found = read_digests(log)
    assert (found.runs, len(found.unreadable)) == ([], 5)


def test_families_of_many_runs_are_made_once(search, monkeypatch):
    found = read_digests(Log(search / "reports"))
    calls = []
    from harness.reanalysis import family_today

    real = family_today.family_of
    monkeypatch.setattr(family_today, "family_of", lambda *of: calls.append(1) or real(*of))
    assert len(families_today(found, found.runs)) == TRIED
    assert len(calls) == 1
