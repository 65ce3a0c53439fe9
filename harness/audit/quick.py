"""What the short form of the audit fits again and again: all but nets, and of trees only a few.

How many trees there are changes nothing about which rows a model looks at.
"""

from __future__ import annotations

from dataclasses import replace

from harness.hypothesis import Hypothesis, ModelSpec
from harness.models.params import Params
from harness.study import Study

# Kinds whose fits take long however few the rows: an epoch of one is some tenths of a second.
NETS = frozenset({"lstm", "gru", "transfer", "hybrid", "transvol", "deepvol"})
_TREES = 10
_ENSEMBLES = "sklearn.ensemble."


def quick_models(h: Hypothesis) -> tuple[str, ...]:
    """The models that the short form fits."""
    return tuple(name for name, spec in h.models.items() if NETS.isdisjoint(spec.kinds))


def with_few_trees(study: Study) -> Study:
    """The study with ensembles of as few trees as serve to see where they look."""
    h = study.hypothesis
    models = {name: _fewer(spec) for name, spec in h.models.items()}
    if models == dict(h.models):
        return study
    return replace(study, hypothesis=replace(h, models=models))


def _fewer(spec: ModelSpec) -> ModelSpec:
    params: Params = spec.params
    if spec.kind in ("lightgbm", "stacked"):
        return replace(
            spec, params=params.model_copy(update={"rounds": min(params.rounds, _TREES)})
        )
    if spec.kind == "sklearn" and params.estimator.startswith(_ENSEMBLES):
        key = "max_iter" if "HistGradient" in params.estimator else "n_estimators"
        own = {**params.params, key: min(params.params.get(key, _TREES), _TREES)}
        return replace(spec, params=params.model_copy(update={"params": own}))
    return spec
