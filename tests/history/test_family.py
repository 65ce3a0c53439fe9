"""The family of a run: everything tried on its panel, adjusted for, and a panel that changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from statsmodels.stats.multitest import multipletests
from support import growing, workspace
from support import log_writers as small
from support.growing import grow, lay_out_grown

import harness
from harness.errors import UsageError
from harness.history.family import adjust, comparisons, family_of
from harness.history.family_report import check_all, report_family
from harness.log.atomic_files import digest, encode
from harness.log.registrations import DataRead
from harness.log.run_digests import all_digests, judged_words, read_digests
from harness.log.store import Log
from harness.spec.reading import parse_hypothesis

TINY = "hypotheses/tiny-har.toml"
SPAN = ("2021-01-02T00:00:00+00:00", "2021-04-02T00:00:00+00:00")


def tried(log: Log, name: str, p: list[float | None], **changes: Any) -> str:
    """Publish a run of two candidates at 1h, tested over `tested`, with these p-values."""
    start, end = changes.pop("tested", SPAN)
    panel = {"name": "btc", "fingerprint": "xxh3:1", "columns": ["close"]}
    candidates = [f"c{k}" for k in range(len(p))]
    record = {
        "hypothesis": name,
        "spec_hash": f"sha256:{name}",
        "panel": panel | changes.pop("panel", {}),
        "verdict": {"horizon": "1h", "metric": "r2_log", "candidate": "c0", "baseline": "b"},
        "tables": {
            "tests": {"candidate": candidates, "gain": [0.01] * len(p), "p_value": p},
            "folds": {"horizon": ["1h"], "cut": [start], "test_end": [end]},
        },
        **changes,
    }
    return log.publish(lambda run_id: small.small_record(run_id, **record), [])


def judged(comparison: str) -> str:
    return judged_words(comparison, SPAN[0])


def write(*changes: tuple[str, str]) -> None:
    Path(TINY).write_text(workspace.changed(*changes))


def run(command) -> dict[str, Any]:
    (ran,) = command("run", TINY, "--json").done().json
    return harness.open_log("reports").read(ran["run_id"])


def test_every_comparison_counts_once_with_the_p_of_its_latest_run(tmp_path):
    log = Log(tmp_path)
    tried(log, "a", [0.04, 0.5])
    tried(log, "a", [0.03, 0.4], started="2026-05-20T00:00:00+00:00")
    tried(log, "b", [None], started="2026-05-18T00:00:00+00:00")
    runs, unreadable = all_digests(log)
    assert [r.hypothesis for r in runs] == ["b", "a", "a"]
    assert unreadable == []
    found = comparisons(runs)
    a, b = judged("sha256:a"), judged("sha256:b")  # of specs that are none, their own hash
    assert found == {(b, "c0"): 1.0, (a, "c0"): 0.03, (a, "c1"): 0.4}
    adjusted = adjust(found)
    for method, place in (("holm", 0), ("fdr_bh", 1)):
        want = multipletests(list(found.values()), method=method)[1]
        assert [pair[place] for pair in adjusted.values()] == pytest.approx(want)


def test_only_runs_of_the_same_panel_are_family_whenever_they_were_tested(tmp_path):
    log = Log(tmp_path)
    here = tried(log, "a", [0.04])
    later = tried(log, "later", [0.04], tested=(SPAN[1], "2022-01-01T00:00:00+00:00"))
    tried(log, "elsewhere", [0.04], panel={"name": "eth", "fingerprint": "xxh3:2"})
    renamed = tried(log, "renamed", [0.04], panel={"name": "a-copy"})
    data = DataRead("btc", "xxh3:1", ("close",), None, None, None)
    found = {run.run_id for run in family_of(read_digests(log), data, None).members}
    assert found == {here, later, renamed}


def test_the_entries_kept_are_those_of_the_records_whatever_happens_to_their_file(tmp_path):
    log = Log(tmp_path)
    for k in range(3):
        tried(log, f"h{k}", [0.1 * k])
    first = all_digests(log)
    path = tmp_path / "tried.jsonl"
    kept = path.read_bytes()
    assert all_digests(log) == first
    assert path.read_bytes() == kept
    lines = kept.splitlines(keepends=True)
    for damage in (b"", b"\x00\xff", kept[:-30], b"[1, 2]\n" + kept, kept + lines[-1][:50]):
        path.write_bytes(damage)
        assert all_digests(log) == first
        tried(log, "after", [0.5])  # a line after one that was cut short is not lost
        assert {t.hypothesis for t in all_digests(log)[0]} >= {"h0", "h1", "h2", "after"}
        first = all_digests(log)
    path.unlink()
    assert all_digests(log) == first


def test_a_record_that_was_changed_is_left_out_and_named(tmp_path):
    log = Log(tmp_path)
    kept, gone = tried(log, "a", [0.1]), tried(log, "b", [0.2])
    all_digests(log)
    path = tmp_path / "runs" / f"run_id={gone}" / "record.json"
    path.write_bytes(path.read_bytes().replace(b"0.2", b"0.00002"))
    runs, unreadable = all_digests(log)
    assert [r.run_id for r in runs] == [kept]
    assert unreadable == [gone]
    assert report_family(log, "btc").unreadable == (gone,)


def test_a_log_that_may_not_be_written_to_is_read_all_the_same(tmp_path, monkeypatch):
    log = Log(tmp_path)
    tried(log, "a", [0.1])

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("harness.log.digest_file.os.open", refuse)
    assert len(all_digests(log)[0]) == 1
    assert not (tmp_path / "tried.jsonl").exists()


def test_a_void_run_has_found_nothing_and_replaces_no_valid_p(tmp_path):
    log = Log(tmp_path)
    tried(log, "a", [0.04])
    tried(log, "a", [0.001], status="void", started="2026-05-20T00:00:00+00:00")
    tried(log, "b", [0.002], status="void", started="2026-05-20T00:00:00+00:00")
    found = comparisons(all_digests(log)[0])
    a, b = judged("sha256:a"), judged("sha256:b")
    assert found == {(a, "c0"): 0.04, (b, "c0"): 1.0}
    tried(log, "b", [0.03], started="2026-05-21T00:00:00+00:00")
    assert comparisons(all_digests(log)[0])[b, "c0"] == 0.03


def test_a_void_run_is_listed_with_the_p_that_counts(tmp_path):
    log = Log(tmp_path)
    tried(log, "a", [0.001], status="void")
    (entry,) = report_family(log, "btc").entries
    assert (entry.gain, entry.p_value, entry.p_holm) == (0.01, 1.0, 1.0)


def test_a_claim_of_equality_has_no_p_value_in_its_family(in_workspace, command):
    run(command)
    write(('"tiny-har"', '"same"'), ("alpha = 0.05", 'alpha = 0.05\nclaim = "equal"'))
    record = run(command)
    assert (record["family"]["comparisons"], record["family"]["candidates"]) == (1, [])
    assert "so it is not among these comparisons." in record["card"]
    first, second = report_family(Log("reports"), "tiny").entries
    assert first.p_holm == first.p_value
    assert (second.hypothesis, second.p_value, second.p_holm) == ("same", None, None)
    assert second.gain is not None


SWAPPED = 'baseline = "har"\ncandidates = ["persistence"]'


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (('"tiny-har"', '"another"'), True),
        (("HAR on thirty", "HAR over thirty"), True),
        (("Three scales beat", "Surely three scales beat"), True),
        (("min_gain = 0.01", "min_gain = 0.02"), True),
        (("alpha = 0.05", "alpha = 0.1"), True),
        (("alpha = 0.05", 'alpha = 0.05\nclaim = "equal"'), True),
        (('baseline = "persistence"\ncandidates = ["har"]', SWAPPED), False),
        (('metric = "r2_log"', 'metric = "qlike"'), False),
        (('horizon = "4h"', 'horizon = "1h"'), False),
        (('train = "10d"', 'train = "9d"'), False),
        (('"log(rv_4h)", ', ""), False),
    ],
)
def test_a_comparison_is_known_by_what_can_change_its_p_value(change, same):
    one, other = (
        parse_hypothesis(text, Path(TINY))
        for text in (workspace.HYPOTHESIS, workspace.changed(change))
    )
    assert (one.comparison_hash == other.comparison_hash) is same


def test_records_from_before_comparisons_were_hashed_are_known_by_their_spec(tmp_path):
    log = Log(tmp_path)
    for gain in ("0.01", "0.02"):
        spec = workspace.changed(("min_gain = 0.01", f"min_gain = {gain}"))
        tried(log, "tiny-har", [0.04], spec=spec, spec_hash=f"sha256:{gain}")
    want = parse_hypothesis(workspace.HYPOTHESIS, Path(TINY)).comparison_hash
    assert list(comparisons(all_digests(log)[0])) == [(judged(want), "c0")]


def test_variants_and_reruns_are_counted_on_the_card(in_workspace, command):
    run(command)
    run(command)
    write(("min_gain = 0.01", "min_gain = 0.02"))  # held to another gain, compared as before
    run(command)
    write(('train = "10d"', 'train = "9d"'))
    record = run(command)
    family = record["family"]
    assert (family["hypotheses"], family["runs"], family["reruns"]) == (3, 4, 1)
    assert family["comparisons"] == 2
    (row,) = family["candidates"]
    p = record["tables"]["tests"]["p_value"][0]
    assert row["p_value"] == p
    assert p < row["p_holm"] <= 2 * p
    assert len(family["run_ids"]) == 3
    assert family["reality_check"]["candidates"] == 2
    assert "4 runs of 3 hypotheses (variants count separately), 1 rerun;" in record["card"]


@pytest.mark.parametrize("metric", ["r2_log", "qlike"])
def test_a_rival_read_back_from_the_log_weighs_as_it_did_in_its_own_run(
    in_workspace, command, metric
):
    # Two models in one run, or one in each of two: the reality check is the same.
    write(("r2_log", metric))
    Path(TINY).write_text(Path(TINY).read_text().replace('"tiny-har"', '"alone"'))
    run(command)
    longer = '["log(rv_1h)", "log(rv_4h)"]\n\n[verdict]'
    two = (("[verdict]", f'[models.short]\nkind = "ols"\nfeatures = {longer}'), ("r2_log", metric))
    write(*two, ('candidates = ["har"]', 'candidates = ["short"]'))
    apart = run(command)["family"]["reality_check"]
    write(*two, ('candidates = ["har"]', 'candidates = ["har", "short"]'))
    Path("reports").rename("elsewhere")
    together = run(command)["family"]["reality_check"]
    assert together["candidates"] == apart["candidates"] == 2
    assert (apart["white"], apart["spa"]) == (together["white"], together["spa"])
    checks = [found for _, found in check_all(Log("elsewhere"), "tiny")]
    assert checks[-1] == apart


def test_a_void_run_is_no_rival(in_workspace, command):
    command("register", TINY).done()
    change_panel(CHANGED)
    assert run(command)["status"] == "void"
    write(('"tiny-har"', '"other"'), ('train = "10d"', 'train = "9d"'))
    family = run(command)["family"]
    assert family["comparisons"] == 2
    assert family["reality_check"]["candidates"] == 1


def test_what_cannot_be_checked_says_why(in_workspace, command):
    write(("r2_log", "ic"))
    record = run(command)
    assert record["family"]["reality_check"] == {"why": "ic has no loss of a single forecast"}
    assert "No reality check: ic has no loss of a single forecast." in record["card"]


CHANGED = ("seed = 7", "seed = 8")


def change_panel(*changes: tuple[str, str]) -> None:
    Path("panels/tiny.toml").write_text(workspace.changed(*changes, text=workspace.PANEL))


def test_a_panel_that_changed_forbids_a_verdict_until_the_claim_is_registered_anew(
    in_workspace, command
):
    first = run(command)
    change_panel(CHANGED)
    second = run(command)
    assert (first["status"], second["status"]) == ("confirmed", "void")
    (why,) = second["verdict"]["reasons"]
    assert why.startswith("The panel changed: its file says otherwise how bars are read, ")
    assert f". Run {first['run_id']} of " in why
    assert first["panel"]["fingerprint"] in why
    assert second["panel"]["fingerprint"] in why
    assert "harness register" in why
    command("register", TINY).done()
    third = run(command)
    assert third["status"] != "void"
    assert third["registration"]["anew"] is True
    # The second run, void as it was, had shown the numbers.
    assert "Not registered before its first run" in third["registration"]["words"]


def test_registered_anew_before_the_first_run_on_changed_data_is_said_so(in_workspace, command):
    run(command)
    change_panel(CHANGED)
    command("register", TINY).done()
    record = run(command)
    assert record["status"] != "void"
    assert "after the panel changed and before its first run" in record["registration"]["words"]


def test_a_registration_alone_holds_the_panel_to_its_fingerprint(in_workspace, command):
    command("register", TINY).done()
    change_panel(CHANGED)
    record = run(command)
    assert record["status"] == "void"
    assert "The registration of " in record["verdict"]["reasons"][0]


def test_another_reading_of_the_same_bytes_is_a_change_and_another_title_is_none(
    in_workspace, command
):
    first = run(command)
    change_panel(("Thirty simulated days", "A month"))
    assert run(command)["status"] != "void"
    change_panel(("[source]", 'on_bad = "exclude"\n[source]'))
    second = run(command)
    assert second["panel"]["fingerprint"] == first["panel"]["fingerprint"]
    assert second["status"] == "void"
    (why,) = second["verdict"]["reasons"]
    assert why.startswith("The panel changed: its file says otherwise how bars are read, held, ")
    command("register", TINY).done()
    assert run(command)["status"] != "void"


def test_data_that_grew_at_its_end_is_no_change_unless_what_it_had_was_revised(
    in_workspace, command
):
    lay_out_grown(in_workspace)
    grow(in_workspace, 30)
    first = run(command)
    grow(in_workspace, 36)
    grown = run(command)
    assert grown["panel"]["fingerprint"] != first["panel"]["fingerprint"]
    assert grown["status"] != "void"
    grow(in_workspace, 38, edit=20 * 24)
    revised = run(command)
    assert revised["status"] == "void"
    assert "The panel changed: the target of X at 2021-01-" in revised["verdict"]["reasons"][0]


def test_data_that_grew_and_lost_a_symbol_changed(in_workspace, command):
    lay_out_grown(in_workspace, ('symbol = "X"\n', ""), ('ts = "ts"', 'ts = "ts"\nsymbol = "name"'))
    grow(in_workspace, 30, symbols="XY")
    assert run(command)["status"] != "void"
    grow(in_workspace, 31, symbols="XY")
    assert run(command)["status"] != "void"
    grow(in_workspace, 32, symbols="X")
    lost = run(command)
    assert lost["status"] == "void"
    assert "The panel changed: the target of Y at 2021-01-" in lost["verdict"]["reasons"][0]
    assert (
        " and is gone; bars added, moved or dropped in 2021-01-01. Run "
        in lost["verdict"]["reasons"][0]
    )


def test_the_family_of_a_panel_is_listed_from_the_log_alone(in_workspace, command, monkeypatch):
    run(command)
    write(('train = "10d"', 'train = "9d"'))
    command("register", TINY).done()
    run(command)
    write(("min_gain = 0.01", "min_gain = 0.03"))
    command("register", TINY).done()  # and never run
    Path("panels/tiny.toml").unlink()
    rows = command("family", "tiny", "--json").done().json
    assert [row["registered"] for row in rows] == ["no", "altered", "altered"]
    assert [row["runs"] for row in rows] == [1, 1, 0]
    for key, method in (("p_holm", "holm"), ("p_bh", "fdr_bh")):
        want = multipletests([row["p_value"] for row in rows[:2]], method=method)[1]
        assert [row[key] for row in rows[:2]] == pytest.approx(want)
    told = command("family", "tiny").done().out
    assert "tiny: hypotheses run: 2, runs: 2, comparisons: 2" in told
    assert "did you mean 'tiny'?" in command("family", "tinny").refused()
    full = command("family", "tiny", "--full").done()
    assert full.err.startswith("reality checks: reads the forecasts of 2 runs (")
    assert "tiny-har: best of 2 over persistence: " in full.out


def test_a_panel_of_the_same_bytes_under_another_name_is_listed_with_it(tmp_path, command):
    log = Log(tmp_path)
    tried(log, "a", [0.04])
    tried(log, "b", [0.03], panel={"name": "a-copy"})
    tried(log, "c", [0.02], panel={"name": "eth", "fingerprint": "xxh3:2"})
    rows = command("family", "btc", "--log", tmp_path, "--json").done().json
    assert {(row["hypothesis"], row["panel"]) for row in rows} == {("a", "btc"), ("b", "a-copy")}
    told = command("family", "btc", "--log", tmp_path).done().out
    assert "b on a-copy" in told
    assert "a on btc" not in told
    assert "btc: hypotheses run: 2, runs: 2, comparisons: 2" in told


def test_a_record_that_cannot_be_read_spoils_no_other_check(in_workspace, command):
    run(command)
    write(('"tiny-har"', '"two"'))
    broken = run(command)["run_id"]
    path = Path(f"reports/runs/run_id={broken}/record.json")
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"confirmed"', b'"CONFIRMED"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as its entry has it
    found = {run.run_id: check for run, check in check_all(Log("reports"), "tiny")}
    assert "changed since it was published" in found.pop(broken)["why"]
    ((_, check),) = found.items()
    assert check["candidates"] >= 1


def test_the_table_fits_a_terminal_of_80_columns(tmp_path, command, monkeypatch):
    tried(Log(tmp_path), "a-hypothesis-with-a-long-name", [1e-9, 0.2], status="inconclusive")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = command("family", "btc", "--log", tmp_path).done().out.splitlines()
    assert lines[0].startswith("hypothesis")
    assert max(map(len, lines)) <= 80


def test_a_family_of_an_empty_log_is_refused(tmp_path):
    with pytest.raises(UsageError, match="the log is empty"):
        report_family(Log(tmp_path), "btc")


def test_a_record_whose_seal_fits_again_is_read_anew(tmp_path):
    log = Log(tmp_path)
    run_id = tried(log, "a", [0.1])
    all_digests(log)
    folder = tmp_path / "runs" / f"run_id={run_id}"
    record = json.loads((folder / "record.json").read_bytes())
    record["tables"]["tests"]["p_value"] = [0.9]
    (folder / "record.json").write_bytes(encode(record))
    (folder / "record.sha256").write_bytes(digest(encode(record)))
    assert [r.comparisons["c0"][1] for r in all_digests(log)[0]] == [0.9]


def test_a_gain_confirmed_alone_but_not_among_all_that_was_tried_carries_a_caution(
    in_workspace, command
):
    log = harness.open_log("reports")
    record = run(command)
    p = record["tables"]["tests"]["p_value"][0]
    assert record["status"] == "confirmed"
    assert not [c for c in record["cautions"] if "Holm" in c]
    data = {key: record["panel"][key] for key in ("name", "fingerprint", "columns")}
    tried(log, "many", [0.5] * int(0.05 / p), panel=data)
    write(('"tiny-har"', '"two"'))
    (caution,) = [c for c in run(command)["cautions"] if "Holm" in c]
    told = (
        f"Among all {int(0.05 / p) + 1} comparisons of this family, the Holm-adjusted p of har is"
    )
    assert caution.startswith(f"{told} 0.0")


def test_a_comparison_whose_test_begins_elsewhere_counts_again(tmp_path):
    log = Log(tmp_path)
    for month in ("01", "02", "03"):
        start = f"2022-{month}-01T00:00:00+00:00"
        tried(log, "a", [0.01], tested=(start, f"2022-{month}-28T00:00:00+00:00"))
    longer = "2022-03-01T00:00:00+00:00", "2022-06-01T00:00:00+00:00"
    tried(log, "a", [0.02], tested=longer, started="2026-05-20T00:00:00+00:00")
    found = report_family(log, "btc")
    assert (found.runs, found.comparisons) == (4, 3)
    (entry,) = found.entries
    assert (entry.p_value, entry.p_holm) == (0.02, pytest.approx(0.03))


def test_a_run_counts_itself_as_the_log_will_count_it(in_workspace, command):
    first = run(command)["family"]
    again = run(command)["family"]
    assert first["comparisons"] == again["comparisons"] == 1


def test_a_copy_of_the_file_is_found_by_its_prices_whatever_is_forecast(in_workspace, command):
    growing.lay_out_ranges(in_workspace)
    growing.write(in_workspace, growing.HOURS)
    assert run(command)["family"]["comparisons"] == 1
    panel = Path("panels/tiny.toml").read_text()
    Path("panels/two.toml").write_text(panel.replace('name = "tiny"', 'name = "two"'))
    plain = workspace.changed(('[panel]\nname = "tiny"', '[panel]\nname = "two"'))
    Path(TINY).write_text(plain)  # of squared returns: reads the close alone
    record = run(command)
    assert record["panel"]["columns"] == ["close"]
    assert record["family"]["comparisons"] == 2
