"""What the short form of the audit fits in place of a model that is slow to fit.

How many trees there are, how wide a net is and how long it learns change nothing about which rows
it looks at; that is all that the audit asks.
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
NETS = frozenset({"lstm", "gru", "transfer", "hybrid", "transvol", "deepvol"})
_TREES = 10
_ENSEMBLES = "sklearn.ensemble."
_UNITS = 8  # of a net's width, but for one with many heads
# All rows in one step, where an epoch is a pass over them.
_ONE_PASS = {"epochs": 1, "lesson_epochs": 1, "batch": 4096, "lesson_batch": 4096}
# One series and one portfolio a step, where an epoch is so many steps whatever the rows.
_FEW_SERIES = {"epochs": 1, "batch": 2}
_STRETCH = 60


def in_short_form(study: Study) -> Study:
    """The study with models that are as small, and learn as little, as the audit can do with."""
    h = study.hypothesis
    models = {
        name: replace(spec, params=_quick(spec.kind, spec.params))
        for name, spec in h.models.items()
    }
    return replace(study, hypothesis=replace(h, models=models))


def _quick(kind: str, params: Params) -> Params:
    changed: dict[str, object] = {}
    if kind in NETS and isinstance(params, NetParams):
        changed = _quick_net(params)
    elif kind == "stacked" and isinstance(params, StackedParams):
        first = _quick(params.first.kind, params.first)
        changed = {"rounds": min(params.rounds, _TREES), "first": first}
    elif kind == "lightgbm" and isinstance(params, BoostingParams):
        changed = {"rounds": min(params.rounds, _TREES)}
    elif kind == "sklearn" and isinstance(params, RegressorParams):
        changed = _quick_ensemble(params)
    return params.model_copy(update=changed)


def _quick_ensemble(params: RegressorParams) -> dict[str, object]:
    if not params.estimator.startswith(_ENSEMBLES):
        return {}
    key = "max_iter" if "HistGradient" in params.estimator else "n_estimators"
    trees = params.params.get(key, _TREES)
    few = min(trees, _TREES) if isinstance(trees, int | float) else trees
    return {"params": {**params.params, key: few}}


def _quick_net(params: NetParams) -> dict[str, object]:
    width = min(params.width, 2 * getattr(params, "heads", _UNITS // 2))
    # So small a net is quicker there, and what it looks at does not depend on the device.
    small: dict[str, object] = {"width": width, "device": "cpu"}
    if isinstance(params, DeepVolParams):
        stretch = min(params.sequence_length or _STRETCH, _STRETCH)
        return small | _FEW_SERIES | {"sequence_length": stretch}
    return small | {key: _ONE_PASS[key] for key in _ONE_PASS if hasattr(params, key)}
