"""Gradient boosted trees by LightGBM, with settings that make fits reproducible to the byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from harness.errors import one_line
from harness.models.params import BoostingParams
from harness.models.protocol import ModelError, Task, cut_short, own_features, versions
from harness.models.scaling import in_blocks
from harness.samples.target_scale import TargetScale
from harness.types import F64, Rows, Training

_BLOCK = 1_024
_OBJECTIVES = {
    "l2": ("regression", "l2"),
    "l1": ("regression_l1", "l1"),
    "qlike": ("gamma", "qlike"),
}


@dataclass(frozen=True)
class LightGbm:
    """Trees on features, boosted under squared, absolute or QLIKE loss.

    `l2` and `l1` are of the target on its own scale. The target is standardised internally, which
    changes no tree and avoids small numbers in LightGBM's single precision. `qlike` is the loss of
    the variance v and its forecast h, v/h - ln(v/h) - 1, fitted on ln h: LightGBM's `gamma`, whose
    deviance is twice that.
    """

    features: tuple[str, ...]
    params: BoostingParams
    scale: TargetScale
    booster: Any = None
    centre: float = 0.0
    spread: float = 1.0
    history: Training | None = None
    look_back: ClassVar[int] = 0

    @classmethod
    def build(cls, params: BoostingParams, task: Task) -> Self:
        """The trees at the task's horizon, for its target scale."""
        return cls(own_features(params.features, task), params, task.scale)

    @property
    def validates(self) -> bool:
        """Whether it stops early on held-out rows."""
        return isinstance(self.params.early_stopping, int)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """Trees on these rows; ModelError if they are too few for one split."""
        import lightgbm

        if len(y) < 2 * self.params.min_data_in_leaf:
            wanted = 2 * self.params.min_data_in_leaf
            raise ModelError(f"{len(y)} training rows, wanted at least {wanted} for one split")
        model = self._for_target(y)
        train = model._dataset(rows, y, None)
        sets, names, rounds = [train], ["train"], self.params.early_stopping
        if validation is not None and isinstance(rounds, int):
            sets.append(model._dataset(*validation, train))
            names.append("validation")
        losses: dict[str, dict[str, list[float]]] = {}
        calls: list[Callable[..., Any]] = [lightgbm.record_evaluation(losses)]
        if len(sets) > 1 and isinstance(rounds, int):
            calls.append(lightgbm.early_stopping(rounds, verbose=False))
        try:
            booster = lightgbm.train(
                self._settings(seed),
                train,
                self.params.rounds,
                valid_sets=sets,
                valid_names=names,
                feval=_qlike if self.params.objective == "qlike" else None,
                callbacks=calls,
            )
        except lightgbm.basic.LightGBMError as error:
            raise ModelError(f"LightGBM: {one_line(str(error), 200)}") from None
        return replace(model, booster=booster, history=model._report(booster, losses))

    def _settings(self, seed: int) -> dict[str, Any]:
        p = self.params
        objective, _ = _OBJECTIVES[p.objective]
        return {
            "objective": objective,
            "metric": "None" if p.objective == "qlike" else p.objective,
            "num_leaves": p.num_leaves,
            "learning_rate": p.learning_rate,
            "min_data_in_leaf": p.min_data_in_leaf,
            "feature_fraction": p.feature_fraction,
            "bagging_fraction": p.bagging_fraction,
            "bagging_freq": int(p.bagging_fraction < 1.0),  # rows are redrawn for every tree
            "seed": seed % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }

    def _for_target(self, y: F64) -> Self:
        """A copy with the units in which the trees see this target."""
        if self.params.objective == "qlike":
            return replace(self, centre=float(np.mean(self.scale.variance(y))), spread=1.0)
        return replace(self, centre=float(y.mean()), spread=float(y.std()) or 1.0)

    def _labels(self, y: F64) -> F64:
        if self.params.objective == "qlike":
            return self.scale.variance(y) / self.centre
        return (y - self.centre) / self.spread

    def _dataset(self, rows: Rows, y: F64, reference: Any) -> Any:
        import lightgbm

        x = np.ascontiguousarray(rows.columns(self.features).X)
        # LightGBM bins the features: the bins of the training rows are used for all rows.
        quiet = {"verbosity": -1, "num_threads": 1, "force_row_wise": True}
        return lightgbm.Dataset(x, self._labels(y), reference=reference, params=quiet)

    def _report(self, booster: Any, losses: Mapping[str, Mapping[str, list[float]]]) -> Training:
        """The training report; losses in the target's unit, squared for l2, none for QLIKE."""
        _, metric = _OBJECTIVES[self.params.objective]
        unit = {"l2": self.spread**2, "l1": self.spread, "qlike": 1.0}[metric]

        def history(name: str) -> tuple[float, ...]:
            return tuple(unit * v for v in losses.get(name, {}).get(metric, ()))

        leaves = sum(t["num_leaves"] for t in booster.dump_model()["tree_info"])
        train, checked = history("train"), history("validation")
        best = booster.best_iteration if booster.best_iteration > 0 else len(train)
        return Training(
            parameters=leaves,
            epochs=len(train),
            best=best,
            train_loss=train,
            validation_loss=checked,
            cut_short=cut_short("rounds", best, len(train), self.params.rounds) if checked else (),
        )

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,) on the target's scale."""
        x = np.ascontiguousarray(rows.columns(self.features).X)
        raw = in_blocks(
            lambda block: self.booster.predict(block, num_threads=1, raw_score=True), x, _BLOCK
        )
        if self.params.objective == "qlike":
            return self.scale.of_log_variance(raw + np.log(self.centre))
        return self.centre + self.spread * raw

    @property
    def seeded(self) -> bool:
        """Whether rows or features are sampled."""
        return self.params.bagging_fraction < 1.0 or self.params.feature_fraction < 1.0

    def made_by(self) -> dict[str, str]:
        """LightGBM, on the CPU."""
        return versions("lightgbm")

    def weights(self) -> dict[str, np.ndarray]:
        """Empty: trees are not arrays, so only their forecasts are cached."""
        return {}

    @property
    def coefficients(self) -> Mapping[str, float]:
        """Each feature's share of the gain of all splits; 0 without a split."""
        if self.booster is None or self.history is None:
            return {}
        gain = self.booster.feature_importance("gain", iteration=self.history.best)
        return dict(zip(self.features, (gain / (gain.sum() or 1.0)).tolist(), strict=True))

    @property
    def training(self) -> Training | None:
        """Leaves, rounds, the best round, losses after every round."""
        return self.history


def _qlike(score: F64, data: Any) -> tuple[str, float, bool]:
    """Mean of v/h - ln(v/h) - 1; for `gamma` LightGBM passes h."""
    ratio = data.get_label() / score
    return "qlike", float(np.mean(ratio - np.log(ratio) - 1.0)), False
