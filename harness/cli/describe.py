"""The command `harness describe`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import AS_JSON, echo_json
from harness.errors import UsageError
from harness.panel.folders import panel_folders

if TYPE_CHECKING:
    from harness.describe.panel import Description

_MOST_ROWS = 20


@click.command()
@click.argument("panel")
@click.option(
    "--measure", help="A volatility [default: rv; gk or pk if a bar is as long as the scale]."
)
@click.option("--scale", default="1d", show_default=True, help="Window of the measure.")
@click.option("--every", default="1d", show_default=True, help="Time from one value to the next.")
@click.option("--start", metavar="DATE", help="First bar, inclusive (UTC).")
@click.option("--end", metavar="DATE", help="Last bar, exclusive (UTC).")
@click.option("--symbol", help="Only this one [default: all].")
@click.option("--out", metavar="FILE", help="The page [default: reports/describe/PANEL.md].")
@AS_JSON
def describe(
    panel: str,
    measure: str | None,
    scale: str,
    every: str,
    start: str | None,
    end: str | None,
    symbol: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Describe PANEL's volatility: roughness, statistics, figures.

    Writes a Markdown page with its figures beside it and replaces an earlier one. For what the
    panel holds (span, gaps, ranges of the columns) see `harness panel describe NAME`. Examples:

    \b
    harness describe sp500-daily
    harness describe btcusdt-1m --start 2019-01-01 --every 1h --scale 1h
    """
    from harness.cli.terminal import Progress
    from harness.describe.page import write_page
    from harness.describe.panel import Question, default_measure, describe_volatility
    from harness.panel.reading import find_panel
    from harness.toml.fields import FixedDuration, Moment

    spec = find_panel(panel, panel_folders(None))
    window = _read("--scale", scale, FixedDuration)
    first = None if start is None else _read("--start", start, Moment)
    last = None if end is None else _read("--end", end, Moment)
    if first is not None and last is not None and first >= last:
        raise UsageError(f"harness describe: --end: got {end}, wanted a date after {start}")
    question = Question(
        measure=measure or default_measure(spec, window),
        scale=window,
        every=_read("--every", every, FixedDuration),
        start=first,
        end=last,
        symbol=symbol,
    )
    with Progress(spec.name) as progress:
        found = describe_volatility(spec, question, progress=progress)
        page = Path(out) if out else Path("reports") / "describe" / f"{spec.name}.md"
        files = write_page(found, page)
    if as_json:
        symbols = [one.as_dict() for one in found.symbols]
        left_out = dict(found.left_out)
        echo_json({"page": str(page), "symbols": symbols, "left_out": left_out})
    else:
        _show(found, files)


def _read(option: str, text: str, kind: Any) -> Any:
    """A duration or a time, with the rules and the messages of a hypothesis file."""
    from pydantic import TypeAdapter, ValidationError

    from harness.errors import SpecError

    try:
        return TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        wanted = str(error.errors()[0]["ctx"]["error"])
        raise SpecError("harness describe", option, got=text, wanted=wanted) from None


def _show(found: Description, files: list[Path]) -> None:
    """A short table of the statistics and exponents of ln sigma, then the path of the page."""
    from harness.cli.terminal import show_table

    q = found.question
    click.echo(f"ln of {q.measure}_{q.scale} every {q.every}, σ per bar of {found.spec.bar}")
    columns = ("symbol", "n", "mean", "sd", "skew", "kurt", "H", "DFA", "R/S", "wavelet")
    rows = []
    for one in found.symbols[:_MOST_ROWS]:
        s, laws = one.log, one.laws
        exponents = [
            laws["variogram"].hurst,
            *(laws[n].exponent for n in ("dfa", "rs", "wavelets")),
        ]
        figures = [s.mean, s.sd, s.skewness, s.kurtosis, *exponents]
        rows.append([one.symbol, s.n, *(round(value, 3) for value in figures)])
    show_table(columns, rows)
    if len(found.symbols) > _MOST_ROWS:
        click.echo(f"… and {len(found.symbols) - _MOST_ROWS:,} more symbols on the page")
    for name, why in list(found.left_out.items())[:_MOST_ROWS]:
        click.echo(f"left out: {name}: {why}", err=True)
    click.echo("H from the variogram; DFA α, R/S and wavelet slope β as measured: see the page")
    click.echo(f"{files[0]} and {len(files) - 1} figures")
