"""The command `harness calibrate`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from harness.cli.options import AS_JSON, echo_json
from harness.errors import UsageError, nearest

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
    power. A SETTING is the name of a setting or of a group: walked, together, seeds, wins, short,
    slow. A setting whose models are fitted takes a second of one core per 20 to 50 worlds, others
    per 200 to 500; the page defines them. Example:

    \b
    harness calibrate --worlds 100 hourly-equal short
    """
    from harness.calibration.page import write_page
    from harness.calibration.rates import calibrate as measure
    from harness.calibration.settings import SETTINGS
    from harness.cli.terminal import Progress, show_table
    from harness.walk.workers import available

    chosen = _chosen(settings)
    if out is None and len(chosen) == len(SETTINGS) and worlds >= _FULL:
        out = _PUBLISHED
    if out is not None:
        if Path(out).is_dir():
            raise UsageError(f"--out: got the folder '{out}', wanted a file")
        Path(out).parent.mkdir(parents=True, exist_ok=True)  # fails before the work, not after
    with Progress("calibrate") as progress:
        found = measure(
            chosen,
            worlds=worlds,
            seed=seed,
            alpha=_ALPHA,
            workers=workers or available(),
            progress=progress,
        )
    named = settings if len(chosen) < len(SETTINGS) else ()
    command = " ".join(["harness calibrate", f"--worlds {worlds} --seed {seed}", *named])
    files = []
    if out is not None:
        files = write_page(found, Path(out), command=command, alpha=_ALPHA)
    if as_json:
        echo_json({"page": out, "settings": [r.as_dict() for r in found]})
        return
    show_table(
        ("setting", "worlds", "covers", "any gain", "above truth", "plain test", "as wanted"),
        [
            [r.setting.name, r.worlds, f"{r.coverage:.1%}", f"{r.confirmed:.1%}",
             _highest(r.above_truth.values()), f"{r.plain:.1%}",
             "fall short" if r.setting.beyond else "yes" if r.met else "no"]
            for r in found
        ],
    )  # fmt: skip
    click.echo(" and ".join(map(str, files)) or "No page of a part: --out FILE writes one.")


def _chosen(names: Sequence[str]) -> list[str]:
    """The settings of these names of settings or groups, all if none is named."""
    from harness.calibration.settings import GROUPS, SETTINGS

    for name in names:
        if name not in SETTINGS and name not in GROUPS:
            near = nearest(name, [*GROUPS, *SETTINGS])
            hint = f"; did you mean '{near}'?" if near else ""
            groups = ", ".join(GROUPS)
            raise UsageError(
                f"harness calibrate: SETTING: got '{name}', wanted a group ({groups}) or a "
                f"setting, such as {next(iter(SETTINGS))}{hint}"
            )
    wanted = [s.name for s in SETTINGS.values() if s.name in names or s.group in names]
    return wanted if names else list(SETTINGS)


def _highest(rates: Iterable[float]) -> str:
    """The most often confirmed of the claims above the true gain."""
    return f"{max(rates, default=0.0):.1%}"
