"""All compiled loops."""

from __future__ import annotations

import importlib
import pkgutil

import harness.kernels
from harness.kernels.loader import Kernel


def all_kernels() -> dict[str, Kernel]:
    found = {}
    for module in pkgutil.iter_modules(harness.kernels.__path__):
        # The compiler imports Numba and holds no kernel.
        if module.name != "compiler":
            space = vars(importlib.import_module(f"harness.kernels.{module.name}"))
            found |= {k.name: k for k in space.values() if isinstance(k, Kernel)}
    return found
