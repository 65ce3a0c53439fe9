"""A panel's measures, streamed one symbol at a time, and kept for the next run that asks for them.

Measures are the costly part of a run and depend on nothing but the bars and the cascade. They are
kept in the cache folder under a hash of what would be read (paths, sizes, modification times, the
panel file), the plan, the text of all code that reads and measures, and the library versions;
any change measures afresh. What is kept is what was computed, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from harness.kernels.loader import cache_folder
from harness.measures.cascade import CascadePlan, measure
from harness.panel import Panel, panel_fingerprint
from harness.types import Gap, Measured

_LAYOUT = 1
_MADE_BY = (
    "kernels/*.py",
    "measures/*.py",
    "sources/*.py",
    "panel.py",
    "panel_file.py",
    "quality.py",
)


@dataclass(frozen=True)
class PanelFacts:
    """What was read: symbols, rows read, bars after filling, gaps, span (UTC ns), fingerprint."""

    symbols: tuple[str, ...]
    rows: int
    bars: int
    start: int
    end: int
    gaps: tuple[Gap, ...]
    fingerprint: str

    @property
    def filled(self) -> int:
        """Bars that were not in the data but carried forward."""
        return self.bars - self.rows


def measure_panel(
    panel: Panel,
    plan: CascadePlan,
    *,
    keep: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[list[Measured], PanelFacts, bool]:
    """Every symbol's measures, what was read, and whether they were kept from an earlier run.

    Raises PanelError for bars that fail a check. With `keep` false nothing is taken or kept.
    """
    path = _path(panel, plan) if keep else None
    if path is not None:
        kept = _load(path)
        if kept is not None:
            return *kept, True
    measured: list[Measured] = []
    read = _Tally()
    for bars in panel.bars():
        read.add(bars)
        measured.append(measure(bars, plan))
        progress(f"measured {bars.symbol}")
    facts = read.facts()
    if path is not None:
        _save(path, measured, facts)
    return measured, facts, False


class _Tally:
    def __init__(self) -> None:
        self.symbols: list[str] = []
        self.rows = self.bars = 0
        self.spans: list[tuple[int, int]] = []
        self.gaps: list[Gap] = []
        self.fingerprints: list[str] = []

    def add(self, bars: object) -> None:
        self.symbols.append(bars.symbol)
        self.rows += bars.rows
        self.bars += bars.n
        self.spans.append((bars.start, int(bars.known_at(np.int64(bars.n - 1)))))
        self.gaps += bars.gaps
        self.fingerprints.append(bars.fingerprint)

    def facts(self) -> PanelFacts:
        return PanelFacts(
            symbols=tuple(self.symbols),
            rows=self.rows,
            bars=self.bars,
            start=min(s for s, _ in self.spans),
            end=max(e for _, e in self.spans),
            gaps=tuple(self.gaps),
            fingerprint=panel_fingerprint(self.fingerprints),
        )


def _path(panel: Panel, plan: CascadePlan) -> Path | None:
    identity = panel.identity()
    if identity is None:
        return None
    digest = hashlib.sha256(f"{_LAYOUT} {identity} {plan!r}".encode())
    package = Path(__file__).parent.parent
    for pattern in _MADE_BY:
        for file in sorted(package.glob(pattern)):
            digest.update(file.read_bytes())
    digest.update(f"{np.__version__} {pl.__version__}".encode())
    return cache_folder() / "measures" / f"{digest.hexdigest()[:32]}.bin"


def _save(path: Path, measured: list[Measured], facts: PanelFacts) -> None:
    """One header line, then per symbol its times, decisions and columns as they are in memory."""
    header = {
        "facts": asdict(facts),
        "symbols": [
            [m.symbol, m.known_at.size, m.decisions.size, m.block, m.bar] for m in measured
        ],
        "columns": list(measured[0].columns),
    }
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(json.dumps(header).encode() + b"\n")
            for m in measured:
                for array in (m.known_at, m.decisions, *m.columns.values()):
                    stream.write(np.ascontiguousarray(array).data)
        Path(temporary).replace(path)
    except OSError:
        # A full or read-only cache costs the next run its time, nothing else.
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
    facts["symbols"] = tuple(facts["symbols"])
    return symbols, PanelFacts(**facts)


def _read(stream: object, entry: list, columns: list[str]) -> Measured:
    symbol, rows, decisions, block, bar = entry
    known_at = _exactly(np.fromfile(stream, np.int64, rows), rows)
    at = _exactly(np.fromfile(stream, np.int64, decisions), decisions)
    values = {name: _exactly(np.fromfile(stream, np.float64, rows), rows) for name in columns}
    return Measured(symbol, known_at, values, at, block, bar)


def _exactly(array: np.ndarray, size: int) -> np.ndarray:
    if array.size != size:
        raise ValueError("a kept file that ends too early")
    return array
