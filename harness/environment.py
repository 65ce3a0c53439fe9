"""What a run was made with: code, libraries, machine, threads. For the record and `doctor`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_LIBRARIES = ("numpy", "polars", "numba", "llvmlite", "pydantic", "duckdb")
_THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def one_thread_each() -> None:
    """Ask BLAS and OpenMP for one thread, unless the user said otherwise; before NumPy loads.

    Two spinning threads beside a busy neighbour run many times slower than one; work is spread
    over processes instead.
    """
    for setting in _THREAD_SETTINGS:
        os.environ.setdefault(setting, "1")


class CodeVersion:
    """The code's version; git is asked in the background, since it answers slower than a run."""

    def __init__(self) -> None:
        folder = Path(__file__).resolve().parent
        self._git = None
        if (folder.parent / ".git").exists():
            command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
            try:
                self._git = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            except OSError:
                self._git = None
        digest = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".j2"):
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
                digest.update(path.read_bytes())
        self.source = "sha256:" + digest.hexdigest()

    def commit(self) -> str | None:
        """`1a2b3c4d5e6f` or `1a2b3c4d5e6f-dirty`; None outside a git checkout."""
        if self._git is None:
            return None
        try:
            return self._git.communicate(timeout=5)[0].strip() or None
        except subprocess.TimeoutExpired:
            self._git.kill()
            return None


def describe(code: CodeVersion) -> dict[str, Any]:
    """Versions, machine and thread settings, as they go into the record."""
    import polars as pl

    return {
        "harness": importlib.metadata.version("harness"),
        "commit": code.commit(),
        "source": code.source,
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": {
            **{name: os.environ.get(name) for name in _THREAD_SETTINGS},
            "polars": pl.thread_pool_size(),
        },
    }
