"""The commands: help, JSON, exit codes, what each reads and writes, and 80 columns."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.workspace import ROOT, Ran, changed, finish, process, tree

import harness
from harness.cli.main import cli


def commands(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from commands(found, f"{path}{name} ")
        else:
            yield path + name, found


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_an_example(name):
    shown = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert shown.exit_code == 0
    assert re.search(rf"^  harness {name}\b", shown.output, re.MULTILINE), shown.output


def test_the_first_line_of_every_help_is_whole_in_the_list_of_commands():
    shown = CliRunner().invoke(cli, ["--help"]).output.partition("Commands:")[2]
    assert "..." not in shown
    assert all(re.search(rf"^  {name}  +\w", shown, re.MULTILINE) for name in cli.commands)


def test_the_readme_names_every_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(?:harness )?((?:panel )?[a-z]+)\b[^`]*`", readme))
    told |= {f"panel {word}" for word in ("list", "check", "describe") if f"`{word}" in readme}
    assert set(COMMANDS) <= told, set(COMMANDS) - told


@pytest.mark.parametrize("flag", ["-h", "--help", "--version"])
def test_help_and_version_end_well(flag, command):
    assert command(flag).done().out


def test_run_as_json_gives_the_documented_fields_and_lands(in_workspace, command):
    (outcome,) = command("run", "hypotheses/tiny-har.toml", "--json").done().json
    assert {"run_id", "hypothesis", "status", "reasons", "gain", "card", "seconds"} <= set(outcome)
    assert (outcome["gain_shown"], outcome["claim_shown"]) == (True, True)
    assert outcome["gain_low"] < outcome["gain"] < outcome["gain_high"]
    assert outcome["hypothesis"] == "tiny-har"
    assert outcome["status"] in ("confirmed", "refuted", "inconclusive", "void")
    card = Path(outcome["card"])
    assert card.parent == in_workspace / "reports"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d-tiny-har-{outcome['run_id']}\.md", card.name)
    assert command("show", outcome["run_id"]).done().out == card.read_text(encoding="utf-8")


def test_run_says_verdict_reasons_and_card(in_workspace, command):
    ran = command("run", "hypotheses/tiny-har.toml", "--log", "elsewhere").done()
    first, *_, last = ran.out.splitlines()
    assert re.match(r"tiny-har: [A-Z]+  [+-]\d+\.\d\d pp r2_log at 4h$", first)
    assert re.search(r"\d s, run [0-9a-f]{8}, card elsewhere/\S+\.md$", last)
    assert not (in_workspace / "reports").exists()


def test_several_files_all_land(in_workspace, command):
    other = in_workspace / "hypotheses/tiny-other.toml"
    other.write_text(changed(('name = "tiny-har"', 'name = "tiny-other"')))
    outcomes = command("run", "hypotheses/tiny-har.toml", other, "--json").done().json
    assert [o["hypothesis"] for o in outcomes] == ["tiny-har", "tiny-other"]
    listed = command("list", "--json").done().json
    assert {r["run_id"] for r in listed} == {o["run_id"] for o in outcomes}
    only = command("list", "--json", "--hypothesis", "tiny-other").done().json
    assert [r["run_id"] for r in only] == [outcomes[1]["run_id"]]
    assert len(command("list", "--json", "--limit", "1").done().json) == 1


def test_plan_says_windows_rows_and_embargo_and_writes_nothing(in_workspace, command, own_cache):
    before, kept = tree(in_workspace), tree(own_cache)
    plan = command("plan", "hypotheses/tiny-har.toml", "--json").done().json
    assert tree(in_workspace) == before
    assert tree(own_cache) == kept
    assert plan["effective embargo (minutes)"] == {"1h": 1440, "4h": 1440}
    assert [w["cut"] for w in plan["windows"] if w["horizon"] == "4h"] == [
        "2021-01-13",
        "2021-01-18",
        "2021-01-23",
    ]
    assert all(w["test rows"] == 120 for w in plan["windows"])
    assert "2021-01-23" in command("plan", "hypotheses/tiny-har.toml").done().out


def test_the_plan_is_what_the_run_does(in_workspace, command):
    plan = command("plan", "hypotheses/tiny-har.toml", "--json").done().json
    command("run", "hypotheses/tiny-har.toml").done()
    sql = "select horizon, fold + 1 as window, n_train, n_test from folds order by all"
    folds = command("query", sql, "--json").done().json
    assert [tuple(f.values()) for f in folds] == [
        (w["horizon"], w["window"], w["train rows"], w["test rows"]) for w in plan["windows"]
    ]


def test_query_as_json_is_a_list_of_row_objects(two_runs, command):
    log, runs = two_runs
    sql = "select run_id, gain from runs order by started, run_id"
    rows = command("query", sql, "--json", "--log", log).done().json
    assert [set(row) for row in rows] == [{"run_id", "gain"}] * 2
    assert {row["run_id"] for row in rows} == set(runs)
    assert command("query", "from runs where false", "--json", "--log", log).done().json == []


VIEWS = {
    "runs": "run_id hypothesis spec_hash started seconds status gain code_version decision",
    "hypotheses": "hypothesis spec_hash title claim runs",
    "scores": "run_id horizon model scope window_start window_end metric value n",
    "verdicts": "run_id status metric horizon baseline candidate gain gain_low gain_high min_gain "
    "p_value",
    "forecasts": "run_id horizon model symbol formed_at resolved_at fold y yhat",
    "tests": "run_id candidate baseline metric horizon statistic p_value",
    "folds": "run_id fold horizon cut latest_resolution slack_ns n_train n_test",
    "timings": "run_id stage seconds",
    "cards": "run_id markdown",
    "coefficients": "run_id fold cut horizon model name value",
    "wins": "run_id horizon model metric wins windows",
}


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_holds_both_runs_under_the_documented_columns(view, two_runs, command):
    log, runs = two_runs
    rows = command("query", f"from {view}", "--json", "--log", log).done().json
    assert set(VIEWS[view].split()) <= set(rows[0])
    if "run_id" in rows[0]:
        assert {row["run_id"] for row in rows} == set(runs)
    always = {"run_id", "spec_hash", "status", "code_version", "p_value", "markdown", "statistic"}
    assert all(row[name] is not None for row in rows for name in always & set(row))


def test_the_scores_of_the_log_are_those_of_the_forecasts(two_runs, command):
    log, (run_id, _) = two_runs
    sql = (
        "select s.model, abs(s.value - avg(abs(f.y - f.yhat))) as off from scores s "
        "join forecasts f using (run_id, horizon, model) where s.metric = 'mae_log' and "
        f"s.scope = 'pooled' and horizon = '4h' and run_id = '{run_id}' group by s.model, s.value"
    )
    rows = command("query", sql, "--json", "--log", log).done().json
    assert {row["model"] for row in rows} == {"persistence", "har"}
    assert all(row["off"] < 1e-12 for row in rows)


def test_describe_shows_the_columns_of_a_table(two_runs, command):
    shown = command("query", "describe scores", "--json", "--log", two_runs[0]).done().json
    assert "window_start" in {row["column_name"] for row in shown}


def test_show_as_json_is_the_record_with_its_card(two_runs, command):
    log, (run_id, _) = two_runs
    record = command("show", run_id, "--json", "--log", log).done().json
    assert record["run_id"] == run_id
    assert record["card"] == command("show", run_id[:6], "--log", log).done().out


def test_a_mark_changes_one_line_of_the_card_and_nothing_else(log_copy, command):
    run_id, other = sorted(p.name[7:] for p in (log_copy / "runs").iterdir())
    before = command("show", run_id, "--log", log_copy).done().out
    records = tree(log_copy / "runs")
    cards = {p.name: p.read_bytes() for p in log_copy.glob(f"*{other}.md")}
    note = "adds *nothing*\n| at 4h | `really` <b>\n# no"
    said = command("mark", run_id, "dropped", "--note", note, "--log", log_copy).done().out
    (card,) = log_copy.glob(f"*{run_id}.md")
    assert said == f"dropped: {card}\n"
    after = command("show", run_id, "--log", log_copy).done().out
    assert card.read_text(encoding="utf-8") == after
    changes = [
        (old, new)
        for old, new in zip(before.splitlines(), after.splitlines(), strict=True)
        if old != new
    ]
    ((old, new),) = changes
    assert old == "Decision: none yet."
    assert new.startswith("Decision: ")
    assert "dropped" in new
    assert r"adds \*nothing\* \| at 4h \| \`really\` \<b\> \# no" in new
    assert tree(log_copy / "runs") == records
    assert {p.name: p.read_bytes() for p in log_copy.glob(f"*{other}.md")} == cards


def test_a_later_mark_is_shown_and_the_earlier_stays_in_the_log(log_copy, command):
    run_id = sorted(p.name[7:] for p in (log_copy / "runs").iterdir())[0]
    command("mark", run_id, "parked", "--log", log_copy).done()
    command("mark", run_id, "adopted", "--note", "after all", "--log", log_copy).done()
    head = command("show", run_id, "--log", log_copy).done().out.splitlines()[4]
    assert "adopted" in head
    assert "after all" in head
    sql = "select decision, note from decisions order by decided_at"
    assert command("query", sql, "--json", "--log", log_copy).done().json == [
        {"decision": "parked", "note": ""},
        {"decision": "adopted", "note": "after all"},
    ]
    runs = command("list", "--json", "--log", log_copy).done().json
    assert {r["run_id"]: r["decision"] for r in runs}[run_id] == "adopted"


def test_index_makes_what_was_deleted_again(log_copy, command):
    run_id = sorted(p.name[7:] for p in (log_copy / "runs").iterdir())[0]
    command("mark", run_id, "parked", "--note", "later", "--log", log_copy).done()
    sql = "select r.*, c.markdown from runs r join cards c using (run_id) order by run_id"
    rows = command("query", sql, "--json", "--log", log_copy).done().json
    cards = {p.name: p.read_bytes() for p in log_copy.glob("*.md")}
    assert len(cards) == 2
    (log_copy / "log.duckdb").unlink()
    for name in cards:
        (log_copy / name).unlink()
    said = command("index", "--log", log_copy).done().out
    assert said == f"{log_copy / 'log.duckdb'}: 2 runs\n"
    assert {p.name: p.read_bytes() for p in log_copy.glob("*.md")} == cards
    assert command("query", sql, "--json", "--log", log_copy).done().json == rows


def test_compare_sets_the_shared_scores_side_by_side(in_workspace, command):
    first = command("run", "hypotheses/tiny-har.toml", "--json").done().json[0]["run_id"]
    changed_spec = changed(('"log(rv_4h)", ', ""), ("min_gain = 0.01", "min_gain = 0.02"))
    (in_workspace / "hypotheses/tiny-har.toml").write_text(changed_spec)
    second = command("run", "hypotheses/tiny-har.toml", "--json").done().json[0]["run_id"]
    found = command("compare", first, second, "--json").done().json
    assert set(found) == {"runs", "spec_difference", "scores"}
    assert '-features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]' in found["spec_difference"]
    assert "+min_gain = 0.02" in found["spec_difference"]
    assert all(s["difference"] == s["second"] - s["first"] for s in found["scores"])
    moved = {s["model"] for s in found["scores"] if s["difference"]}
    assert moved == {"har"}
    shown = command("compare", first, second).done().out
    assert first in shown
    assert "+min_gain = 0.02" in shown
    same = command("compare", first, first, "--json").done().json
    assert same["spec_difference"] == []


@pytest.mark.parametrize(
    "name", ["models", "measures", "features", "metrics", "risk", "distribution"]
)
def test_a_catalogue_names_what_its_table_holds(name, command):
    from harness.measures.table import MEASURES
    from harness.models.table import KINDS
    from harness.samples.feature_functions import FUNCTIONS
    from harness.scores.distribution import definitions
    from harness.scores.metrics import METRICS
    from harness.scores.risk.definitions import FIGURES

    tables = {"models": KINDS, "measures": MEASURES, "features": FUNCTIONS, "metrics": METRICS}
    tables |= {"risk": FIGURES, "distribution": definitions.FIGURES}
    entries = command(name, "--json").done().json
    shown = command(name).done().out
    assert set(tables[name]) <= {str(next(iter(e.values()))).split("(")[0] for e in entries}
    assert all(str(value) for entry in entries for value in entry.values())
    assert all(word in shown for word in tables[name])


def test_panels_are_listed_checked_and_described(in_workspace, command):
    (in_workspace / "panels/broken.toml").write_text("[panel]\n")
    broken, tiny = command("panel", "list", "--json").done().json
    assert tiny == {
        "name": "tiny",
        "bar": "5m",
        "source": "simulated",
        "title": "Thirty simulated days of 5-minute bars",
    }
    assert broken["name"] == "broken"
    assert "broken.toml" in broken["title"]
    report = command("panel", "check", "tiny", "--json").done().json
    assert report["ok"] is True
    assert report["rows"] == 30 * 288
    assert command("panel", "check", "tiny").done().out.endswith("tiny: ok\n")
    described = command("panel", "describe", "tiny", "--json").done().json
    assert described["start"] == "2021-01-01"
    assert described["symbols"][0]["fingerprint"].startswith("xxh3:")


def test_a_bad_panel_fails_its_check_with_every_problem(in_workspace, command):
    from support.workspace import CSV_PANEL

    (in_workspace / "panels/file.toml").write_text(CSV_PANEL)
    rows = ["2021-01-01 00:00,100", "2021-01-01 01:00,-1", "2021-01-01 03:00,100"]
    (in_workspace / "panels/prices.csv").write_text("\n".join(["ts,close", *rows]) + "\n")
    ran = command("panel", "check", "file")
    assert ran.code == 2
    assert "non-positive" in ran.out
    assert "missing bars: 1" in ran.out
    assert ran.out.endswith("file: not ok\n")


def test_new_writes_a_hypothesis_that_loads(in_workspace, command):
    written = command("new", "my-idea").done().out.strip()
    hypothesis = harness.load_hypothesis(in_workspace / written)
    assert hypothesis.identity.name == "my-idea"
    shutil.copytree(ROOT / "panels", in_workspace / "panels", dirs_exist_ok=True)
    assert command("plan", written, "--json").done().json["models"] == ["persistence", "har"]


def test_doctor_gives_every_check_and_fails_with_a_reason(in_workspace, command):
    ran = command("doctor", "--json")
    checks = {check["check"]: check for check in ran.json}
    assert {"python", "libraries", "log", "cache", "compiled loops", "panels"} <= set(checks)
    assert ran.code == (1 if any(c["state"] == "fails" for c in ran.json) else 0)
    for name in ("python", "log", "cache", "compiled loops", "panels"):
        assert checks[name]["state"] == "ok", checks[name]
    (in_workspace / "log").write_text("")
    broken = command("doctor", "--json", "--log", "log")
    assert broken.code == 1
    assert {c["check"]: c["state"] for c in broken.json}["log"] == "fails"


def test_an_empty_log_reads_as_empty(in_workspace, command):
    assert command("list", "--json").done().json == []
    assert "no runs in reports yet" in command("list").done().err
    assert command("query", "from scores", "--json").done().json == []
    assert not (in_workspace / "reports").exists()


def on_terminal(*arguments: object) -> Ran:
    """The command on a terminal of 80 columns and 24 lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    unset = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "harness.cli.main", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**unset, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
    ) as running:
        os.close(theirs)
        shown = b""
        try:
            while some := os.read(ours, 65_536):
                shown += some
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
        os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "")
    return Ran(running.returncode, plain, "")


def test_on_a_real_terminal_a_plan_fits_80_columns(in_workspace):
    ran = on_terminal("plan", "hypotheses/tiny-har.toml")
    assert ran.code == 0, ran.out
    assert "spec_hash" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


WIDE = {
    "list": ("list",),
    "compare": ("compare", "FIRST", "SECOND"),
    "a query": ("query", "from scores"),
    "a query of many columns": ("query", "from runs"),
    "run": ("run", "hypotheses/tiny-har.toml"),
    "doctor": ("doctor",),
    "panel list": ("panel", "list"),
    "panel describe": ("panel", "describe", "tiny"),
}


@pytest.mark.parametrize("what", WIDE)
def test_on_a_terminal_lines_fit_80_columns(what, log_copy, in_workspace, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("HARNESS_LOG", str(log_copy))
    first, second = sorted(p.name[7:] for p in (log_copy / "runs").iterdir())
    arguments = [{"FIRST": first, "SECOND": second}.get(a, a) for a in WIDE[what]]
    lines = re.sub(r"\x1b\[[0-9;]*m", "", command(*arguments).out).splitlines()
    assert len(lines) > 2
    # A path or a hash is never broken: it could not be copied.
    words = [line for line in lines if not re.fullmatch(r" *(\S+ )?\S*[/:]\S{40,}", line)]
    assert max(map(len, words)) <= 80, max(words, key=len)
    if what == "a query of many columns":
        assert f"run_id: {first}" in lines


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_no_help_is_wider_than_80_columns(name):
    shown = CliRunner().invoke(cli, [*name.split(), "--help"]).output
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    "name", ["models", "measures", "features", "metrics", "risk", "distribution"]
)
def test_no_catalogue_is_wider_than_80_columns(name, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, command(name).done().out.splitlines())) <= 80


def test_colours_are_for_terminals_whose_owner_wants_them(in_workspace, command, monkeypatch):
    assert "\x1b" not in command("models").done().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b" in command("models").done().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in command("models").done().out


def test_a_reader_that_has_had_enough_is_no_error(two_runs):
    sql = "from range(300000)"  # far more than a pipe holds
    with process("query", sql, "--log", two_runs[0]) as running:
        assert running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(60) == 0


def test_as_a_process_results_go_to_stdout_and_errors_to_stderr(in_workspace):
    with process("run", "hypotheses/tiny-har.toml", "--json") as running:
        ran = finish(running).done()
    assert json.loads(ran.out)[0]["hypothesis"] == "tiny-har"
    with process("run", "nothing.toml", environment={"PYTHONDONTWRITEBYTECODE": "1"}) as running:
        assert "nothing.toml: no such file" in finish(running).refused()


@pytest.mark.parametrize("arguments", [(), ("panel",)])
def test_a_group_without_a_command_shows_its_help(command, arguments):
    shown = command(*arguments).done().out
    assert shown == command(*arguments, "--help").done().out
