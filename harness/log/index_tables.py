"""What the index holds: its tables and views, and their rows out of run records.

A table's name is what SQL calls it; those in the schema `parts` are what the views are made of.
The records' `window` is called `fold` here, because WINDOW is a reserved word in SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.log.store import UNDECIDED, decision_line, split_card

if TYPE_CHECKING:
    import polars as pl

    from harness.log.registrations import Registration

# An index made by another version of the tables below is made anew: raise this with them.
INDEX_FORMAT = 13
_TEXT, _REAL, _COUNT, TIME = "VARCHAR", "DOUBLE", "BIGINT", "TIMESTAMP"
_FLAG = "BOOLEAN"
_SCORES = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "scope": _TEXT, "window_start": TIME,
    "window_end": TIME, "metric": _TEXT, "value": _REAL, "n": _COUNT,
}  # fmt: skip
_VERDICTS = {
    "run_id": _TEXT, "status": _TEXT, "metric": _TEXT, "horizon": _TEXT, "baseline": _TEXT,
    "candidate": _TEXT, "gain": _REAL, "gain_low": _REAL, "gain_high": _REAL,
    "min_gain": _REAL, "alpha": _REAL, "p_value": _REAL, "reasons": "VARCHAR[]",
}  # fmt: skip
_TESTS = {
    "run_id": _TEXT, "name": _TEXT, "candidate": _TEXT, "baseline": _TEXT, "metric": _TEXT,
    "horizon": _TEXT, "gain": _REAL, "gain_low": _REAL, "gain_high": _REAL, "level": _REAL,
    "statistic": _REAL, "p_value": _REAL, "p_adjusted": _REAL, "n": _COUNT,
    "cosines": _COUNT, "overlap": _COUNT, "standard_error": _REAL, "critical": _REAL,
    "detectable": _REAL, "windows": _COUNT, "df": _REAL, "seeds": _COUNT,
    "seed_least": _REAL, "seed_greatest": _REAL, "symbols": _COUNT, "block": _REAL,
    "draws": _COUNT,
}  # fmt: skip
_SEEDS = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "seed": _COUNT, "metric": _TEXT,
    "value": _REAL,
}  # fmt: skip
_ABILITY = {
    "run_id": _TEXT, "horizon": _TEXT, "test": _TEXT, "model": _TEXT, "baseline": _TEXT,
    "quantity": _TEXT, "effect": _REAL, "statistic": _REAL, "p_value": _REAL, "n": _COUNT,
    "overlap": _COUNT, "cosines": _COUNT, "a": _REAL, "r2": _REAL, "standard_error": _REAL,
    "low": _REAL, "high": _REAL, "level": _REAL, "block": _REAL, "draws": _COUNT,
    "instruments": _TEXT,
}  # fmt: skip
_FOLDS = {
    "run_id": _TEXT, "fold": _COUNT, "horizon": _TEXT, "cut": TIME, "train_start": TIME,
    "test_end": TIME, "embargo_ns": _COUNT, "latest_resolution": TIME, "slack_ns": _COUNT,
    "n_train": _COUNT, "n_test": _COUNT, "refit": _TEXT,
}  # fmt: skip
_COEFFICIENTS = {
    "run_id": _TEXT, "fold": _COUNT, "cut": TIME, "horizon": _TEXT, "model": _TEXT,
    "name": _TEXT, "value": _REAL,
}  # fmt: skip
_FITS = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "scope": _TEXT, "refit": _TEXT,
    "fit": _COUNT, "cut": TIME, "fits": _COUNT, "failed": _COUNT, "parameters": _COUNT,
    "epochs": _COUNT, "best_epoch": _COUNT,
}  # fmt: skip
_FIT_TIMES = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "fit": _COUNT, "fit_seconds": _REAL,
    "predict_seconds": _REAL, "kept": _COUNT,
}  # fmt: skip
_FIT_NOTES = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "fit": _COUNT, "note": _TEXT,
    "count": _COUNT,
}  # fmt: skip
_TRAINING = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "fit": _COUNT, "split": _TEXT,
    "epoch": _COUNT, "loss": _REAL,
}  # fmt: skip
_ATTENTION = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "fit": _COUNT, "step": _COUNT,
    "weight": _REAL,
}  # fmt: skip
_NET_WEIGHTS = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "fit": _COUNT, "name": _TEXT,
    "epoch": _COUNT, "weight": _REAL,
}  # fmt: skip
_WINS = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "baseline": _TEXT, "metric": _TEXT,
    "wins": _COUNT, "windows": _COUNT,
}  # fmt: skip
_GROUP_SCORES = {
    "run_id": _TEXT, "horizon": _TEXT, "kind": _TEXT, "name": _TEXT, "model": _TEXT,
    "metric": _TEXT, "value": _REAL, "n": _COUNT,
}  # fmt: skip
_GROUP_WINS = {
    "run_id": _TEXT, "horizon": _TEXT, "kind": _TEXT, "model": _TEXT, "baseline": _TEXT,
    "metric": _TEXT, "wins": _COUNT, "groups": _COUNT,
}  # fmt: skip
_ADAPTATION = {
    "run_id": _TEXT, "horizon": _TEXT, "regime": _TEXT, "loss": _TEXT, "shifts": _COUNT,
    "model": _TEXT, "decision": _COUNT, "cumulative": _REAL,
}  # fmt: skip
_AUDITS = {
    "run_id": _TEXT, "form": _TEXT, "name": _TEXT, "passed": _FLAG, "count": _COUNT,
    "covered": _TEXT, "subject": _TEXT, "symbol": _TEXT, "first_row": TIME, "reason": _TEXT,
}  # fmt: skip
_FRAGILITY = {
    "run_id": _TEXT, "kind": _TEXT, "variant": _TEXT, "candidate": _TEXT, "baseline": _TEXT,
    "metric": _TEXT, "gain_as": _TEXT, "gain": _REAL, "gain_low": _REAL, "gain_high": _REAL,
    "p_value": _REAL, "n": _COUNT, "min_gain": _REAL, "status": _TEXT, "agrees": _FLAG,
    "same_sign": _FLAG, "note": _TEXT,
}  # fmt: skip
_RISK = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "residuals": _TEXT, "level": _REAL,
    "symbol": _TEXT, "n": _COUNT, "violations": _COUNT, "rate": _REAL, "quantile_loss": _REAL,
    "joint_loss": _REAL, "fz_loss": _REAL, "scale": _REAL, "dof": _REAL, "tested": _COUNT,
    "kupiec": _REAL, "kupiec_p": _REAL, "independence": _REAL, "independence_p": _REAL,
    "coverage": _REAL, "coverage_p": _REAL, "dq": _REAL, "dq_p": _REAL, "z1": _REAL,
    "z1_p": _REAL, "z2": _REAL, "z2_p": _REAL,
}  # fmt: skip
_RISK_WINS = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "residuals": _TEXT, "level": _REAL,
    "baseline": _TEXT, "wins": _COUNT, "symbols": _COUNT, "rejected": _COUNT, "tested": _COUNT,
    "quantile_wins": _COUNT, "rate_wins": _COUNT, "rate_ties": _COUNT,
}  # fmt: skip
_RISK_PATH = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "residuals": _TEXT, "level": _REAL,
    "symbol": _TEXT, "formed_at": TIME, "realised": _REAL, "var": _REAL, "es": _REAL,
}  # fmt: skip
_DOCUMENTS = {
    "run_id": _TEXT, "title": _TEXT, "place": _TEXT, "says": _TEXT, "differs": _TEXT,
    "right_if": _TEXT, "gain": _REAL,
}  # fmt: skip
_REPORTED = {"run_id": _TEXT, "metric": _TEXT, "model": _TEXT, "value": _REAL}
_DISTRIBUTION = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "law": _TEXT, "scope": _TEXT,
    "name": _TEXT, "n": _COUNT, "calibrated": _REAL, "crps": _REAL, "pinball": _REAL,
}  # fmt: skip
_QUANTILES = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "law": _TEXT, "level": _REAL,
    "scope": _TEXT, "name": _TEXT, "n": _COUNT, "below": _REAL, "pinball": _REAL,
}  # fmt: skip
_COVERAGE = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "law": _TEXT, "stated": _REAL,
    "scope": _TEXT, "name": _TEXT, "n": _COUNT, "covered": _REAL, "width": _REAL,
    "interval_score": _REAL,
}  # fmt: skip
_PIT = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "law": _TEXT, "low": _REAL, "high": _REAL,
    "count": _COUNT, "share": _REAL,
}  # fmt: skip
_FAN = {
    "run_id": _TEXT, "horizon": _TEXT, "model": _TEXT, "law": _TEXT, "symbol": _TEXT,
    "formed_at": TIME, "level": _REAL, "quantile": _REAL, "yhat": _REAL, "y": _REAL,
}  # fmt: skip
# Filled from the table of the same name in each record.
_RECORDED = {
    "scores": _SCORES,
    "tests": _TESTS,
    "seeds": _SEEDS,
    "ability": _ABILITY,
    "folds": _FOLDS,
    "coefficients": _COEFFICIENTS,
    "fits": _FITS,
    "fit_times": _FIT_TIMES,
    "fit_notes": _FIT_NOTES,
    "training": _TRAINING,
    "attention": _ATTENTION,
    "net_weights": _NET_WEIGHTS,
    "wins": _WINS,
    "group_scores": _GROUP_SCORES,
    "group_wins": _GROUP_WINS,
    "adaptation": _ADAPTATION,
    "audits": _AUDITS,
    "fragility": _FRAGILITY,
    "risk": _RISK,
    "risk_wins": _RISK_WINS,
    "risk_path": _RISK_PATH,
    "documents": _DOCUMENTS,
    "reported": _REPORTED,
    "distribution": _DISTRIBUTION,
    "quantiles": _QUANTILES,
    "coverage": _COVERAGE,
    "pit": _PIT,
    "fan": _FAN,
    "timings": {"run_id": _TEXT, "stage": _TEXT, "seconds": _REAL},
}
_RUNS = {
    "run_id": _TEXT, "hypothesis": _TEXT, "title": _TEXT, "claim": _TEXT, "spec_hash": _TEXT,
    "started": TIME, "seconds": _REAL, "status": _TEXT, "panel": _TEXT, "fingerprint": _TEXT,
    "panel_start": TIME, "panel_end": TIME, "bars": _COUNT, "filled_share": _REAL,
    "seed": _COUNT, "gain": _REAL, "gain_as": _TEXT, "metric": _TEXT, "horizon": _TEXT,
    "code_version": _TEXT,
}  # fmt: skip
_REGISTRATIONS = {
    "file": _TEXT, "hypothesis": _TEXT, "spec_hash": _TEXT, "registered_at": TIME,
    "panel": _TEXT, "fingerprint": _TEXT, "panel_start": TIME, "panel_end": TIME,
    "baseline": _TEXT, "candidates": "VARCHAR[]", "metric": _TEXT, "horizon": _TEXT,
    "min_gain": _REAL, "gain_as": _TEXT, "alpha": _REAL, "claim": _TEXT, "regime": _TEXT,
}  # fmt: skip
TABLES = {
    **_RECORDED,
    "verdicts": _VERDICTS,
    "registrations": _REGISTRATIONS,
    "parts.runs": _RUNS,
    "parts.models": {"run_id": _TEXT, "horizon": _TEXT, "position": _COUNT, "model": _TEXT},
    "parts.cards": {"run_id": _TEXT, "head": _TEXT, "tail": _TEXT},
    "parts.decisions": {
        "file": _TEXT, "run_id": _TEXT, "decided_at": TIME, "decision": _TEXT, "note": _TEXT,
        "line": _TEXT,
    },
}  # fmt: skip
META = "CREATE TABLE parts.meta (origin VARCHAR, digest VARCHAR, unreadable VARCHAR[])"
VIEWS = (
    # A decision's file name sorts by time within its run.
    "CREATE VIEW parts.latest AS SELECT run_id, arg_max(decision, file) AS decision, "
    "arg_max(line, file) AS line FROM parts.decisions GROUP BY run_id",
    "CREATE VIEW runs AS SELECT r.* EXCLUDE (claim), l.decision "
    "FROM parts.runs r LEFT JOIN parts.latest l USING (run_id)",
    "CREATE VIEW hypotheses AS SELECT hypothesis, spec_hash, arg_max(title, started) AS title, "
    "arg_max(claim, started) AS claim, count(*) AS runs, min(started) AS first_run, "
    "max(started) AS last_run, arg_max(status, started) AS last_status "
    "FROM parts.runs GROUP BY hypothesis, spec_hash",
    "CREATE VIEW cards AS SELECT run_id, "
    f"head || coalesce(coalesce(l.line, '{UNDECIDED}') || tail, '') AS markdown "
    "FROM parts.cards LEFT JOIN parts.latest l USING (run_id)",
    "CREATE VIEW decisions AS SELECT run_id, decided_at, decision, note FROM parts.decisions",
)

Rows = dict[str, list[Any]]


def record_frames(records: Sequence[Mapping[str, Any]]) -> dict[str, pl.DataFrame]:
    """The rows of these records for every table that is made from them; times still as text.

    AttributeError, KeyError, TypeError, ValueError or OverflowError when a record has been
    edited so that a value is not of its column's kind.
    """
    verdicts = [{**r["verdict"], "run_id": r["run_id"]} for r in records]
    cards = [(r["run_id"], *split_card(r["card"])) for r in records]
    rows = {
        **{table: _recorded(table, records) for table in _RECORDED},
        "verdicts": _columns("verdicts", verdicts),
        "parts.runs": _columns("parts.runs", [_run_row(r) for r in records]),
        "parts.models": _columns("parts.models", [row for r in records for row in _model_rows(r)]),
        "parts.cards": dict(zip(TABLES["parts.cards"], zip(*cards, strict=True), strict=False)),
    }
    return {table: _frame(table, columns) for table, columns in rows.items()}


def decision_frame(entries: Mapping[str, Mapping[str, str]]) -> pl.DataFrame:
    """The rows of `parts.decisions` for these decisions, by file name."""
    rows = [
        {**entry, "file": name, "line": decision_line(entry)} for name, entry in entries.items()
    ]
    return _frame("parts.decisions", _columns("parts.decisions", rows))


def registration_frame(found: Sequence[Registration]) -> pl.DataFrame:
    """The rows of `registrations`."""
    rows = [
        {
            **r.rule,
            "file": r.file,
            "hypothesis": r.hypothesis,
            "spec_hash": r.spec_hash,
            "registered_at": r.registered_at,
            "panel": r.data.panel,
            "fingerprint": r.data.fingerprint,
            "panel_start": r.data.start,
            "panel_end": r.data.end,
            "gain_as": r.rule.get("gain"),
        }
        for r in found
    ]
    return _frame("registrations", _columns("registrations", rows))


def _recorded(table: str, records: Sequence[Mapping[str, Any]]) -> Rows:
    rows: Rows = {column: [] for column in _RECORDED[table]}
    for record in records:
        found = record["tables"].get(table, {})
        lengths = {len(values) for values in found.values()}
        if len(lengths) > 1:
            raise ValueError(f"tables.{table}: columns of unequal length")
        length = lengths.pop() if lengths else 0
        for column, values in rows.items():
            if column == "run_id":
                values.extend([record["run_id"]] * length)
            else:
                key = "window" if column == "fold" else column
                values.extend(found.get(key) or [None] * length)
    return rows


def _run_row(record: Mapping[str, Any]) -> dict[str, Any]:
    panel, verdict = record.get("panel") or {}, record.get("verdict") or {}
    return {
        **record,
        "panel": panel.get("name"),
        "fingerprint": panel.get("fingerprint"),
        "panel_start": panel.get("start"),
        "panel_end": panel.get("end"),
        "bars": panel.get("bars"),
        "filled_share": panel.get("filled_share"),
        **{key: verdict.get(key) for key in ("gain", "gain_as", "metric", "horizon")},
        "code_version": (record.get("environment") or {}).get("code_version"),
    }


def _model_rows(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        {"run_id": record["run_id"], "horizon": horizon, "position": position, "model": model}
        for horizon, models in record["forecasts"].items()
        for position, model in enumerate(models, start=1)  # DuckDB's lists begin at 1
    ]


def _columns(table: str, rows: Sequence[Mapping[str, Any]]) -> Rows:
    return {name: [row.get(name) for row in rows] for name in TABLES[table]}


def _frame(table: str, rows: Rows) -> pl.DataFrame:
    import polars as pl

    kinds = {
        _REAL: pl.Float64,
        _COUNT: pl.Int64,
        _FLAG: pl.Boolean,
        "VARCHAR[]": pl.List(pl.String),
    }
    return pl.DataFrame(
        [
            pl.Series(name, rows.get(name, []), dtype=kinds.get(kind, pl.String), strict=True)
            for name, kind in TABLES[table].items()
        ]
    )
