"""Models of other packages: one real fit of each is made again in a fresh process.

There it has no data after its test rows, no memory of earlier fits and none of earlier runs. Its
forecasts must be those of the run, and a row's forecast must be the same alone, in a part of the
rows and among all. A second process gets rows and targets of other times under the same time
stamps: skill that remains does not come from the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from harness.audit.findings import Check, Failure
from harness.audit.fresh_process import Ended, Lost, Refused, in_fresh_process
from harness.audit.one_fit import Answer, OneFit, first_apart, one_fit, rounding, unlike
from harness.audit.rows_alone import NAME as ROWS_ALONE
from harness.audit.shuffled_targets import (
    FEWEST_TEST,
    NAME,
    SUSPICIOUS,
    centred_skill,
    in_other_times,
    with_skill,
)
from harness.models.protocol import Chained, Forecaster
from harness.samples.splits import Fitting, make_folds
from harness.study.study import Study
from harness.types import F64, I64, Fold, Forecasts, Samples
from harness.walk.fold_fit import wants_pretraining
from harness.walk.residuals.kept import NOTHING

FRESH = "fit in a fresh process"
_LINKS = 4  # a chain of fits is made again up to one of its first few
_SINGLES = 24  # rows forecast by themselves, the first and the last among them
_SHARE = 0.5  # the length of a part of the rows as a share of the next longer one
_TIMES, _LEAST_SECONDS = 20.0, 60.0  # of the run's own fit; loading a library may take long
_UNTIMED = 600.0  # seconds allowed where no run says how long a fit takes
_TRIES = 3  # shuffles that a model may refuse
_SHUFFLED = "rows and targets of other times: it knows outcomes by their time stamps"
_DO = (
    "fit and predict must depend on rows, targets and seed alone, in every process: look for state "
    "of the module, files, locks, the network and the order of calls"
)
_END = (
    "fit and predict must return in every process, in about the time that the run's own fit takes: "
    "look for locks, the network, files that are not there, and calls that end the process"
)


@dataclass(frozen=True)
class _Run:
    """The run's forecasts (n,) of a model by row, NaN elsewhere, and what they gained.

    `gain` (n,) is the baseline's squared error minus the model's, 0 elsewhere. `seconds` are those
    of each fit by its cut (UTC ns).
    """

    yhat: F64
    gain: F64
    seconds: Mapping[int, float]


def foreign_checks(
    study: Study,
    samples: Samples,
    models: Mapping[str, Forecaster],
    fittings: Mapping[str, Fitting],
    made: Forecasts | None,
    draws: int,
    rng: np.random.Generator,
) -> list[Check]:
    """The checks of these models at one horizon; `made` are the run's forecasts, if there are any.

    `draws` further shuffles decide where one leaves skill.
    """
    checks: list[Check] = []
    for name, model in models.items():
        run = _run(study, samples, name, made)
        found = _chosen(study, samples, name, model, fittings[name], run, rng)
        if found is None:
            continue
        plugin = study.hypothesis.models[name].plugin
        package = str(plugin.offer) if plugin else f"module {type(model).__module__}"
        subject = _Subject(name, package, samples, *found, run)
        again = list(subject.fitted_again(rng))
        checks += again
        if again[0].count:  # a process that died or hung would do so again
            checks.append(subject.in_other_times(draws, rng))
    return checks


def _run(study: Study, samples: Samples, name: str, made: Forecasts | None) -> _Run | None:
    if made is None or name not in made.yhat:
        return None
    at = positions(samples, made.symbol, made.formed_at)
    yhat, gain = np.full(samples.y.size, np.nan), np.zeros(samples.y.size)
    yhat[at] = made.yhat[name]
    base = made.yhat[study.hypothesis.verdict.baseline]
    gain[at] = np.square(made.y - base) - np.square(made.y - made.yhat[name])
    fit = made.fits[name]
    seconds = {
        int(cut): report.fit_seconds + report.predict_seconds
        for cut, report in zip(fit.cuts, fit.reports, strict=False)
    }
    return _Run(yhat, gain, seconds)


def positions(samples: Samples, symbol: np.ndarray, formed_at: I64) -> I64:
    """The positions of rows, told by symbol and time, among all rows."""
    times, count = np.unique(samples.rows.formed_at), len(samples.symbols)
    every = np.searchsorted(times, samples.rows.formed_at) * count + samples.rows.symbol
    order = np.argsort(every, kind="stable")
    wanted = np.searchsorted(times, formed_at) * count + symbol
    return order[np.searchsorted(every[order], wanted)]


def _chosen(
    study: Study,
    samples: Samples,
    name: str,
    model: Forecaster,
    fitting: Fitting,
    run: _Run | None,
    rng: np.random.Generator,
) -> tuple[OneFit, OneFit] | None:
    """The fit that gained most on the baseline, since foreknowledge shows there; else a random one.

    Also with more test rows, asked for as many at once, if its own are few. None if no fit has test
    rows. A chained model's is one of the first, as it needs all before it.
    """
    settings = replace(study.settings(samples.horizon), keep=NOTHING)
    if not wants_pretraining(model, settings):
        settings = replace(settings, source=None)
    chain = isinstance(model, Chained)
    codes, least = [-1], 1
    if len(samples.symbols) > 1 and fitting.scope == "asset":
        codes, least = list(range(len(samples.symbols))), settings.min_train
    best: tuple[float, float] | None = None  # its gain; without one, by chance
    chosen: tuple[Samples, list[Fold]] | None = None
    for code in codes:
        own = np.flatnonzero((samples.rows.symbol == code) | (code < 0))
        part = samples if code < 0 else samples.of(own)
        folds = [f for f in make_folds(part, fitting.windows) if _fits(part, f, least)]
        for k, fold in enumerate(folds[: _LINKS if chain else None]):
            gain = 0.0 if run is None else float(run.gain[own[fold.test]].sum())
            key = gain, float(rng.random())
            if best is None or key > best:
                best = key
                chosen = part, folds[: k + 1] if chain else [fold]
    if chosen is None:
        return None
    part, links = chosen
    one = one_fit(name, model, part, links, settings, fitting.scope)
    test = links[-1].test
    stop = max(test.stop, min(test.start + FEWEST_TEST, part.y.size))
    if stop == test.stop:
        return one, one
    end = int(part.rows.formed_at[stop - 1]) + 1
    last = links[-1]._replace(
        test=slice(test.start, stop), window=links[-1].window._replace(end=end)
    )
    longer = one_fit(name, model, part, [*links[:-1], last], settings, fitting.scope)
    return one, replace(longer, at_once=test.stop - test.start)


def _fits(part: Samples, fold: Fold, least: int) -> bool:
    return fold.test.stop > fold.test.start and part.y[fold.train].size >= least


@dataclass(frozen=True)
class _Subject:
    """A model under these checks: its package in words, all rows, one of its fits, the run's."""

    name: str
    package: str
    samples: Samples
    one: OneFit
    longer: OneFit
    run: _Run | None

    @property
    def where(self) -> str:
        """`level at 4h, window 7`."""
        return f"{self.name} at {self.samples.horizon}, window {self.one.fold.window.position + 1}"

    @property
    def limit(self) -> float:
        """Seconds that the fit may take in a fresh process."""
        cut = self.one.fold.window.cut
        if self.run is None or cut not in self.run.seconds:
            return _UNTIMED
        return max(_LEAST_SECONDS, _TIMES * self.run.seconds[cut])

    def failure(self, reason: str, symbol: str | None = None, moment: int | None = None) -> Failure:
        """A failure of the model, at a row or in the whole fit."""
        moment = self.one.fold.window.cut if moment is None else moment
        words = f"{reason} [{self.package}]"
        return Failure(f"model {self.name} at {self.samples.horizon}", words, symbol, moment)

    def at_row(self, reason: str, answer: Answer, row: int) -> Failure:
        """A failure at a row of the answer."""
        symbol = self.samples.symbols[answer.symbol[row]]
        return self.failure(reason, symbol, int(answer.formed_at[row]))

    def lost(self, error: Lost) -> Failure:
        """The failure of a fresh process that gave no forecasts."""
        advice = _END if isinstance(error, Ended) else _DO
        return self.failure(f"fitted in a fresh process, {error}; {advice}")

    def fitted_again(self, rng: np.random.Generator) -> Iterator[Check]:
        """The fit in a fresh process: as in the run, and the same for each row alone."""
        test = self.one.fold.test
        count = test.stop - test.start
        drawn = rng.choice(count, min(_SINGLES, count), replace=False).tolist()
        singles = sorted({0, count - 1, *drawn[2:]})
        try:
            answer = in_fresh_process(self.one.without_later(), self.limit, singles, _SHARE)
        except Lost as error:
            yield Check(FRESH, f"{self.where}: no forecasts", 0, (self.lost(error),))
            return
        if self.run is not None:
            yield self._as_in_the_run(answer, self.run)
        if answer.parts:
            asked = sum(part.size for part, _ in answer.parts)
            longer = len(answer.parts) - len(singles)
            covered = f"{self.where}: {len(singles)} rows alone, {longer} parts of the rows"
            yield Check(ROWS_ALONE, covered, asked, tuple(self._unlike_alone(answer)))

    def _as_in_the_run(self, answer: Answer, run: _Run) -> Check:
        wanted = run.yhat[positions(self.samples, answer.symbol, answer.formed_at)]
        known = np.isfinite(wanted)
        apart = np.flatnonzero(known & (np.abs(answer.yhat - wanted) > rounding(answer.yhat)))
        failures = []
        if apart.size:
            row = int(apart[0])
            reason = (
                f"the run forecast {wanted[row]:.6g}, a fresh process without later data "
                f"{answer.yhat[row]:.6g}; {_DO}"
            )
            failures.append(self.at_row(reason, answer, row))
        return Check(FRESH, f"{self.where}: as in the run", int(known.sum()), tuple(failures))

    def _unlike_alone(self, answer: Answer) -> Iterator[Failure]:
        found = first_apart(answer)
        if found is not None:
            yield self.at_row(unlike(found, answer.yhat.size), answer, found.row)

    def in_other_times(self, draws: int, rng: np.random.Generator) -> Check:
        """The skill that is left where rows and targets of other times stand under these stamps.

        One shuffle, and `draws` further ones that decide if it leaves more than chance mostly does.
        """
        failures: list[Failure] = []
        skills: list[float] = []
        try:
            skills = [self._skill(rng)]
            if skills[0] > SUSPICIOUS:
                skills = [self._skill(rng) for _ in range(draws)]
                failures += with_skill(skills, self.failure, shuffled=_SHUFFLED)
        except Lost as error:
            failures.append(self.lost(error))
        test, train = self.longer.fold.test, self.one.learned
        tested = test.stop - test.start
        covered = (
            f"{self.where}: {len(skills)} shuffle{'s' * (len(skills) != 1)} of rows and "
            f"{train.size:,} training targets, in a fresh process"
        )
        return Check(NAME, covered, len(skills) * tested, tuple(failures))

    def _skill(self, rng: np.random.Generator) -> float:
        """The skill of one shuffle; Lost if the model refuses several."""
        for attempt in range(_TRIES):
            moved = in_other_times(self.longer, rng)
            try:
                answer = in_fresh_process(moved, self.limit)
            except Refused:
                if attempt == _TRIES - 1:
                    raise
            else:
                break
        y = self.samples.y[positions(self.samples, answer.symbol, answer.formed_at)]
        return centred_skill(y, answer.yhat)
