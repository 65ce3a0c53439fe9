"""Checks of the installation: versions, log, cache, data, panels, plug-ins, compiled loops."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import HarnessError

Check = dict[str, str]


def examine(log: Path, search: Sequence[Path]) -> list[Check]:
    """Every check with its state: `ok`, `note` (works, but worth knowing) or `fails`."""
    return [
        _check("python", lambda: ("ok", sys.version.split()[0])),
        _check("libraries", _libraries),
        _check("log", lambda: _writable(log)),
        _check("runs", lambda: _runs(log)),
        _check("cache", _cache),
        _check("compiled loops", _loops),
        _check("threads", _threads),
        _check("HARNESS_DATA", _data),
        _check("panels", lambda: _panels(search)),
        *_plugins(),
    ]


def _check(name: str, look: Callable[[], tuple[str, str]]) -> Check:
    try:
        state, detail = look()
    except (HarnessError, OSError, ImportError) as error:
        state, detail = "fails", " ".join(str(error).split())
    return {"check": name, "state": state, "detail": detail}


def _libraries() -> tuple[str, str]:
    """Whether the declared dependencies are installed; pip keeps their versions in range."""
    missing, found = [], []
    for requirement in importlib.metadata.requires("harness") or []:
        name = re.split(r"[<>=!~ ;\[]", requirement, maxsplit=1)[0]
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            if "extra ==" not in requirement:
                missing.append(name)
    if missing:
        return "fails", f"missing: {', '.join(missing)}; pip install -e . -c constraints.txt"
    return "ok", ", ".join(found)


def _writable(folder: Path) -> tuple[str, str]:
    existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    with tempfile.TemporaryFile(dir=existing):
        return "ok", f"{folder} can be written"


def _runs(folder: Path) -> tuple[str, str]:
    """Whether the records of all runs can be read and none is gone."""
    from harness.log.run_digests import gone_words, read_digests
    from harness.log.store import open_log

    found = read_digests(open_log(folder))
    if found.unreadable:
        return "fails", f"records that cannot be read: {', '.join(found.unreadable)}"
    if found.gone:
        return "note", gone_words(found.gone, "this log")
    return "ok", f"{len(found.runs):,}; their records can be read, and none is missing"


def _cache() -> tuple[str, str]:
    from harness.cache import cache_folder

    folder = cache_folder()
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.exists() else 0
    return "ok", f"{folder}, {size / 1e6:.1f} MB; may be deleted at any time"


def _loops() -> tuple[str, str]:
    import numpy as np

    from harness.kernels.cascade import window_sums

    out, plain = np.empty(5), np.empty(5)
    window_sums(np.arange(5.0), 2, out)
    window_sums.plain(np.arange(5.0), 2, plain)
    same = np.array_equal(out, plain, equal_nan=True)
    return (
        ("ok", "give the same numbers as plain Python")
        if same
        else ("fails", "a compiled loop gives other numbers than plain Python")
    )


def _threads() -> tuple[str, str]:
    import polars as pl

    blas = os.environ.get("OPENBLAS_NUM_THREADS", "unset")
    state = "ok" if blas == "1" else "note"
    return state, f"BLAS {blas}, Polars {pl.thread_pool_size()}, cores {os.cpu_count()}"


def _data() -> tuple[str, str]:
    folder = os.environ.get("HARNESS_DATA")
    if not folder:
        return "note", "not set: panels from your own data files need it"
    return ("ok", folder) if Path(folder).is_dir() else ("fails", f"{folder} is not a folder")


def _plugins() -> list[Check]:
    """Imports every kind of model that an installed package offers."""
    from harness.models.plugins import loaded

    checks = [
        {"check": f"plug-in {name}", "state": "fails", "detail": found}
        if isinstance(found, str)
        else {"check": f"plug-in {name}", "state": "ok", "detail": str(found.offer)}
        for name, found in loaded()
    ]
    return checks or [{"check": "plug-ins", "state": "ok", "detail": "none installed"}]


def _panels(search: Sequence[Path]) -> tuple[str, str]:
    from harness.panel.reading import BrokenPanel, list_panels

    found = list_panels(search)
    broken = [p.name for p in found if isinstance(p, BrokenPanel)]
    if broken:
        return "fails", f"cannot be read: {', '.join(broken)}"
    names = ", ".join(p.name for p in found)
    return ("ok", names) if found else ("note", "none in ./panels")
