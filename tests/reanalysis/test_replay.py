"""A run made again from its record: the same to the last bit, or what differs and why."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import workspace
from support.runs import study

import harness
from harness.errors import SpecError
from harness.log.atomic_files import digest, encode
from harness.log.registrations import DataRead, register
from harness.log.store import Log
from harness.reanalysis.replay import _compared, _values, verify_run
from harness.spec.reading import parse_hypothesis, stored_hypothesis


@pytest.fixture
def here(log_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Log, list[str]]:
    """A log of two runs of the workspace's hypothesis, where its panel is found."""
    workspace.lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    log = harness.open_log(log_copy)
    runs = sorted(log.runs(), key=lambda run: log.read(run)["family"]["runs"])
    return log, runs


def edit(log: Log, run_id: str, change) -> None:
    """Change a record and its seal."""
    folder = log.runs_directory / f"run_id={run_id}"
    record = json.loads((folder / "record.json").read_bytes())
    change(record)
    (folder / "record.json").write_bytes(encode(record))
    (folder / "record.sha256").write_bytes(digest(encode(record)))


def test_a_run_made_again_is_the_same_to_the_last_bit_and_adds_nothing(here, command):
    log, runs = here
    before = workspace.tree(log.root)
    told = command("verify", runs[1], "--log", log.root).done()
    assert (
        "every number is the same, and so are data, code, libraries, machine and threads"
        in told.out
    )
    after = workspace.tree(log.root)
    assert {k: v for k, v in after.items() if k != ".tmp"} == {
        k: v for k, v in before.items() if k != ".tmp"
    }


def test_the_family_that_a_run_knew_is_made_again_with_it(here):
    log, (first, second) = here
    for run_id, runs in ((first, 1), (second, 2)):
        assert log.read(run_id)["family"]["runs"] == runs
        found = verify_run(log, run_id, search=[Path("panels")])
        assert found.same, [part for part in found.parts if part.differ]
        assert {"scores", "coefficients", "forecasts", "verdict", "family", "registration"} <= {
            part.name for part in found.parts
        }


def test_a_record_without_forecasts_is_compared_by_their_digest(here, command):
    log, (run_id, _) = here
    (log.runs_directory / f"run_id={run_id}" / "forecasts.parquet").unlink()
    told = command("verify", run_id, "--log", log.root).done().out
    assert (
        "not in this log; compared by forecasts_digest" in told
        and "every number is the same" in told
    )

    edit(log, run_id, lambda record: record.update(forecasts_digest="0" * 64))
    assert "forecasts_digest: was 000" in command("verify", run_id, "--log", log.root).out

    edit(log, run_id, lambda record: record.pop("forecasts_digest"))
    told = command("verify", run_id, "--log", log.root).out
    assert "not in this log; not compared: the record has no digest" in told


def test_what_needs_forecasts_says_that_the_log_has_none(here, command):
    log, (run_id, _) = here
    (log.runs_directory / f"run_id={run_id}" / "forecasts.parquet").unlink()
    ran = command("figures", run_id, "--log", log.root)
    assert ran.code == 2
    assert ran.err.startswith("error: ") and "the record of run" in ran.err
    assert command("list", "--log", log.root).done().out.count(run_id) == 1
    assert command("query", "select count(*) n from runs", "--log", log.root, "--json").json


def test_a_number_that_is_not_what_the_run_gives_is_named(here, command):
    log, (run_id, _) = here

    def change(record: dict) -> None:
        record["tables"]["scores"]["value"][3] += 1e-15
        record["verdict"]["gain"] = -0.0

    edit(log, run_id, change)
    ran = command("verify", run_id, "--log", log.root)
    assert ran.code == 1
    assert "scores: value, row 4: was " in ran.out
    assert "verdict: gain: was -0.0, is 0." in ran.out
    assert "2 values differ: nothing that numbers depend on has changed" in ran.out
    found = command("verify", run_id, "--log", log.root, "--json").json
    assert found["same"] is False
    (part,) = [p for p in found["parts"] if p["name"] == "scores"]
    assert (part["differ"], part["largest"] < 1e-14) == (1, True)
    assert all(cause["same"] for cause in found["causes"])


@pytest.mark.parametrize(
    ("then", "now", "where"),
    [
        ({"reasons": ["a"]}, {"reasons": ["a", "b"]}, "reasons.1: was nothing, is b"),
        ({"reasons": []}, {"reasons": ["b"]}, "reasons.0: was nothing, is b"),
        ({"reasons": ["a", "b"]}, {"reasons": ["a"]}, "reasons.1: was b, is nothing"),
        ({"gaps": [{"n": 1}]}, {"gaps": [{"n": 1, "m": 2}, {"n": 3}]}, "gaps.1: was nothing, is "),
        ({"gap": {"n": 1}}, {"gap": 1}, "gap.n: was 1, is nothing"),
        ({}, {"n": 1}, "verdict: was {}, is {'n': 1}"),
        (["a"], ["a", "b"], "1: was nothing, is b"),
        ({"gap": {"n": 1}}, {"gap": {"n": 1, "m": 2}, "later": 3}, None),
    ],
)
def test_what_a_list_has_gained_differs_and_keys_that_came_later_do_not(then, now, where):
    part = _compared("verdict", _values("verdict", then, now), same_code=True)
    assert part.differ == (where is not None)
    assert where is None or part.where.startswith(where)


def test_sentences_of_an_earlier_version_of_the_code_are_no_difference(here, command):
    log, (run_id, _) = here

    def reword(record: dict) -> None:
        record["verdict"]["reasons"][0] = "har gains over persistence, in other words."
        record["verdict"]["reasons"].append("And a sentence more.")

    def date_back(record: dict) -> None:
        record["environment"] |= {"source": "sha256:0", "code_version": "0" * 12}

    edit(log, run_id, reword)
    ran = command("verify", run_id, "--log", log.root)
    assert (ran.code, "verdict: reasons.0: was " in ran.out) == (1, True)
    edit(log, run_id, date_back)
    told = command("verify", run_id, "--log", log.root).done().out
    assert "2 sentences have other words, which the other code wrote" in told
    assert told.endswith("every number is the same\n")
    edit(log, run_id, lambda record: record["verdict"].update(status="refuted"))
    assert "status" in command("verify", run_id, "--log", log.root).out


def test_a_run_that_was_held_to_a_gain_that_is_refused_today_is_still_read():
    spec = workspace.changed(("min_gain = 0.01", "min_gain = 2.0"))
    with pytest.raises(SpecError, match="wanted below 1"):
        parse_hypothesis(spec, Path("new.toml"))
    stored = stored_hypothesis({"spec": spec, "run_id": "0badcafe"})
    assert stored.verdict.min_gain == 2.0


def as_under_the_first_rule(record: dict) -> None:
    """The record of a run from before rules had versions."""
    del record["verdict"]["rule_version"]
    for key in ("p_claim", "gain_shown", "claim_shown", "rule", "unbounded", "periods"):
        del record["verdict"][key]


def test_a_run_is_replayed_under_the_rule_that_it_was_held_to(here, tmp_path, command):
    """A gain of 30 points over a claim of 20, with an interval from 13 on: the rules differ."""
    text = workspace.changed(("min_gain = 0.01", "min_gain = 0.2"))
    claimed = parse_hypothesis(text, tmp_path / "hypotheses/h.toml")
    log = harness.open_log(tmp_path / "two-rules")
    today = harness.run(claimed, log, search=[tmp_path / "panels"])
    first = harness.run(replace(claimed, rule_version=1), log, search=[tmp_path / "panels"])
    assert (first.verdict.status, today.verdict.status) == ("confirmed", "inconclusive")
    records = [log.read(r.run_id) for r in (first, today)]
    assert [r["verdict"]["rule_version"] for r in records] == [1, 2]
    lows = [r["verdict"]["gain_low"] for r in records]
    assert lows[0] != lows[1]
    edit(log, first.run_id, as_under_the_first_rule)
    for run in (first, today):
        found = verify_run(log, run.run_id, search=[tmp_path / "panels"])
        assert found.same, [part for part in found.parts if part.differ]
    assert "confirmed" in command("show", first.run_id, "--log", log.root).done().out


def test_a_table_that_an_earlier_method_made_is_not_compared(here, command):
    log, (run_id, _) = here

    def earlier(record: dict) -> None:
        del record["methods"]
        record["tables"]["ability"]["p_value"][0] = 0.123
        record["family"]["reality_check"] = {"white": 0.123, "spa": 0.123}

    edit(log, run_id, earlier)
    told = command("verify", run_id, "--log", log.root).done().out
    assert "ability: not compared: computed by method 1, now 3" in told
    assert "reality_check: not compared: computed by method 1, now 2" in told
    assert "every number is the same" in told


def test_what_rests_on_residuals_of_training_rows_of_an_earlier_version_is_not_compared(tmp_path):
    trees = '[models.trees]\nkind = "lightgbm"\nrounds = 5\nmin_data_in_leaf = 5\n'
    text = workspace.changed(
        ("[verdict]", f'{trees}features = ["log(rv_1h)"]\n\n[verdict]'),
    )
    log, run_id = study(tmp_path, text)
    assert log.read(run_id)["methods"]["residuals"] == 2

    def earlier(record: dict) -> None:
        del record["methods"]["residuals"]
        record["tables"]["scores"]["value"][0] = 0.123
        record["verdict"]["gain"] = 0.123
        record["status"] = "confirmed"

    edit(log, run_id, earlier)
    found = verify_run(log, run_id, search=[tmp_path / "panels"])
    assert found.same, [part for part in found.parts if part.differ]
    parts = {part.name: part for part in found.parts}
    for name in ("scores", "coefficients", "verdict", "status", "audit"):
        assert parts[name].where == "not compared: computed by method 1 of residuals, now 2"
    assert all(parts[name].values for name in ("forecasts", "folds", "settings"))
    # Linear models alone: every number is compared.
    (tmp_path / "linear").mkdir()
    log, run_id = study(tmp_path / "linear")
    assert "residuals" not in log.read(run_id)["methods"]


def test_the_panel_beside_the_log_is_found_from_anywhere(log_copy, tmp_path, monkeypatch, command):
    workspace.lay_out(log_copy.parent)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (run_id, _) = harness.open_log(log_copy).runs()
    assert ", rerun" in command("verify", run_id, "--log", log_copy).out
    (log_copy.parent / "panels/tiny.toml").unlink()
    told = command("verify", run_id, "--log", log_copy).refused()
    assert f"no panel 'tiny' in {log_copy.parent / 'panels'}, panels" in told


def test_other_data_is_the_cause_that_is_told(here, command):
    log, (run_id, _) = here
    Path("panels/tiny.toml").write_text(
        workspace.changed(("seed = 7", "seed = 8"), text=workspace.PANEL)
    )
    ran = command("verify", run_id, "--log", log.root)
    assert ran.code == 1
    assert f"data: was {log.read(run_id)['panel']['fingerprint']}, is xxh3:" in ran.out
    assert "forecasts: y, 1h " in ran.out
    assert "values differ: see above" in ran.out


def test_another_version_of_a_library_is_the_cause_that_is_told(here, command):
    log, (run_id, _) = here
    edit(log, run_id, lambda record: record["environment"]["libraries"].update(numpy="1.0"))
    told = command("verify", run_id, "--log", log.root).done().out
    assert "numpy: was 1.0, is " in told
    assert told.endswith("every number is the same\n")


def test_a_missing_panel_an_unknown_run_and_a_broken_record_are_one_line(here, command):
    log, (run_id, other) = here
    Path("panels/tiny.toml").unlink()
    assert "tiny" in command("verify", run_id, "--log", log.root).refused()
    assert "no run 'zzz'" in command("verify", "zzz", "--log", log.root).refused()
    (log.runs_directory / f"run_id={other}" / "record.json").write_bytes(b"{")
    assert "not JSON any more" in command("verify", other, "--log", log.root).refused()
    assert "wanted a RUN, or --published" in command("verify").refused()


def test_an_earlier_run_that_is_gone_is_said_so(here):
    log, (first, second) = here
    (log.runs_directory / f"run_id={first}").rename(log.root / "elsewhere")
    found = verify_run(log, second, search=[Path("panels")])
    assert found.gone == (first,)
    assert {part.name for part in found.parts if part.differ} == {
        "cautions",  # which say that it is gone
        "family",
        "registration",
    }


def test_a_run_that_met_what_cannot_be_read_verifies_all_the_same(in_workspace, command):
    log = harness.open_log("reports")
    hypothesis = parse_hypothesis(workspace.HYPOTHESIS, Path("hypotheses/tiny-har.toml"))
    torn = register(log, hypothesis, DataRead.unseen("tiny"), datetime.now(UTC))
    (log.root / "registrations" / torn.file).write_bytes(b"{")
    (log.runs_directory / "run_id=0123abcd").mkdir(parents=True)
    (ran,) = command("run", hypothesis.path, "--json").done().json
    record = log.read(ran["run_id"])
    assert torn.file in record["registration"]["words"]
    assert record["family"]["unreadable"] == ["0123abcd"]
    found = verify_run(log, ran["run_id"], search=[Path("panels")])
    assert found.same, [part for part in found.parts if part.differ]


def test_what_came_while_a_run_was_under_way_and_other_versions_are_met_again(in_workspace):
    log = harness.open_log("reports")
    at = datetime(2026, 5, 19, tzinfo=UTC)
    path = Path("hypotheses/tiny-har.toml")
    # Tested before the other begins: one search all the same.
    short = workspace.changed(('name = "tiny"\n', 'name = "tiny"\nend = "2021-01-20"\n'))
    late = workspace.changed(('first_test = "2021-01-13"', 'first_test = "2021-01-24"'))
    for text, moment in ((short, at), (late, at + timedelta(days=1))):
        hypothesis = parse_hypothesis(text, path)
        register(log, hypothesis, DataRead.unseen("tiny"), moment + timedelta(seconds=1))
        ran = harness.run(hypothesis, log, search=["panels"], clock=lambda m=moment: m)
    words = log.read(ran.run_id)["registration"]["words"]
    assert "under way by then" in words
    assert "Altered before that" in words
    assert log.read(ran.run_id)["family"]["runs"] == 2
    found = verify_run(log, ran.run_id, search=[Path("panels")])
    assert found.same, [part for part in found.parts if part.differ]
