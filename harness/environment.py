"""Code version, libraries, machine and threads of a run, for the record and for `doctor`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_LIBRARIES = ("numpy", "polars", "numba", "llvmlite", "pydantic", "duckdb")
_THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def one_thread_each() -> None:
    """Set BLAS and OpenMP to one thread, unless the user chose; call it before NumPy is loaded.

    On a busy machine two threads that wait for each other are many times slower than one; work is
    spread over processes instead.
    """
    for setting in _THREAD_SETTINGS:
        os.environ.setdefault(setting, "1")


class CodeVersion:
    """The version of the code; git runs in the background, since it may take longer than a run."""

    def __init__(self) -> None:
        folder = Path(__file__).resolve().parent
        self._answer: str | None = None
        self._asking: threading.Thread | None = None
        if (folder.parent / ".git").exists():
            # A daemon thread: a run that fails or is interrupted does not wait for git.
            self._asking = threading.Thread(target=self._ask, args=(folder,), daemon=True)
            self._asking.start()
        digest = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".j2"):
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
                digest.update(path.read_bytes())
        self.source = "sha256:" + digest.hexdigest()

    def _ask(self, folder: Path) -> None:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
        with suppress(OSError, subprocess.SubprocessError):
            asked = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
            self._answer = asked.stdout.strip() or None

    def commit(self) -> str | None:
        """`1a2b3c4d5e6f` or `1a2b3c4d5e6f-dirty`; None outside a git checkout."""
        if self._asking is not None:
            self._asking.join()
        return self._answer


def describe(
    code: CodeVersion,
    libraries: Collection[str] = (),
    plugins: Mapping[str, Mapping[str, str | None]] | None = None,
) -> dict[str, Any]:
    """Versions, machine and thread settings, for the record.

    `libraries` are those that only some runs use, by the names of their packages; `plugins`
    describe the code of kinds of model that are not built in.
    """
    import polars as pl

    return {
        "harness": importlib.metadata.version("harness"),
        "code_version": code.commit() or code.source,
        "source": code.source,
        "python": platform.python_version(),
        "libraries": {
            name: importlib.metadata.version(name) for name in (*_LIBRARIES, *sorted(libraries))
        },
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": {
            **{name: os.environ.get(name) for name in _THREAD_SETTINGS},
            "polars": pl.thread_pool_size(),
        },
        **({"plugins": dict(plugins)} if plugins else {}),
    }
