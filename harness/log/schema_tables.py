"""Every table and view of the log that a reader can query, in the order they are shown."""

from __future__ import annotations

from harness.errors import UsageError, nearest, one_line
from harness.log import schema_fits as fits
from harness.log import schema_risk as risk
from harness.log import schema_runs as runs
from harness.log import schema_scores as scores
from harness.log.schema import LogTable

LOG_TABLES: dict[str, LogTable] = {
    table.name: table
    for table in (
        runs.RUNS,
        runs.HYPOTHESES,
        runs.VERDICTS,
        scores.SCORES,
        scores.FORECASTS,
        scores.TESTS,
        scores.DIFFERENCES,
        scores.SEEDS,
        scores.ABILITY,
        scores.WINS,
        scores.GROUP_SCORES,
        scores.GROUP_WINS,
        scores.ADAPTATION,
        runs.FRAGILITY,
        fits.FOLDS,
        fits.FITS,
        fits.FIT_TIMES,
        fits.FIT_NOTES,
        fits.COEFFICIENTS,
        fits.TRAINING,
        fits.SEED_TRAINING,
        fits.NET_WEIGHTS,
        fits.ATTENTION,
        risk.RISK,
        risk.RISK_WINS,
        risk.RISK_PATH,
        risk.DISTRIBUTION,
        risk.QUANTILES,
        risk.COVERAGE,
        risk.PIT,
        risk.FAN,
        runs.AUDITS,
        runs.FORESIGHT,
        runs.DOCUMENTS,
        runs.REPORTED,
        runs.TIMINGS,
        runs.CARDS,
        runs.DECISIONS,
        runs.REGISTRATIONS,
    )
}
# Filled from the table of the same name in each record.
RECORDED = {name: table for name, table in LOG_TABLES.items() if table.origin == "record"}


def log_table(name: str) -> LogTable:
    """The table of this name; UsageError with the nearest name where there is none."""
    found = LOG_TABLES.get(name.strip().lower())
    if found is None:
        near = nearest(name, LOG_TABLES)
        hint = f"; did you mean '{near}'?" if near else ""
        raise UsageError(
            f"--describe: got {one_line(name)}, wanted a table of the log "
            f"(harness query --tables lists them){hint}"
        )
    return found


def tables_in_words() -> list[dict[str, str]]:
    """The tables, each with what its rows are."""
    return [{"table": table.name, "what": table.what} for table in LOG_TABLES.values()]


def columns_in_words(table: LogTable) -> list[dict[str, str]]:
    """The columns of a table: name, type, meaning with unit."""
    return [
        {"column": column.name, "type": column.kind, "meaning": column.comment}
        for column in table.columns
    ]
