"""What can go wrong, in words a user can act on. Every message is one line.

A user's own mistake (a spec, a panel, an argument) ends with exit code 2; a run that
failed after it had rightly begun ends with exit code 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class HarnessError(Exception):
    """The base of every error that the command line shows without a traceback."""

    exit_code = 1


class UsageError(HarnessError):
    """The caller asked for something that cannot be: nothing was done."""

    exit_code = 2


class SpecError(UsageError):
    """A hypothesis or panel file that cannot be accepted: file, key, got, wanted, nearest word."""

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
    """A run that failed while it was running; it leaves no record."""


@contextmanager
def of_the_file(path: str | Path) -> Iterator[None]:
    """A run that fails inside says which file it was of."""
    try:
        yield
    except RunError as error:
        raise RunError(f"{' '.join(str(path).split())}: {error}") from None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None when none is near."""
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return close[0] if close else None


def one_line(value: object, limit: int = 80) -> str:
    """`value` as it was written, on one line, cut at `limit` characters."""
    text = repr(value) if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        text = text.lower()
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
