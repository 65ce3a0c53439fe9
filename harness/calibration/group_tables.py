"""The tables of a group of settings on the page of `harness calibrate`, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.calibration.rates import Rates, claim_name, percent
from harness.calibration.settings import Group
from harness.verdict.words import Show

_Column = tuple[str, Callable[[Rates], str]]
_LESS, _MORE, _TWICE = 0.5, (1.1, 1.3), 2.0  # multiples of the true gain in the tables


def tables(group: Group, found: Sequence[Rates]) -> Iterator[str]:
    """Each table with the words before it; settings of a grid are its cells."""
    if group.by:
        yield from _grids(group, found)
        return
    null, gains = [r for r in found if r.setting.null], [r for r in found if not r.setting.null]
    if null:
        (more,) = null[0].claims
        yield "Without an edge:\n\n" + _table(
            null,
            (
                *_COVERED,
                ("confirmed, any gain claimed", lambda r: percent(r.confirmed)),
                (f"{more} claimed", lambda r: percent(r.confirmed_at[more])),
                ("plain test", lambda r: percent(r.plain)),
            ),
        )
    if gains:
        yield "With an edge:\n\n" + _table(
            gains,
            (
                *_COVERED,
                ("confirmed, any gain claimed", lambda r: percent(r.confirmed)),
                *(_claimed(k) for k in (_LESS, *_MORE)),
                (
                    f"refuted, {_TWICE:g} times",
                    lambda r: _rate(r.refuted_at, claim_name(_TWICE)),
                ),
            ),
        )


def _claimed(multiple: float) -> _Column:
    return f"{multiple:g} times", lambda r: _rate(r.confirmed_at, claim_name(multiple))


def _rate(shares: dict[str, float], claim: str) -> str:
    """The rate for a claim that can be made."""
    return percent(shares[claim]) if claim in shares else "n/a"


def _truth(r: Rates) -> str:
    show = show_of(r)
    known = f" ± {show(r.truth_error).lstrip('+')}" if r.truth_error else ""
    return f"{show(r.truth)}{known}"


def show_of(r: Rates) -> Show:
    """The format of the setting's gains."""
    return Show(r.setting.metric, r.setting.gain_as)


_COVERED: tuple[_Column, ...] = (
    ("true gain", _truth),
    ("half-width", lambda r: show_of(r)(r.half_width).lstrip("+")),
    ("covers", lambda r: percent(r.coverage)),
    ("all below", lambda r: percent(r.below)),
    ("all above", lambda r: percent(r.above)),
)


def _table(found: Sequence[Rates], columns: Sequence[_Column]) -> str:
    rows = [[f"`{r.setting.name}`", *(cell(r) for _, cell in columns)] for r in found]
    return markdown(["setting", *(heading for heading, _ in columns)], rows, words=1)


def _grids(group: Group, found: Sequence[Rates]) -> Iterator[str]:
    """Coverage and false confirmations of settings that differ in their cells alone."""
    claim = claim_name(_MORE[0])
    yield _grid(group, found, "How often the interval covers the true gain", _coverage)
    words = ["any gain where the forecasts are equally accurate"]
    if not all(r.setting.null for r in found):
        words.append(f"{_MORE[0]:g} times the true gain where one has an edge")
    yield _grid(
        group,
        found,
        f"How often a claim that is not true is confirmed: {', '.join(words)}",
        lambda r: percent(r.confirmed) if r.setting.null else _rate(r.confirmed_at, claim),
    )

    if group.fewer:
        with_them = "with the cosines that the warning names"
        yield _grid(
            group, found, f"How often the interval covers {with_them}",
            lambda r: percent(r.coverage_fewer),
        )  # fmt: skip
        yield _grid(
            group, found, f"How often any gain is confirmed {with_them}",
            lambda r: percent(r.confirmed_fewer),
        )  # fmt: skip
    edge = [r for r in found if not r.setting.null]
    if edge:
        exactly = "How often a claim of exactly the true gain is confirmed; 5 % is right"
        truth = claim_name(1.0)
        yield _grid(group, edge, exactly, lambda r: _rate(r.confirmed_at, truth))


def _coverage(r: Rates) -> str:
    return percent(r.coverage)


def _grid(group: Group, found: Sequence[Rates], words: str, shown: Callable[[Rates], str]) -> str:
    """In italics where the method is known to fall short."""
    cells = {
        r.setting.cell: f"*{shown(r)}*" if r.setting.beyond else shown(r)
        for r in found
        if r.setting.cell is not None
    }
    rows = list(dict.fromkeys(row for row, _ in filter(None, cells)))
    columns = list(dict.fromkeys(column for _, column in filter(None, cells)))
    lines = [[*row, *(cells.get((row, column), "") for column in columns)] for row in rows]
    note = (
        " (in italics where the method is known to fall short)"
        if any(r.setting.beyond for r in found)
        else ""
    )
    return f"{words}{note}:\n\n{markdown([*group.by, *columns], lines, words=len(group.by))}"


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> str:
    """A table whose first columns are words, the others numbers."""
    bars = ["---"] * words + ["---:"] * (len(headings) - words)
    return "\n".join(
        [
            f"| {' | '.join(headings)} |",
            f"|{'|'.join(bars)}|",
            *(f"| {' | '.join(row)} |" for row in rows),
        ]
    )
