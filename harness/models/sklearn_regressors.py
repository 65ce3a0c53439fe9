"""Any regressor of scikit-learn, named by its class in a hypothesis."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from harness.errors import nearest, one_line
from harness.models.params import RegressorParams
from harness.models.protocol import ModelError, Task, own_features, versions
from harness.models.scaling import Scaling, in_blocks
from harness.models.table import Mistake
from harness.types import F64, Rows, Training

MODULES = (
    "linear_model",
    "ensemble",
    "svm",
    "neighbors",
    "neural_network",
    "tree",
    "kernel_ridge",
    "gaussian_process",
)
# Arguments that the harness sets: the run's seed, one thread, no printing.
_OURS = {"random_state": "[run] seed sets it", "n_jobs": "it is always 1", "verbose": "it prints"}
_BLOCK = 1_024
_ROWS_PER_SLOPE = 20  # from here on a line's training residuals are 5 % too small at most


@cache
def regressors(module: str) -> Mapping[str, type]:
    """The single-target regressors in `sklearn.MODULE` that need no other estimator."""
    from sklearn.base import RegressorMixin

    home = importlib.import_module(f"sklearn.{module}")
    classes = {name: getattr(home, name) for name in getattr(home, "__all__", vars(home))}
    return {
        name: c
        for name, c in classes.items()
        if isinstance(c, type)
        and issubclass(c, RegressorMixin)
        and c.__module__.startswith(home.__name__)
        and _stands_alone(c)
    }


def _stands_alone(candidate: type) -> bool:
    """Whether it has one target and needs no other estimator, unlike a stack."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecations
        try:
            return candidate().__sklearn_tags__().target_tags.single_output
        except TypeError:
            return False


def mistakes(params: RegressorParams) -> Iterator[Mistake]:
    """What scikit-learn refuses: the class, names and values of its arguments."""
    library, _, rest = params.estimator.partition(".")
    module, _, name = rest.partition(".")
    if library != "sklearn" or module not in MODULES or name not in regressors(module):
        yield _no_class(params.estimator)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = regressors(module)[name]()
    known = [key for key in estimator.get_params() if key not in _OURS]
    unknown = [key for key in params.params if key not in known]
    for key in unknown:
        if key in _OURS:
            yield Mistake(("params", key), f"no such key: {_OURS[key]}", params.params[key])
        else:
            wanted = f"one of the arguments of {name}: {', '.join(known)}"
            yield Mistake(("params", key), wanted, key, nearest(key, known))
    if not unknown:
        yield from _bad_values(estimator, params)


def _no_class(written: str) -> Mistake:
    full = {n: f"sklearn.{module}.{n}" for module in MODULES for n in regressors(module)}
    close = nearest(written, full.values()) or full.get(
        nearest(written.rpartition(".")[2], full) or ""
    )
    wanted = f"a regressor of sklearn's {', '.join(MODULES)} by its full name"
    return Mistake(("class",), wanted, written, close)


def _bad_values(estimator: Any, params: RegressorParams) -> Iterator[Mistake]:
    try:
        estimator.set_params(**params.params)._validate_params()
    except ValueError as error:
        yield Mistake(("params",), one_line(_Words(error), 300), dict(params.params))


class _Words:
    """An error's words, shown without quotation marks."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __str__(self) -> str:
        return str(self._error)


@dataclass(frozen=True)
class Regressor:
    """A regressor of scikit-learn on features, or on those at the last `length` forecast origins.

    With `length` the columns are all features now, then all features one origin ago, and so on:
    `log(rv_1h)`, …, `lag(log(rv_1h), 1)`, …
    """

    features: tuple[str, ...]
    module: str
    name: str
    arguments: Mapping[str, Any]
    standardise: bool
    length: int | None
    scaling: Scaling | None = None
    estimator: Any = None
    converged: bool = True
    rows: int = 0
    validates: ClassVar[bool] = False

    @classmethod
    def build(cls, params: RegressorParams, task: Task) -> Self:
        """The class at the task's horizon."""
        _, module, name = params.estimator.split(".")
        return cls(
            own_features(params.features, task),
            module,
            name,
            dict(params.params),
            params.standardise,
            params.sequence_length,
        )

    @property
    def look_back(self) -> int:
        """The length of its sequences; 0 without sequences."""
        return self.length or 0

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """The estimator fitted on the rows' standardised features and on y, not standardised.

        Scikit-learn's warnings are not printed; `training` reports a fit that did not converge.
        """
        from sklearn.exceptions import ConvergenceWarning

        x = self._columns(rows)
        scaling = Scaling.of(x, self._names) if self.standardise else None
        with warnings.catch_warnings(record=True) as caught, _one_thread():
            warnings.simplefilter("always")
            estimator = regressors(self.module)[self.name](**self.arguments)
            ours = {"random_state": seed, "n_jobs": 1}
            known = estimator.get_params()
            estimator.set_params(**{k: v for k, v in ours.items() if k in known})
            try:
                estimator.fit(_scaled(scaling, x, rows), y)
            except (ValueError, MemoryError, FloatingPointError) as error:
                raise ModelError(f"{self.name}: {one_line(_Words(error), 200)}") from None
        converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
        return replace(self, scaling=scaling, estimator=estimator, converged=converged, rows=len(y))

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,)."""
        x = _scaled(self.scaling, self._columns(rows), rows)
        with warnings.catch_warnings(), _one_thread():
            warnings.simplefilter("ignore")  # the walk refuses what is not finite
            return in_blocks(self.estimator.predict, x, _BLOCK)

    def _columns(self, rows: Rows) -> F64:
        if self.length is None:
            return np.ascontiguousarray(rows.columns(self.features).X)
        past = rows.columns(self.features).sequences(self.length)
        return past[:, ::-1].reshape(len(past), self.length * len(self.features))

    @property
    def _names(self) -> list[str]:
        """The columns' names, as feature expressions."""
        return [
            f"lag({f}, {k})" if k else f for k in range(self.length or 1) for f in self.features
        ]

    @property
    def overfits(self) -> bool:
        """Whether it is anything but a line with many training rows a slope."""
        return self._slopes is None or self.rows < _ROWS_PER_SLOPE * len(self._names)

    @property
    def _slopes(self) -> F64 | None:
        """A fitted line's slopes, one per column; None for any other estimator."""
        slopes = getattr(self.estimator, "coef_", None)
        if slopes is None or np.size(slopes) != len(self._names):
            return None
        return np.asarray(slopes, dtype=np.float64).reshape(-1)

    @property
    def seeded(self) -> bool:
        """Whether the class has a random state, used or not."""
        return hasattr(regressors(self.module)[self.name](), "random_state")

    def made_by(self) -> dict[str, str]:
        """The versions of scikit-learn, and of SciPy, which many estimators use."""
        return versions("scikit-learn", "scipy")

    def weights(self) -> dict[str, np.ndarray]:
        """Empty: an estimator is any object, so only its forecasts are cached."""
        return {}

    @property
    def coefficients(self) -> Mapping[str, float]:
        """Intercept and slopes per unit of each column, or the columns' importances (sum 1)."""
        slopes = self._slopes
        if slopes is not None:
            intercept = float(np.squeeze(self.estimator.intercept_))
            if self.scaling is not None:
                slopes = slopes / self.scaling.spread[0]
                intercept -= float(slopes @ self.scaling.centre[0])
            return {"intercept": intercept, **dict(zip(self._names, slopes.tolist(), strict=True))}
        shares = getattr(self.estimator, "feature_importances_", None)
        if shares is None:
            return {}
        return dict(zip(self._names, np.asarray(shares, np.float64).tolist(), strict=True))

    @property
    def training(self) -> Training | None:
        """The number of parameters, whether it converged, and its losses, if any."""
        if self.estimator is None:
            return None
        losses = tuple(float(v) for v in getattr(self.estimator, "loss_curve_", ()))
        return Training(
            parameters=_parameters(self.estimator),
            converged=self.converged,
            epochs=len(losses),
            best=len(losses),
            train_loss=losses,
        )


def _scaled(scaling: Scaling | None, x: F64, rows: Rows) -> F64:
    return x if scaling is None else scaling.apply(x, rows.symbol)


def _one_thread() -> Any:
    """One thread for BLAS and OpenMP, so that sums have one order on every machine."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def _parameters(estimator: Any) -> int:
    """The number of slopes and intercepts, weights, or leaves of trees; else 0.

    Support vectors, neighbours and kernels keep rows, which do not count as parameters.
    """
    if hasattr(estimator, "coefs_"):
        return int(sum(w.size for w in (*estimator.coefs_, *estimator.intercepts_)))
    if hasattr(estimator, "tree_"):
        return int(estimator.tree_.n_leaves)
    if hasattr(estimator, "estimators_"):
        return sum(_parameters(part) for part in np.ravel(estimator.estimators_))
    slopes = getattr(estimator, "coef_", None)
    return 0 if slopes is None else int(np.size(slopes) + np.size(estimator.intercept_))
