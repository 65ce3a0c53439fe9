"""Runs the stages of a study again on bars that differ after an origin, and compares.

Everything known by the origin must be the same, bit for bit: the bars after filling and joining,
every measure, every feature, the rows of every horizon, targets resolved by then, and each model's
forecasts, coefficients and shifts. Forecasts of other packages' models may differ by rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from harness.audit.findings import Check, Failure, firsts
from harness.audit.one_fit import rounding
from harness.audit.stretch import FEWEST, Stretch, with_rows
from harness.errors import HarnessError, PanelError
from harness.measures import cascade
from harness.models.foreign import is_foreign
from harness.models.linear import Linear
from harness.panel.panel import Panel
from harness.samples.features import parse_feature
from harness.samples.rows import OriginMeasures
from harness.samples.splits import Fitting
from harness.study import stages
from harness.study.study import Study
from harness.types import F64, I64, Bars, Forecasts, Measured, Samples, Window
from harness.walk.residuals.kept import NOTHING
from harness.walk.walk_forward import walk_forward

_COLUMN = "column "
_WITH_TARGETS = ("row's ", "model ")  # subjects that exist only where a target does
_ITS, _MEDIAN = ", its ", ", its median "  # before a coefficient or shift; median over symbols


class Known(NamedTuple):
    """Values (n,) and the times (n,) at which they were known, UTC ns ascending."""

    times: I64
    values: F64


# (subject in words, symbol) -> its values: everything known from one set of bars.
World = dict[tuple[str, str], Known]


@dataclass
class Probe:
    """The stages of a study on a stretch; models that cannot be fitted there are `left_out`.

    `compared` are the subjects with known values that were compared under another future.
    """

    study: Study
    stretch: Stretch
    models: Mapping[str, tuple[str, ...]]
    left_out: dict[str, str] = field(default_factory=dict)
    compared: set[str] = field(default_factory=set)
    words: str | None = None
    _failed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _rounded(self) -> set[str]:
        """The forecasts of other packages: their last bits may change with the number of rows."""
        horizons = map(str, self.study.hypothesis.target.horizons)
        every = ((h, n, m) for h in horizons for n, m in self.study.models(h).items())
        return {model_at(n, h) for h, n, m in every if is_foreign(m)}

    def world(self, panel: Panel, origin: int | None = None, *, fit: bool = True) -> World:
        """Everything known from these bars; with an origin, models only in windows cut by then.

        Without `fit` only bars, measures and features.

        Raises the errors of the stages if the bars cannot be used, PanelError if no symbol has
        enough bars.
        """
        found: World = {}
        measured: list[Measured] = []
        for bars in panel.read():
            # One that does not move here moves elsewhere, so the study has it.
            if isinstance(bars, Bars) and not cascade.too_short(bars, self.study.plan):
                _bars(found, bars)
                measured.append(cascade.measure(bars, self.study.plan))
        if not measured:
            raise PanelError("no symbol has enough bars in the stretch")
        self._failed.clear()
        by_symbol = stages.at_origins(self.study, measured)
        for m in measured:
            for name, values in m.columns.items():
                found[f"measure {name}", m.symbol] = Known(m.known_at, values)
        for horizon in map(str, self.study.hypothesis.target.horizons):
            self._features(found, by_symbol, horizon)
            if fit:
                self._rows(found, by_symbol, horizon, origin)
        return found

    def _features(self, found: World, by_symbol: list[OriginMeasures], horizon: str) -> None:
        models = self.study.models(horizon)
        for text in dict.fromkeys(f for m in models.values() for f in m.features):
            for d in by_symbol:
                formed = d.measured.known_at[d.measured.origins]
                key = f"feature {text}", d.measured.symbol
                if key not in found:
                    found[key] = Known(formed, d.feature(parse_feature(text)))

    def _rows(
        self, found: World, by_symbol: list[OriginMeasures], horizon: str, origin: int | None
    ) -> None:
        """The rows, targets and models of a horizon."""
        try:
            samples = stages.sample(self.study, by_symbol, horizon)
        except HarnessError:  # the bars end before any row is complete
            return
        for code, symbol in enumerate(samples.symbols):
            own = np.flatnonzero(samples.rows.symbol == code)
            formed, resolved = samples.rows.formed_at[own], samples.resolved_at[own]
            for name, column in zip(samples.rows.names, samples.rows.X.T, strict=True):
                found[f"row's {name} at {horizon}", symbol] = Known(formed, column[own])
            by_time = np.argsort(resolved, kind="stable")
            target = Known(resolved[by_time], samples.y[own][by_time])
            found[f"target at {horizon}", symbol] = target
        self._models(found, samples, origin)

    def _models(self, found: World, samples: Samples, origin: int | None) -> None:
        """Models that can be fitted here: linear ones in one walk, each other one in its own."""
        horizon = samples.horizon
        wanted = [
            n for n in self.models.get(horizon, ()) if model_at(n, horizon) not in self.left_out
        ]
        embargo = self.study.embargo(horizon)
        windows = with_rows(samples, self.stretch.windows(embargo, origin))
        if not (wanted and windows):
            why = "too few rows in the stretch"
            self.left_out |= {model_at(n, horizon): why for n in wanted if origin is None}
            return
        # Linear models of one walk share sums, and so last bits.
        own = self.study.models(horizon)
        swept = {n for n, m in own.items() if isinstance(m, Linear) and m.swept}
        linear = [n for n in wanted if n in swept]
        for names in ([linear] if linear else []) + [[n] for n in wanted if n not in linear]:
            try:
                self._walk(found, samples, names, windows)
            except HarnessError:
                sound = [n for n in names if self._sound(samples, n, windows, origin)]
                if sound:
                    self._walk(found, samples, sound, windows)

    def _sound(
        self,
        samples: Samples,
        name: str,
        windows: tuple[Window, ...],
        origin: int | None,
    ) -> bool:
        """Whether a model can be fitted alone, after a walk with it failed; failures are noted."""
        try:
            self._walk({}, samples, [name], windows)
        except HarnessError as error:
            subject = model_at(name, samples.horizon)
            self._failed[subject] = str(error)
            if origin is None:
                self.left_out[subject] = str(error)
            return False
        return True

    def _walk(
        self, found: World, samples: Samples, names: Sequence[str], windows: tuple[Window, ...]
    ) -> None:
        study, horizon = self.study, samples.horizon
        models, specs = study.models(horizon), study.hypothesis.models
        every = self.stretch.windows(study.embargo(horizon))
        fittings = {n: Fitting(windows, every, scope=specs[n].scope) for n in names}
        settings = replace(study.settings(horizon), min_train=FEWEST, keep=NOTHING)
        made = walk_forward({n: models[n] for n in names}, samples, windows, fittings, settings)
        for name in names:
            _forecasts(found, made, name)

    def compare(
        self,
        base: World,
        panel: Panel,
        origin: int,
        how: str,
        *,
        cut: bool = False,
        fit: bool = True,
    ) -> Check:
        """Compare what is known from these bars with `base`, up to an origin (UTC ns).

        `cut`: the bars end there, so only what exists in both is compared. `fit` as in `world`,
        which raises if the bars cannot be read.
        """
        other = self.world(panel, origin, fit=fit)
        failures, count = [], 0
        shared, some = Shared(origin, cut=cut), Shared(origin, cut=True)
        fewer = _of_other_length(base, other)
        there = {symbol for _, symbol in (base if cut else other)}
        for (subject, symbol), known in base.items():
            if cut and _MEDIAN in subject:  # symbols that lost their test rows are not fitted
                continue
            again = other.get((subject, symbol))
            # Later bars may decide whether a target, and so its row, exists.
            loose = symbol in fewer and subject.startswith(_WITH_TARGETS)
            if again is not None:
                allowed = rounding(known.values) if subject in self._rounded else 0.0
                pairs = some if loose else shared
                moment, compared = pairs.first_difference(known, again, allowed)
            elif loose or self._excused(subject, symbol, there, how) or cut or not fit:
                continue
            else:
                moment, compared = shared.first(known), 0
            count += compared
            if compared and not cut:
                self.compared.add(subject)
            if moment is not None:
                reason = f"it depends on later bars ({how})"
                failures.append(Failure(subject, reason, symbol, moment))
        if not count and any(shared.first(known) is not None for known in base.values()):
            reason = f"nothing that was known could be recomputed ({how})"
            failures.append(Failure("bars", reason, None, origin))
        return Check(how, self._covered(base), count, firsts(failures))

    def _excused(self, subject: str, symbol: str, there: set[str], how: str) -> bool:
        """Whether a missing subject is due to a failed fit or a symbol that is not `there`."""
        model = subject.split(_ITS)[0]
        if model in self._failed:
            self.left_out.setdefault(f"{model}, {how}", self._failed[model])
        elif symbol and symbol not in there:
            self.left_out.setdefault(f"{symbol}, {how}", "too few bars, or bars that fail a check")
        return model in self._failed or bool(symbol and symbol not in there)

    def _covered(self, base: World) -> str:
        if self.words is None:
            self.words = _words(base)
        return self.words


class Shared:
    """Compares values known by an origin; columns with the same times share the alignment."""

    def __init__(self, origin: int, *, cut: bool) -> None:
        self._origin, self._cut = origin, cut
        self._found: dict[tuple[int, int], tuple[I64, slice | I64, slice | I64, int | None]] = {}

    def first(self, known: Known) -> int | None:
        """The time of the first value known by the origin."""
        return int(known.times[0]) if known.times.size and known.times[0] <= self._origin else None

    def first_difference(self, a: Known, b: Known, allowed: float = 0.0) -> tuple[int | None, int]:
        """The time of the first value that differs by more than allowed, and how many there are.

        Without an allowance every bit counts.
        """
        key = id(a.times), id(b.times)
        if key not in self._found:
            self._found[key] = self._pairs(a.times, b.times)
        times, left, right, apart = self._found[key]
        if apart is not None:
            return apart, times.size
        values, found = a.values[left], b.values[right]
        if values.tobytes() == found.tobytes():
            return None, times.size
        bits = (np.ascontiguousarray(v).view(np.int64) for v in (values, found))
        differs = next(bits) != next(bits)
        differs &= ~(np.isnan(values) & np.isnan(found))
        if allowed:
            differs &= ~(np.abs(values - found) <= allowed)
        where = np.flatnonzero(differs)
        return (int(times[where[0]]) if where.size else None), times.size

    def _pairs(self, a: I64, b: I64) -> tuple[I64, slice | I64, slice | I64, int | None]:
        """Times in both by the origin, their positions, and the first time that only one has."""
        old, again = (slice(0, int(np.searchsorted(t, self._origin, "right"))) for t in (a, b))
        if np.array_equal(a[old], b[again]):
            return a[old], old, again, None
        both, at, there = np.intersect1d(a[old], b[again], return_indices=True)
        apart = None if self._cut else int(np.setxor1d(a[old], b[again])[0])
        return both, at, there, apart


def _of_other_length(base: World, other: World) -> set[str]:
    """Symbols with another number of bars under the other future, and "" if there is one.

    Injected noise can produce rows that the panel's row filter rejects, and the reverse.
    """
    columns = [key for key in base if key[0].startswith(_COLUMN)]
    found = {
        key[1]
        for key in columns
        if key not in other or other[key].times.size != base[key].times.size
    }
    return found | {""} if found else found


def _bars(found: World, bars: Bars) -> None:
    """Bars are known at their end; their own `known_at` is not used."""
    starts = bars.ts if bars.ts is not None else bars.start + np.arange(bars.n) * bars.bar
    for name, values in bars.columns.items():
        found[f"{_COLUMN}{name}", bars.symbol] = Known(starts + bars.bar, values)


def _forecasts(found: World, made: Forecasts, name: str) -> None:
    horizon, fit = made.horizon, made.fits[name]
    for code, symbol in enumerate(made.symbols):
        own = np.flatnonzero(made.symbol == code)
        found[model_at(name, horizon), symbol] = Known(made.formed_at[own], made.yhat[name][own])
    for stated, values in zip(fit.stated, fit.shifted.T, strict=True):
        its = _MEDIAN if fit.var_shift.ndim > 1 else _ITS
        found[f"{model_at(name, horizon)}{its}{stated}", ""] = Known(fit.cuts, values)


def model_at(model: str, horizon: str) -> str:
    """The subject of a model at a horizon, in failures too."""
    return f"model {model} at {horizon}"


def _words(world: World) -> str:
    """The number of subjects: `1 column, 9 measures, 9 features, 4 models`."""
    found = {subject.split(_ITS)[0] for subject, _ in world}
    kinds = ("column", "measure", "feature", "target", "model")
    counts = {kind: sum(subject.startswith(kind) for subject in found) for kind in kinds}
    return ", ".join(f"{n} {kind}{'s' if n != 1 else ''}" for kind, n in counts.items() if n)
