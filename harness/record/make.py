"""Makes the record of a run: one JSON-able document with tables by column, and the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from harness.audit.findings import Audit, audit_table
from harness.audit.other_columns import foresight_table
from harness.cards.render import render_card
from harness.durations import iso_moment as _iso
from harness.durations import show_moment
from harness.history.family import METHOD as FAMILY
from harness.inference.evidence import Verdict
from harness.inference.table import METHOD, REALITY_CHECK
from harness.log.forecast_file import HorizonForecasts
from harness.log.registrations import moment_words
from harness.panel.side_times import side_warnings
from harness.record.fit_tables import fit_tables, residual_method
from harness.record.score_tables import (
    differences_table,
    evidence_table,
    folds_table,
    scores_table,
    wins_table,
)
from harness.record.tables import (
    ability_table,
    distribution_tables,
    document_tables,
    group_tables,
    risk_tables,
)
from harness.scores.risk.definitions import METHOD as RISK_METHOD
from harness.scores.seeds import seeds_table
from harness.study.stages import target_settings
from harness.tables import finite
from harness.types import Forecasts
from harness.verdict.cautions import (
    cautions,
    of_a_rival,
    of_a_weak_baseline,
    of_few_dates,
    of_persistence,
    of_the_baseline,
    of_the_family,
    of_the_laws,
    of_the_records,
    of_the_source,
    of_the_violations,
    of_ties,
    of_zero_returns,
)
from harness.verdict.fragility.rows import METHOD as VARIANTS
from harness.verdict.fragility.rows import Row, fragility_table
from harness.verdict.training_cautions import (
    of_equal_forecasts,
    of_flat_forecasts,
    of_the_parts,
    of_the_residuals,
    of_the_training,
)
from harness.verdict.training_loss import of_the_training_loss
from harness.verdict.words import Show

if TYPE_CHECKING:
    from harness.spec.hypothesis import Hypothesis
    from harness.spec.sections import WalkForward
    from harness.study.stages import MeasuredStudy
    from harness.study.study import Study
    from harness.verdict.judge import Judged

_NS_PER_MINUTE = 60_000_000_000
_MOST_GAPS = 100  # the longest; their number and sum are over all gaps


def horizon_forecasts(forecasts: Forecasts) -> HorizonForecasts:
    """One horizon's forecasts as the log stores them."""
    symbols = pl.Series(forecasts.symbols, dtype=pl.String)
    frame = pl.DataFrame(
        {
            "symbol": symbols.gather(forecasts.symbol),
            "formed_at": pl.Series(forecasts.formed_at).cast(pl.Datetime("ns", "UTC")),
            "resolved_at": pl.Series(forecasts.resolved_at).cast(pl.Datetime("ns", "UTC")),
            "window": forecasts.window,
            "y": forecasts.y,
            **forecasts.yhat,
        }
    )
    return HorizonForecasts(forecasts.horizon, tuple(forecasts.yhat), frame)


def make_record(
    run_id: str,
    *,
    measured: MeasuredStudy,
    dropped: Mapping[str, int],
    forecasts: Mapping[str, Forecasts],
    judged: Judged,
    audit: Audit,
    varied: Sequence[Row],
    timings: Mapping[str, float],
    started: datetime,
    seconds: float,
    environment: Mapping[str, Any],
    tried: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole record of a run, JSON-able; its card is rendered from the rest of it.

    `tried` are the keys `registration` and `family` of the record, which say what the log knew, and
    `targets`, the sketch of the targets.
    """
    study, facts = measured.study, measured.facts
    h, scores, verdict = study.hypothesis, judged.scores, judged.verdict
    record = {
        "run_id": run_id,
        "format": 1,
        "methods": {
            "ability": METHOD,
            "reality_check": REALITY_CHECK,
            "fragility": VARIANTS,
            "family": FAMILY,
            **dict.fromkeys(("risk", "risk_wins"), RISK_METHOD),
            **residual_method(forecasts),
        },
        "hypothesis": h.identity.name,
        "title": h.identity.title,
        "claim": h.identity.claim,
        "approach": h.identity.approach,
        "spec_hash": h.spec_hash,
        "comparison_hash": h.comparison_hash,
        "question_hash": h.question_hash,
        "spec": h.text,
        "started": moment_words(started),
        "seconds": round(seconds, 3),
        "status": verdict.status,
        "seed": h.run.seed,
        "panel": _panel(measured, dropped)
        | {"unfitted": {name: dict(part.unfitted) for name, part in forecasts.items()}},
        "source": _source(measured),
        "settings": _settings(study, forecasts),
        "environment": dict(environment),
        "verdict": _verdict(study, verdict)
        | {"level": h.verdict.level, "residuals": h.verdict.residuals},
        "audit": audit.as_dict(),
        **tried,
        "cautions": [
            *tried["registration"]["revisions"],
            *of_ties(judged.ties, h.verdict.baseline),
            *of_equal_forecasts(forecasts, judged.ties, h.verdict.baseline),
            *of_flat_forecasts(forecasts),
            *of_the_parts(forecasts),
            *of_the_baseline(h.verdict.metric, h.models[h.verdict.baseline].kind),
            *_warnings_of_level(study, forecasts, judged),
            *_warnings_of_differences(h, judged),
            *of_the_violations(judged.violations, (h.verdict.baseline, verdict.best.candidate)),
            *of_the_family(verdict, tried["family"], h.verdict.alpha),
            *audit.cautions({h.verdict.baseline, verdict.best.candidate}),
            *cautions(forecasts, study.scale, verdict, facts.start),
            *of_zero_returns(facts.zero_share, study.measures, study.interval),
            *of_the_training_loss(h),
            *of_the_training(forecasts),
            *of_the_residuals(forecasts),
            *_warnings_of_laws(h, judged),
            *side_warnings(study.panel_spec, facts.side_times),
            *of_the_source(*_symbols(measured)),
            *of_the_records(h.panel.min_record),
        ],
        "tables": {
            "scores": scores_table(forecasts, scores),
            "tests": evidence_table(verdict),
            "differences": differences_table(judged.differences),
            "seeds": seeds_table(judged.spread),
            "ability": ability_table(str(h.verdict.horizon), judged.ability),
            "folds": folds_table(forecasts),
            **fit_tables(forecasts, h.run.seed),
            "wins": wins_table(h.verdict.baseline, h.verdict.metric, scores),
            "audits": audit_table(audit),
            "foresight": foresight_table(audit.others),
            **group_tables(judged.groups, judged.adaptations, h.verdict),
            **fragility_table(varied),
            **risk_tables(judged.risks),
            **distribution_tables(judged.distributions),
            **document_tables(h.document),
            "timings": {"stage": list(timings), "seconds": [round(t, 6) for t in timings.values()]},
        },
    }
    if h.run.figures:
        from harness.cards.figures import figure_words

        record["figures"] = figure_words(record)
    record["card"] = render_card(record)
    return record


def _panel(
    measured: MeasuredStudy,
    dropped: Mapping[str, int],
) -> dict[str, Any]:
    study, facts, read = measured.study, measured.facts, measured.data
    spec = study.panel_spec
    gaps = sorted(facts.gaps, key=lambda g: (-g.missing, g.start))
    return {
        "name": spec.name,
        "title": spec.title,
        "note": spec.note,
        "digest": spec.digest,
        "meaning": read.meaning,
        "contents": read.contents,
        "selection": read.selection,
        "tolerance": read.tolerance,
        "source": spec.kind,
        "calendar": spec.calendar,
        "bar": str(spec.bar),
        "fill": spec.fill,
        "exchange": spec.exchange,
        "overnight": spec.overnight,
        "columns": list(study.plan.inputs),
        "symbols": list(facts.symbols),
        "unseen": study.hypothesis.panel.unseen,
        "made_of": list(study.panel.made_of),
        "available": facts.available,
        "excluded": [asdict(excluded) for excluded in facts.excluded],
        "left_out": dict(facts.left_out),
        "adjusted_by": spec.adjusting.kind if spec.adjusting else None,
        "labels": {name: dict(of) for name, of in facts.labels.items()},
        "side": {
            name: {
                "panel": spec.side[name].panel.name,
                "column": spec.side[name].column,
                "fingerprint": fingerprint,
                "end": _iso(facts.side_end[name]),
                "missing": facts.side_missing[name],
                **(times.record if (times := facts.side_times.get(name)) else {}),
            }
            for name, fingerprint in facts.side.items()
        },
        "fingerprint": facts.fingerprint,
        "start": _iso(facts.start),
        "end": _iso(facts.end),
        "rows": facts.rows,
        "bars": facts.bars,
        "filled": facts.filled,
        "filled_share": facts.filled / facts.bars if facts.bars else 0.0,
        "returns": facts.returns,
        "zero_returns": facts.zero_returns,
        "zero_share": facts.zero_share,
        "gaps": len(gaps),
        "missing": sum(g.missing for g in gaps),
        "longest_gaps": [
            {"symbol": g.symbol, "start": _iso(g.start), "end": _iso(g.end), "missing": g.missing}
            for g in gaps[:_MOST_GAPS]
        ],
        "measures_kept": measured.cached,
        "dropped": dict(dropped),
    }


def _warnings_of_level(
    study: Study, forecasts: Mapping[str, Forecasts], judged: Judged
) -> list[str]:
    rule = study.hypothesis.verdict
    horizon = str(rule.horizon)
    (scores,) = (s for s in judged.scores if s.horizon == horizon)
    outcome = study.scale.variance(forecasts[horizon].y)
    return of_a_weak_baseline(rule.baseline, scores.value(rule.baseline, "qlike"), outcome)


def _warnings_of_differences(h: Hypothesis, judged: Judged) -> list[str]:
    rule, verdict = h.verdict, judged.verdict
    best = next((d for d in judged.differences if d.candidate == verdict.best.candidate), None)
    return [
        *of_persistence(judged.differences, verdict, rule),
        *of_few_dates(best, verdict),
        *of_a_rival(judged.rival, verdict, rule.claim, rule.alpha),
    ]


def _warnings_of_laws(h: Hypothesis, judged: Judged) -> list[str]:
    if h.distribution is None:
        return []
    horizon = str(h.verdict.horizon)
    every = [row for part in judged.distributions for row in part.rows]
    pooled = [row for row in every if (row.horizon, row.scope) == (horizon, "pooled")]
    return of_the_laws(pooled, h.distribution.levels)


def _symbols(measured: MeasuredStudy) -> tuple[Sequence[str], Sequence[str], bool]:
    """The symbols tested, those of the source panel, and whether both panels are the same."""
    study, source_facts = measured.study, measured.source_facts
    if study.source is None or source_facts is None:
        return study.panel.symbols, (), False
    same = study.source.panel_spec.name == study.panel_spec.name
    return study.panel.symbols, source_facts.symbols, same


def _source(measured: MeasuredStudy) -> dict[str, Any] | None:
    """The source panel of pretrained models, if there is one."""
    study, read = measured.study, measured.data.source
    if study.source is None or measured.source_facts is None or read is None:
        return None
    spec = study.source.panel_spec
    return read.words() | {
        "title": spec.title,
        "digest": spec.digest,
        "bar": str(spec.bar),
        "calendar": spec.calendar,
        "symbols": list(measured.source_facts.symbols),
        "lesson_rows": {h: int(samples.y.size) for h, samples in study.pretraining.items()},
    }


def _settings(study: Study, forecasts: Mapping[str, Forecasts]) -> dict[str, Any]:
    h, w = study.hypothesis, study.hypothesis.walk_forward
    return target_settings(study) | {
        "scales": [str(s) for s in h.sample.scales],
        "measures": list(h.sample.measures),
        "back": h.target.back,
        "horizons": list(forecasts),
        "scheme": w.scheme,
        "walk": _walk_words(w),
        "train": str(w.train) if w.train else None,
        "test": str(w.test),
        "step": str(w.step),
        "embargo": str(w.embargo),
        "effective_embargo_minutes": {
            name: study.embargo(name) // _NS_PER_MINUTE for name in forecasts
        },
        "overlap": {name: part.overlap for name, part in forecasts.items()},
        "regimes": {name: regime.text for name, regime in h.regimes.items()},
        "sweep": asdict(h.sweep) if h.sweep else None,
        "risk": {key: list(value) for key, value in h.risk} if h.risk else None,
        "distribution": {key: list(v) for key, v in h.distribution} if h.distribution else None,
        "models": {name: spec.words() for name, spec in h.models.items()},
        "trained": {
            name: used
            for name, spec in h.trained.items()
            if (used := spec.words()) != h.models[name].words()
        },
    }


def _walk_words(w: WalkForward) -> str:
    """The walk-forward scheme in words, with its lengths and times."""
    words: list[str] = [w.scheme]
    if w.train:
        words.append(f"train {w.train}")
    if w.train_from is not None:
        words.append(f"train from {show_moment(w.train_from)}")
    if w.shares:
        words.append("train, held out and test shares " + ", ".join(f"{s:g}" for s in w.shares))
    if w.validate_from is not None:
        words.append(f"held out from {show_moment(w.validate_from)}")
    if w.validation:
        words.append(f"the last {w.validation} of it held out by models that stop early")
    if w.first_test is not None and not w.train:
        words.append(f"test from {show_moment(w.first_test)}")
    words += [f"test {w.test}", f"step {w.step}"]
    if w.refit:
        words.append(f"refit {w.refit}")
    return ", ".join(words)


def _verdict(study: Study, verdict: Verdict) -> dict[str, Any]:
    rule, best = study.hypothesis.verdict, verdict.best
    return {
        "status": verdict.status,
        "reasons": list(verdict.reasons),
        "metric": rule.metric,
        "horizon": str(rule.horizon),
        "baseline": rule.baseline,
        "candidate": best.candidate,
        "candidates": list(rule.candidates),
        "claim": rule.claim,
        "regime": rule.regime,
        "gain": best.gain,
        "gain_low": best.gain_low,
        "gain_high": best.gain_high,
        "unbounded": best.unbounded,
        "gain_as": rule.gain_as,
        "unit": Show(rule.metric, rule.gain_as).unit,
        "min_gain": rule.min_gain,
        "alpha": rule.alpha,
        "p_value": best.p_adjusted,
        "p_claim": finite(best.p_claim),
        "gain_shown": verdict.gain_shown,
        "claim_shown": verdict.claim_shown,
        "rule": rule.rule,
        "rule_version": study.hypothesis.rule_version,
        "periods": best.periods or None,
    }
