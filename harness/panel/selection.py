"""Which of a panel's symbols a hypothesis asks for: named, or drawn by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import xxhash

from harness.errors import SpecError, nearest


@dataclass(frozen=True)
class Selection:
    """Symbols by name, or `draw` of them by a seed; those whose first bar is too late are excluded.

    `begun_by` is the latest start of a symbol's first bar (UTC ns), `min_record` the least share
    of the times at which any of them has a bar; `seen` are symbols that are not to be taken; `file`
    the hypothesis and `section` its table, for messages. None: no such wish.
    """

    file: Path | str = ""
    symbols: tuple[str, ...] | None = None
    draw: int | None = None
    draw_seed: int = 1
    begun_by: int | None = None
    min_record: float | None = None
    seen: tuple[str, ...] = ()
    section: str = "panel"

    def of(self, panel: str, symbols: tuple[str, ...]) -> tuple[str, ...]:
        """Those asked for among a panel's symbols, in their order.

        A symbol is drawn by the hash of the seed and its name, so twenty are among the hundred
        drawn by the same seed, and one more in the panel moves at most one. Raises SpecError for
        a symbol that is not there or was seen, a draw of more than there are, and where all were
        seen.
        """
        if self.seen:
            symbols = self._unseen(panel, symbols)
        for i, symbol in enumerate(self.symbols or ()):
            if symbol not in symbols:
                wanted = f"one of the {len(symbols):,} symbols of {panel} in this span"
                near = nearest(symbol, symbols)
                key = f"{self.section}.symbols[{i}]"
                raise SpecError(self.file, key, got=symbol, wanted=wanted, nearest=near)
        if self.symbols is not None:
            return tuple(s for s in symbols if s in self.symbols)
        if self.draw is None:
            return symbols
        if self.draw > len(symbols):
            wanted = f"at most {len(symbols):,}, the symbols of {panel} in this span"
            raise SpecError(self.file, f"{self.section}.draw", got=self.draw, wanted=wanted)
        drawn = sorted(symbols, key=lambda s: _rank(self.draw_seed, s))
        return tuple(sorted(drawn[: self.draw]))

    def _unseen(self, panel: str, symbols: tuple[str, ...]) -> tuple[str, ...]:
        for i, symbol in enumerate(self.symbols or ()):
            if symbol in self.seen:
                wanted = "a symbol that [source] does not take, since panel.unseen is true"
                raise SpecError(self.file, f"panel.symbols[{i}]", got=symbol, wanted=wanted)
        left = tuple(s for s in symbols if s not in set(self.seen))
        if not left:
            wanted = f"a [source] that leaves some of {panel}'s symbols: it takes all of them"
            raise SpecError(self.file, "panel.unseen", got=True, wanted=wanted)
        return left


def _rank(seed: int, symbol: str) -> int:
    return xxhash.xxh3_64(f"{seed}\0{symbol}".encode()).intdigest()
