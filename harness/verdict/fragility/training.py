"""Other training spans: expanding instead of rolling or the reverse, half and double length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.durations import Duration, length
from harness.models.linear import Linear
from harness.scores.metrics import METRICS

if TYPE_CHECKING:
    from harness.spec.hypothesis import Hypothesis
    from harness.spec.sections import WalkForward
    from harness.study.study import Study

_OTHER = {"rolling": "expanding", "expanding": "rolling"}
_HALF_MONTH = Duration(15, "d")


def other_spans(walk: WalkForward) -> dict[str, WalkForward]:
    """Variant's name -> the changed section; empty for a scheme with one declared span."""
    if walk.scheme not in _OTHER:
        return {}
    other, train = _OTHER[walk.scheme], walk.train
    assert train is not None, "a rolling or expanding scheme has a train length"
    half, double = halved(train), Duration(2 * train.count, train.unit)
    return {
        f"{other} instead of {walk.scheme}": walk.model_copy(update={"scheme": other}),
        f"half the train length, {half}": walk.model_copy(update={"train": half}),
        f"double the train length, {double}": walk.model_copy(update={"train": double}),
    }


def halved(duration: Duration) -> Duration:
    """Half a duration; odd months are rounded down, one month gives 15 days."""
    if duration.count % 2 == 0:
        return Duration(duration.count // 2, duration.unit)
    if duration.is_calendar:
        months = duration.months // 2
        return Duration(months, "mo") if months else _HALF_MONTH
    minutes = max(length(duration) // 2, 1)
    unit, size = next((u, s) for u, s in (("d", 1440), ("h", 60), ("m", 1)) if minutes % s == 0)
    return Duration(minutes // size, unit)


def with_span(study: Study, walk: WalkForward, models: Sequence[str]) -> Study:
    """The study with another walk-forward section and only these models."""
    bare = with_models(study.hypothesis, models)
    return replace(study, hypothesis=replace(bare, walk_forward=walk))


def with_models(h: Hypothesis, models: Sequence[str]) -> Hypothesis:
    """Only these models, with residual summaries only for a verdict on VaR or ES."""
    kept = {name: model for name, model in h.models.items() if name in models}
    risk = h.risk if METRICS[h.verdict.metric].of_risk else None
    return replace(h, models=kept, risk=risk, distribution=None)


def costly(study: Study, horizon: str, models: Sequence[str]) -> list[str]:
    """The models that are slow to refit: all but linear models fitted in one sweep."""
    made = study.models(horizon)
    swept = {name for name, m in made.items() if isinstance(m, Linear) and m.swept}
    return [name for name in models if name not in swept]
