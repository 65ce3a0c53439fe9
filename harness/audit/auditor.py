"""The audit of one study: chooses stretches of bars and runs all checks on them.

The short form, part of every run, uses one stretch and replaces models that are slow to fit by
small versions. The full form uses many stretches and symbols, and unchanged models at every
horizon.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from harness.audit.columns import column_checks
from harness.audit.embargo import embargo_check, stored_check
from harness.audit.findings import Audit, Check, Failure, merged
from harness.audit.foreign_models import foreign_checks
from harness.audit.late_targets import late_check
from harness.audit.other_columns import OtherColumn, other_columns
from harness.audit.perturb import Change, changed, held, noise, scaled, truncated
from harness.audit.probe import Known, Probe, Shared, World, model_at
from harness.audit.quality import filled_check, floor_check
from harness.audit.rows_alone import rows_alone
from harness.audit.short_form import in_short_form
from harness.audit.shuffled_targets import shuffled, shuffled_once
from harness.audit.stretch import Needs, Stretch, look_back, place
from harness.durations import show_moment
from harness.errors import HarnessError, PanelError, RunError
from harness.measures.windows import MOST_ORDER
from harness.models.foreign import is_foreign
from harness.models.linear import Linear
from harness.models.protocol import Staged
from harness.panel.panel import open_panel
from harness.samples.features import parse_feature
from harness.study.stages import MeasuredStudy
from harness.study.study import Study
from harness.types import I64, Forecasts, Measured, Progress, Samples

_NOISE, _SCALED = "noise after the origin", "a scaled copy after the origin"
_TRUNCATED = "bars read to the origin only"
_RUN = "the run's own measures"
_ATTEMPTS = 4  # stretches tried before giving up


@dataclass(frozen=True)
class Form:
    """The size of an audit: stretches, symbols in each, fits and shuffles by horizon.

    `most_fits` None: all. `reads`: origins of a stretch at which the panel is read again; `more`:
    further origins, for bars, measures and features only; `late`: windows of a horizon whose late
    targets are replaced; `whole`: unchanged models at every horizon.
    """

    name: str
    stretches: int
    symbols: int
    most_fits: int | None
    shuffles: int
    reads: int
    more: int
    late: int
    whole: bool


SHORT = Form("short", 1, 3, 12, 6, 1, 8, 1, whole=False)
FULL = Form("full", 8, 6, None, 40, 3, 20, 6, whole=True)


class Auditor:
    """The audit of one study whose panel is already read and measured."""

    def __init__(
        self,
        measured: MeasuredStudy,
        *,
        form: Form = SHORT,
        tell: Progress = lambda _: None,
    ) -> None:
        study = measured.study
        self.measured, self.study, self.facts = measured, study, measured.facts
        self.by_symbol, self.form, self.tell = measured.by_symbol, form, tell
        self.checks: list[Check] = [filled_check(measured.facts)]
        self.left_out: list[str] = []
        self.others: tuple[OtherColumn, ...] = ()
        self._of_models: list[Check] = []
        self._compared: set[str] = set()
        digits = study.hypothesis.spec_hash.removeprefix("sha256:")
        self._small = study if form.whole else in_short_form(study)
        self._seed = int(digits[:12], 16)
        self._rng = np.random.default_rng([self._seed, self.form.whole])
        self._rng_of_others = np.random.default_rng([self._seed, self.form.whole, 1])

    def rows(self, samples: Samples, made: Forecasts | None = None) -> None:
        """Check a horizon's rows: features, targets, the rows that each fit is given, and models.

        `made` are the run's forecasts, if there is a run: a model of another package has to give
        the same ones in a fresh process.
        """
        study, horizon = self.study, samples.horizon
        span, models = self.measured.span, study.models(horizon)
        windows = study.windows(horizon, span)
        self.checks.append(embargo_check(study, samples, span, self.form.most_fits))
        self.checks.append(stored_check(samples, windows))
        self.checks += column_checks(models, samples)
        self.checks.append(floor_check(samples, windows, study.scale))
        if horizon == str(study.hypothesis.verdict.horizon):
            self.others = other_columns(self.measured, horizon)
        if self.form.whole or horizon == str(study.hypothesis.verdict.horizon):
            window = windows[int(self._rng.integers(len(windows)))]
            linear = {n: m for n, m in models.items() if isinstance(m, Linear)}
            own = {n: m for n, m in linear.items() if not is_foreign(m)}
            self._add(shuffled(study, samples, own, window, self.form.shuffles, self._rng))
            small = self._small.models(horizon)
            for _ in range(self.form.late):
                self._add(late_check(study, samples, small, windows, self._rng))
            self._others(samples, made)

    def _others(self, samples: Samples, made: Forecasts | None) -> None:
        """Check the models that are not linear, and those of other packages, on one window each."""
        study, horizon, draws = self.study, samples.horizon, SHORT.shuffles
        models, rng = study.models(horizon), self._rng_of_others
        windows = study.windows(horizon, self.measured.span)
        foreign = {n: m for n, m in models.items() if is_foreign(m)}
        own = {
            n: m
            for n, m in self._small.models(horizon).items()
            if n not in foreign and not isinstance(m, Linear)
        }
        window = windows[int(rng.integers(len(windows)))]
        kinds = study.hypothesis.models
        learning = {n: m for n, m in own.items() if not kinds[n].entry.own_dynamics}
        for checks, left_out in (
            rows_alone(study, samples, own, window, rng),
            shuffled_once(study, samples, learning, window, draws, rng),
        ):
            self._of_models += checks
            self.left_out += left_out
        fittings = study.fittings(horizon, self.measured.span, windows)
        self._of_models += foreign_checks(study, samples, foreign, fittings, made, draws, rng)

    def _add(self, found: tuple[list[Check], list[str]]) -> None:
        self.checks += found[0]
        self.left_out += found[1]

    def result(self) -> Audit:
        """Replace the future on every stretch and collect the results of all checks."""
        origins: list[int] = []
        places: list[tuple[int, int]] = []
        symbols: dict[str, None] = {}
        for number in range(self.form.stretches):
            found = self._look(number)
            if found is None:
                continue
            stretch, names = found
            origins += sorted({*stretch.origins, *stretch.more})
            places.append((stretch.start or self.facts.start, stretch.end))
            symbols |= dict.fromkeys(sorted(names))
        checks = tuple(c for c in merged([*self.checks, *self._of_models]) if c.count or c.failures)
        left = tuple(dict.fromkeys(self.left_out))
        return Audit(
            self.form.name,
            checks,
            tuple(origins),
            tuple(places),
            tuple(symbols),
            left,
            self._unprobed(),
            self.others,
        )

    def _unprobed(self) -> tuple[str, ...]:
        """The models whose forecasts were compared on no stretch at the verdict's horizon."""
        h = self.study.hypothesis
        horizon = str(h.verdict.horizon)
        return tuple(n for n in h.models if model_at(n, horizon) not in self._compared)

    def _look(self, number: int) -> tuple[Stretch, tuple[str, ...]] | None:
        """Probe a stretch, or another one if its bars are too few; None if all attempts fail."""
        why = ""
        for _ in range(_ATTEMPTS):
            first = int(self._rng.integers(len(self.by_symbol)))
            try:
                stretch = self._stretch(self.by_symbol[first].measured)
                names = self._beside(first, stretch)
                self.checks += self._probe(stretch, names, number)
            except HarnessError as error:
                why = str(error)
            else:
                return stretch, names
        self.left_out.append(f"bars after an origin replaced: {why}")
        return None

    def _beside(self, first: int, stretch: Stretch) -> tuple[str, ...]:
        """The stretch's symbol and random others that have rows in it before its first origin."""
        begin, end = stretch.start or 0, stretch.origins[0]
        near = []
        for code, d in enumerate(self.by_symbol):
            times = d.measured.known_at
            if code != first and np.searchsorted(times, begin) < np.searchsorted(times, end):
                near.append(code)
        count = min(self.form.symbols - 1, len(near))
        drawn = self._rng.choice(near, count, replace=False).tolist() if count else []
        return tuple(self.by_symbol[code].measured.symbol for code in (first, *drawn))

    def _stretch(self, measured: Measured) -> Stretch:
        """A stretch of a symbol; RunError if it has too few forecast origins."""
        study, h = self.study, self.study.hypothesis
        times: I64 = measured.known_at[measured.origins]
        horizons = list(map(str, h.target.horizons))
        models = [m for horizon in horizons for m in study.models(horizon).values()]
        expressions = [
            parse_feature(f) for f in dict.fromkeys(f for m in models for f in m.features)
        ]
        longest = max(study.plan.windows.values())
        warm = -(-longest // study.plan.every) + look_back(expressions, study.plan.units)
        warm += max((m.look_back for m in models), default=0)
        steps = max(-(-study.plan.windows[horizon] // study.plan.every) for horizon in horizons)
        validates = any(model.validates for model in models)
        staged = any(isinstance(model, Staged) for model in models)
        embargo = max(study.embargo(horizon) for horizon in horizons)
        needs = Needs(warm, steps, embargo, validates, staged)
        if times.size < steps + 8:
            raise RunError(f"{measured.symbol}: {times.size} forecast origins are too few")
        first = study.windows(horizons[0], self.measured.span)[0].cut
        symbol = measured.symbol
        gaps = [gap for gap in self.facts.gaps if gap.symbol == symbol]
        return place(times, needs, first, gaps, study.plan.bar, self.form.more, self._rng)

    def _open(self, stretch: Stretch, names: tuple[str, ...], end: int) -> Study:
        """The study on part of its panel: from the stretch's start to `end`, these symbols.

        Symbols without bars there are left out; PanelError if none is left.
        """
        study = self.study
        start = stretch.start if stretch.start is not None else study.hypothesis.panel.start
        panel = open_panel(
            study.panel_spec,
            start=start,
            end=end,
            columns=study.plan.inputs,
        )
        there = tuple(s for s in panel.symbols if s in names)
        if not there:
            raise PanelError(f"no bar of {', '.join(names)} before {show_moment(end)}")
        return replace(study, panel=panel if there == panel.symbols else panel.only(there))

    def _horizons(self) -> dict[str, tuple[str, ...]]:
        """Horizon -> models to fit; the short form fits only at the verdict's horizon."""
        h = self.study.hypothesis
        horizons = h.target.horizons if self.form.whole else [h.verdict.horizon]
        return dict.fromkeys(map(str, horizons), tuple(h.models))

    def _probe(self, stretch: Stretch, names: tuple[str, ...], number: int) -> list[Check]:
        panel = held(self._open(stretch, names, stretch.end).panel)
        probe = Probe(self._small, stretch, self._horizons())
        began = time.perf_counter()
        base = probe.world(panel)
        if number == 0 and self.form.whole:
            self._say(time.perf_counter() - began)

        def other(change: Change, origin: int, how: str, *, fit: bool = True) -> Check:
            bars = changed(panel, change, origin, self._seed % 2**32)
            return probe.compare(base, bars, origin, how, cut=change is truncated, fit=fit)

        checks = [self._of_the_run(base, stretch)]
        for place_, origin in enumerate(stretch.origins):
            checks.append(other(noise, origin, _NOISE))
            checks.append(other(scaled, origin, _SCALED))
            if place_ < self.form.reads:
                again = self._open(stretch, names, origin).panel
                checks.append(probe.compare(base, again, origin, _TRUNCATED, cut=True))
            else:
                checks.append(other(truncated, origin, "bars cut off at the origin"))
        checks += [other(noise, origin, _NOISE, fit=False) for origin in stretch.more]
        self.left_out += [f"{what}: {why}" for what, why in probe.left_out.items()]
        self._compared |= probe.compared
        return checks

    def _of_the_run(self, base: World, stretch: Stretch) -> Check:
        """Compare the run's measures with those computed from the stretch's bars alone."""
        if self.study.panel_spec.levelled:
            # Prices adjusted from the first bar start at another level: last digits differ.
            return Check(_RUN, "not compared: prices are adjusted", 0)
        failures, count = [], 0
        longest = max(self.study.plan.windows.values())
        for d in self.by_symbol:
            m = d.measured
            full = longest // m.block + MOST_ORDER - 1  # blocks without a full window before them
            for name, values in m.columns.items():
                known = base.get((f"measure {name}", m.symbol))
                if known is None or known.times.size <= full:
                    continue
                inside = (m.known_at >= known.times[full]) & (m.known_at <= stretch.end)
                a = Known(known.times[full:], known.values[full:])
                b = Known(m.known_at[inside], values[inside])
                moment, compared = Shared(stretch.end, cut=True).first_difference(a, b)
                count += compared
                if moment is not None:
                    reason = "the run used another value than the one computed from these bars"
                    failures.append(Failure(f"measure {name}", reason, m.symbol, moment))
        covered = "each compared with the one computed from the stretch's bars alone"
        return Check(_RUN, covered, count, tuple(failures))

    def _say(self, seconds: float) -> None:
        """Report how long the full form will take, from the time of its first recomputation."""
        times = self.form.stretches * (1 + 3 * 2 + 1)
        self.tell(
            f"full audit: {self.form.stretches} stretches, about {times} recomputations, "
            f"about {times * seconds:.0f} s"
        )
