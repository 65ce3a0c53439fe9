"""The verdict card: the same bytes from the same record, and text from a file stays text."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from support import workspace

import harness
from harness.cards.evidence_rows import ability_rows
from harness.cards.fit_rows import loss_words
from harness.cards.render import render_card, settings
from harness.log.store import with_decision
from harness.walk.residuals.laws import LAWS

GOLDEN = Path(__file__).parent / "golden" / "tiny-har.md"
NOON = datetime(2026, 5, 19, 12, 0, tzinfo=UTC)
ENVIRONMENT = {
    "harness": "0.0.0",
    "code_version": "0123456789ab",
    "source": "sha256:0",
    "python": "3.11.0",
    "libraries": {"numpy": "2.0.0", "polars": "2.0.0"},
    "machine": "Linux x86_64",
    "cores": 4,
    "threads": {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": None, "polars": 4},
}


def record_of(
    folder: Path, text: str = workspace.HYPOTHESIS, panel: str = workspace.PANEL
) -> dict[str, Any]:
    """The record of a run in this folder at noon, all that a machine adds put in by hand."""
    workspace.lay_out(folder)
    (folder / "panels/tiny.toml").write_text(panel)
    file = folder / "hypotheses/tiny-har.toml"
    file.write_text(text)
    log = harness.open_log(folder / "reports")
    outcome = harness.run(
        harness.load_hypothesis(file),
        log,
        search=[folder / "panels"],
        clock=lambda: NOON,
        keep=False,
    )
    record = log.read(outcome.run_id)
    timings, times = record["tables"]["timings"], record["tables"]["fit_times"]
    quarter = [0.25] * len(times["fit"])
    return {
        **record,
        "run_id": "0badcafe",
        "seconds": 5.6,
        "environment": ENVIRONMENT,
        "tables": {
            **record["tables"],
            "timings": {"stage": timings["stage"], "seconds": [0.25] * len(timings["stage"])},
            "fit_times": times | {"fit_seconds": quarter, "predict_seconds": quarter},
        },
    }


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> dict[str, Any]:
    return record_of(tmp_path_factory.mktemp("card"))


def test_the_card_of_a_small_study_is_the_golden_one(record):
    card = render_card(record)
    if os.environ.get("HARNESS_GOLDEN") == "write":
        GOLDEN.write_text(card, encoding="utf-8")
    told = "run with HARNESS_GOLDEN=write and read the difference before you commit it"
    assert card == GOLDEN.read_text(encoding="utf-8"), told


def test_the_card_says_of_which_rows_residuals_are(record):
    fits = record["tables"]["fits"]
    assert "Residuals for the back-transformation: of the training rows (persistence, har)." in (
        render_card(record)
    )
    har = [model == "har" for model in fits["model"]]
    which = ["left out and training" if own else "training" for own in har]
    why = ["60 rows, wanted 70" if k == har.index(True) else "" for k in range(len(har))]
    other = {**record["tables"], "fits": {**fits, "residuals": which, "unseen": why}}
    card = render_card({**record, "tables": other})
    assert (
        "Residuals for the back-transformation: of the training rows (persistence); of the "
        "training rows, left out a third at a time and forecast by fits without them or the "
        "training rows (har)."
    ) in card
    told = f"in 1 of {sum(har)} fits (60 rows, wanted 70)."
    assert f"har: residuals of its training rows, which are too small, {told}" in card
    # Records without them, and runs in which nothing is made of residuals, say nothing.
    old = {key: values for key, values in fits.items() if key not in ("residuals", "unseen")}
    naive = {**record, "settings": {**record["settings"], "back": "naive"}}
    for quiet in ({**record, "tables": {**record["tables"], "fits": old}}, naive):
        assert "Residuals for" not in render_card(quiet)


def test_a_stored_card_is_what_its_record_gives_again(two_runs):
    root, runs = two_runs
    log = harness.open_log(root)
    for run_id in runs:
        stored = log.read(run_id)
        assert render_card(stored) == stored["card"] == log.card_path(stored).read_text("utf-8")


PARTS = (
    "# HAR on thirty simulated days",
    "2026-05-19 · status: **",
    "Decision: none yet.",
    "**Hypothesis:** Three scales beat the last hours by 1 point of R².",
    "**Verdict: ",
    "## Key metrics",
    "## Approach",
    "## Pooled out-of-sample comparison",
    "| horizon | model | IC | R² log | MAE log |",
    "## Evidence",
    "## R² log per test window, 1h horizon (3 windows)",
    "## R² log per test window, 4h horizon (3 windows)",
    "| 2021-01-13 → 2021-01-18 | 120 |",
    "## Wins over persistence",
    "## Coefficients over the fits, 4h horizon",
    "## Data",
    "fingerprint | `xxh3:",
    "spec | `sha256:",
    "effective 1,440 min (1 d) at 1h",
    "## Leak proof",
    "## Environment",
    "## Definitions of the metrics",
)


@pytest.mark.parametrize("part", PARTS)
def test_a_card_holds_every_part(record, part):
    assert part in render_card(record)


def test_a_decision_fills_its_one_line_of_the_card(record):
    card = render_card(record)
    entry = {"decision": "dropped", "decided_at": "2026-05-20T10:00:00+00:00", "note": "no use"}
    by_symbol = with_decision(card, entry)
    changed = set(by_symbol.splitlines()) - set(card.splitlines())
    assert len(changed) == 1
    assert "dropped" in changed.pop()
    assert card.count("Decision: ") == 1


MARKDOWN = MarkdownIt("commonmark").enable("table")
NASTY = (
    "{{ 7*7 }} {% for x in y %} {# c #} | <script>alert(1)</script> `code` *b* _i_ [l](http://x) "
    "![i](y) # h &amp; ~~s~~ \\\\ $m$ é 漢"
)
BLOCKS = """\
# heading
Setext
===
---
```
fence
    indented
> quote
<b>html</b>
| a | b |
|---|---|
- item # one
1. number
+ plus
[ref]: http://x
"""


def shape(card: str) -> list[tuple[str, str]]:
    """Every block of the card in order, inline text left out; the approach's paragraphs too."""
    return [(t.type, t.tag) for t in MARKDOWN.parse(card) if t.type not in ("inline",)]


def toml(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> str:
    text = workspace.HYPOTHESIS
    head, _, rest = text.partition("title = ")
    rest = rest[rest.index("\n\n[panel]") :]
    spec = (
        f"{head}title = {toml(NASTY)}\nclaim = {toml(NASTY + ' ' + 'long ' * 2000)}\n"
        f"approach = '''\n{BLOCKS}'''\n{rest}"
    )
    panel = workspace.changed(
        ('title = "Thirty simulated days of 5-minute bars"', f"title = {toml(NASTY)}"),
        ('how_to_get = "nothing to get"', f"how_to_get = 'x'\nnote = '''{BLOCKS}'''"),
        text=workspace.PANEL,
    )
    return render_card(record_of(tmp_path_factory.mktemp("hostile"), spec, panel))


def test_hostile_text_stays_on_its_line_and_is_shown_as_written(hostile):
    lines = hostile.splitlines()
    first = MARKDOWN.parse(hostile)[1]
    assert lines[0].startswith("# ")
    assert first.type == "inline"
    kinds = {child.type for child in first.children}
    assert kinds <= {"text", "text_special"}, kinds
    assert first.children and "".join(c.content for c in first.children) == NASTY
    assert "49" not in lines[0]
    assert "{{ 7*7 }}" in "".join(c.content for c in first.children)


def test_hostile_text_adds_no_heading_table_code_or_html(hostile, record):
    def count(card: str) -> dict[str, int]:
        kinds = [t.type for t in MARKDOWN.parse(card)]
        kinds += [c.type for t in MARKDOWN.parse(card) for c in t.children or ()]
        wanted = (
            "heading_open", "table_open", "tr_open", "td_open", "th_open", "fence", "code_block",
            "html_block", "html_inline", "blockquote_open", "hr", "link_open", "image", "em_open",
            "ordered_list_open", "code_inline",
        )  # fmt: skip
        return {kind: kinds.count(kind) for kind in wanted}

    assert count(hostile) == count(render_card(record))
    rendered = MARKDOWN.render(hostile)
    assert "<script" not in rendered
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in rendered


def test_what_the_approach_lists_stays_a_list(record):
    rendered = MARKDOWN.render(render_card(record))
    assert "<li>persistence, no parameters</li>" in rendered


def test_parameters_that_are_tables_and_lists_are_told_in_words():
    stacked = {
        "kind": "stacked",
        "features": ["rv_1h"],
        "first": {"kind": "gru", "features": ["ret_1h"], "width": 4},
        "har": ["log(rv_1h)", "log(rv_1d)"],
    }
    assert settings(stacked) == (
        "`rv_1h`, first (gru: `ret_1h`, width 4), har `log(rv_1h)`, `log(rv_1d)`"
    )
    forest = {"kind": "sklearn", "features": ["rv_1h"], "params": {"n_estimators": 50}}
    assert settings(forest) == "`rv_1h`, params (n_estimators 50)"
    assert settings({"kind": "sklearn", "features": ["rv_1h"], "params": {}}) == "`rv_1h`"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"kind": "lstm", "loss": "qlike"}, ("QLIKE", "nats")),
        ({"kind": "lightgbm", "objective": "l1"}, ("absolute error", "the target's unit")),
        (
            {"kind": "stacked", "objective": "l2", "first": {"kind": "gru", "loss": "qlike"}},
            ("first stage: QLIKE", "nats"),
        ),
        (
            {"kind": "stacked", "objective": "l2", "first": {"kind": "ols"}},
            ("squared error", "the target's unit, squared"),
        ),
        (
            {"kind": "deepvol"},
            (
                "negative log likelihood under a normal distribution",
                "nats, of returns over their scale",
            ),
        ),
    ],
)
def test_the_loss_of_training_is_that_of_what_is_trained(model, words):
    assert loss_words(model) == words


@pytest.mark.parametrize("law", LAWS)
def test_the_card_has_words_for_every_law_of_forecast_quantiles(law):
    page = workspace.ROOT / "harness/cards/distribution.md.j2"
    assert f'law == "{law}" %}}\n- `{law}`: ' in page.read_text(encoding="utf-8")


def test_the_card_shows_every_test_of_predictive_ability_that_was_made(record):
    shown = ability_rows(record)
    tests = [row["test"] for table in ("bootstrap", "pairs", "calibration") for row in shown[table]]
    assert sorted(tests) == sorted(record["tables"]["ability"]["test"])
