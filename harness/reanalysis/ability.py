"""Every test of predictive ability of a logged run: made from its stored forecasts, and shown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from harness.cards.evidence_rows import WORDS
from harness.cli.terminal import show_table
from harness.errors import UsageError, nearest
from harness.inference.confidence_set import (
    ConfidenceSet,
    SuperiorAbility,
    model_confidence_set,
    superior_ability,
)
from harness.inference.findings import Compared, Finding, findings, loss_series, nests
from harness.log.store import Log
from harness.log.stored_forecasts import stored_forecasts, testable_metrics
from harness.reanalysis.instruments import known_instruments, read_instruments
from harness.scores.decision_times import by_date
from harness.scores.metrics import METRICS
from harness.scores.scoring import series
from harness.verdict.rule import Show, p_value

_SIZE = 0.1  # of the model confidence set, 90 % confidence
_SECONDS = 3e-7  # of arch's bootstraps, per draw, run of decisions and model, on a slow core
_LONG = 5.0
_WIDTH = 80


@dataclass(frozen=True)
class Report:
    """What was tested and found, over all forecasts of a horizon.

    `regime` is that of the verdict, which was on part of them; sets are None where a model's
    losses cannot be compared.
    """

    run_id: str
    hypothesis: str
    horizon: str
    regime: str | None
    metric: str
    relative: bool
    baseline: str
    rows: int
    findings: tuple[Finding, ...]
    confidence_set: ConfidenceSet | None
    superior: SuperiorAbility | None

    def as_json(self) -> dict[str, Any]:
        """As JSON values; what has no figure is null."""
        return _plain(asdict(self))


def test_run(
    log: Log,
    run: str,
    *,
    metric: str | None,
    horizon: str | None,
    instruments: Sequence[str],
    draws: int,
    search: Sequence[Path],
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Test all of a run's models; metric and horizon are the verdict's where not given.

    `say` is told what will take long. UsageError for an unknown run, metric, horizon or
    instrument; RunError for a panel that has changed.
    """
    record = log.read(run)
    rule, models = record["verdict"], record["settings"]["models"]
    metric = _metric(record, metric)
    forecasts, scale = stored_forecasts(log, record["run_id"], horizon or rule["horizon"])
    wanted = read_instruments(instruments, forecasts.horizon)
    known = known_instruments(record, forecasts, wanted, search) if wanted else None
    outcome, values = series(forecasts, scale)
    baseline = rule["baseline"]
    others = tuple(name for name in values if name != baseline)
    compared = Compared(
        outcome,
        values,
        forecasts.formed_at,
        forecasts.overlap,
        baseline=baseline,
        candidates=others,
        metric=metric,
        relative=rule["gain_as"] == "relative" and metric == rule["metric"],
        log_target=scale.is_log,
        unit=scale.unit,
        nested=tuple(name for name in others if nests(models[name], models[baseline])),
        level=1.0 - 2.0 * rule["alpha"],
        draws=draws,
        seed=record["seed"],
    )
    found = findings(compared, known)
    return Report(
        record["run_id"],
        record["hypothesis"],
        forecasts.horizon,
        rule.get("regime"),
        metric,
        compared.relative,
        baseline,
        forecasts.y.size,
        found,
        *_sets(compared, rule["alpha"], say),
    )


def _metric(record: Mapping[str, Any], metric: str | None) -> str:
    """The metric asked for, or the verdict's, if the stored forecasts allow it."""
    name = metric or record["verdict"]["metric"]
    possible = testable_metrics(record)
    if name in possible:
        return name
    near = nearest(name, possible)
    hint = f"; did you mean '{near}'?" if near and name not in METRICS else ""
    why = ""
    if name in METRICS:
        why = " (the way back to σ is not stored by symbol, for models fitted symbol by symbol)"
    raise UsageError(f"--metric: got '{name}', wanted one of {', '.join(possible)}{why}{hint}")


def _sets(
    c: Compared, alpha: float, say: Callable[[str], None]
) -> tuple[ConfidenceSet | None, SuperiorAbility | None]:
    """The confidence set, SPA and StepM over all models."""
    dates = by_date(c.formed_at)
    losses = {name: loss_series(c.outcome, f, c.metric) for name, f in c.models.items()}
    if len(losses) < 2 or not all(math.isfinite(float(x @ x)) for x in losses.values()):
        return None, None
    losses = {name: dates.averages(x) for name, x in losses.items()}
    shortest = max(1, int(dates.n ** (1.0 / 3.0) // 8))  # decisions to a run
    seconds = _SECONDS * c.draws * dates.n / shortest * len(losses)
    if seconds > _LONG:
        say(f"confidence set, SPA and StepM: up to {seconds:.0f} s")
    settings = {"draws": c.draws, "seed": c.seed}
    return (
        model_confidence_set(losses, c.overlap, size=_SIZE, **settings),
        superior_ability(losses, c.baseline, c.overlap, size=alpha, **settings),
    )


def show_report(report: Report) -> None:
    """Tables that fit 80 columns, each with its units above it."""
    r, show = report, Show(report.metric, "relative" if report.relative else "difference")
    by = {test: [f for f in r.findings if f.test == test] for test in {f.test for f in r.findings}}
    n = max((f.n for f in r.findings), default=0)
    click.echo(f"{r.hypothesis} {r.run_id}: {r.metric} at {r.horizon}, baseline {r.baseline}")
    click.echo(f"{r.rows:,} forecasts at {n:,} decision times; `harness tests --list` defines all")
    if r.regime is not None:
        click.echo(f"over all of them: the verdict and its card's tests are on {r.regime} alone")
    _show_gains(by.get("bootstrap", []), show)
    _show_pairs([f for test in WORDS for f in by.get(test, [])], r.metric)
    _show_calibration(by.get("mincer-zarnowitz", []))
    if r.confidence_set is not None and r.superior is not None:
        _show_sets(r.confidence_set, r.superior, r)


def _show_gains(rows: Sequence[Finding], show: Show) -> None:
    if not rows:
        return
    level, draws = rows[0].level or 0.0, max(f.draws or 0 for f in rows)
    _title(f"Gain, {show.unit}: {level:.0%} interval, stationary bootstrap, {draws:,} draws")
    columns = ("model", "gain", "low", "high", "std. error", "p", "block")
    cells = [
        [f.model, *(_gain(show, x) for x in (f.effect, f.low, f.high)),
         _gain(show, f.standard_error).lstrip("+"), _drawn(f.p_value, draws), f"{f.block:.1f}"]
        for f in rows
    ]  # fmt: skip
    show_table(columns, cells)


def _show_pairs(rows: Sequence[Finding], metric: str) -> None:
    if not rows:
        return
    given = next((f.instruments for f in rows if f.instruments), "")
    losses = _losses(metric)
    _title(f"Against the baseline. GW: losses are {losses}; conditional on {given}")
    columns = ("test", "model", "in", "effect", "statistic", "p", "n")
    short = {"giacomini-white-conditional": "GW conditional", "giacomini-white": "GW"}
    cells = [
        [short.get(f.test, WORDS[f.test]), f.model, f.quantity, _num(f.effect),
         f"{f.statistic:.2f}", p_value(f.p_value), f.n]
        for f in rows
    ]  # fmt: skip
    show_table(columns, cells)


def _losses(metric: str) -> str:
    """The losses that are compared for a metric, in words."""
    loss = METRICS[metric].loss
    if loss is None:
        return f"influence values of {metric}, turned round: the loss that it is to first order"
    return f"{loss.words}, {loss.unit}"


def _show_calibration(rows: Sequence[Finding]) -> None:
    if not rows:
        return
    _title("Mincer-Zarnowitz: outcome = a + b forecast; a in the unit named, b and R² none")
    columns = ("model", "in", "a", "b", "R²", "statistic", "p")
    cells = [
        [f.model, f.quantity, _num(f.a), _num(f.effect), _num(f.r2), f"{f.statistic:.2f}",
         p_value(f.p_value)]
        for f in rows
    ]  # fmt: skip
    show_table(columns, cells)


def _show_sets(s: ConfidenceSet, a: SuperiorAbility, r: Report) -> None:
    _title(f"Model confidence set, {1 - s.size:.0%}: mean {r.metric} loss above the least, p")
    show_table(
        ("model", "excess loss", "p", f"in the {1 - s.size:.0%} set", f"beats {r.baseline}"),
        [
            [name, _num(s.excess[name]), _drawn(p, s.draws), name in s.included,
             "-" if name == r.baseline else "yes" if name in a.superior else "no"]
            for name, p in s.p_values.items()
        ],
    )  # fmt: skip
    best = f"best {a.best}, gain in loss {_num(a.gain)}, t {a.statistic:.2f}, " if a.best else ""
    p, lower, upper = (_drawn(x, a.draws) for x in (a.p_value, a.p_lower, a.p_upper))
    _wrapped(
        f"beats {r.baseline}: StepM at a family-wise error of {a.size:g}. SPA: {best}p {p}, bounds "
        f"{lower} and {upper}. Mean blocks of {s.block:.1f} decisions in the set, {a.block:.1f} in "
        f"SPA and StepM, {a.draws:,} draws."
    )


def _title(words: str) -> None:
    click.echo("")
    click.secho(textwrap.fill(words, _WIDTH), bold=True)


def _wrapped(words: str) -> None:
    click.echo(textwrap.fill(words, _WIDTH))


def _drawn(p: float, draws: int) -> str:
    """A p-value that counts draws: none of them is not a probability of zero."""
    return p_value(p) if p > 0.0 else f"< {1.0 / max(draws, 1):.2g}"


def _gain(show: Show, value: float | None) -> str:
    return "n/a" if value is None or not math.isfinite(value) else show(value)


def _num(value: float | None) -> str:
    return "n/a" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
