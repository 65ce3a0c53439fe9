"""The command `harness cache`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

import click

from harness.cli.options import AS_JSON, echo_json

_PARTS = ("fits", "measures", "kernels")


@click.command()
@click.argument("action", type=click.Choice(["show", "prune"]), default="show")
@click.option(
    "--only",
    type=click.Choice(_PARTS),
    multiple=True,
    help="Only this part; may be repeated [default: all parts].",
)
@click.option(
    "--older",
    metavar="LENGTH",
    help="With prune: only files older than this, such as 30d [default: all files].",
)
@AS_JSON
def cache(action: str, only: tuple[str, ...], older: str | None, as_json: bool) -> None:
    """Show what is cached between runs, or prune it.

    Cached are finished fits of models that train, measures of panels and compiled loops; all of
    it can be rebuilt. The folder is HARNESS_CACHE, else the user's cache folder. Examples:

    \b
    harness cache
    harness cache prune --only fits --older 30d
    """
    import math
    import time

    from harness.cache import cache_folder, look, prune
    from harness.cli.terminal import show_table
    from harness.durations import parse_duration
    from harness.errors import UsageError

    if older is not None and action == "show":
        raise UsageError("harness cache: --older belongs to prune")
    before = math.inf
    if older is not None:
        try:
            before = parse_duration(older).after(time.time_ns(), -1) / 1e9
        except ValueError as error:
            raise UsageError(f"--older: got '{older}', wanted {error}") from None
    rows = []
    for part in only or _PARTS:
        folder = cache_folder() / part
        found = look(folder) if action == "show" else prune(folder, before)
        rows.append({"part": part, "files": found.files, "megabytes": round(found.size / 1e6, 1)})
    if as_json:
        echo_json({"folder": str(cache_folder()), "pruned": action == "prune", "parts": rows})
        return
    click.echo(f"{cache_folder()}{', deleted:' if action == 'prune' else ''}")
    show_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
