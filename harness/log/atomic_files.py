"""Files written whole or not at all: their bytes, their seal, the rename that publishes them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.tables import finite


def digest(data: bytes) -> bytes:
    """The seal of these bytes, as the seal file holds it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}\n".encode()


def encode(value: Mapping[str, Any] | list[Any]) -> bytes:
    """One line of JSON; NaN and infinities become null."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except ValueError:  # rare: it holds a NaN or an infinity
        text = json.dumps(finite(value), allow_nan=False, ensure_ascii=False)
    return f"{text}\n".encode()


def write(path: Path, data: bytes) -> None:
    """Write a file and force it to disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Force a file, or a directory's list of names, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def claim(scratch: Path, path: Path) -> bool:
    """Give the finished directory its name; False when the name is taken.

    On POSIX a rename onto a directory fails unless that is empty, and a published run never is.
    """
    try:
        scratch.rename(path)
    except OSError:
        if path.exists():
            return False
        raise
    return True
