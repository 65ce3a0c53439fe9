"""The command `harness calibrate`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import AS_JSON, echo_json
from harness.errors import UsageError, nearest


@click.command()
@click.argument("settings", nargs=-1, metavar="[SETTING…]")
@click.option("--worlds", type=click.IntRange(2, 100_000), default=1_000, show_default=True,
              metavar="N", help="Simulated worlds per setting.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Seed of the worlds."
)
@click.option("--workers", type=click.IntRange(1), metavar="N",
              help="Processes [default: one per core]; results do not depend on it.")  # fmt: skip
@click.option("--out", metavar="FILE", default="reports/calibration.md", show_default=True,
              help="The page to write.")  # fmt: skip
@AS_JSON
def calibrate(
    settings: tuple[str, ...], worlds: int, seed: int, workers: int | None, out: str, as_json: bool
) -> None:
    """Measure how often verdicts are right, on simulated worlds.

    Reports false confirmations of a candidate without an edge, coverage of the interval, and
    power by gain. A setting takes about one second of one core per 15 worlds; the page defines
    the settings. Example:

    \b
    harness calibrate --worlds 100 hourly-equal daily-nested
    """
    from harness.calibration.page import write_page
    from harness.calibration.rates import calibrate as measure
    from harness.calibration.trials import SETTINGS
    from harness.cli.terminal import Progress, show_table
    from harness.walk.workers import available

    for name in settings:
        if name not in SETTINGS:
            near = nearest(name, SETTINGS)
            hint = f"; did you mean '{near}'?" if near else ""
            known = ", ".join(SETTINGS)
            raise UsageError(f"harness calibrate: SETTING: got '{name}', wanted {known}{hint}")
    page = Path(out)
    if page.is_dir():
        raise UsageError(f"--out: got the folder '{out}', wanted a file")
    page.parent.mkdir(parents=True, exist_ok=True)  # fails before the work, not after
    chosen = [name for name in SETTINGS if name in settings] or list(SETTINGS)
    with Progress("calibrate") as progress:
        found = measure(
            chosen,
            worlds=worlds,
            seed=seed,
            alpha=0.05,
            workers=workers or available(),
            progress=progress,
        )
    names = [] if len(chosen) == len(SETTINGS) else chosen
    command = " ".join(["harness calibrate", f"--worlds {worlds} --seed {seed}", *names])
    if as_json:
        write_page(found, page, command=command, alpha=0.05)
        echo_json({"page": out, "settings": [r.as_dict() for r in found]})
        return
    show_table(
        ("setting", "worlds", "confirmed", "covers", "plain test", "as required"),
        [
            [r.setting.name, r.worlds, f"{r.confirmed:.1%}", f"{r.coverage:.1%}",
             f"{r.plain:.1%}", "yes" if r.met else "no"]
            for r in found
        ],
    )  # fmt: skip
    files = write_page(found, page, command=command, alpha=0.05)
    click.echo(" and ".join(map(str, files)))
