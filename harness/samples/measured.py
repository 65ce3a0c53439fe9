"""A panel's measures, computed one symbol at a time and cached for later runs.

Measures take most of a run's time and depend only on the bars and the cascade. They are cached
under a hash of the input files (paths, sizes, modification times, the panel file), the plan, the
source of all code that reads and measures, and the library versions; after any change they are
computed again. A cached measure is bit for bit the computed one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from harness.cache import cache_folder, code_hash
from harness.errors import PanelError
from harness.measures.cascade import CascadePlan, measure, why_unfit, zero_returns
from harness.panel.contents import DAY_NS, Contents, Days, days_of, short_hash, together
from harness.panel.panel import Panel, panel_fingerprint
from harness.panel.side_times import SideClock, SideTimes
from harness.types import Bars, Excluded, Gap, Measured

_LAYOUT = 4
# All code that reads bars and measures them: part of the cache key.
MADE_BY = (
    "kernels", "measures", "panel", "toml", "durations.py", "samples/measured.py", "types.py",
)  # fmt: skip


@dataclass(frozen=True)
class PanelFacts:
    """The data read: symbols, rows read, bars after filling, gaps, span (UTC ns), fingerprint.

    `available` symbols were in the span before any selection; `excluded` are the symbols left out,
    with the reason; `left_out` counts the file's rows that are not bars, by reason. `labels` maps
    each label to {symbol: text}, `unknown` where none is known. `side` maps each side series to
    the fingerprint of its data, `side_end` to when its last value was known (UTC ns),
    `side_missing` to the number of bars at which it was not known, `side_times` to when it was
    known. The fingerprint covers labels and side series; `contents` says what was read, day by day.
    Of the `returns` over the interval that measures read, those of filled bars included,
    `zero_returns` are 0.
    """

    symbols: tuple[str, ...]
    rows: int
    bars: int
    start: int
    end: int
    gaps: tuple[Gap, ...]
    fingerprint: str
    contents: Contents
    available: int = 1
    excluded: tuple[Excluded, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    side: Mapping[str, str] = field(default_factory=dict)
    side_end: Mapping[str, int] = field(default_factory=dict)
    side_missing: Mapping[str, int] = field(default_factory=dict)
    returns: int = 0
    zero_returns: int = 0
    side_times: Mapping[str, SideTimes] = field(default_factory=dict)

    @property
    def filled(self) -> int:
        """The number of bars that were not in the data and were filled."""
        return self.bars - self.rows

    @property
    def zero_share(self) -> float | None:
        """The share of returns that are 0; None without returns."""
        return self.zero_returns / self.returns if self.returns else None


def measure_panel(
    panel: Panel,
    plan: CascadePlan,
    *,
    keep: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[list[Measured], PanelFacts, bool]:
    """Every symbol's measures, facts of the data read, and whether they came from the cache.

    PanelError for bars that fail a check and symbols that cannot be used, unless the panel
    excludes such symbols, and when no symbol is left. With `keep` false the cache is not used.
    """
    path = _path(panel, plan) if keep else None
    if path is not None:
        cached = _load(path)
        if cached is not None:
            return *cached, True
    measured: list[Measured] = []
    read = _Tally(panel)
    for found in panel.read():
        bars = _fit(panel, found, plan)
        if isinstance(bars, Excluded):
            read.excluded.append(bars)
            continue
        read.add(bars, zero_returns(bars, plan))
        measured.append(measure(bars, plan))
        progress(f"measured {bars.symbol}")
    facts = read.facts()
    if path is not None:
        _save(path, measured, facts)
    return measured, facts, False


def read_contents(panel: Panel, plan: CascadePlan) -> tuple[str, Contents]:
    """The fingerprint and the contents of what `measure_panel` would read; raises what it does."""
    read = _Tally(panel)
    for found in panel.read():
        bars = _fit(panel, found, plan)
        if isinstance(bars, Excluded):
            read.excluded.append(bars)
        else:
            read.add(bars, (0, 0))
    facts = read.facts()
    return facts.fingerprint, facts.contents


def _fit(panel: Panel, found: Bars | Excluded, plan: CascadePlan) -> Bars | Excluded:
    """The bars, or the reason why they cannot be used."""
    why = why_unfit(found, plan) if isinstance(found, Bars) else None
    if why is None:
        return found
    if panel.spec.on_bad == "refuse":
        raise PanelError(f"{panel.spec.file}: {found.symbol}: {why}")
    return Excluded(found.symbol, why)


class _Tally:
    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.symbols: list[str] = []
        self.rows = self.bars = self.zeros = self.returns = 0
        self.spans: list[tuple[int, int]] = []
        self.gaps: list[Gap] = []
        self.fingerprints: list[str] = []
        self.days: list[Days] = []
        self.excluded: list[Excluded] = []
        self.left_out: Counter[str] = Counter()
        self.side_missing: Counter[str] = Counter()
        self.clocks = {name: SideClock(series) for name, series in panel.series.items()}

    def add(self, bars: Bars, returns: tuple[int, int]) -> None:
        self.zeros += returns[0]
        self.returns += returns[1]
        self.symbols.append(bars.symbol)
        self.rows += bars.rows
        self.bars += bars.n
        self.spans.append((bars.start, int(bars.known_at(np.array(bars.n - 1)))))
        self.gaps += bars.gaps
        self.fingerprints.append(bars.fingerprint)
        self.days.append(_days(bars))
        self.left_out.update(bars.left_out)
        for name, clock in self.clocks.items():
            self.side_missing[name] += int(np.isnan(bars.columns[name]).sum())
            clock.add(bars.symbol, bars.known_at(np.arange(bars.n)))

    def facts(self) -> PanelFacts:
        if not self.symbols:
            first, rest = self.excluded[0], len(self.excluded) - 1
            raise PanelError(
                f"{self.panel.spec.file}: no symbol is left: {first.symbol}: {first.reason}"
                + (f" (and {rest:,} more)" if rest else "")
            )
        series = self.panel.series
        side = {name: of.bars.fingerprint for name, of in series.items()}
        labels = {
            name: {symbol: of[symbol] for symbol in self.symbols}
            for name, of in self.panel.labels.items()
        }
        words = [json.dumps(part, sort_keys=True) for part in (side, labels) if part]
        return PanelFacts(
            symbols=tuple(self.symbols),
            rows=self.rows,
            bars=self.bars,
            start=min(s for s, _ in self.spans),
            end=max(e for _, e in self.spans),
            gaps=tuple(self.gaps),
            fingerprint=panel_fingerprint([*self.fingerprints, *words]),
            contents=Contents(
                together(self.days),
                {name: _days(of.bars, name) for name, of in series.items()},
                short_hash(self.symbols),
                short_hash(labels) if labels else None,
            ),
            available=self.panel.available,
            excluded=tuple(self.excluded),
            left_out=dict(self.left_out),
            labels=labels,
            side=side,
            side_end={name: int(of.known_at[-1]) for name, of in series.items()},
            side_missing=dict(self.side_missing),
            returns=self.returns,
            zero_returns=self.zeros,
            side_times={
                name: times
                for name, clock in self.clocks.items()
                if (times := clock.times()) is not None
            },
        )


def _days(bars: Bars, label: str = "") -> Days:
    assert bars.read is not None, "a panel's bars say what was read"
    ts, columns = bars.read
    return days_of(bars.symbol, ts, columns, daily=bars.bar >= DAY_NS, label=label)


def _path(panel: Panel, plan: CascadePlan) -> Path | None:
    identity = panel.identity()
    if identity is None:
        return None
    made_from = f"{_LAYOUT} {identity} {plan!r} {_code()} {np.__version__} {pl.__version__}"
    digest = hashlib.sha256(made_from.encode())
    return cache_folder() / "measures" / f"{digest.hexdigest()[:32]}.bin"


@cache
def _code() -> str:
    return code_hash(*MADE_BY)


def _save(path: Path, measured: list[Measured], facts: PanelFacts) -> None:
    """One header line, then per symbol its times, origins and columns as they are in memory."""
    header = {
        "facts": vars(facts)
        | {
            "gaps": [asdict(gap) for gap in facts.gaps],
            "excluded": [asdict(excluded) for excluded in facts.excluded],
            "contents": facts.contents.packed(),
            "side_times": {name: asdict(times) for name, times in facts.side_times.items()},
        },
        "symbols": [[m.symbol, m.known_at.size, m.origins.size, m.block, m.bar] for m in measured],
        "columns": list(measured[0].columns),
    }
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(json.dumps(header).encode() + b"\n")
            for m in measured:
                for array in (m.known_at, m.origins, *m.columns.values()):
                    stream.write(np.ascontiguousarray(array).data)
        Path(temporary).replace(path)
    except OSError:
        # With a full or read-only cache folder the next run only computes the measures again.
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _load(path: Path) -> tuple[list[Measured], PanelFacts] | None:
    try:
        with path.open("rb") as stream:
            header = json.loads(stream.readline())
            symbols = [_read(stream, entry, header["columns"]) for entry in header["symbols"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    facts = header["facts"]
    facts["gaps"] = tuple(Gap(**gap) for gap in facts["gaps"])
    facts["excluded"] = tuple(Excluded(**excluded) for excluded in facts["excluded"])
    facts["symbols"] = tuple(facts["symbols"])
    facts["contents"] = Contents.unpacked(facts["contents"])
    facts["side_times"] = {n: SideTimes(**times) for n, times in facts["side_times"].items()}
    return symbols, PanelFacts(**facts)


def _read(stream: BinaryIO, entry: list[Any], columns: list[str]) -> Measured:
    symbol, rows, origins, block, bar = entry
    known_at = _exactly(np.fromfile(stream, np.int64, rows), rows)
    at = _exactly(np.fromfile(stream, np.int64, origins), origins)
    values = {name: _exactly(np.fromfile(stream, np.float64, rows), rows) for name in columns}
    return Measured(symbol, known_at, values, at, block, bar)


def _exactly(array: np.ndarray, size: int) -> np.ndarray:
    if array.size != size:
        raise ValueError("the cached file is too short")
    return array
