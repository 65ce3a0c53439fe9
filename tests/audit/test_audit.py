"""The leak audit: it finds every planted leak, says where, and raises no false alarm."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import leaks, workspace
from support.workspace import ROOT
from support.worlds import make_samples

import harness
from harness.audit.alone import audit_hypothesis
from harness.audit.auditor import Auditor
from harness.audit.columns import column_checks
from harness.audit.findings import Audit, Check, Failure, audit_table, merged
from harness.durations import parse_moment
from harness.models.linear import Ols
from harness.study.stages import measure_study
from harness.study.study import set_up

DATA = os.environ.get("HARNESS_DATA")
TORCH = importlib.util.find_spec("torch") is not None
PERTURBED = ("noise after the origin", "a scaled copy after the origin")
TRUNCATED = ("bars read to the origin only", "bars cut off at the origin")
SIDE = """\
[panel]
name = "fear"
title = "A series an hour"
bar = "1h"
calendar = "24/7"
timezone = "UTC"
how_to_get = "made by a test"

[source]
kind = "csv"
path = "fear.csv"
symbol = "FEAR"

[columns]
ts = "ts"

[columns.extra]
fear = { column = "fear", unit = "none" }
"""
JOIN = '\n[side.fear]\npanel = "fear"\ncolumn = "fear"\nmax_age = "2d"\n'


def audited(folder: Path, text: str = workspace.HYPOTHESIS, **options: bool) -> Audit:
    """The audit of the workspace's hypothesis, changed as asked, in a folder that is laid out."""
    (folder / "hypotheses/tiny-har.toml").write_text(text)
    hypothesis = harness.load_hypothesis(folder / "hypotheses/tiny-har.toml")
    return audit_hypothesis(hypothesis, [folder / "panels"], keep_measures=False, **options)


def with_feature(*features: str, kind: str = "ols") -> str:
    """The workspace's hypothesis with another model of these features, decided on at an hour."""
    listed = ", ".join(f'"{feature}"' for feature in features)
    model = f'[models.planted]\nkind = "{kind}"\nfeatures = [{listed}]\n\n[verdict]'
    changes = ("[verdict]", model), ('horizon = "4h"', 'horizon = "1h"')
    return workspace.changed(*changes)


def named(audit: Audit, check: str) -> list[Failure]:
    """What this check found."""
    return [f for c in audit.checks if c.name == check for f in c.failures]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    workspace.lay_out(tmp_path)
    return tmp_path


def test_an_honest_hypothesis_passes_and_the_audit_says_what_it_looked_at(tiny):
    audit = audited(tiny)
    assert audit.passed, audit.forbidden
    assert audit.forbidden == ()
    names = {check.name for check in audit.checks}
    assert names >= {*PERTURBED, *TRUNCATED, "embargo", "target shuffle", "data quality",
                     "constant or repeated features", "features that are the target",
                     "the run's own measures"}  # fmt: skip
    assert all(check.count > 0 and check.covered for check in audit.checks)
    assert audit.words == f"passed, {len(audit.checks)} checks"
    assert audit.symbols == ("SIM0001",)
    assert len(audit.origins) >= 2
    assert not audit.left_out
    assert audited(tiny) == audit  # the origins are of the hypothesis


# A model that stops early, on rows held out.
STOPPED = workspace.changed(
    ('embargo = "1d"', 'embargo = "1d"\nvalidation = "2d"'),
    ("[verdict]", '[models.trees]\nkind = "lightgbm"\nrounds = 5\nearly_stopping = 2\n'
     'features = ["log(rv_1h)"]\n\n[verdict]'),
)  # fmt: skip
# A model whose residuals are those of fits without a third of the rows.
LEFT_OUT = workspace.changed(
    ("[verdict]", '[models.trees]\nkind = "lightgbm"\nrounds = 5\nmin_data_in_leaf = 5\n'
     'features = ["log(rv_1h)"]\n\n[verdict]'),
)  # fmt: skip
# Every leak, how each is planted, and by which checks it has to be found.
FEATURE = with_feature("leaky(rv_1h)")
PLANTED: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str, tuple[str, ...], str]] = {
    "full-sample scaling of a feature": (
        leaks.function("leaky", leaks.whole), FEATURE, (*PERTURBED, *TRUNCATED), "leaky(rv_1h)"),
    "full-sample scaling of a measure": (
        leaks.scaled_measure, workspace.HYPOTHESIS,
        (*PERTURBED, *TRUNCATED, "the run's own measures"), "measure rv_1h"),
    "centred rolling": (
        leaks.function("leaky", leaks.centred), FEATURE, (*PERTURBED, *TRUNCATED), "leaky(rv_1h)"),
    "backward fill of a feature": (
        leaks.function("leaky", leaks.backward), FEATURE, PERTURBED[:1], "leaky(rv_1h)"),
    "parameters fitted once, on all data": (
        leaks.kind("once", "Once"), with_feature("log(rv_1h)", "log(rv_1d)", kind="once"),
        (*PERTURBED, *TRUNCATED), "model planted at 1h"),
    "feature selection on all data": (
        leaks.kind("selected", "Selected"),
        with_feature("ret_1h", *(f"lag(ret_1h, {k})" for k in range(1, 24)), kind="selected"),
        PERTURBED[:1], "model planted at 1h"),
    "embargo one step short in the folds": (
        leaks.folds(leaks.one_step_short), workspace.HYPOTHESIS, ("embargo",), "fit 1 at 1h"),
    "embargo one step short in the study": (
        leaks.embargo_of_the_study, workspace.HYPOTHESIS, ("embargo", "late targets"), "at 4h"),
    "training rows past their end in a sweep": (
        leaks.swept_too_far, workspace.HYPOTHESIS, ("late targets",), "model har at 4h"),
    "a target column in the features": (
        leaks.target_among_features, workspace.HYPOTHESIS,
        (*PERTURBED, "features that are the target"), "at 1h"),
    "the next value in the features": (
        leaks.function("leaky", leaks.lead), FEATURE,
        (*PERTURBED, *TRUNCATED, "features that are the target"), "leaky(rv_1h)"),
    "residuals of rows next to those trained on": (
        leaks.residuals_without_purge, LEFT_OUT, ("embargo",), "fit for residuals at 1h"),
    "residuals of the rows that are tested": (
        leaks.residuals_of_the_test, LEFT_OUT, ("late targets",), "model trees at"),
    "validation overlapping test": (
        leaks.validated_on_test, STOPPED,
        ("embargo",), "fit 1 at 1h"),
    "shuffled split": (
        leaks.folds(leaks.shuffled), workspace.HYPOTHESIS, ("embargo", *PERTURBED), "at 1h"),
    "fitted on the tested rows": (
        leaks.folds(leaks.on_tested_rows), workspace.HYPOTHESIS, ("embargo", "target shuffle"),
        "model har at 4h"),
    "a window known before its last bar": (
        leaks.known_too_early, workspace.HYPOTHESIS, PERTURBED, "measure rv_1h"),
    "a resampled bar stamped at its end but known later": (
        leaks.source(leaks.resampled), workspace.HYPOTHESIS, TRUNCATED[:1], "column close"),
    "revised data": (
        leaks.source(leaks.revised), workspace.HYPOTHESIS, TRUNCATED[:1], "column close"),
}  # fmt: skip


# Where a check names another subject than the others do.
ELSEWHERE: dict[str, dict[str, str]] = {
    "shuffled split": dict.fromkeys(PERTURBED, "model persistence at 4h"),
    "fitted on the tested rows": {"embargo": "fit 1 at 1h"},
}


@pytest.mark.parametrize("leak", PLANTED)
def test_a_planted_leak_is_found_and_named(leak, tiny, monkeypatch):
    plant, text, checks, subject = PLANTED[leak]
    elsewhere = ELSEWHERE.get(leak, {})
    if "ret_1h" in text:
        text = workspace.changed(('measures = ["rv"]', 'measures = ["rv", "ret"]'), text=text)
    plant(monkeypatch)
    audit = audited(tiny, text)
    assert not audit.passed
    for check in checks:
        found = named(audit, check)
        assert found, (check, audit.checks)
        wanted = elsewhere.get(check, subject)
        assert any(wanted in f.subject and f.moment is not None for f in found), (check, found)
        assert any(s.startswith(f"The leak audit failed, {check}: ") for s in audit.forbidden)


# Three symbols, each fitted alone, or with slopes that all share.
SEVERAL = workspace.changed(("days = 30", "days = 30\nsymbols = 3"), text=workspace.PANEL)
SCOPES = {
    scope: workspace.changed(
        ("[verdict]", f'[models.planted]\nkind = "ols"\nscope = "{scope}"\n'
         'features = ["log(rv_1h)"]\n\n[verdict]')
    )
    for scope in ("asset", "effects")
}  # fmt: skip


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("leak", [leaks.sweeps_alone(leaks.one_step_short), leaks.swept_too_far])
def test_a_leak_into_fits_by_symbol_alone_is_found(leak, scope, tiny, monkeypatch):
    (tiny / "panels/tiny.toml").write_text(SEVERAL)
    honest = audited(tiny, SCOPES[scope])
    assert honest.passed, honest.forbidden
    leak(monkeypatch)
    audit = audited(tiny, SCOPES[scope])
    found = [f.subject for f in named(audit, "late targets")]
    assert "model planted at 4h" in found, audit.checks
    if leak is not leaks.swept_too_far:
        assert {f.reason for f in named(audit, "embargo")} >= {
            "a training row resolves after the cut less the embargo"
        }


@pytest.mark.skipif(not TORCH, reason="torch is not installed: no bidirectional net")
def test_a_bidirectional_net_over_the_test_rows_is_found(tiny, monkeypatch):
    leaks.kind("bidirectional", "Bidirectional")(monkeypatch)
    audit = audited(tiny, with_feature("log(rv_1h)", kind="bidirectional"))
    for check in (*PERTURBED, *TRUNCATED):
        assert [f.subject for f in named(audit, check)] == ["model planted at 1h"]
    assert audit.forbidden[0].startswith(
        "The leak audit failed, noise after the origin: model planted at 1h, SIM0001, 2021-01-"
    )


def gapped(folder: Path, missing: int = 7) -> None:
    """The tiny panel from a file with gaps of so many bars, on and off the hour."""
    panel = harness.find_panel("tiny", [folder / "panels"])
    frame = harness.load_frame(panel).select(
        pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "close"
    )
    drop = np.zeros(frame.height, bool)
    for first in (2_005, 4_801, 6_103, 7_010):
        drop[first : first + missing] = True
    frame.filter(~pl.Series(drop)).write_csv(folder / "panels/prices.csv")
    text = workspace.CSV_PANEL.replace('name = "file"', 'name = "tiny"').replace('"1h"', '"5m"')
    text = text.replace('timezone = "UTC"', 'timezone = "UTC"\nfill = "carry"')
    (folder / "panels/tiny.toml").write_text(text)


def test_prices_filled_backwards_are_found_at_a_gap(tiny, monkeypatch):
    gapped(tiny)
    honest = audited(tiny)
    assert honest.passed, honest.forbidden
    leaks.filled_backward(monkeypatch)
    found = named(audited(tiny), PERTURBED[0])
    assert "column close" in [f.subject for f in found]


def test_a_side_series_joined_without_lag_is_found(tiny, monkeypatch):
    hours = parse_moment("2020-12-28") + leaks.HOUR * np.arange(40 * 24)
    stamps = np.datetime_as_string(hours.astype("M8[ns]"), unit="s", timezone="UTC")
    fear = 20.0 + np.sin(np.arange(hours.size)) + np.random.default_rng(1).random(hours.size)
    lines = ["ts,fear", *(f"{t},{v}" for t, v in zip(stamps, fear, strict=True))]
    (tiny / "panels/fear.csv").write_text("\n".join(lines) + "\n")
    (tiny / "panels/fear.toml").write_text(SIDE)
    (tiny / "panels/tiny.toml").write_text(workspace.PANEL + JOIN)
    text = workspace.changed(
        ('measures = ["rv"]', 'measures = ["rv", "fear"]'),
        ("[verdict]", '[models.feared]\nkind = "ols"\nfeatures = ["fear_1h"]\n\n[verdict]'),
    )
    honest = audited(tiny, text)
    assert honest.passed, honest.forbidden
    leaks.joined_without_lag(monkeypatch)
    audit = audited(tiny, text)
    for check in (*PERTURBED, *TRUNCATED):
        assert "column fear" in [f.subject for f in named(audit, check)]
        assert "column close" not in [f.subject for f in named(audit, check)]
    assert any("column fear, SIM0001, 2021-01-" in sentence for sentence in audit.forbidden)


def test_constant_and_repeated_features_are_found(tiny, monkeypatch):
    leaks.function("flat", np.ones_like)(monkeypatch)
    listed = "log(rv_1h)", "log(rv_1d)", "lag(log(rv_1h), 1)", "flat(rv_1h)"
    leaks.kind("once", "Once")(monkeypatch)  # least squares would refuse such features
    audit = audited(tiny, with_feature(*listed, "mean(log(rv_1h), 1)", kind="once"))
    found = {f.subject: f.reason for f in named(audit, "constant or repeated features")}
    assert found["feature flat(rv_1h) at 1h"].startswith("constant: 1 in all")
    assert "same as feature log(rv_1h)" in found["feature mean(log(rv_1h), 1) at 1h"]


def test_a_repeated_feature_is_found_beside_one_that_is_the_same_only_at_first():
    samples = make_samples(n=900)
    x = np.random.default_rng(1).random(900)
    later = np.where(np.arange(900) < 600, x, x + 1.0)
    rows = replace(samples.rows, X=np.asfortranarray(np.column_stack((later, x, x))),
                   names=("later", "x", "again"))  # fmt: skip
    checks = column_checks({"m": Ols(rows.names)}, replace(samples, rows=rows))
    (found,) = checks[0].failures
    assert found.subject == f"feature again at {samples.horizon}"
    assert found.reason == "the same as feature x in all rows, in model m"


def test_too_many_filled_bars_forbid_a_verdict(tiny):
    gapped(tiny, missing=280)
    audit = audited(tiny)
    (sentence,) = audit.forbidden
    assert sentence.startswith("Data quality forbids a verdict: bars, X, 2021-01-")
    assert "of the bars are filled, more than the 10% allowed" in sentence


def test_targets_at_the_floor_forbid_a_verdict(tiny):
    audit = audited(
        tiny, workspace.changed(('measures = ["rv"]', 'measures = ["rv"]\nfloor = 0.001'))
    )
    assert any("of them are at the floor, more than the 5% allowed" in f for f in audit.forbidden)


def test_a_run_with_a_leak_is_void_and_its_record_card_and_index_say_why(tiny, monkeypatch):
    leaks.function("leaky", leaks.lead)(monkeypatch)
    (tiny / "hypotheses/tiny-har.toml").write_text(FEATURE)
    hypothesis = harness.load_hypothesis(tiny / "hypotheses/tiny-har.toml")
    log = harness.open_log(tiny / "reports")
    outcome = harness.run(hypothesis, log, search=[tiny / "panels"])
    assert outcome.verdict.status == "void"
    record = log.read(outcome.run_id)
    assert record["audit"]["passed"] is False
    assert any("leaky(rv_1h)" in reason for reason in record["verdict"]["reasons"])
    assert "Audit (short form): failed" in record["card"]
    assert "| noise after the origin | **failed** |" in record["card"]
    from harness.log.query import run_query

    asked = "SELECT name, passed, subject, first_row FROM audits WHERE NOT passed ORDER BY ALL"
    rows = run_query(log, asked)[1]
    assert {row[0] for row in rows} >= {"features that are the target", *PERTURBED}
    assert all(row[2] and row[3] for row in rows)


def test_the_command_prints_every_check_and_fails_when_one_does(in_workspace, command, monkeypatch):
    done = command("audit", "hypotheses/tiny-har.toml").done()
    lines = done.out.splitlines()
    assert lines[-1].startswith("tiny-har: short audit passed, ")
    assert all(line.startswith("ok") for line in lines[:-1])
    assert len(lines) > 8
    leaks.function("leaky", leaks.lead)(monkeypatch)
    (in_workspace / "hypotheses/tiny-har.toml").write_text(FEATURE)
    failed = command("audit", "hypotheses/tiny-har.toml")
    assert failed.code == 1
    assert "failed  noise after the origin" in failed.out
    told = command("audit", "hypotheses/tiny-har.toml", "--json")
    assert told.code == 1
    assert told.json["passed"] is False
    assert not (in_workspace / "reports").exists()


@pytest.mark.parametrize("ask", ["audit", "run"])
def test_a_first_test_too_early_is_a_mistake_and_no_leak(ask, in_workspace, command):
    early = workspace.changed(('first_test = "2021-01-13"', 'first_test = "2021-01-02"'))
    (in_workspace / "hypotheses/tiny-har.toml").write_text(early)
    said = command(ask, "hypotheses/tiny-har.toml").refused()
    assert "walk_forward.first_test: got '2021-01-02', wanted 2021-01-0" in said
    assert "no training row at horizon 1h has resolved" in said


def test_an_audit_of_a_file_that_is_not_there_is_one_line(in_workspace, command):
    assert "nothing.toml" in command("audit", "nothing.toml").refused()


def test_the_full_form_says_what_it_takes_and_fits_every_model(tiny):
    text = workspace.changed(
        ("[verdict]", '[models.trees]\nkind = "lightgbm"\nrounds = 5\nmin_data_in_leaf = 5\n'
         'features = ["log(rv_1h)"]\n\n[verdict]')
    )  # fmt: skip
    short = audited(tiny, text)
    assert not short.left_out
    assert not short.unprobed
    told: list[str] = []
    full = audited(tiny, text, full=True, progress=told.append)
    assert full.passed, full.forbidden
    assert len(full.origins) > 4 * len(short.origins)
    assert any(line.startswith("full audit: 8 stretches") for line in told)
    assert not full.left_out


def test_checks_of_one_name_are_told_as_one():
    one = Check("noise", "here", 2, (Failure("a", "x", "S", 5),))
    two = Check("noise", "there", 3, (Failure("a", "y", "S", 3), Failure("b", "z", None, 9)))
    (both,) = merged([one, two])
    assert both.count == 5
    assert both.covered == "here; there"
    assert [(f.subject, f.moment) for f in both.failures] == [("a", 3), ("b", 9)]
    audit = Audit("short", (both,), (), ((1, 2),), (), ())
    assert audit.words == "failed, 1 of 1 checks"
    assert audit.forbidden[0].endswith("a, S, 1970-01-01: y (1 more).")
    assert audit_table(audit)["first_row"] == ["1970-01-01T00:00:00+00:00"]


CHEAP = ["sp500-har", "har-rv-j-simulated", *(["har-rv-j", "estimator-fx"] if DATA else [])]


@pytest.mark.parametrize("name", CHEAP)
def test_a_shipped_hypothesis_raises_no_false_alarm_over_twenty_seeds(name):
    study = set_up(harness.load_hypothesis(ROOT / f"hypotheses/{name}.toml"), [ROOT / "panels"])
    measured = measure_study(study)
    h = study.hypothesis
    rows = [measured.samples(horizon) for horizon in map(str, h.target.horizons)]
    for seed in range(20):
        # Another claim is another hash, and so other origins, stretches and shuffles.
        identity = h.identity.model_copy(update={"claim": f"claim {seed}"})
        other = replace(study, hypothesis=replace(h, identity=identity))
        auditor = Auditor(replace(measured, study=other))
        for samples in rows:
            auditor.rows(samples)
        audit = auditor.result()
        assert audit.passed, (seed, audit.forbidden)
        assert not audit.left_out


TINY_NETS = """
[models.lstm]
kind = "lstm"
features = ["log(rv_1h)", "log(rv_4h)"]
sequence_length = 3
layers = 1
width = 4
epochs = 2
batch = 64
attention = true
device = "cpu"

[models.gru]
kind = "gru"
features = ["log(rv_1h)"]
sequence_length = 3
layers = 1
width = 4
epochs = 2
batch = 64
standardise = "symbol"
device = "cpu"

[models.scratch]
kind = "transfer"
strategy = "scratch"
features = ["log(rv_1h)"]
sequence_length = 3
layers = 1
width = 4
heads = 2
lesson_epochs = 2
lesson_batch = 64
device = "cpu"

[models.hybrid]
kind = "hybrid"
form = "regimes"
features = ["log(rv_1h)"]
har = ["log(rv_1h)", "log(rv_1d)"]
sequence_length = 3
layers = 1
width = 4
heads = 2
lesson_epochs = 2
lesson_batch = 64
device = "cpu"

[models.transvol]
kind = "transvol"
features = ["log(rv_1h)"]
sequence_length = 6
width = 4
heads = 2
encoder_layers = 1
window = 3
epochs = 2
batch = 64
device = "cpu"

[models.stacked]
kind = "stacked"
share = 0.75
features = ["log(rv_4h)"]
rounds = 5
min_data_in_leaf = 5

[models.stacked.first]
kind = "gru"
features = ["log(rv_1h)"]
sequence_length = 3
layers = 1
width = 4
epochs = 2
batch = 64
device = "cpu"

[models.deepvol]
kind = "deepvol"
trains_on = "panel"
layers = 1
width = 4
sequence_length = 60
batch = 2
portfolios = 0.0
epochs = 1
rescale = true
device = "cpu"
"""


WITH_NETS = workspace.changed(
    ("[verdict]", TINY_NETS + "\n[verdict]"),
    ('embargo = "1d"', 'embargo = "2h"\nvalidation = "3d"'),
    ('horizons = ["1h", "4h"]', 'horizons = ["1h"]'),
    ('horizon = "4h"', 'horizon = "1h"'),
)
needs_nets = pytest.mark.skipif(not TORCH, reason="torch is not installed: no nets")


@needs_nets
def test_nets_and_stages_are_probed_and_pass(tiny):
    audit = audited(tiny, WITH_NETS)
    assert audit.passed, audit.forbidden
    assert not audit.left_out and not audit.unprobed


@needs_nets
@pytest.mark.parametrize(
    ("leaking", "names"),
    [
        ("recurrent:RecurrentNet", {"lstm", "gru", "scratch", "hybrid", "transvol", "stacked"}),
        ("deepvol:DeepVol", {"deepvol"}),
    ],
)
def test_a_net_whose_forecasts_know_the_ones_after_them_is_found(tiny, monkeypatch, leaking, names):
    net = pkgutil.resolve_name(f"harness.models.{leaking}")
    honest = net.predict

    def centred(model, rows):
        found = honest(model, rows)
        return found - found.mean()

    monkeypatch.setattr(net, "predict", centred)
    audit = audited(tiny, WITH_NETS)
    for check in PERTURBED:
        found = {f.subject for f in named(audit, check)}
        assert {f"model {name} at 1h" for name in names} <= found
        assert "model har at 1h" not in found
