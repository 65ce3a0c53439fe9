"""What is kept between runs, as files in a folder: how much, and deleting what is old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from os import stat_result
from pathlib import Path


@dataclass(frozen=True)
class Kept:
    """Files of a folder: how many, and their bytes."""

    files: int
    size: int


def look(folder: Path) -> Kept:
    """What is kept in a folder and below it, but for locks; nothing where there is none."""
    sizes = [stat.st_size for path, stat in _files(folder) if path.suffix != ".lock"]
    return Kept(len(sizes), sum(sizes))


def prune(folder: Path, before: float) -> Kept:
    """Delete the files that were written before a moment (Unix seconds): what was deleted."""
    sizes = []
    for path, stat in _files(folder):
        if stat.st_mtime < before:
            path.unlink(missing_ok=True)
            sizes.append(stat.st_size)
    return Kept(len(sizes), sum(sizes))


def _files(folder: Path) -> Iterator[tuple[Path, stat_result]]:
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # another process prunes as well
            if path.is_file():
                yield path, path.stat()
