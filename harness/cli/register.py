"""The command `harness register`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from harness.cli.options import AS_JSON, LOG, echo_json
from harness.panel.folders import panel_folders

if TYPE_CHECKING:
    from harness.history.register import Registered


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@LOG
@AS_JSON
def register(files: tuple[str, ...], log_dir: str | None, as_json: bool) -> None:
    """Register hypotheses: rule and time, before the first run.

    Writes a dated file into the log; a run's card then says whether its rule was fixed before its
    first run on that panel. The panel is read only for its fingerprint. Registering again changes
    nothing unless the panel's data have changed. Example:

    \b
    harness register hypotheses/sp500-har.toml
    """
    from harness.cli.terminal import Progress
    from harness.history.register import register_hypothesis
    from harness.log.store import open_log, require_writable
    from harness.spec.reading import load_hypothesis

    hypotheses = [load_hypothesis(path) for path in files]
    log = open_log(log_dir)
    require_writable(log)
    found = []
    for hypothesis in hypotheses:
        with Progress(hypothesis.identity.name) as progress:
            search = panel_folders(hypothesis.path)
            found.append(register_hypothesis(hypothesis, log, search=search, progress=progress))
        if not as_json:
            _show(found[-1])
    if as_json:
        echo_json([one.as_json() for one in found])


def _show(found: Registered) -> None:
    from harness.inference.evidence import no_gain
    from harness.scores.risk.definitions import tail_words

    r, rule, data = found.registration, found.registration.rule, found.registration.data
    done = "registered" if found.new else "already registered, nothing written:"
    click.echo(f"{r.hypothesis}: {done} {r.registered_at[:19].replace('T', ' ')} UTC")
    more = rule["min_gain"] != no_gain(rule["gain"])
    least = f"at least {rule['min_gain']:g}" if more else "any gain"
    least += ", as estimated" * (rule["rule"] == "point" and more)
    what = {"better": least, "equal": f"no more than {rule['min_gain']:g} apart"}[rule["claim"]]
    shares = {"relative": " (share of the baseline's)", "wins": " (share of the symbols won)"}
    share = shares.get(rule["gain"], "")
    where = f" in {rule['regime']}" if rule["regime"] else ""
    tail = tail_words(rule["metric"], rule.get("level"), rule.get("residuals"))
    where += f", {tail}" if tail else ""
    _line(
        f"{', '.join(rule['candidates'])} over {rule['baseline']} by {rule['metric']} at "
        f"{rule['horizon']}{where}: {what}{share}, alpha {rule['alpha']:g}"
    )
    _line(f"spec {r.spec_hash}")
    for which, read in (("panel", data), ("source", data.source)):
        if read is not None and read.fingerprint is None:
            _line(f"{which} {read.panel}, its data not read")
        elif read is not None:
            reach = f"{str(read.start)[:10]} to {str(read.end)[:10]}"
            _line(f"{which} {read.panel} {reach}, {read.fingerprint}")
    _line(str(found.path))
    if found.new and found.missing is not None:
        click.echo(f"warning: registered without a fingerprint: {found.missing}", err=True)
    if found.first is not None:
        ran = f"run {found.first.run_id} of {found.first.started[:10]}"
        click.echo(f"warning: {r.hypothesis} had been run before: {ran}", err=True)


def _line(text: str) -> None:
    click.echo(
        textwrap.fill(
            text, 80, initial_indent="  ", subsequent_indent="    ", break_long_words=False,
            break_on_hyphens=False,
        )
    )  # fmt: skip
