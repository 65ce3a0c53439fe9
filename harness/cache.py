"""The cache folder: hashes of the code that fills it, its size, pruning, and locks."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import stat_result
from pathlib import Path

PACKAGE = Path(__file__).parent


def code_files(*places: str, package: Path = PACKAGE) -> list[Path]:
    """All Python files in these places: folders of the package, with subfolders, or single files.

    ValueError for a place without any: a moved file must not drop out of a cache key unnoticed.
    """
    found: set[Path] = set()
    for place in places:
        path = package / place
        files = [path] if path.is_file() else list(path.rglob("*.py"))
        if not files:
            raise ValueError(f"{place}: the package has no Python file there")
        found.update(files)
    return sorted(found)


def code_hash(*places: str, package: Path = PACKAGE) -> str:
    """SHA-256 of all source code in these places (see `code_files`), in hex."""
    digest = hashlib.sha256()
    for path in code_files(*places, package=package):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Kept:
    """Files in a folder: their number and their total size in bytes."""

    files: int
    size: int


def look(folder: Path) -> Kept:
    """Number and size of the files in a folder and below, without locks; 0 where there is none."""
    sizes = [stat.st_size for path, stat in _files(folder) if path.suffix != ".lock"]
    return Kept(len(sizes), sum(sizes))


def prune(folder: Path, before: float) -> Kept:
    """Delete the files written before a moment (Unix seconds); returns what was deleted."""
    sizes = []
    for path, stat in _files(folder):
        if stat.st_mtime < before:
            path.unlink(missing_ok=True)
            sizes.append(stat.st_size)
    return Kept(len(sizes), sum(sizes))


def _files(folder: Path) -> Iterator[tuple[Path, stat_result]]:
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # another process may prune at the same time
            if path.is_file():
                yield path, path.stat()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """A lock file: processes that want to build the same thing wait for the first of them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:  # a read-only cache folder: every process builds its own
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def cache_folder() -> Path:
    """The folder of everything that can be rebuilt: HARNESS_CACHE, else the user's cache folder."""
    named = os.environ.get("HARNESS_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "harness"
