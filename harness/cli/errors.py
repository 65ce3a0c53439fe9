"""From an exception to one line on stderr and an exit code: no traceback for a user's mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from harness.errors import HarnessError


def guarded(command: Callable[[], Any]) -> int:
    """Run the command; its exit code, what went wrong told in one line.

    1 the run failed, 2 a mistake in a file or an argument, 130 interrupted.
    """
    try:
        result = command()
    except HarnessError as error:
        click.echo(f"error: {_printable(str(error))}", err=True)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"error: {_one_line(error)}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted; nothing was logged of what was under way", err=True)
        return 130
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        return 1
    except MemoryError:
        click.echo("error: out of memory: take a shorter span or fewer symbols", err=True)
        return 1
    return result if isinstance(result, int) else 0


def _printable(text: str) -> str:
    """Text from a user's file must not drive a terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


def _one_line(error: click.ClickException) -> str:
    """Click's message on one line, with the command to ask for help."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "harness"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message} (see '{path} --help')"
