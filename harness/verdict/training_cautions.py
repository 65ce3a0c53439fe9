"""Warnings of learned models that learned nothing, or stopped before they had learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from harness.types import F64, FitReport, Forecasts, ModelFit

_LOW, _HIGH = 0.01, 0.99  # a weight outside leaves one part alone
_ROUNDING = 1e-6  # of the largest forecast: nets compute in single precision
_FIRST = 8  # rows that tell most models apart
_FLAT = 0.01  # forecasts with that share of the targets' spread explain 0.01 % of their variance
_FORECASTABLE = 0.2  # the correlation with the targets from which a flat forecast misses something
_FEWEST = 10  # test rows of a fit by which it is called flat
_NORMAL = 2.563  # the 10th to the 90th percentile of a normal distribution, over its deviation


class _Fitted(NamedTuple):
    """The fits of a model with one seed, and its forecasts (n,)."""

    fit: ModelFit
    yhat: F64


def _seeds(part: Forecasts, model: str) -> Iterator[_Fitted]:
    yield _Fitted(part.fits[model], part.yhat[model])
    for again in part.repeats:
        if model in again.fits:
            yield _Fitted(again.fits[model], again.yhat[model])


def _reports(forecasts: Mapping[str, Forecasts]) -> dict[str, list[FitReport]]:
    """The reports of every fit by model, over horizons and seeds."""
    found: dict[str, list[FitReport]] = {}
    for part in forecasts.values():
        for model in part.fits:
            of_model = found.setdefault(model, [])
            of_model += [r for seed in _seeds(part, model) for r in seed.fit.reports]
    return found


def of_the_parts(forecasts: Mapping[str, Forecasts]) -> list[str]:
    """Warns of weighed parts that are all of a forecast, or none of it, and of parts left alone.

    All horizons, fits and seeds count.
    """
    found = []
    for model, reports in _reports(forecasts).items():
        weights: dict[str, list[float]] = {}
        for report in reports:
            for name, own in report.weights.items():
                weights.setdefault(name, []).extend(own)
        extreme = [words for name, own in weights.items() for words in _extreme(name, own)]
        if extreme:
            found.append(
                f"{model}: {'; '.join(extreme)} (means over the held-out rows). A part over 99 % "
                "makes the forecast alone, and one under 1 % has no say in it: a result about "
                f"{model} is one about the parts that are left. A lower learning rate or another "
                "form may keep all parts."
            )
            continue
        fits = sum(r.fits for r in reports)
        for part, count in _sums(reports, "alone").items():
            found.append(
                f"{model} makes the same forecasts as {part} {_of(count, fits)}, but for a "
                "constant and less than 0.1 % of their spread: what it adds has learned nothing "
                f"there, and a result about {model} is one about {part}. More epochs, another "
                "learning rate or other features may help."
            )
    return found


def _extreme(name: str, weights: Sequence[float]) -> Iterator[str]:
    for side, out in (
        ("over 99 %", [w for w in weights if w > _HIGH]),
        ("under 1 %", [w for w in weights if w < _LOW]),
    ):
        if out:
            most = max(out) if side.startswith("over") else min(out)
            yield f"{name} ends {side} {_of(len(out), len(weights))}, at {most:.4f}"


def of_equal_forecasts(
    forecasts: Mapping[str, Forecasts], ties: Sequence[str], baseline: str
) -> list[str]:
    """Warns of models of a run that make the same forecasts, up to single precision.

    Not of `ties` with the baseline, which have a warning of their own.
    """
    where: dict[tuple[str, str], list[str]] = {}
    for horizon, part in forecasts.items():
        firsts: list[str] = []
        for name, yhat in part.yhat.items():
            same = next((first for first in firsts if _equal(part.yhat[first], yhat)), None)
            if same is None:
                firsts.append(name)
            elif not (baseline in (name, same) and {name, same} & set(ties)):
                where.setdefault((name, same), []).append(horizon)
    return [
        f"{name} makes the same forecasts as {same} at {', '.join(horizons)}, up to rounding: the "
        "two are one model under two names, or one adds nothing to the other. Their ranks and "
        "their tests against each other say nothing."
        for (name, same), horizons in where.items()
    ]


def _equal(one: F64, other: F64) -> bool:
    return _near(one[:_FIRST], other[:_FIRST]) and _near(one, other)


def _near(one: F64, other: F64) -> bool:
    return bool(np.all(np.abs(one - other) <= _ROUNDING * np.abs(one).max(initial=0.0)))


def of_flat_forecasts(forecasts: Mapping[str, Forecasts]) -> list[str]:
    """Warns of models that train in epochs and forecast one number where more can be foreseen.

    A fit is flat if the standard deviation of its test forecasts, each symbol around its mean, is
    under 1 % of the targets'. That is right where nothing can be forecast; so another model must
    correlate with the targets by 0.2 or more.
    """
    found = []
    for horizon, part in forecasts.items():
        learned = [m for m, fit in part.fits.items() if any(map(_trains, fit.reports))]
        for model in learned:
            flat, known = 0, 0
            for seed in _seeds(part, model):
                each = list(_flat(part, seed))
                flat, known = flat + sum(each), known + len(each)
            if not flat:
                continue
            other, correlation = _best_other(part, learned, model)
            if correlation >= _FORECASTABLE:
                found.append(
                    f"{model} forecasts almost one number at {horizon} {_of(flat, known)}: the "
                    "standard deviation of its test forecasts is under 1 % of the targets', "
                    f"while those of {other} correlate by {correlation:.2f} with the targets. It "
                    "diverged or learned nothing there, and the verdict judges no model that "
                    "learned; a lower learning rate, more epochs or another loss may help."
                )
    return found


def _trains(report: FitReport) -> bool:
    return report.training is not None and report.training.epochs > 0


def _flat(part: Forecasts, seed: _Fitted) -> Iterator[bool]:
    """Whether each fit's forecasts are flat, of the fits with enough test rows."""
    for a, b in pairwise(seed.fit.edges.tolist()):
        if b - a >= _FEWEST:
            codes = part.symbol[a:b]
            y, yhat = _around(part.y[a:b], codes), _around(seed.yhat[a:b], codes)
            low, high = np.quantile(y, (0.1, 0.9))
            yield bool(np.std(yhat) < _FLAT * (high - low) / _NORMAL)


def _best_other(part: Forecasts, learned: Sequence[str], model: str) -> tuple[str, float]:
    """The other model whose forecasts correlate most with the targets, and that correlation.

    Models that do not train come first: those that train may be flat as well.
    """
    y = _around(part.y, part.symbol)
    found = {
        name: _correlation(y, _around(yhat, part.symbol))
        for name, yhat in part.yhat.items()
        if name != model and not (name in learned and len(learned) < len(part.yhat))
    }
    best = max(found, key=lambda name: found[name], default="")
    return best, found.get(best, 0.0)


def _around(values: F64, codes: np.ndarray) -> F64:
    """Values (n,) less the mean of their symbol."""
    counts = np.maximum(np.bincount(codes), 1)
    return values - (np.bincount(codes, values) / counts)[codes]


def _correlation(one: F64, other: F64) -> float:
    scale = float(np.std(one) * np.std(other))
    return float(np.mean(one * other)) / scale if scale > 0.0 else 0.0


def of_the_training(forecasts: Mapping[str, Forecasts]) -> list[str]:
    """Warns of models whose held-out loss still fell when the epochs or rounds were over.

    All horizons, fits and seeds count.
    """
    by_key: dict[str, list[str]] = {}
    for model, reports in _reports(forecasts).items():
        fits = sum(r.fits for r in reports)
        for key, count in _sums(reports, "cut_short").items():
            by_key.setdefault(key, []).append(f"{model} {_of(count, fits)}")
    return [
        f"The best {'round' if key.endswith('rounds') else 'epoch'} on the held-out rows is among "
        f"the last 5 % that `{key}` allows: {', '.join(models)}. More might do better: raise "
        f"`{key}`."
        for key, models in by_key.items()
    ]


def _sums(reports: Sequence[FitReport], what: str) -> Counter[str]:
    return sum((Counter(getattr(r, what)) for r in reports), Counter())


def _of(count: int, fits: int) -> str:
    return f"in {count:,} of {fits:,} fit{'s' if fits != 1 else ''}"


def of_the_residuals(forecasts: Mapping[str, Forecasts]) -> list[str]:
    """Warns of models whose residuals are those of training rows, and too small."""
    found = []
    for model, reports in _reports(forecasts).items():
        reasons = [report.unseen for report in reports if report.unseen]
        if reasons:
            found.append(
                f"{model}: in {len(reasons):,} of {len(reports):,} fits the residuals are those of "
                "its training rows, which it follows closely. They are too small, and so are its "
                f"variances from logs, VaR and quantiles ({reasons[0]})."
            )
    return found
