"""Small versions of models that are slow to fit, for the short form of the audit.

The number of trees, the width of a net and the length of its training do not change which rows a
model reads, and the audit checks nothing else.
"""

from __future__ import annotations

from dataclasses import replace

from harness.models.params import (
    BoostingParams,
    DeepVolParams,
    Params,
    RecurrentParams,
    RegressorParams,
    StackedParams,
    TransferParams,
    TransvolParams,
)
from harness.study.study import Study

NetParams = RecurrentParams | TransferParams | TransvolParams | DeepVolParams
_TREES = 10
_ENSEMBLES = "sklearn.ensemble."
_UNITS = 8  # width of a net, more for one with many heads
# All rows in one step, for nets whose epoch is a pass over the rows.
_ONE_PASS = {"epochs": 1, "lesson_epochs": 1, "batch": 4096, "lesson_batch": 4096}
# One series and one portfolio per step, for nets whose epoch is a fixed number of steps.
_FEW_SERIES = {"epochs": 1, "batch": 2}
_STRETCH = 60


def in_short_form(study: Study) -> Study:
    """The study with small versions of its slow models."""
    h = study.hypothesis
    models = {
        name: replace(spec, params=_small(spec.kind, spec.params))
        for name, spec in h.models.items()
    }
    return replace(study, hypothesis=replace(h, models=models))


def _small(kind: str, params: Params) -> Params:
    changed: dict[str, object] = {}
    if isinstance(params, NetParams):
        changed = _small_net(params)
    elif kind == "stacked" and isinstance(params, StackedParams):
        first = _small(params.first.kind, params.first)
        changed = {"rounds": min(params.rounds, _TREES), "first": first}
    elif kind == "lightgbm" and isinstance(params, BoostingParams):
        changed = {"rounds": min(params.rounds, _TREES)}
    elif kind == "sklearn" and isinstance(params, RegressorParams):
        changed = _small_ensemble(params)
    return params.model_copy(update=changed)


def _small_ensemble(params: RegressorParams) -> dict[str, object]:
    if not params.estimator.startswith(_ENSEMBLES):
        return {}
    key = "max_iter" if "HistGradient" in params.estimator else "n_estimators"
    trees = params.params.get(key, _TREES)
    few = min(trees, _TREES) if isinstance(trees, int | float) else trees
    return {"params": {**params.params, key: few}}


def _small_net(params: NetParams) -> dict[str, object]:
    width = min(params.width, 2 * getattr(params, "heads", _UNITS // 2))
    # So small a net is faster on the CPU; which rows it reads does not depend on the device.
    small: dict[str, object] = {"width": width, "device": "cpu"}
    if isinstance(params, DeepVolParams):
        stretch = min(params.sequence_length or _STRETCH, _STRETCH)
        return small | _FEW_SERIES | {"sequence_length": stretch}
    return small | {key: _ONE_PASS[key] for key in _ONE_PASS if hasattr(params, key)}
