"""A search by hand: one hypothesis for each column of noise, on a panel and on copies of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support import workspace

import harness
from harness.log.store import Log

COLUMNS = 29
_HOURS = 24 * 150
_START = np.datetime64("2021-01-01T00")


def prices() -> list[float]:
    """Hourly closes whose volatility clusters."""
    rng = np.random.default_rng(3)
    spread = np.exp(0.4 * np.sin(np.arange(_HOURS) / 31.0) + 0.02 * rng.standard_normal(_HOURS))
    return list(100.0 * np.exp(np.cumsum(0.005 * spread * rng.standard_normal(_HOURS))))


def write_panel(
    folder: Path,
    name: str,
    close: list[float],
    *,
    hours: range = range(_HOURS),
    digits: int = 9,
    price: str = "close",
) -> None:
    """A panel of these hours of the closes and of every column of noise."""
    noise = np.random.default_rng(4).random((_HOURS, COLUMNS)).round(4)
    rows = [
        f"{_START + np.timedelta64(hour, 'h')}:00,{close[hour]:.{digits}f},"
        + ",".join(map(str, noise[hour]))
        for hour in hours
    ]
    names = [f"n{k}" for k in range(COLUMNS)]
    extra = [f'{name} = {{ column = "{name}", unit = "none" }}' for name in names]
    panels = folder / "panels"
    panels.mkdir(exist_ok=True)
    (panels / f"{name}.csv").write_text("\n".join([f"ts,{price},{','.join(names)}", *rows]) + "\n")
    text = workspace.changed(
        ('"file"', f'"{name}"'),
        ('prices.csv"\nsymbol', f'{name}.csv"\nsymbol'),
        ('close = "close"', f'close = "{price}"\n[columns.extra]\n' + "\n".join(extra)),
        text=workspace.CSV_PANEL,
    )
    (panels / f"{name}.toml").write_text(text)


def try_column(
    folder: Path, column: int, panel: str = "noisy", *changes: tuple[str, str]
) -> dict[str, Any]:
    """Run the hypothesis that this column of noise helps; the record."""
    text = workspace.changed(
        ('"tiny-har"', f'"n{column}-on-{panel}"'),
        ('name = "tiny"\n', f'name = "{panel}"\n'),
        ('every = "1h"\nscales = ["1h", "4h", "1d"]', 'every = "4h"\nscales = ["4h", "1d"]'),
        ('measures = ["rv"]', f'measures = ["rv", "n{column}"]'),
        ('horizons = ["1h", "4h"]', 'horizons = ["4h"]'),
        ('"2021-01-13"', '"2021-01-25"'),
        (
            '[models.persistence]\nkind = "persistence"',
            '[models.plain]\nkind = "ols"\nfeatures = ["log(rv_4h)", "log(rv_1d)"]',
        ),
        (
            '["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]',
            f'["log(rv_4h)", "log(rv_1d)", "n{column}_4h"]',
        ),
        ('baseline = "persistence"', 'baseline = "plain"'),
        ("min_gain = 0.01", "min_gain = 0.0"),
        *changes,
    )
    file = folder / "hypotheses" / f"n{column}-on-{panel}.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    log = Log(folder / "reports")
    return log.read(harness.run(file, log, search=[folder / "panels"]).run_id)


def pretend(log: Log, record: dict[str, Any], column: int, p: float) -> str:
    """Publish the run of another column with this p-value, made from a record; its id."""
    tests = record["tables"]["tests"] | {"p_value": [p]}
    changed = {
        **record,
        "hypothesis": f"n{column}-on-noisy",
        "spec_hash": f"sha256:{column}",
        "comparison_hash": f"sha256:compared-{column}",
        "tables": record["tables"] | {"tests": tests},
        "family": record["family"] | {"run_ids": log.runs(), "comparisons": len(log.runs()) + 1},
    }
    return log.publish(lambda _: changed, [])
