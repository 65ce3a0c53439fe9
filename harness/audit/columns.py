"""Useless features: constant ones, repeated ones, and the target itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from harness.audit.findings import Check, Failure
from harness.models.protocol import Forecaster
from harness.types import F64, Samples

_ROWS = 500  # evenly spread rows are enough for correlations
_NEAR = 0.99
_CLOSER = 0.1


def column_checks(models: Mapping[str, Forecaster], samples: Samples) -> list[Check]:
    """Checks of the features of a horizon's rows, as each model gets them."""
    return [_twice(models, samples), _own_target(samples)]


def _twice(models: Mapping[str, Forecaster], samples: Samples) -> Check:
    rows, failures = samples.rows, []
    where = f" at {samples.horizon}"
    moment = int(rows.formed_at[0])
    alike: dict[bytes, list[str]] = {}
    for name, column in zip(rows.names, rows.X.T, strict=True):
        if column.min() == column.max():
            reason = f"constant: {column[0]:.6g} in all {column.size:,} rows"
            failures.append(Failure(f"feature {name}{where}", reason, None, moment))
        alike.setdefault(np.ascontiguousarray(column[:_ROWS]).tobytes(), []).append(name)
    for names in alike.values():
        for model, wanted in models.items():
            for first, second in _equal(samples, [n for n in names if n in wanted.features]):
                reason = f"the same as feature {first} in all rows, in model {model}"
                failures.append(Failure(f"feature {second}{where}", reason, None, moment))
    return Check("constant or repeated features", "every row", rows.X.size, tuple(failures))


def _equal(samples: Samples, names: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs (first, second): every feature that repeats an earlier one."""
    columns = [samples.rows.X[:, samples.rows.names.index(n)] for n in names]
    for k, second in enumerate(columns):
        for first, column in zip(names[:k], columns[:k], strict=True):
            if np.array_equal(column, second):
                yield first, names[k]
                break


def _own_target(samples: Samples) -> Check:
    """By ranks, so that no monotone transform hides it. The bound depends on the last value, which
    is close to the target if neighbouring targets share most of their bars."""
    rows, failures = samples.rows, []
    pick = np.arange(0, samples.y.size, max(samples.y.size // _ROWS, 1))
    target = _ranks(samples.y[pick])
    last = samples.last[pick]
    known = np.isfinite(last)
    persistence = abs(_correlation(_ranks(last[known]), _ranks(samples.y[pick][known])))
    bound = max(_NEAR, 1.0 - _CLOSER * (1.0 - persistence))
    if pick.size > 2 and np.ptp(target) > 0.0:
        for name, column in zip(rows.names, rows.X.T, strict=True):
            found = _correlation(_ranks(column[pick]), target)
            if abs(found) >= bound:
                reason = (
                    f"it is the target of its own row: rank correlation {found:.4f}; "
                    f"the last known value has {persistence:.4f}"
                )
                moment = int(rows.formed_at[0])
                failures.append(
                    Failure(f"feature {name} at {samples.horizon}", reason, None, moment)
                )
    covered = f"rank correlation of up to {2 * _ROWS:,} rows, bound {_NEAR}"
    return Check(
        "features that are the target", covered, pick.size * len(rows.names), tuple(failures)
    )


def _ranks(values: F64) -> F64:
    """Ranks, ties at their lowest rank: accurate enough for a correlation of almost 1."""
    return np.searchsorted(np.sort(values), values).astype(np.float64)


def _correlation(a: F64, b: F64) -> float:
    if a.size < 3 or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
