"""Which of a panel's symbols a hypothesis uses: named, or drawn by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import xxhash

from harness.errors import SpecError, nearest


@dataclass(frozen=True)
class Selection:
    """Symbols by name, or `draw` of them by a seed; symbols with too little history are excluded.

    `begun_by` is the latest allowed start of a symbol's first bar (UTC ns), `min_record` the
    smallest share of the panel's timestamps at which a symbol must have a bar. `seen` are symbols
    that must not be taken. `file` is the hypothesis and `section` its table, for messages. None:
    no restriction.
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
        """The selected symbols of a panel, in the panel's order.

        Symbols are drawn by a hash of seed and name: the twenty drawn by a seed are among its
        hundred, and a new symbol in the panel replaces at most one. Raises SpecError for a symbol
        that does not exist or was seen, for a draw of more symbols than there are, and if all
        were seen.
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
                wanted = "a symbol that [source] does not use, because panel.unseen is true"
                raise SpecError(self.file, f"panel.symbols[{i}]", got=symbol, wanted=wanted)
        unseen = tuple(s for s in symbols if s not in set(self.seen))
        if not unseen:
            wanted = f"a [source] that leaves symbols of {panel}: it uses all of them"
            raise SpecError(self.file, "panel.unseen", got=True, wanted=wanted)
        return unseen


def _rank(seed: int, symbol: str) -> int:
    return xxhash.xxh3_64(f"{seed}\0{symbol}".encode()).intdigest()
