"""Maps exceptions to a one-line error message and an exit code, without a traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from harness.errors import HarnessError


def run_command(command: Callable[[], Any]) -> int:
    """Run the command and return its exit code; an error is one line on stderr.

    1: the run failed; 2: a mistake in a file or an argument; 130: interrupted.
    """
    try:
        result = command()
    except HarnessError as error:
        click.echo(f"error: {_printable(str(error))}", err=True)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:  # the command alone: its help
        click.echo(error.ctx.get_help() if error.ctx else error.format_message())
        return 0
    except click.ClickException as error:
        click.echo(f"error: {_one_line(error)}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted; the run in progress was not logged", err=True)
        return 130
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        return 1
    except MemoryError:
        click.echo("error: out of memory: use a shorter span or fewer symbols", err=True)
        return 1
    return result if isinstance(result, int) else 0


def _printable(text: str) -> str:
    """The text without control characters, which could act on the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


def _one_line(error: click.ClickException) -> str:
    """Click's message on one line, with the help command to run."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "harness"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message} (see '{path} --help')"
