"""Validates third-party models and turns their exceptions into one-line errors.

A plug-in's model shares the walk's arrays with all other models, so it gets them read-only:
standardising in place would change what the next model is fitted on.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from traceback import walk_tb

import numpy as np

from harness.models.linear import Linear
from harness.models.protocol import Forecaster, ModelError
from harness.models.table import NOTES
from harness.samples.features import FeatureError, parse_feature
from harness.types import F64, Rows, Training

_ABSENT = object()
_LONGEST = 200  # characters of an exception's words
# Methods that need another one beside them (protocols Kept and Trained).
_TOGETHER = {"made_by": "weights", "watched": "estimate"}


def is_foreign(model: object) -> bool:
    """Whether the model's class is from another package."""
    return type(model).__module__.partition(".")[0] != __name__.partition(".")[0]


def told(error: BaseException, module: str) -> str:
    """`ZeroDivisionError: division by zero (decayed_har.py, line 31)`.

    The line is the last one of `module`'s package in the traceback, if there is any.
    """
    package = module.partition(".")[0]
    words = " ".join(str(error).split())[:_LONGEST]
    places = [
        f" ({Path(frame.f_code.co_filename).name}, line {line})"
        for frame, line in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return type(error).__name__ + (f": {words}" if words else "") + (places[-1] if places else "")


@contextmanager
def in_words(model: object) -> Iterator[None]:
    """Turns whatever a third-party model raises, SystemExit included, into ModelError."""
    try:
        yield
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        if not is_foreign(model):
            raise
        raise ModelError(told(error, type(model).__module__)) from None


def shown(model: object, rows: Rows, y: F64) -> tuple[Rows, F64]:
    """The rows and targets as the model may see them: read-only for third-party code."""
    if not is_foreign(model):
        return rows, y
    past, at = rows.history, rows.at
    if past is not None and at is not None:
        past = replace(past, values=_read_only(past.values), begins=_read_only(past.begins))
        at = _read_only(at)
    own = Rows(
        X=_read_only(rows.X),
        names=rows.names,
        symbol=_read_only(rows.symbol),
        formed_at=_read_only(rows.formed_at),
        history=past,
        at=at,
    )
    return own, _read_only(y)


def _read_only(values: np.ndarray) -> np.ndarray:
    seen = values.view()
    seen.flags.writeable = False
    return seen


def require_fitted(model: object, fitted: object) -> None:
    """ModelError if a third-party fit did not return a fitted copy of the model."""
    if is_foreign(model) and (fitted is model or not isinstance(fitted, type(model))):
        gave = "the model itself" if fitted is model else f"a {type(fitted).__name__}"
        raise ModelError(f"fit gave {gave}, wanted a fitted copy of {type(model).__name__}")


def require_forecasts(yhat: object, n: int) -> None:
    """ModelError unless forecasts are float64 (n,)."""
    if not isinstance(yhat, np.ndarray):
        raise ModelError(f"predict gave a {type(yhat).__name__}, wanted an array of float64 ({n},)")
    if yhat.dtype != np.float64 or yhat.shape != (n,):
        raise ModelError(
            f"predict gave an array of {yhat.dtype} {yhat.shape}, wanted one of float64 ({n},)"
        )


def stated_by(fitted: Forecaster) -> dict[str, float]:
    """The coefficients as plain numbers by name; ModelError if a name is not a string."""
    found = dict(fitted.coefficients)
    odd = next((name for name in found if not isinstance(name, str)), None)
    if odd is not None:
        raise ModelError(f"coefficients has the name {odd!r}, wanted a string")
    return {name: float(value) for name, value in found.items()}


def training_of(fitted: Forecaster) -> Training | None:
    """The training report in plain numbers; ModelError for what the log cannot store."""
    found = fitted.training
    if found is None:
        return None
    if not isinstance(found, Training):
        raise ModelError(f"training is a {type(found).__name__}, wanted a Training or None")
    unknown = [note for note in found.notes if note not in NOTES]
    if unknown:
        raise ModelError(f"training has the note {unknown[0]!r}, wanted some of {', '.join(NOTES)}")
    return Training(
        parameters=int(found.parameters),
        converged=bool(found.converged),
        epochs=int(found.epochs),
        best=int(found.best),
        batch=int(found.batch),
        most_epochs=int(found.most_epochs),
        train_loss=tuple(map(float, found.train_loss)),
        validation_loss=tuple(map(float, found.validation_loss)),
        attention=tuple(map(float, found.attention)),
        lesson_train_loss=tuple(map(float, found.lesson_train_loss)),
        lesson_validation_loss=tuple(map(float, found.lesson_validation_loss)),
        weights={str(name): tuple(map(float, v)) for name, v in found.weights.items()},
        notes={note: int(count) for note, count in found.notes.items()},
        cut_short=tuple(map(str, found.cut_short)),
    )


def lacking(model: object) -> Iterator[str]:
    """The parts of the protocol that an unfitted model lacks, in the form they should have."""
    features = getattr(model, "features", None)
    if not (isinstance(features, tuple) and all(isinstance(f, str) for f in features)):
        yield "features (a tuple of expressions)"
    look_back = getattr(model, "look_back", None)
    if not isinstance(look_back, int) or isinstance(look_back, bool) or look_back < 0:
        yield "look_back (a whole number from 0 on)"
    if not isinstance(getattr(model, "validates", None), bool):
        yield "validates (true or false)"
    if not _takes(model, "fit", None, None, validation=None, seed=0):
        yield "fit(rows, y, *, validation=None, seed=0)"
    if not _takes(model, "predict", None):
        yield "predict(rows)"
    for name in ("coefficients", "training"):
        found = inspect.getattr_static(model, name, _ABSENT)
        if found is _ABSENT or inspect.isroutine(found):
            yield f"{name} (a property or attribute)"
    for name, other in _TOGETHER.items():
        if hasattr(model, name) and not callable(getattr(model, other, None)):
            yield f"{other}() beside {name}()"


def _takes(model: object, method: str, *arguments: object, **named: object) -> bool:
    """Whether it has a method that accepts these arguments."""
    try:
        inspect.signature(getattr(model, method)).bind(*arguments, **named)
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def misfits(model: Forecaster, columns: Collection[str]) -> Iterator[str]:
    """What the walk cannot do for a model that has the whole protocol.

    `columns` are the measured columns, which its features may read.
    """
    for text in model.features:
        try:
            feature = parse_feature(text)
        except FeatureError as error:
            yield f"feature {text!r} is not an expression ({error})"
            continue
        if feature.text != text:
            yield f"feature {text!r} is not in its canonical text, {feature.text!r} (own_features)"
        for column in sorted(feature.columns - set(columns)):
            yield (
                f"feature {text!r} reads {column}, which the hypothesis does not measure "
                "(sample.measures, sample.scales)"
            )
    if isinstance(model, Linear) and model.swept:
        for method in ("fit", "predict", "line"):
            if getattr(type(model), method) is not getattr(Linear, method):
                yield f"it overrides {method}, which a sweep does not call: set swept = False"
    try:
        pickle.loads(pickle.dumps(model))
    except Exception as error:
        yield f"it cannot be pickled ({told(error, type(model).__module__)})"
