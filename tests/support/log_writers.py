"""Small runs for the tests of the log, and processes that write and read it at once.

log_writers.py publish ROOT COUNT    publish COUNT runs, print each id once it is published
log_writers.py forever ROOT          publish, print, bring the index up to date, over again
log_writers.py read ROOT STOP        update and query the index until the file STOP exists
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from harness.log.forecast_file import HorizonForecasts
from harness.log.run_digests import append_digest
from harness.log.store import Log

MODELS = ("har", "persistence")


def small_record(run_id: str, **changes: object) -> dict:
    """A record of two scores, one fold and a card, as a run would make it."""
    record = {
        "hypothesis": "har-rv-j",
        "title": "Jumps | *help*",
        "claim": "the jump term adds 3 pp",
        "spec_hash": "sha256:00",
        "spec": "[hypothesis]\n",
        "started": "2026-05-19T10:00:00+00:00",
        "seconds": 1.5,
        "status": "refuted",
        "seed": 7,
        "panel": {"name": "btc", "fingerprint": "xxh3:1", "start": "2021-01-01", "bars": 9},
        "environment": {"code_version": "abc"},
        "verdict": {
            "status": "refuted",
            "metric": "r2_log",
            "gain": 0.002,
            "p_value": float("nan"),
            "reasons": ["too small", "by far"],
        },
        "tables": {
            "scores": {
                "horizon": ["1h", "1h"],
                "model": ["har", "har"],
                "scope": ["pooled", "window"],
                "window_start": [None, "2021-01-02T00:00:00+00:00"],
                "window_end": [None, "2021-04-02T02:00:00+02:00"],
                "metric": ["ic", "ic"],
                "value": [0.8, float("inf")],
                "n": [4, 2],
            },
            "folds": {"window": [0], "horizon": ["1h"], "embargo_ns": [60_000_000_000]},
        },
        "card": f"# Jumps\n\nDecision: none yet.\n\nrun {run_id}\n",
    }
    return {**record, **changes}


def small_forecasts() -> list[HorizonForecasts]:
    """Four forecasts of two models at each of two horizons."""
    times = pl.datetime_range(
        datetime(2021, 1, 2, tzinfo=UTC),
        datetime(2021, 1, 2, 3, tzinfo=UTC),
        "1h",
        time_unit="ns",
        eager=True,
    )
    frame = pl.DataFrame(
        {
            "symbol": ["A", "B", "A", "B"],
            "formed_at": times,
            "resolved_at": times.dt.offset_by("1h"),
            "window": pl.Series([0, 0, 1, 1], dtype=pl.Int32),
            "y": [0.1, 0.2, 0.3, 0.4],
            "har": [1.0, 2.0, 3.0, 4.0],
            "persistence": [5.0, 6.0, 7.0, 8.0],
        }
    )
    return [HorizonForecasts(horizon, MODELS, frame) for horizon in ("1h", "4h")]


def publish(log: Log) -> None:
    run_id = log.publish(small_record, small_forecasts())
    models = {"1h": list(MODELS), "4h": list(MODELS)}
    append_digest(log, small_record(run_id) | {"run_id": run_id, "forecasts": models})
    print(run_id, flush=True)


def read_until(log: Log, stop: Path) -> None:
    from harness.log.query import run_query

    seen = 0
    while True:
        last = stop.exists()
        sql = (
            "SELECT count(*), count(s.n), (SELECT count(*) FROM forecasts) FROM runs r "
            "LEFT JOIN (SELECT run_id, count(*) AS n FROM scores GROUP BY ALL) s USING (run_id)"
        )
        ((runs, scored, forecasts),) = run_query(log, sql)[1]
        assert seen <= runs == scored, (seen, runs, scored)
        assert forecasts == 16 * runs, (forecasts, runs)
        seen = runs
        if last:
            print(seen, flush=True)
            return


def main(mode: str, root: str, argument: str = "") -> None:
    log = Log(root)
    if mode == "publish":
        for _ in range(int(argument)):
            publish(log)
    elif mode == "read":
        read_until(log, Path(argument))
    else:
        from harness.log.index import update_index

        while True:
            publish(log)
            update_index(log)


if __name__ == "__main__":
    main(*sys.argv[1:])
