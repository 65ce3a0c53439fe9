"""Documents beside what was found: read from the file, kept in the log, set out on a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import workspace

import harness
from harness.cards.claims_page import claims
from harness.errors import SpecError
from harness.log.query import run_query
from harness.spec.reading import parse_hypothesis

TINY = "hypotheses/tiny-har.toml"
DOCUMENT = """\
[document]
title = "A study of | thirty days"
place = "table 2"
says = "three scales add 2 points"
differs = "Its data are others."
gain = 0.02
figures.r2_log = { har = 0.5, persistence = 0.4 }
figures.mae_log = { har = 0.1 }

[panel]
"""
TEXT = workspace.changed(("[panel]\n", DOCUMENT))


@pytest.fixture
def in_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    workspace.lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path(TINY).write_text(TEXT)
    return tmp_path


def test_a_document_changes_no_hash():
    plain = parse_hypothesis(workspace.HYPOTHESIS, Path("x.toml"))
    named = parse_hypothesis(TEXT, Path("x.toml"))
    assert named.document is not None and plain.document is None
    assert named.spec_hash == plain.spec_hash
    assert named.comparison_hash == plain.comparison_hash


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("place = ", "plaec = "), "document.plaec: got 'plaec', wanted one of the keys"),
        (("gain = 0.02", 'gain = "2 %"'), "document.gain: got '2 %', wanted a number"),
        (("figures.r2_log", "figures.r2_lgo"), "document.figures.r2_lgo"),
        (
            ("{ har = 0.1 }", "{ hra = 0.1 }"),
            "document.figures.mae_log.hra: got 'hra', wanted one of persistence, har; "
            "did you mean 'har'?",
        ),
        (("gain = 0.02", 'right_if = "dead"'), "wanted one of confirmed, refuted"),
    ],
)
def test_a_mistake_in_a_document_is_one_line(change, words):
    with pytest.raises(SpecError) as refused:
        parse_hypothesis(workspace.changed(change, text=TEXT), Path("x.toml"))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_page_sets_the_document_beside_the_latest_run(in_workspace, command):
    command("run", TINY).done()
    (ran,) = command("run", TINY, "--json").done().json
    record = harness.open_log("reports").read(ran["run_id"])
    assert (
        "**Document:** A study of \\| thirty days, table 2: three scales add 2 points."
        in (record["card"])
    )
    assert "It reports +2.00 pp; found here " in record["card"]
    (claim,) = command("documents", "--json").done().json
    assert claim["run_id"] == ran["run_id"] and claim["gain"] == pytest.approx(ran["gain"])
    wanted = {"confirmed": "stands", "refuted": "fails"}.get(ran["status"], "open")
    assert claim["claim"] == wanted
    scores = record["tables"]["scores"]
    pooled = {
        (m, name): value
        for m, name, scope, horizon, value in zip(
            *(scores[key] for key in ("metric", "model", "scope", "horizon", "value")), strict=True
        )
        if scope == "pooled" and horizon == record["verdict"]["horizon"]
    }
    found = {(f["metric"], f["model"]): (f["value"], f["found"]) for f in claim["figures"]}
    assert found == {
        ("r2_log", "har"): (0.5, pooled["r2_log", "har"]),
        ("r2_log", "persistence"): (0.4, pooled["r2_log", "persistence"]),
        ("mae_log", "har"): (0.1, pooled["mae_log", "har"]),
    }
    page = command("documents").done().out
    assert "## A study of \\| thirty days" in page
    assert f"[tiny-har]({Path(ran['card']).name})" in page
    assert (in_workspace / "reports" / Path(ran["card"]).name).is_file()
    row = "| three scales add 2 points (table 2) | har over persistence, R² log 4h | +2.00 pp |"
    assert row in page
    assert "- tiny-har: Its data are others." in page
    command("documents", "--out", "reports/seeds.md").done()
    assert Path("reports/seeds.md").read_text() == page


def test_a_refuted_converse_is_a_claim_that_stands(in_workspace, command):
    """The same run, of a document that says the opposite."""
    Path(TINY).write_text(TEXT.replace("gain = 0.02", 'right_if = "refuted"'))
    (ran,) = command("run", TINY, "--json").done().json
    (claim,) = command("documents", "--json").done().json
    wanted = {"refuted": "stands", "confirmed": "fails"}.get(ran["status"], "open")
    assert claim["claim"] == wanted and claim["reported"] is None
    page = command("documents").done().out
    assert "| har over persistence, R² log 4h | n/a |" in page


def test_the_log_can_be_asked_for_documents(in_workspace, command):
    (ran,) = command("run", TINY, "--json").done().json
    log = harness.open_log("reports")
    sql = "select title, place, gain from documents where run_id = '{}'".format(ran["run_id"])
    assert run_query(log, sql)[1] == [("A study of | thirty days", "table 2", 0.02)]
    assert run_query(log, "select count(*) from reported")[1] == [(3,)]


def test_a_log_without_documents_is_said_to_have_none(in_workspace, command):
    Path(TINY).write_text(workspace.HYPOTHESIS)
    command("run", TINY).done()
    refused = command("documents")
    assert "no run of a hypothesis with a [document]" in refused.err
    assert command("documents", "--json").done().json == []


def test_what_is_not_defined_is_not_available(in_workspace, command):
    """A record whose interval is null, as that of too short a test is."""
    command("run", TINY).done()
    (claim,) = claims(harness.open_log("reports"))[0]
    tests = claim.record["tables"]["tests"]
    tests["gain_low"][0] = tests["gain_high"][0] = None
    assert "pp | n/a |" in claim.row()
