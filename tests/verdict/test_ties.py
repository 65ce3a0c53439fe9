"""A model that forecasts what the baseline forecasts, but for rounding: a tie everywhere."""

from __future__ import annotations

import pytest
from support import workspace

import harness
from harness.tables import rows_of

SAME = (
    '[models.har]\nkind = "ols"\nfeatures = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]',
    '[models.har]\nkind = "ols"\nfeatures = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]\n\n'
    '[models.turned]\nkind = "ols"\n'
    'features = ["log(rv_1h)-log(rv_4h)", "log(rv_4h)-log(rv_1d)", "log(rv_1d)"]',
)


@pytest.mark.parametrize("metric", ["r2_log", "qlike", "ic"])
def test_the_same_model_written_otherwise_gains_nothing(in_workspace, command, metric):
    text = workspace.changed(
        SAME,
        ('baseline = "persistence"', 'baseline = "har"'),
        ('candidates = ["har"]', 'candidates = ["turned"]'),
        ("min_gain = 0.01", "min_gain = 0.0"),
        ('metric = "r2_log"', f'metric = "{metric}"'),
    )
    file = in_workspace / "hypotheses/tiny-har.toml"
    file.write_text(text)
    outcome = harness.run(file, "reports")
    best = outcome.verdict.best
    assert outcome.verdict.status == "inconclusive"
    assert (best.gain, best.statistic, best.p_value) == (0.0, 0.0, 0.5)
    record = harness.open_log("reports").read(outcome.run_id)
    assert record["cautions"][0].startswith("turned makes the same forecasts as the baseline har")
    (described,) = rows_of(record["tables"]["differences"])
    assert (described["mean"], described["top_share"], described["top_dates"]) == (0.0, None, [])
    (wins,) = (
        r
        for r in rows_of(record["tables"]["wins"])
        if (r["model"], r["horizon"]) == ("turned", "4h")
    )
    assert wins["wins"] == 0
    check = record["family"]["reality_check"]
    assert metric == "ic" or check["spa"] == 1.0
    report = command("tests", outcome.run_id, "--draws", "99", "--json").done().json
    assert report["confidence_set"]["p_values"]["turned"] == 1.0
    for finding in report["findings"]:
        if finding["model"] == "turned" and finding["test"] in ("bootstrap", "encompassing"):
            assert (finding["effect"], finding["p_value"]) == (0.0, 0.5)
