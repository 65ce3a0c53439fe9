"""What the index holds: its tables and views, and their rows from run records.

The tables that a reader meets are those of schema_tables.py; the views are made of tables in the
DuckDB schema `parts`. A record's `window` is `fold` here: WINDOW is a reserved word of SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.log.run_digests import sealed_holm
from harness.log.schema import COUNT, FLAG, REAL, TEXT, TEXTS, TIME, Kind
from harness.log.schema_runs import RUNS
from harness.log.schema_tables import LOG_TABLES, RECORDED
from harness.log.store import UNDECIDED, decision_line, split_card

if TYPE_CHECKING:
    import polars as pl

    from harness.log.registrations import Registration

# Raise this where the same tables get their rows from a record in another way.
_ROWS = 15
# Tables that readers do not see: the views are made of them.
_PARTS: dict[str, dict[str, Kind]] = {
    "parts.runs": {name: kind for name, kind in RUNS.kinds.items() if name != "decision"}
    | {"claim": TEXT},
    "parts.models": {"run_id": TEXT, "horizon": TEXT, "position": COUNT, "model": TEXT},
    "parts.cards": {"run_id": TEXT, "head": TEXT, "tail": TEXT},
    "parts.decisions": {
        "file": TEXT, "run_id": TEXT, "decided_at": TIME, "decision": TEXT, "note": TEXT,
        "line": TEXT,
    },
}  # fmt: skip
# The columns of every table that holds rows, in the order in which they are inserted.
TABLES: dict[str, dict[str, Kind]] = {
    name: table.kinds for name, table in LOG_TABLES.items() if table.origin != "view"
} | _PARTS
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


def index_format() -> str:
    """What an index must have been made by: an index of other tables or other rows is rebuilt."""
    tables = repr((META, TABLES, VIEWS, LOG_TABLES))
    return f"{_ROWS} {hashlib.sha256(tables.encode()).hexdigest()[:16]}"


def record_frames(records: Sequence[Mapping[str, Any]]) -> dict[str, pl.DataFrame]:
    """The rows of these records for every table that is made from them; times are still text.

    AttributeError, KeyError, TypeError, ValueError or OverflowError when a record was edited and a
    value is not of its column's type.
    """
    verdicts = [{**r["verdict"], "run_id": r["run_id"], **_family_row(r)} for r in records]
    cards = [_card_row(r) for r in records]
    rows: dict[str, Rows] = {
        **{table: _recorded(table, records) for table in RECORDED},
        "verdicts": _columns("verdicts", verdicts),
        "parts.runs": _columns("parts.runs", [_run_row(r) for r in records]),
        "parts.models": _columns("parts.models", [row for r in records for row in _model_rows(r)]),
        "parts.cards": _columns("parts.cards", cards),
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


_OF_THE_VERDICT = ("gain", "gain_as", "metric", "horizon", "gain_shown", "claim_shown")


def _recorded(table: str, records: Sequence[Mapping[str, Any]]) -> Rows:
    columns = RECORDED[table].columns
    rows: Rows = {column.name: [] for column in columns}
    for record in records:
        found = record["tables"].get(table, {})
        lengths = {len(values) for values in found.values()}
        if len(lengths) > 1:
            raise ValueError(f"tables.{table}: columns of unequal length")
        length = lengths.pop() if lengths else 0
        for column in columns:
            if column.name == "run_id":
                values = [record["run_id"]] * length
            else:
                values = found.get(column.record_key) or [None] * length
            rows[column.name].extend(values)
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
        "zero_share": panel.get("zero_share"),
        **{key: verdict.get(key) for key in _OF_THE_VERDICT},
        **_family_row(record),
        "code_version": (record.get("environment") or {}).get("code_version"),
    }


def _family_row(record: Mapping[str, Any]) -> dict[str, Any]:
    tried = (record.get("family") or {}).get("comparisons")
    return {"p_holm": sealed_holm(record), "family_comparisons": tried}


def _card_row(record: Mapping[str, Any]) -> dict[str, Any]:
    head, tail = split_card(record["card"])
    return {"run_id": record["run_id"], "head": head, "tail": tail}


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

    kinds: dict[Kind, pl.DataType] = {
        REAL: pl.Float64(),
        COUNT: pl.Int64(),
        FLAG: pl.Boolean(),
        TEXTS: pl.List(pl.String()),
    }
    return pl.DataFrame(
        [
            pl.Series(name, rows[name], dtype=kinds.get(kind, pl.String()), strict=True)
            for name, kind in TABLES[table].items()
        ]
    )
