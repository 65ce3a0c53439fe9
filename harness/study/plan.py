"""Previews a run: windows, rows, embargo, time. Reads the panel, writes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.durations import show_moment
from harness.errors import of_the_file
from harness.measures.table import zeros_as_jumps
from harness.panel.side_times import side_warnings
from harness.samples.measured import PanelFacts
from harness.spec.hypothesis import Hypothesis
from harness.study.stages import measure_study, plan_forecast
from harness.study.study import Study, set_up
from harness.walk.training_time import TrainingTime
from harness.walk.workers import Workers, available

_NS_PER_MINUTE = 60_000_000_000


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _source_words(hypothesis: Hypothesis, facts: PanelFacts | None) -> dict[str, str]:
    if hypothesis.source is None or facts is None:
        return {}
    return {"source": f"{hypothesis.source.name}, {_count(len(facts.symbols), 'symbol')}"}


def _zeros(study: Study, facts: PanelFacts) -> dict[str, str]:
    """The share of zero returns, if it is high and a measure reads zeros as jumps."""
    read = zeros_as_jumps(study.measures, facts.zero_share)
    if not read:
        return {}
    whose = f"of those over {study.interval}, read as jumps by {', '.join(read)}"
    return {"zero returns": f"{facts.zero_share:.1%} {whose}"}


def plan_run(hypothesis: Hypothesis, search: Sequence[Path]) -> dict[str, Any]:
    """The windows of each horizon with their rows, and an estimate of the run time in seconds.

    The estimate is the time measured here for reading, measuring and the walk of each horizon.
    Models that train (nets, trees) are not run; they add their own typical and maximal estimates,
    for as many cores as a run would use.
    """
    began = time.perf_counter()
    study = set_up(hypothesis, search)
    study.require_validation()
    measured = measure_study(study, keep=False)
    study, span = measured.study, measured.span
    facts, source_facts = measured.facts, measured.source_facts
    times: list[TrainingTime] = []
    pool, cores, typical, most = Workers(available()), 1, 0.0, 0.0
    windows: list[dict[str, Any]] = []
    for horizon in map(str, hypothesis.target.horizons):
        with of_the_file(hypothesis.path):
            part = plan_forecast(study, measured.samples(horizon), span)
        times += part.times
        on_one = sum(t.typical for t in part.times)
        used = pool.suited(on_one).count
        cores = max(cores, used)
        typical += on_one / used
        most += sum(t.most for t in part.times) / used
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
    tried = 1.3 * (time.perf_counter() - began)
    return {
        "hypothesis": hypothesis.identity.name,
        "spec_hash": hypothesis.spec_hash,
        "panel": study.panel_spec.name,
        "symbols": len(facts.symbols),
        **_source_words(hypothesis, source_facts),
        **({"split over assets": "yes"} if hypothesis.panel.unseen else {}),
        "span": f"{show_moment(span.start)} to {show_moment(span.end)}",
        "bars": facts.bars,
        "filled bars": facts.filled,
        **_zeros(study, facts),
        "warnings": side_warnings(study.panel_spec, facts.side_times),
        "effective embargo (minutes)": {
            h: study.embargo(h) // _NS_PER_MINUTE for h in map(str, hypothesis.target.horizons)
        },
        "models": list(hypothesis.models),
        "estimated seconds": round(tried + typical, 1),
        "seconds at most": round(tried + most, 1),
        **({"of them training": round(typical, 1), "cores": cores} if times else {}),
        "training": [
            {
                "horizon": t.horizon,
                "model": t.model,
                "fits": t.fits,
                "seconds of one core": round(t.typical, 1),
                "at most": round(t.most, 1),
            }
            for t in times
        ],
        "windows": windows,
    }
