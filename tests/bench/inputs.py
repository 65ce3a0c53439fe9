"""What the benchmark runs on: bars, panel and hypothesis files in a scratch folder.

The bars are the project's own simulated ones; where HARNESS_DATA holds btcusdt_1m.parquet both
contenders read that instead.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import harness
from harness.cache import cache_folder
from harness.spec.hypothesis import Hypothesis
from harness.spec.reading import load_hypothesis

ROOT = Path(harness.__file__).parents[1]
DAYS = 2_284  # 2020-01-01 to 2026-04-03: 3,288,960 minutes
YEAR_DAYS = 365
DISTINCT = 20  # simulated years that the many-asset parts repeat under other names

_PANEL = """
[panel]
name = "{name}"
title = "Simulated 1-minute bars for the benchmark"
bar = "1m"
calendar = "24/7"
timezone = "UTC"
fill = "carry"
how_to_get = "run the benchmark, which makes them"

[source]
kind = "parquet"
path = "{path}"

[columns]
ts = "timestamp"
open = "open"
high = "high"
low = "low"
close = "close"
volume = "volume"
"""


@dataclass(frozen=True)
class Inputs:
    """A scratch folder, and the environment that child processes get."""

    work: Path
    environment: Mapping[str, str]

    @property
    def panels(self) -> Path:
        """Where the panel files lie."""
        return self.work / "panels"

    @cached_property
    def bars(self) -> Path:
        """The Parquet file of minutes that both contenders read."""
        data = os.environ.get("HARNESS_DATA")
        real = Path(data, "btcusdt_1m.parquet") if data else None
        if real is not None and real.is_file():
            return real.resolve()
        path = self.panels / "minutes.parquet"
        if not path.exists():
            simulate_file(path, start="2020-01-01", days=DAYS, symbol=0)
        return path

    @cached_property
    def hypothesis_file(self) -> Path:
        """The shipped study; on simulated bars it differs by its panel's name only."""
        text = (ROOT / "hypotheses/har-rv-j.toml").read_text()
        if self.bars.parent == self.panels:
            (self.panels / "minutes.toml").write_text(
                _PANEL.format(name="minutes", path="minutes.parquet")
            )
            text = text.replace('name = "btcusdt-1m"', 'name = "minutes"')
        else:
            shutil.copy(ROOT / "panels/btcusdt-1m.toml", self.panels)
        path = self.work / "hypotheses/har-rv-j.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    @cached_property
    def hypothesis(self) -> Hypothesis:
        """The study, loaded."""
        return load_hypothesis(self.hypothesis_file)

    @cached_property
    def years(self) -> list[Path]:
        """DISTINCT simulated years of minutes, one file each."""
        folder = self.work / "years"
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{i:02d}.parquet" for i in range(DISTINCT)]
        for symbol, path in enumerate(paths):
            if not path.exists():
                simulate_file(path, start="2021-01-01", days=YEAR_DAYS, symbol=symbol)
        return paths

    def assets(self, count: int) -> Path:
        """A panel of `count` files of a year each, links to the distinct ones; its name's file."""
        folder = self.panels / f"assets-{count}"
        folder.mkdir(exist_ok=True)
        for i in range(count):
            link = folder / f"a{i:04d}.parquet"
            if not link.is_symlink():
                link.symlink_to(self.years[i % DISTINCT])
        panel = self.panels / f"{folder.name}.toml"
        panel.write_text(_PANEL.format(name=folder.name, path=f"{folder.name}/*.parquet"))
        return panel


def prepare(work: Path, environment: Mapping[str, str]) -> Inputs:
    """Set up the scratch folder; this process and its children keep their cache in it.

    Kernels that this machine has compiled already are taken along, measures are not.
    """
    work = work.resolve()
    (work / "panels").mkdir(parents=True, exist_ok=True)
    cache = work / "cache"
    if (cache_folder() / "kernels").is_dir() and cache_folder() != cache:
        shutil.copytree(cache_folder() / "kernels", cache / "kernels", dirs_exist_ok=True)
    os.environ["HARNESS_CACHE"] = str(cache)
    return Inputs(work, {**environment, "HARNESS_CACHE": str(cache)})


def simulate_file(path: Path, *, start: str, days: int, symbol: int) -> None:
    """Write simulated minutes as Parquet: timestamp (ms, UTC), OHLC and volume in float64."""
    import polars as pl

    from harness.panel.reading import read_panel
    from harness.panel.sources.simulated import simulate

    print(f"simulating {days:,} days for {path.name}", file=sys.stderr)
    shipped = read_panel(ROOT / "panels/simulated-1m.toml").params
    frame, _ = simulate(shipped.model_copy(update={"start": start, "days": days}), symbol=symbol)
    stamps = pl.col("ts").cast(pl.Datetime("ms", "UTC")).alias("timestamp")
    temporary = path.with_suffix(".tmp")
    frame.select(stamps, pl.exclude("ts")).write_parquet(temporary, compression="zstd")
    temporary.replace(path)
