"""Errors that a user can act on. Every message is one line.

A mistake in the input (a spec, a panel, an argument) ends with exit code 2; a run that
started correctly and then failed ends with exit code 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class HarnessError(Exception):
    """Base class of the errors that the command line shows without a traceback."""

    exit_code = 1


class UsageError(HarnessError):
    """The caller asked for something impossible; nothing was done."""

    exit_code = 2


class SpecError(UsageError):
    """A hypothesis or panel file that is not valid: file, key, got, wanted, nearest word."""

    def __init__(
        self,
        file: str | Path,
        key: str,
        *,
        got: object = None,
        wanted: str,
        nearest: str | None = None,
    ) -> None:
        self.file, self.key = str(file), key
        words = f"{' '.join(str(file).split())}: {key}: " + (
            f"got {one_line(got)}, " if got is not None else ""
        )
        words += f"wanted {wanted}"
        super().__init__(words + (f"; did you mean '{nearest}'?" if nearest else ""))


class PanelError(UsageError):
    """A panel that is missing or whose bars fail the quality check."""


class RunError(HarnessError):
    """A run that failed after it had started; it writes no record."""


@contextmanager
def of_the_file(path: str | Path) -> Iterator[None]:
    """Adds the hypothesis file to the message of a RunError raised inside."""
    try:
        yield
    except RunError as error:
        raise RunError(f"{' '.join(str(path).split())}: {error}") from None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most similar to `word`, or None when none is close."""
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return close[0] if close else None


def one_line(value: object, limit: int = 80) -> str:
    """`value` as the user wrote it, on one line, cut at `limit` characters."""
    text = repr(value) if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        text = text.lower()
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
