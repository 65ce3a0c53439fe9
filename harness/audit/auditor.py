"""An audit from its seed to its result: where to look, what to run there, all checks of it.

The short form looks at one stretch and at models that are cheap to fit; it is part of every run.
The full form looks at many stretches, at every symbol in turn and at every model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.audit.columns import column_checks
from harness.audit.embargo import embargo_check, stored_check
from harness.audit.findings import Audit, Check, Failure, merged
from harness.audit.perturb import Change, changed, held, noise, scaled, truncated
from harness.audit.probe import Probe, Shared, Stages, World
from harness.audit.quality import filled_check, floor_check
from harness.audit.sentinel import shuffled
from harness.audit.stretch import Needs, Stretch, look_back, place
from harness.errors import HarnessError
from harness.features import parse_feature
from harness.measures.store import PanelFacts
from harness.models.linear import Linear
from harness.panel import Panel, open_panel
from harness.samples import Decided
from harness.selection import Selection
from harness.study import Study
from harness.types import I64, Samples

# Kinds that are slow to fit: the full form fits them too.
LEARNED = frozenset({"sklearn", "lightgbm", "lstm", "gru"})
# Kinds whose forecasts come from the series itself more than from targets they are fitted to.
_OWN_DYNAMICS = frozenset({"garch", "gjr", "egarch", "arfima"})
_NOISE, _SCALED = "noise after the origin", "a scaled copy after the origin"
_TRUNCATED = "bars read to the origin only"
_RUN = "the run's own measures"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Form:
    """How much is looked at: stretches, symbols in each, fits and shuffles by horizon.

    `most_fits` None: all. `reads`: how many origins of a stretch the panel is read again for;
    `more` origins only of bars, measures and features.
    """

    name: str
    stretches: int
    symbols: int
    most_fits: int | None
    shuffles: int
    reads: int
    more: int
    learned: bool


SHORT = Form("short", 1, 3, 12, 6, 1, 8, learned=False)
FULL = Form("full", 8, 6, None, 40, 3, 20, learned=True)


class Auditor:
    """The audit of one study, whose run has read and measured the panel already."""

    def __init__(
        self,
        study: Study,
        facts: PanelFacts,
        decided: Sequence[Decided],
        stages: Stages,
        *,
        form: Form = SHORT,
        tell: Tell = lambda _: None,
    ) -> None:
        self.study, self.facts, self.decided = study, facts, decided
        self.stages, self.form, self.tell = stages, form, tell
        self.checks: list[Check] = [filled_check(facts)]
        self.left_out: list[str] = []
        digits = study.hypothesis.spec_hash.removeprefix("sha256:")
        self._seed = int(digits[:12], 16)
        self._rng = np.random.default_rng([self._seed, self.form.learned])

    def rows(self, samples: Samples) -> None:
        """Look at a horizon's rows: features, targets, and what each fit is given of them."""
        study, horizon = self.study, samples.horizon
        span, models = study.span(self.facts), study.models(horizon)
        windows = study.windows(horizon, span)
        self.checks.append(embargo_check(study, samples, span, self.form.most_fits))
        self.checks.append(stored_check(samples, windows))
        self.checks += column_checks(models, samples)
        self.checks.append(floor_check(samples, windows, study.scale))
        if self.form.learned or horizon == str(study.hypothesis.verdict.horizon):
            window = windows[int(self._rng.integers(len(windows)))]
            chosen = {n: m for n, m in models.items() if self._shuffles(n, m)}
            found, why = shuffled(study, samples, chosen, window, self.form.shuffles, self._rng)
            self.checks += found
            self.left_out += why

    def _shuffles(self, name: str, model: object) -> bool:
        kind = self.study.hypothesis.models[name].kind
        if isinstance(model, Linear):
            return True
        return self.form.learned and kind not in _OWN_DYNAMICS | LEARNED

    def result(self) -> Audit:
        """Replace the future on every stretch, and put together what was found."""
        origins: list[int] = []
        places: list[tuple[int, int]] = []
        symbols: dict[str, None] = {}
        for number in range(self.form.stretches):
            codes = self._codes()
            stretch = self._stretch(codes)
            if stretch is None:
                continue
            names = tuple(self.facts.symbols[code] for code in codes)
            asked = sorted({*stretch.origins, *stretch.more})
            try:
                self._probe(stretch, names, number)
            except HarnessError as error:
                self.left_out.append(f"a stretch to {stretch.end}: {error}")
                continue
            origins += asked
            places.append((stretch.start or self.facts.start, stretch.end))
            symbols |= dict.fromkeys(names)
        if not places:
            reason = "no stretch of the panel could be looked at"
            reason += f": {self.left_out[-1]}" if self.left_out else ""
            self.checks.append(Check(_NOISE, "", 0, (Failure("panel", reason),)))
        checks = tuple(c for c in merged(self.checks) if c.count or c.failures)
        left = tuple(dict.fromkeys(self.left_out))
        return Audit(self.form.name, checks, tuple(origins), tuple(places), tuple(symbols), left)

    def _codes(self) -> list[int]:
        """Which symbols: as many as the form has, by chance, in their order."""
        count = len(self.decided)
        if count <= self.form.symbols:
            return list(range(count))
        return sorted(self._rng.choice(count, self.form.symbols, replace=False).tolist())

    def _stretch(self, codes: Sequence[int]) -> Stretch | None:
        study, h = self.study, self.study.hypothesis
        measured = self.decided[codes[0]].measured
        times: I64 = measured.known_at[measured.decisions]
        horizons = list(map(str, h.target.horizons))
        models = [m for horizon in horizons for m in study.models(horizon).values()]
        expressions = [
            parse_feature(f) for f in dict.fromkeys(f for m in models for f in m.features)
        ]
        longest = max(study.plan.windows.values())
        warm = -(-longest // study.plan.every) + look_back(expressions, study.plan.units)
        warm += max((m.look_back for m in models), default=0)
        steps = max(-(-study.plan.windows[horizon] // study.plan.every) for horizon in horizons)
        validates = self.form.learned and any(m.validates for m in models)
        embargo = max(study.embargo(horizon) for horizon in horizons)
        needs = Needs(warm, steps, embargo, validates)
        if times.size < steps + 8:
            self.left_out.append(f"{measured.symbol}: {times.size} decisions are too few")
            return None
        first = study.windows(horizons[0], study.span(self.facts))[0].cut
        symbol = measured.symbol
        gaps = [gap for gap in self.facts.gaps if gap.symbol == symbol]
        return place(times, needs, first, gaps, study.plan.bar, self.form.more, self._rng)

    def _open(self, stretch: Stretch, names: tuple[str, ...], end: int) -> Study:
        """The study on a part of its panel: these symbols, from the stretch's start to `end`."""
        study = self.study
        start = stretch.start if stretch.start is not None else study.hypothesis.panel.start
        panel = open_panel(
            study.panel_spec,
            start=start,
            end=end,
            columns=study.plan.inputs,
            select=Selection(study.hypothesis.path, names),
        )
        return replace(study, panel=panel)

    def _models(self) -> dict[str, tuple[str, ...]]:
        specs = self.study.hypothesis.models
        chosen = tuple(n for n, s in specs.items() if self.form.learned or s.kind not in LEARNED)
        left = [name for name in specs if name not in chosen]
        if left:
            self.left_out.append(
                f"forecasts of {', '.join(left)}, slow to fit: harness audit FILE --full"
            )
        h = self.study.hypothesis
        # The short form fits at the horizon that is decided on.
        horizons = h.target.horizons if self.form.learned else [h.verdict.horizon]
        return dict.fromkeys(map(str, horizons), chosen)

    def _probe(self, stretch: Stretch, names: tuple[str, ...], number: int) -> None:
        panel = held(self._open(stretch, names, stretch.end).panel)
        probe = Probe(self.study, self.stages, stretch, self._models())
        began = time.perf_counter()
        base = probe.world(panel)
        if number == 0 and self.form.learned:
            self._say(time.perf_counter() - began)
        self.checks.append(self._of_the_run(base, stretch))
        for place_, origin in enumerate(stretch.origins):
            for how, change in ((_NOISE, noise), (_SCALED, scaled)):
                self._compare(probe, base, panel, change, origin, how)
            if place_ < self.form.reads:
                again = self._open(stretch, names, origin).panel
                self.checks.append(probe.compare(base, again, origin, _TRUNCATED, cut=True))
            else:
                self._compare(probe, base, panel, truncated, origin, "bars cut off at the origin")
        for origin in stretch.more:
            self._compare(probe, base, panel, noise, origin, _NOISE, fit=False)
        self.left_out += [f"{what}: {why}" for what, why in probe.left_out.items()]

    def _compare(
        self,
        probe: Probe,
        base: World,
        panel: Panel,
        change: Change,
        origin: int,
        how: str,
        *,
        fit: bool = True,
    ) -> None:
        other = changed(panel, change, origin, self._seed % 2**32)
        cut = change is truncated
        self.checks.append(probe.compare(base, other, origin, how, cut=cut, fit=fit))

    def _of_the_run(self, base: World, stretch: Stretch) -> Check:
        """The measures the run used, against those of the stretch's bars alone."""
        if self.study.panel_spec.adjusting:
            return Check(
                _RUN, "not compared: prices are adjusted", 0
            )  # adjusted prices start at another level: other last digits
        failures, count = [], 0
        longest = 2 * max(self.study.plan.windows.values()) * self.study.plan.bar
        for d in self.decided:
            m = d.measured
            for name, values in m.columns.items():
                known = base.get((f"measure {name}", m.symbol))
                if known is None:
                    continue
                later = known.times >= known.times[0] + longest
                inside = (m.known_at >= known.times[0] + longest) & (m.known_at <= stretch.end)
                a = known._replace(times=known.times[later], values=known.values[later])
                b = known._replace(times=m.known_at[inside], values=values[inside])
                moment, compared = Shared(stretch.end, cut=True).first_difference(a, b)
                count += compared
                if moment is not None:
                    reason = "the run used another value than these bars give"
                    failures.append(Failure(f"measure {name}", reason, m.symbol, moment))
        covered = "each against that of the stretch's bars alone"
        return Check(_RUN, covered, count, tuple(failures))

    def _say(self, seconds: float) -> None:
        """What the full form will take, by what the first of its recomputations took."""
        times = self.form.stretches * (1 + 3 * 2 + 1)
        self.tell(
            f"full audit: {self.form.stretches} stretches, about {times} recomputations, "
            f"about {times * seconds:.0f} s"
        )
