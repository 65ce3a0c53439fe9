"""What a run would do: windows, rows, embargo, time. Reads the panel, writes nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.durations import show_moment
from harness.hypothesis import Hypothesis
from harness.measures.store import measure_panel
from harness.models.linear import Linear
from harness.models.protocol import Trained
from harness.outlook import fit_time
from harness.pipeline import decide_on, forecast, sample
from harness.splits import make_folds
from harness.study import Span, Study, set_up
from harness.types import Samples

_NS_PER_MINUTE = 60_000_000_000


def plan_run(hypothesis: Hypothesis, search: Sequence[Path]) -> dict[str, Any]:
    """The windows of every horizon with their rows, and an estimate of the run's seconds.

    The estimate is what reading and measuring took here plus, for every horizon, what its walk
    took here: most models cost less to try than to guess. Those that train for long are not
    trained; what they say they take, from a few steps, is added.
    """
    began = time.perf_counter()
    study = set_up(hypothesis, search)
    measured, facts, _ = measure_panel(study.panel, study.plan, keep=False)
    span = study.span(facts)
    decided = decide_on(study, measured)
    windows: list[dict[str, Any]] = []
    training = 0.0
    for horizon in map(str, hypothesis.target.horizons):
        samples = sample(study, decided, horizon)
        trained = {n: m for n, m in study.models(horizon).items() if isinstance(m, Trained)}
        part = forecast(study, samples, span, instead=dict.fromkeys(trained, Linear(())))
        training += _training_seconds(study, samples, span, trained)
        windows += [
            {
                "horizon": horizon,
                "window": proof.window + 1,
                "train from": show_moment(proof.train_start),
                "cut": show_moment(proof.cut),
                "test to": show_moment(proof.end),
                "train rows": proof.n_train,
                "test rows": proof.n_test,
            }
            for proof in part.proofs
        ]
    return {
        "hypothesis": hypothesis.identity.name,
        "spec_hash": hypothesis.spec_hash,
        "panel": study.panel_spec.name,
        "symbols": len(facts.symbols),
        "span": f"{show_moment(span.start)} to {show_moment(span.end)}",
        "bars": facts.bars,
        "filled bars": facts.filled,
        "effective embargo (minutes)": {
            h: study.embargo(h) // _NS_PER_MINUTE for h in map(str, hypothesis.target.horizons)
        },
        "models": list(hypothesis.models),
        "estimated seconds": round(1.3 * (time.perf_counter() - began) + training, 1),
        "windows": windows,
    }


def _training_seconds(
    study: Study, samples: Samples, span: Span, models: Mapping[str, Trained]
) -> float:
    """What the fits of these models will typically take, on one horizon."""
    horizon, seconds = samples.horizon, 0.0
    fittings = study.fittings(horizon, span, study.windows(horizon, span)) if models else {}
    for name, model in models.items():
        folds = [
            f for f in make_folds(samples, fittings[name].windows) if f.test.stop > f.test.start
        ]
        parts = 1 if fittings[name].scope == "pooled" else len(samples.symbols)
        seconds += fit_time(model, samples, folds, study.embargo(horizon), parts).typical
    return seconds
