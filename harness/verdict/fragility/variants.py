"""The variants of the fragility table: gain and verdict under other choices.

All variants are at the verdict's horizon and over its rows, for the baseline and the deciding
candidate alone. A variant with another training span or sampling interval refits the models, if
they are linear and fitted in one sweep; all other variants score the stored forecasts again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from harness.durations import show_moment
from harness.errors import HarnessError, RunError
from harness.samples.features import parse_feature
from harness.samples.target_scale import TargetScale
from harness.scores.groups import only
from harness.scores.losses import Values
from harness.scores.metrics import METRICS, OF_RISK
from harness.scores.regimes import Terciles, mark, periods_in
from harness.scores.risk.forecasts import DecidedTail
from harness.scores.scoring import score_groups, series
from harness.study.stages import MeasuredStudy, forecast, measure_study
from harness.study.study import Study
from harness.types import F64, I64, Forecasts, LeakProof, Progress, Samples
from harness.verdict.fragility.intervals import other_intervals, with_interval
from harness.verdict.fragility.proxies import find_proxy, stand_in
from harness.verdict.fragility.rows import Registered, Row, Scored
from harness.verdict.fragility.training import costly, other_spans, with_span

LOSSES = ("qlike", "mse", "mae", "r2_log")  # of a verdict on volatility; of one on risk: OF_RISK
BEST_WINDOWS = 3
_FEWEST_ROWS = 2

Fitted = set[tuple[str, int, int]]


@dataclass(frozen=True)
class Basis:
    """The input of the registered verdict at its horizon.

    `progress` and `epochs` report on models that are refitted.
    """

    measured: MeasuredStudy
    samples: Samples
    keep_measures: bool = True
    progress: Progress = lambda _: None
    epochs: Progress = lambda _: None

    @property
    def study(self) -> Study:
        """The study as registered."""
        return self.measured.study

    def forecast(self, study: Study) -> Forecasts:
        """Walk a changed study forward on the same samples."""
        return forecast(study, self.samples, self.measured.span, self.progress, self.epochs)

    @property
    def horizon(self) -> str:
        """The verdict's horizon."""
        return self.samples.horizon

    def verdict_rows(self, forecasts: Forecasts) -> tuple[I64, I64 | None]:
        """The rows (positions) of the verdict, and the period of every row in a regime of them."""
        h = self.study.hypothesis
        name = h.verdict.regime
        if name is None:
            return np.arange(forecasts.y.size), None
        marked = mark(self.measured.by_symbol, forecasts, h.regimes)
        return marked.groups[name], marked.periods.get(name)


@dataclass(frozen=True)
class Pair:
    """Forecasts with the values of the outcome and of the two models compared.

    Ranks take longer than all other figures together, so they are only taken if `ranked` (ic).
    `periods` (n,) are those of the verdict's regime of shifts.
    """

    forecasts: Forecasts
    outcome: Values
    models: Mapping[str, Values]
    ranked: bool
    periods: I64 | None = None

    @classmethod
    def of(
        cls,
        forecasts: Forecasts,
        scale: TargetScale,
        metric: str,
        periods: I64 | None,
        decided: DecidedTail | None,
    ) -> Pair:
        """From the forecasts of two models."""
        ranked = METRICS[metric].ranked
        values = series(forecasts, scale, ranked=ranked, decided=decided)
        return cls(forecasts, *values, ranked, periods)

    def over(
        self, groups: Sequence[I64], periods: Sequence[I64 | None] | None = None
    ) -> Iterator[Scored]:
        """Scores over each group of rows (positions), with its own periods; no group is empty."""
        figures = score_groups(self.outcome, self.models, groups, ranked=self.ranked)
        for place, rows in enumerate(groups):
            values = self.forecasts, self.outcome, self.models
            if rows.size < self.forecasts.y.size:
                values = only(*values, rows, ranked=self.ranked)
            own = {name: f[place] for name, f in figures.items()}
            within = periods[place] if periods else self.periods
            yield Scored(*values, own, periods_in(within, rows))

    def scored(self, rows: I64) -> Scored:
        """Scores over these rows."""
        return next(self.over([rows]))


def fragility(
    basis: Basis,
    registered: Registered,
    forecasts: Forecasts,
    outcome: Values,
    models: Mapping[str, Values],
) -> list[Row]:
    """The rows of all variants; `outcome` and `models` are `series` of the registered forecasts.

    A variant that cannot be computed is a row that says why.
    """
    rule = registered.rule
    names = rule.baseline, registered.candidate
    own = {name: models[name] for name in names}
    rows, periods = basis.verdict_rows(forecasts)
    pair = Pair(forecasts, outcome, own, METRICS[rule.metric].ranked, periods)
    main = pair.scored(rows)
    found = [
        registered.row("loss", f"loss {name}", main, metric=name)
        for name in (OF_RISK if METRICS[rule.metric].of_risk else LOSSES)
        if name != rule.metric
    ]
    found += _tail_rows(basis, registered, pair, rows)
    found += _seed_rows(basis, registered, pair, rows)
    found += training_rows(basis, registered, fitted_on(forecasts.proofs))
    found += interval_rows(basis, registered)
    found.append(_proxy_row(basis, registered, pair, rows))
    found.append(_without_best(registered, pair, main, rows))
    found += _year_rows(registered, pair, rows)
    found += _regime_rows(basis, registered, pair)
    return found


def _tail_rows(basis: Basis, registered: Registered, pair: Pair, rows: I64) -> list[Row]:
    """A verdict on VaR or ES at the other levels, and with the other residual distributions."""
    study, rule, risk = basis.study, registered.rule, basis.study.hypothesis.risk
    if risk is None or not METRICS[rule.metric].of_risk:
        return []
    alone = replace(pair.forecasts, yhat={name: pair.forecasts.yhat[name] for name in pair.models})

    def row(kind: str, name: str, decided: DecidedTail | None) -> Row:
        scored = Pair.of(alone, study.scale, rule.metric, pair.periods, decided).scored(rows)
        return registered.row(kind, name, scored)

    levels = [level for level in risk.levels if level != rule.level]
    laws = [law for law in risk.residuals if law != rule.residuals]
    tail = partial(study.decided_tail, basis.horizon)
    return [
        *(row("level", f"VaR and ES at {100 * a:g} %", tail(level=a)) for a in levels),
        *(row("residuals", f"{law} residuals", tail(residuals=law)) for law in laws),
    ]


def _seed_rows(basis: Basis, registered: Registered, pair: Pair, rows: I64) -> list[Row]:
    """Each seed alone, if a model has several; all other variants use the first seed."""
    first, scale, found = basis.study.hypothesis.run.seed, basis.study.scale, []
    names, decided = set(pair.models), basis.study.decided_tail(basis.horizon)
    repeats = [r for r in pair.forecasts.repeats if names & set(r.yhat)]
    if not repeats:
        return []
    for seed, again in ((first, None), *((r.seed, r) for r in repeats)):
        models = dict(pair.models)
        if again is not None:
            own = pair.forecasts.of_seed(again)
            values = series(own, scale, ranked=pair.ranked, decided=decided)[1]
            models |= {name: v for name, v in values.items() if name in names}
        scored = replace(pair, models=models).scored(rows)
        found.append(registered.row("seed", f"seed {seed} alone", scored))
    return found


def fitted_on(proofs: Sequence[LeakProof]) -> Fitted:
    """Refit cadence, number and count of training rows of every fit; rows end at the same cuts."""
    return {(p.refit, p.window, p.n_train) for p in proofs}


def training_rows(
    basis: Basis, registered: Registered, same: Fitted, *, full: bool = False
) -> list[Row]:
    """Both models trained on other spans; with `full` also models that are slow to fit.

    `same` are the registered fits, to recognise a span that changes nothing.
    """
    study, horizon = basis.study, basis.horizon
    pair = registered.rule.baseline, registered.candidate
    walk = study.hypothesis.walk_forward
    spans = other_spans(walk)
    if not spans:
        why = f"not applicable: scheme '{walk.scheme}' has one declared training span"
        return [registered.without("training", "another training span", why)]
    slow = costly(study, horizon, pair)
    if slow and not full:
        why = f"not run, since {', '.join(slow)} must be refitted: harness fragility RUN --full"
        return [registered.without("training", name, why) for name in spans]
    found = []
    for name, changed in spans.items():
        try:
            forecasts = basis.forecast(with_span(study, changed, pair))
            found.append(_trained(basis, registered, name, forecasts, same))
        except HarnessError as error:
            found.append(registered.without("training", name, str(error)))
    return found


def _trained(
    basis: Basis,
    registered: Registered,
    name: str,
    forecasts: Forecasts,
    same: Fitted,
) -> Row:
    """The variant with these forecasts, unless every fit has its registered training rows."""
    if fitted_on(forecasts.proofs) <= same:
        return registered.without("training", name, "every fit has the same training rows")
    rows, periods = basis.verdict_rows(forecasts)
    if rows.size < _FEWEST_ROWS:
        return registered.without("training", name, _few(rows))
    short = sum(p.train_start < basis.measured.facts.start for p in forecasts.proofs)
    note = f"the data start within {short} of {len(forecasts.proofs)} training spans" * bool(short)
    decided = basis.study.decided_tail(basis.horizon)
    pair = Pair.of(forecasts, basis.study.scale, registered.rule.metric, periods, decided)
    return registered.row("training", name, pair.scored(rows), note=note)


def interval_rows(basis: Basis, registered: Registered, *, full: bool = False) -> list[Row]:
    """Both models on measures of returns over longer intervals; `full` as in training_rows."""
    study, horizon = basis.study, basis.horizon
    pair = registered.rule.baseline, registered.candidate
    intervals = other_intervals(study)
    if study.source is not None:
        why = "not run, since models learn on the source panel at the registered interval"
    elif (slow := costly(study, horizon, pair)) and not full:
        why = f"not run, since {', '.join(slow)} must be refitted: harness fragility RUN --full"
    else:
        why = ""
    if why:
        return [registered.without("interval", name, why) for name in intervals]
    found = []
    for name, interval in intervals.items():
        try:
            scored = _measured_again(basis, with_interval(study, interval, pair), registered)
            found.append(registered.row("interval", name, scored))
        except HarnessError as error:
            found.append(registered.without("interval", name, str(error)))
    return found


def _measured_again(basis: Basis, study: Study, registered: Registered) -> Scored:
    """Scores of a study whose measures are others; RunError for too few forecasts."""
    measured = measure_study(study, keep=basis.keep_measures)
    own = replace(basis, measured=measured, samples=measured.samples(basis.horizon))
    forecasts = own.forecast(study)
    rows, periods = own.verdict_rows(forecasts)
    if rows.size < _FEWEST_ROWS:
        raise RunError(_few(rows))
    decided = study.decided_tail(basis.horizon)
    return Pair.of(forecasts, study.scale, registered.rule.metric, periods, decided).scored(rows)


def _proxy_row(basis: Basis, registered: Registered, pair: Pair, rows: I64) -> Row:
    """The same forecasts scored against another measure of the same volatility."""
    study, horizon = basis.study, basis.horizon
    target = study.hypothesis.target.measure
    name = f"another measure than {target}"
    if METRICS[registered.rule.metric].of_risk:
        why = "not applicable: returns are observed, so VaR and ES are scored without a proxy"
        return registered.without("proxy", name, why)
    try:
        proxy = find_proxy(study, basis.measured.by_symbol, horizon, keep=basis.keep_measures)
    except HarnessError as error:
        return registered.without("proxy", name, str(error))
    if isinstance(proxy, str):
        return registered.without("proxy", name, proxy)
    name = f"scored by {proxy.measure} instead of {target}"
    metric = registered.rule.metric
    stand = stand_in(proxy, pair.forecasts, basis.samples, study.scale, metric)
    if isinstance(stand, str):
        return registered.without("proxy", name, stand)
    kept = rows[stand.known[rows]]
    if kept.size < _FEWEST_ROWS:
        return registered.without("proxy", name, _few(kept))
    outcome, _ = series(replace(stand.forecasts, yhat={}), study.scale, ranked=pair.ranked)
    scored = replace(pair, forecasts=stand.forecasts, outcome=outcome).scored(kept)
    return registered.row("proxy", name, scored, note=stand.note)


def _without_best(registered: Registered, pair: Pair, main: Scored, rows: I64) -> Row:
    """Without the windows with the largest gains, by the sum over their rows."""
    name = f"without the {BEST_WINDOWS} best windows"
    windows = pair.forecasts.windows
    code = pair.forecasts.window[rows]
    count = np.bincount(code, minlength=len(windows))
    tested = int(np.sum(count > 0))
    if tested <= BEST_WINDOWS:
        return registered.without("windows", name, f"there {_are(tested, 'test window')}")
    saved = np.bincount(code, weights=_saved(registered, main), minlength=len(windows))
    saved[count == 0] = -np.inf
    best = np.sort(np.argsort(-saved, kind="stable")[:BEST_WINDOWS])
    scored = pair.scored(rows[~np.isin(code, best)])
    note = "left out: those from " + ", ".join(show_moment(windows[k].cut) for k in best)
    return registered.row("windows", name, scored, note=note)


def _saved(registered: Registered, main: Scored) -> F64:
    """Each row's contribution to the gain: loss saved, or influence if the metric has no loss."""
    m, outcome = METRICS[registered.rule.metric], main.outcome
    base, own = (main.models[n] for n in (registered.rule.baseline, registered.candidate))
    if m.loss is not None:
        return m.losses(outcome, base) - m.losses(outcome, own)
    better, worse = (own, base) if m.higher else (base, own)
    return m.influence(outcome, better) - m.influence(outcome, worse) + registered.gain


def _year_rows(registered: Registered, pair: Pair, rows: I64) -> list[Row]:
    """Each calendar year (UTC) of forecast origins."""
    year = pair.forecasts.formed_at[rows].view("M8[ns]").astype("M8[Y]").astype(np.int64) + 1970
    years = {f"year {y}": rows[year == y] for y in np.unique(year).tolist()}
    if len(years) == 1:
        why = f"all forecast origins are in the {next(iter(years))}"
        return [registered.without("year", "by year", why)]
    return _group_rows(registered, pair, "year", years)


def _regime_rows(basis: Basis, registered: Registered, pair: Pair) -> list[Row]:
    """Each declared regime but the verdict's own; terciles of volatility if none is declared."""
    h, own = basis.study.hypothesis, registered.rule.regime
    regimes = h.regimes or {
        "volatility": Terciles(parse_feature(f"{h.target.measure}_{basis.horizon}"))
    }
    marked = mark(basis.measured.by_symbol, pair.forecasts, regimes)
    named = {f"regime {name}": rows for name, rows in marked.groups.items() if name != own}
    periods = [marked.periods.get(name) for name in marked.groups if name != own]
    return _group_rows(registered, pair, "regime", named, periods)


def _group_rows(
    registered: Registered,
    pair: Pair,
    kind: str,
    groups: Mapping[str, I64],
    periods: Sequence[I64 | None] | None = None,
) -> list[Row]:
    enough = {name: rows for name, rows in groups.items() if rows.size >= _FEWEST_ROWS}
    if periods:
        periods = [p for p, rows in zip(periods, groups.values(), strict=True)
                   if rows.size >= _FEWEST_ROWS]  # fmt: skip
    scored = dict(zip(enough, pair.over(list(enough.values()), periods), strict=True))
    return [
        registered.row(kind, name, scored[name])
        if name in scored
        else registered.without(kind, name, _few(rows))
        for name, rows in groups.items()
    ]


def _few(rows: I64) -> str:
    return f"there {_are(rows.size, 'forecast')}"


def _are(count: int, thing: str) -> str:
    return f"is 1 {thing}" if count == 1 else f"are {count} {thing}s"
