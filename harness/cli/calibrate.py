"""The command `harness calibrate`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import AS_JSON, echo_json
from harness.errors import UsageError, nearest

if TYPE_CHECKING:
    from harness.calibration.rates import Rates
    from harness.calibration.search_rates import SearchRates

_PUBLISHED = "reports/calibration.md"
_FULL = 1_000  # worlds per setting of a published page
_ALPHA = 0.05


@click.command()
@click.argument("settings", nargs=-1, metavar="[SETTING…]")
@click.option("--worlds", type=click.IntRange(2, 100_000), default=_FULL, show_default=True,
              metavar="N", help="Simulated worlds per setting.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Seed of the worlds."
)
@click.option("--workers", type=click.IntRange(1), metavar="N",
              help="Processes [default: one per core]; results do not depend on it.")  # fmt: skip
@click.option("--out", metavar="FILE",
              help=f"The page to write [default: {_PUBLISHED} of all settings with at least "
              f"{_FULL:,} worlds, no page of fewer].")  # fmt: skip
@AS_JSON
def calibrate(
    settings: tuple[str, ...],
    worlds: int,
    seed: int,
    workers: int | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Measure how often verdicts are right, on simulated worlds.

    Reports coverage of the interval, false confirmations of claims above the true gain, and
    power; and how often the best of 30 useless ideas passes, by its own p-value and by its
    family's. A SETTING is the name of a setting or of a group: walked, together, seeds, wins,
    short, slow, searches. A search takes a second of one core per 10 worlds, a setting whose
    models are fitted per 20 to 50, others per 200 to 500; the page defines them. Example:

    \b
    harness calibrate --worlds 100 hourly-equal short
    """
    from harness.calibration.page import write_page
    from harness.calibration.rates import calibrate as measure
    from harness.calibration.search_rates import calibrate_searches
    from harness.cli.terminal import Progress
    from harness.walk.workers import available

    chosen, searches = _chosen(settings)
    whole = (chosen, searches) == _chosen(())
    if out is None and whole and worlds >= _FULL:
        out = _PUBLISHED
    if out is not None:
        if Path(out).is_dir():
            raise UsageError(f"--out: got the folder '{out}', wanted a file")
        Path(out).parent.mkdir(parents=True, exist_ok=True)  # fails before the work, not after
    with Progress("calibrate") as progress:
        cores = workers or available()
        found = measure(
            chosen, worlds=worlds, seed=seed, alpha=_ALPHA, workers=cores, progress=progress
        )
        searched = calibrate_searches(
            searches, worlds=worlds, seed=seed, alpha=_ALPHA, workers=cores, progress=progress
        )
    named = () if whole else settings
    command = " ".join(["harness calibrate", f"--worlds {worlds} --seed {seed}", *named])
    files = []
    if out is not None:
        files = write_page(found, searched, Path(out), command=command, alpha=_ALPHA)
    if as_json:
        of_both = {"settings": [r.as_dict() for r in found]}
        of_both |= {"searches": [r.as_dict() for r in searched]}
        echo_json({"page": out, **of_both})
        return
    _show(found, searched)
    click.echo(" and ".join(map(str, files)) or "No page of a part: --out FILE writes one.")


def _show(found: Sequence[Rates], searched: Sequence[SearchRates]) -> None:
    from harness.cli.terminal import show_table

    if found:
        show_table(
            ("setting", "worlds", "covers", "any gain", "above truth", "plain test", "as wanted"),
            [
                [r.setting.name, r.worlds, f"{r.coverage:.1%}", f"{r.confirmed:.1%}",
                 _highest(r.above_truth.values()), f"{r.plain:.1%}",
                 "fall short" if r.setting.beyond else "yes" if r.met else "no"]
                for r in found
            ],
        )  # fmt: skip
    if searched:
        show_table(
            ("search", "worlds", "counted", "by its own p", "by its family's p", "as wanted"),
            [
                [r.search.name, r.worlds, r.comparisons, f"{r.own:.1%}", f"{r.family:.1%}",
                 "yes" if r.met else "no"]
                for r in searched
            ],
        )  # fmt: skip


def _chosen(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The settings and the searches of these names and groups, all if none is named."""
    from harness.calibration.searches import GROUP, SEARCHES
    from harness.calibration.settings import GROUPS, SETTINGS

    groups = (*GROUPS, GROUP)
    for name in names:
        if name not in (*groups, *SETTINGS, *SEARCHES):
            near = nearest(name, [*groups, *SETTINGS, *SEARCHES])
            hint = f"; did you mean '{near}'?" if near else ""
            raise UsageError(
                f"harness calibrate: SETTING: got '{name}', wanted a group ({', '.join(groups)}) "
                f"or a setting, such as {next(iter(SETTINGS))}{hint}"
            )
    wanted = [s.name for s in SETTINGS.values() if {s.name, s.group} & {*names} or not names]
    searches = [name for name in SEARCHES if {name, GROUP} & {*names} or not names]
    return wanted, searches


def _highest(rates: Iterable[float]) -> str:
    """The most often confirmed of the claims above the true gain."""
    return f"{max(rates, default=0.0):.1%}"
