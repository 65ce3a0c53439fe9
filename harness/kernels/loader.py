"""Numba kernels without importing Numba: compile once, store the machine code, load it.

Importing Numba and loading a cached function takes longer than a whole walk-forward run. So Numba
compiles a kernel's Python source the first time it is called on a machine, and the object code is
stored. Every run on that machine, also the first one, links and calls that object through
llvmlite, which is Numba's own back end and light to import. There is one definition of each loop
and one piece of machine code, so every path gives the same bits.

The key of a stored object is a hash of the source of this package, the versions of Numba and
llvmlite, and the processor's name and features: any change compiles again. Fast-math is off, so
sums are added in the order written.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from harness.cache import alone, cache_folder

_SCALARS: dict[str, type[ctypes.c_double] | type[ctypes.c_int64]] = {
    "f8": ctypes.c_double,
    "i8": ctypes.c_int64,
}
_DELAYED = (signal.SIGINT, signal.SIGTERM)
_DTYPES = {"f8": np.float64, "f4": np.float32, "i8": np.int64, "i4": np.int32}


class Kernel:
    """A loop over arrays: calling it runs the compiled code, `.plain` is its Python function.

    The signature lists the arguments as `f8[:]`, `f4[:]`, `i8[:,:]` (C-contiguous arrays) or
    `f8`, `i8` (scalars), separated by spaces, then `->` and `f8`, `i8` or `void`. A kernel
    writes into the arrays that it is given; it allocates nothing and raises nothing.
    """

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        assert isinstance(function, FunctionType), "a kernel is declared over a plain function"
        self.plain = function
        self.__doc__ = function.__doc__
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        arguments, _, result = signature.partition("->")
        self.arguments = tuple(arguments.split())
        self.result = result.strip()

    def __call__(self, *values: Any) -> Any:
        """Run the compiled loop; TypeError for an argument of another type or layout."""
        if len(values) != len(self.arguments):
            raise TypeError(f"{self.name} takes {len(self.arguments)} arguments, got {len(values)}")
        flat: list[Any] = []
        for value, kind in zip(values, self.arguments, strict=True):
            if "[" not in kind:
                flat.append(value)
                continue
            dimensions = kind.count(":")
            if (
                value.dtype != _DTYPES[kind[:2]]
                or value.ndim != dimensions
                or not value.flags.c_contiguous
            ):
                raise TypeError(f"{self.name}: wanted a C-contiguous {kind}, got {value.dtype}"
                                f" with {value.ndim} dimensions")  # fmt: skip
            flat += (value.ctypes.data, *value.shape)
        return self._entry(*flat)

    @cached_property
    def _entry(self) -> Callable[..., Any]:
        header, _, code = self.object_code().partition(b"\n")
        types: list[Any] = []
        for kind in self.arguments:
            if "[" in kind:
                types += [ctypes.c_void_p] + [ctypes.c_int64] * kind.count(":")
            else:
                types.append(_SCALARS[kind])
        returns = None if self.result == "void" else _SCALARS[self.result]
        return ctypes.CFUNCTYPE(returns, *types)(_link(self.name, header.decode().split(), code))

    def object_code(self) -> bytes:
        """The stored header and object code, compiled first where there is none yet."""
        path = cache_folder() / "kernels" / f"{self.name}-{_key()}.o"
        stored = _read(path)
        if stored is None:
            began = time.perf_counter()
            with alone(path.with_suffix(".lock")):
                stored = _read(path) or self._compile(path)
            _compiling.append(time.perf_counter() - began)
        return stored

    def _compile(self, path: Path) -> bytes:
        with _undisturbed():
            from harness.kernels.compiler import Loop, compile_loop

            stored = compile_loop(Loop(self.name, self.plain, self.arguments, self.result))
        _store(path, stored)
        return stored


def kernel(signature: str) -> Callable[[Callable[..., Any]], Kernel]:
    """Declare a compiled loop: `@kernel("f8[:] i8 f8[:] -> void")`."""
    return lambda function: Kernel(function, signature)


_compiling: list[float] = []


def clock() -> float:
    """A clock in seconds that stops while a loop is compiled, so that it times the work itself."""
    return time.perf_counter() - sum(_compiling)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Delay signals: LLVM calls back into Python, where an exception of a handler would be lost.

    Handlers run in the main thread only, whichever thread got the signal, so masking signals in
    this thread would not be enough.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {n: signal.getsignal(n) for n in _DELAYED}
    for number, handler in before.items():
        if handler is not None:  # a handler not set from Python could not be restored
            signal.signal(number, lambda which, _: came.append(which))
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        for late in dict.fromkeys(came):
            signal.raise_signal(late)


def _store(path: Path, content: bytes) -> None:
    """Store atomically; a read-only cache folder only means compiling again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).replace(path)
    except OSError as error:
        print(f"kernel not stored in {path.parent}: {error.strerror}", file=sys.stderr)  # noqa: T201 - for people, from any caller


@cache
def _key() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for package in ("numba", "llvmlite"):
        digest.update(importlib.metadata.version(package).encode())
    digest.update(repr(_host()).encode())
    return digest.hexdigest()[:16]


@cache
def _host() -> tuple[str, str]:
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def _jit() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    # LLVM's older linker puts the sections of an object anywhere in memory, and aborts where they
    # are 2 GB apart, which happens once many libraries are loaded.
    return llvm.create_lljit_compiler(machine, use_jit_link=True)


_linked: list[Any] = []  # linked code lives as long as its tracker


def _link(name: str, header: list[str], code: bytes) -> int:
    """The address of the kernel; `header` has its symbol, then symbols that it never calls."""
    import llvmlite.binding as llvm

    symbol, *never_called = header
    library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    trap = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    for never in never_called:
        library.import_symbol(never, trap)
    library.export_symbol(symbol)
    tracker = library.link(_jit(), name)
    _linked.append(tracker)
    return tracker[symbol]
