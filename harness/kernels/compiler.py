"""Compiles a kernel to object code for the loader to store; only this module imports Numba."""

from __future__ import annotations

import inspect
import sys
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
from numba import carray, types  # type: ignore[attr-defined]  # Numba re-exports it

_TYPES = {"f8": types.float64, "f4": types.float32, "i8": types.int64, "i4": types.int32}
_OPTIONS: dict[str, Any] = {
    "nopython": True,
    "fastmath": False,
    "error_model": "numpy",
    "boundscheck": False,
}
# Only the kernel's entry point is called from outside: this saves a sixth of the compile time.
_INNER = {k: v for k, v in _OPTIONS.items() if k != "nopython"}
_INNER |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class Loop(NamedTuple):
    """A loop to compile: its name, its Python function, and its signature as in `Kernel`."""

    name: str
    function: FunctionType
    arguments: tuple[str, ...]
    result: str


def compile_loop(loop: Loop) -> bytes:
    """A header line and the relocatable object code of the loop for this processor.

    The header names the symbol to call, then the symbols of Numba's runtime that its wrapper
    refers to for exceptions and reference counts. A kernel allocates nothing and raises nothing,
    so it never calls them. ValueError for a kernel that does allocate.
    """
    print(f"compiling {loop.name} (once on this machine)", file=sys.stderr)  # noqa: T201 - for people, from any caller
    function = numba.cfunc(_c_signature(loop), **_OPTIONS)(_with_pointers(loop))
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(function.inspect_llvm())
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        codemodel="small",
    )
    _vectorise(module, machine)
    runtime = [
        f.name
        for f in module.functions
        if f.is_declaration and f.name.startswith(("NRT_", "numba_"))
    ]
    if any("Allocate" in name for name in runtime):
        raise ValueError(f"{loop.name} allocates memory: pass it work arrays instead")
    header = " ".join([function.native_name, *runtime])
    return header.encode() + b"\n" + machine.emit_object(module)


def _vectorise(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    """Run LLVM again with the pass that Numba leaves out: written-out lanes become vectors."""
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.slp_vectorization = tuning.loop_vectorization = True
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)


def _c_signature(loop: Loop) -> Any:
    arguments: list[Any] = []
    for kind in loop.arguments:
        base = _TYPES[kind[:2]]
        if "[" in kind:
            arguments += [types.CPointer(base)] + [types.int64] * kind.count(":")
        else:
            arguments.append(base)
    result: Any = types.void if loop.result == "void" else _TYPES[loop.result]
    return result(*arguments)


def _with_pointers(loop: Loop) -> FunctionType:
    """A C-callable entry point of the kernel: each array comes as a pointer and its lengths."""
    names, passed = [], []
    for i, kind in enumerate(loop.arguments):
        names.append(f"a{i}")
        if "[" in kind:
            lengths = [f"n{i}_{d}" for d in range(kind.count(":"))]
            names += lengths
            passed.append(f"carray(a{i}, ({', '.join(lengths)},))")
        else:
            passed.append(f"a{i}")
    source = f"def entry({', '.join(names)}):\n    return loop({', '.join(passed)})\n"
    scope: dict[str, Any] = {"carray": carray, "loop": _compiled(loop.function)}
    exec(source, scope)
    return scope["entry"]


@cache
def _compiled(function: FunctionType) -> Any:
    """The function compiled by Numba, once, and so the plain helpers that it calls."""
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        helper = scope.get(name)
        if inspect.isfunction(helper) and helper.__module__.startswith("harness.kernels."):
            scope[name] = _compiled(helper)
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    return numba.njit(copy, **_INNER)
