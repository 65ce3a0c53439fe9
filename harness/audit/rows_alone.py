"""Forecasts of one test window, asked for row by row, in parts and all at once.

For models of the harness that are not linear: a forecast that changed with the other rows asked for
would know of them. Models of other packages are asked in the same way in foreign_models.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from harness.audit.findings import Check, Failure
from harness.audit.late_targets import OTHERS, scene_of
from harness.audit.one_fit import OneFit, first_apart, fit_again, one_fit, unlike
from harness.errors import HarnessError
from harness.models.protocol import Forecaster, ModelError
from harness.samples.splits import make_folds
from harness.study.study import Study
from harness.types import Samples, Window
from harness.walk.residuals.kept import NOTHING

NAME = "rows forecast alone"
_SINGLES = 3  # rows forecast by themselves, besides the first and the last
_SHARE = 0.125  # the length of a part of the rows as a share of the next longer one


def rows_alone(
    study: Study,
    samples: Samples,
    models: Mapping[str, Forecaster],
    window: Window,
    rng: np.random.Generator,
) -> tuple[list[Check], list[str]]:
    """The check of these models, and the reasons why models were left out."""
    checks: list[Check] = []
    left_out: list[str] = []
    if not models:
        return checks, left_out
    scene = scene_of(samples, window, [window], OTHERS, rng)
    if scene is None:
        return [], [f"{NAME} at {samples.horizon}: too few training rows in its window"]
    for name, model in models.items():
        part, scope = scene.samples, study.hypothesis.models[name].scope
        if scope == "asset":
            code = rng.choice(np.unique(part.rows.symbol))
            part = part.of(np.flatnonzero(part.rows.symbol == code))
        folds = make_folds(part, scene.windows)
        settings = replace(study.settings(samples.horizon), keep=NOTHING, source=None)
        try:
            one = one_fit(name, model, part, folds, settings, scope)
            checks.append(_asked(one, rng))
        except (HarnessError, ModelError) as error:
            left_out.append(f"{NAME}, model {name} at {samples.horizon}: {error}")
    return checks, left_out


def _asked(one: OneFit, rng: np.random.Generator) -> Check:
    samples, test = one.samples, one.fold.test
    count = test.stop - test.start
    singles = sorted({0, count - 1, *rng.integers(count, size=_SINGLES).tolist()})
    answer = fit_again(one, singles, _SHARE)

    def failures() -> Iterator[Failure]:
        found = first_apart(answer)
        if found is not None:
            row = test.start + found.row
            symbol = samples.symbols[samples.rows.symbol[row]]
            subject = f"model {one.name} at {samples.horizon}"
            moment = int(samples.rows.formed_at[row])
            yield Failure(subject, unlike(found, count), symbol, moment)

    covered = f"{one.name} at {samples.horizon}, window {one.fold.window.position + 1}"
    return Check(NAME, covered, sum(at.size for at, _ in answer.parts), tuple(failures()))
