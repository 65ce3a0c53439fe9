"""Registrations: written whole or not at all, read as written, and told of by every run."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import workspace

import harness
from harness.errors import RunError
from harness.history.data_changes import Difference, Earlier
from harness.history.family import look_up
from harness.log.atomic_files import encode
from harness.log.query import run_query
from harness.log.registrations import (
    DataRead,
    read_registration,
    register,
    registration_files,
    registrations,
    rule_difference,
)
from harness.log.run_digests import RunDigest
from harness.log.store import Log, RecordError
from harness.spec.reading import parse_hypothesis

FROM = "2021-01-01T00:00:00+00:00"
AT = datetime(2026, 5, 19, 10, 0, 0, 123_456, tzinfo=UTC)
DATA = DataRead("tiny", "xxh3:1", ("close",), "2021-01-01", "2021-02-01", 99)
TINY = "hypotheses/tiny-har.toml"


def tiny(text: str = workspace.HYPOTHESIS):
    return parse_hypothesis(text, Path("tiny-har.toml"))


def write(text: str) -> None:
    Path(TINY).write_text(text)


@pytest.mark.parametrize("data", [DATA, replace(DATA, source=replace(DATA, panel="other"))])
def test_a_registration_is_read_back_as_it_was_written(tmp_path, data):
    log = Log(tmp_path)
    found = register(log, tiny(), data, AT)
    assert registration_files(log) == [found.file]
    assert read_registration(log, found.file) == found
    assert found.registered_at == "2026-05-19T10:00:00.123456+00:00"
    assert (found.spec, found.spec_hash) == (workspace.HYPOTHESIS, tiny().spec_hash)
    assert found.rule["min_gain"] == 0.01
    assert found.rule["candidates"] == ["har"]
    assert found.data == data
    assert found.file.startswith(f"2026-05-19-tiny-har-{tiny().spec_hash[7:15]}-")
    assert not list((tmp_path / ".tmp").iterdir())


@pytest.mark.parametrize("damage", [b"", b"{", b'{"hypothesis": "tiny-har"}', None])
def test_a_registration_that_is_torn_or_edited_is_refused_and_counts_for_nothing(tmp_path, damage):
    log = Log(tmp_path)
    sound, other = register(log, tiny(), DATA, AT), register(log, tiny(), DATA, AT.replace(hour=9))
    path = tmp_path / "registrations" / other.file
    text = path.read_bytes()
    path.write_bytes(text.replace(b"T09:", b"T08:") if damage is None else damage)
    with pytest.raises(RecordError, match=other.file):
        read_registration(log, other.file)
    assert registrations(log, "tiny-har") == ([sound], [other.file])


def test_those_of_another_hypothesis_are_not_read(tmp_path):
    log = Log(tmp_path)
    register(log, tiny(workspace.changed(('"tiny-har"', '"tiny-har-two"'))), DATA, AT)
    assert registrations(log, "tiny-har") == ([], [])
    assert len(registrations(log, "tiny-har-two")[0]) == 1


def test_many_that_register_at_once_leave_one_file_each_all_whole(tmp_path):
    log = Log(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        moments = [AT.replace(microsecond=k) for k in range(32)]
        found = list(pool.map(lambda at: register(log, tiny(), DATA, at), moments))
    assert {r.file for r in found} == set(registration_files(log))
    assert [r.registered_at for r in registrations(log, "tiny-har")[0]] == sorted(
        at.isoformat(timespec="microseconds") for at in moments
    )


def test_a_disk_that_refuses_leaves_no_registration(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", refuse)
    with pytest.raises(RunError, match="No space left on device"):
        register(Log(tmp_path), tiny(), DATA, AT)
    assert registration_files(Log(tmp_path)) == []


def test_registering_twice_writes_once_and_says_so(in_workspace, command):
    first = command("register", TINY).done()
    assert "tiny-har: registered 20" in first.out
    assert "har over persistence by r2_log at 4h: at least 0.01, alpha 0.05" in first.out
    again = command("register", TINY).done()
    assert "already registered, nothing written: 20" in again.out
    (one,) = command("register", TINY, "--json").done().json
    assert one["new"] is False
    assert one["fingerprint"].startswith("xxh3:")
    assert len(list(Path("reports/registrations").iterdir())) == 1
    assert not Path("reports/runs").exists()


def words_of(log: Log, run: str) -> str:
    return log.read(run)["registration"]["words"]


def run(command) -> tuple[Log, str]:
    (ran,) = command("run", TINY, "--json").done().json
    return harness.open_log("reports"), ran["run_id"]


def test_a_run_says_whether_its_rule_was_registered_before_its_first_run(in_workspace, command):
    log, first = run(command)
    assert words_of(log, first) == "Not registered before its first run."
    told = command("register", TINY).done()
    assert f"had been run before: run {first}" in told.err
    log, second = run(command)
    assert words_of(log, second).startswith(f"Not registered before its first run (run {first} of")
    write(workspace.changed(('"tiny-har"', '"tiny-har-two"'), ('train = "10d"', 'train = "9d"')))
    command("register", TINY).done()
    for _ in range(2):  # a rerun was registered before its first run as well
        log, third = run(command)
        day = log.read(third)["registration"]["registered_at"][:10]
        assert words_of(log, third) == f"Registered {day}, before its first run."
        assert f"\n\nRegistered {day}, before its first run.\n\n" in log.read(third)["card"]
    assert log.read(third)["registration"]["first_run_at"] is not None


def test_a_registration_under_another_version_of_the_verdict_rule_is_told(
    in_workspace, command, monkeypatch
):
    with monkeypatch.context() as earlier:
        earlier.setattr("harness.log.registrations.RULE_VERSION", 1)
        command("register", TINY).done()
    log, found = run(command)
    assert words_of(log, found).endswith(
        "before its first run. It was registered under version 1 of the verdict rule, and is "
        "judged by version 2."
    )


def test_an_altered_rule_is_told_with_what_was_registered(in_workspace, command):
    command("register", TINY).done()
    write(workspace.changed(("min_gain = 0.01", "min_gain = 0.002")))
    log, altered = run(command)
    short, day = tiny().spec_hash[:19], log.read(altered)["started"][:10]
    assert words_of(log, altered) == (
        "Not registered before its first run. Altered before that: "
        f"as {short} (min_gain 0.01, now 0.002), registered {day}."
    )
    write(workspace.changed(('train = "10d"', 'train = "9d"')))
    log, other = run(command)
    status = log.read(altered)["status"]
    assert f", run {altered} of {day} ended {status}." in words_of(log, other)
    assert words_of(log, other).endswith(" It is the latest of 2 such versions.")


def test_a_rule_that_was_run_then_altered_and_registered_is_not_as_good_as_new(
    in_workspace, command
):
    write(workspace.changed(("min_gain = 0.01", "min_gain = 0.6")))
    command("register", TINY).done()
    log, first = run(command)
    hard = log.read(first)
    assert words_of(log, first) == f"Registered {hard['started'][:10]}, before its first run."
    write(workspace.HYPOTHESIS)
    command("register", TINY).done()
    for _ in range(2):  # a rerun says it too
        log, second = run(command)
        day = log.read(second)["started"][:10]
        assert words_of(log, second) == (
            f"Registered {day}, before its first run. Altered before that: as "
            f"{hard['spec_hash'][:19]} (min_gain 0.6, now 0.01), registered {day}, run {first} of "
            f"{day} ended {hard['status']}."
        )
        assert log.read(second)["registration"]["altered"] == [hard["spec_hash"]]
    write(workspace.changed(("min_gain = 0.01", "min_gain = 0.6")))
    log, again = run(command)  # what came after its first run has altered nothing of it
    assert words_of(log, again) == words_of(log, first)


def test_another_name_does_not_make_a_version_new(in_workspace, command):
    write(workspace.changed(("min_gain = 0.01", "min_gain = 0.6")))
    log, first = run(command)
    renamed = workspace.changed(
        ("min_gain = 0.01", "min_gain = 0.02"), ('"tiny-har"', '"tiny-two"')
    )
    write(renamed)
    command("register", TINY).done()
    log, second = run(command)
    day = log.read(second)["started"][:10]
    assert words_of(log, second) == (
        f"Registered {day}, before its first run. Altered before that: as tiny-har (min_gain 0.6, "
        f"now 0.02), run {first} of {day} ended {log.read(first)['status']}."
    )
    rows = {row["hypothesis"]: row for row in command("family", "tiny", "--json").done().json}
    assert rows["tiny-two"]["registered"] == "altered"


def test_the_spec_of_an_unregistered_version_is_told_too(in_workspace, command):
    run(command)
    write(workspace.changed(('train = "10d"', 'train = "9d"')))
    log, other = run(command)
    assert "(the same rule and another spec), run " in words_of(log, other)


def test_what_was_registered_while_a_run_was_under_way_came_after_it(tmp_path):
    log = Log(tmp_path)
    register(log, tiny(), DATA, AT)
    before, after = (AT + timedelta(microseconds=k) for k in (-1, 1))
    found = look_up(log, tiny(), DATA, None, FROM, before).registration
    assert found["before"] is False
    assert found["words"] == (
        "Not registered before its first run (this one, under way by then); registered 2026-05-19."
    )
    assert look_up(log, tiny(), DATA, None, FROM, after).registration["before"] is True


def test_what_a_card_says_is_read_from_records_not_from_what_is_derived(in_workspace, command):
    log, first = run(command)
    command("register", TINY).done()
    kept = log.root / "tried.jsonl"
    *others, line = kept.read_bytes().splitlines(keepends=True)
    entry = json.loads(line)
    fields = dict(zip(RunDigest._fields, entry[2], strict=True)) | {"registered": True}
    kept.write_bytes(b"".join(others) + encode([*entry[:2], list(fields.values())]))
    log, second = run(command)
    assert words_of(log, second).startswith(f"Not registered before its first run (run {first} of")


def test_a_registration_anew_must_have_seen_the_changed_data(tmp_path):
    log = Log(tmp_path)
    register(log, tiny(), DATA, AT)
    changed = replace(DATA, fingerprint="xxh3:2")
    later = AT + timedelta(hours=1)

    def compare(then: Earlier) -> Difference | None:
        return Difference(None) if then.data.fingerprint == DATA.fingerprint else None

    def forbidden() -> bool:
        return bool(
            look_up(log, tiny(), changed, None, FROM, AT + timedelta(days=1), compare).forbidden
        )

    assert forbidden()
    register(log, tiny(), replace(DATA, fingerprint=None), later)
    assert forbidden()
    register(log, tiny(), changed, later)
    assert not forbidden()


def test_of_a_source_that_changed_the_sentence_names_the_source(tmp_path):
    log = Log(tmp_path)
    taught = replace(DATA, panel="other", fingerprint="xxh3:8")
    register(log, tiny(), replace(DATA, source=taught), AT)
    now = replace(DATA, source=replace(taught, fingerprint="xxh3:9"))
    known = look_up(
        log,
        tiny(),
        now,
        None,
        FROM,
        AT + timedelta(days=1),
        lambda _: Difference(None, of_source=True),
    )
    (why,) = known.forbidden
    assert why.startswith("The source panel changed. The registration of 2026-05-19 read other as ")
    assert "xxh3:8" in why
    assert "xxh3:9" in why
    assert known.registration["words"] == (
        "Registered 2026-05-19, on data that has changed since, and not again."
    )


def test_without_the_data_a_hypothesis_is_registered_without_a_fingerprint(in_workspace, command):
    Path("panels/tiny.toml").write_text(workspace.CSV_PANEL.replace('"file"', '"tiny"'))
    told = command("register", TINY).done()
    assert "panel tiny, its data not read" in told.out
    assert "registered without a fingerprint: " in told.err
    assert "prices.csv not found" in told.err


def test_a_panel_that_does_not_exist_registers_nothing(in_workspace, command):
    write(workspace.changed(('[panel]\nname = "tiny"', '[panel]\nname = "tinny"')))
    assert "did you mean 'tiny'?" in command("register", TINY).refused()
    assert not Path("reports").exists()


def test_the_index_has_every_registration_that_can_be_read(in_workspace, command):
    command("register", TINY).done()
    log = harness.open_log("reports")
    sql = "SELECT hypothesis, spec_hash, min_gain, candidates, panel FROM registrations"
    assert run_query(log, sql)[1] == [("tiny-har", tiny().spec_hash, 0.01, ["har"], "tiny")]
    torn = register(log, tiny(), DATA, AT)
    (log.root / "registrations" / torn.file).write_bytes(b"{")
    warnings: list[str] = []
    assert len(run_query(log, sql, warn=warnings.append)[1]) == 1
    assert [torn.file in warning for warning in warnings] == [True]


def test_a_registration_older_than_a_key_of_the_rule_has_its_usual_value():
    older = {"min_gain": 0.03, "gain": "difference"}
    assert rule_difference(older, older | {"claim": "better", "regime": None}) == []
    assert rule_difference(older, {"min_gain": 0.01, "claim": "equal"}) == [
        "min_gain 0.03, now 0.01",
        "claim better, now equal",
    ]
