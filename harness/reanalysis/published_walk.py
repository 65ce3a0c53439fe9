"""A published walk forward, made as any hypothesis is: from its text to the scores of its run."""

from __future__ import annotations

from pathlib import Path

from harness.panel.spec import PanelSpec
from harness.scores.scoring import score, series
from harness.spec.reading import parse_hypothesis
from harness.study.stages import forecast, measure_study
from harness.study.study import on_panel

# HAR and HARQ refitted every day on all days so far, the first time on the rows of 1,000 days. No
# embargo: the newest row whose target is known trains, as in the published code.
_EXPANDING = """
[hypothesis]
name = "published-walk"
title = "HARQ over HAR, expanding windows"
claim = "As published."
[panel]
name = "published"
[sample]
every = "1d"
scales = ["1d", "5d", "22d"]
measures = ["rvar", "quart"]
[target]
measure = "rvar"
scale = "level"
horizons = ["1d"]
[walk_forward]
scheme = "expanding"
train = "5y"
test = "1d"
refit = "1d"
embargo = "0d"
first_test = "2001-04-07"
[models.har]
kind = "ols"
features = ["rvar_1d", "rvar_5d", "rvar_22d"]
[models.harq]
kind = "harq"
features = ["rvar_1d", "rvar_5d", "rvar_22d"]
quarticity = "quart_1d"
[verdict]
baseline = "har"
candidates = ["harq"]
metric = "mse_var"
gain = "relative"
horizon = "1d"
min_gain = 0.0
alpha = 0.05
"""


def harq_over_har(spec: PanelSpec) -> list[float]:
    """Number of forecasts, first training rows, and HARQ's MSE and QLIKE as shares of HAR's."""
    hypothesis = parse_hypothesis(_EXPANDING, Path("the published walk"))
    measured = measure_study(on_panel(hypothesis, spec), keep=False)
    found = forecast(measured.study, measured.samples("1d"), measured.span)
    scale = measured.study.scale
    scores = score(found, scale, *series(found, scale))
    shares = [
        scores.value("harq", metric) / scores.value("har", metric)
        for metric in ("mse_var", "qlike")
    ]
    return [found.y.size, found.proofs[0].n_train, *shares]
