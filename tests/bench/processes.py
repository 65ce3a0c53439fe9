"""Whole processes: the run, a busy neighbour, the help."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from inputs import Inputs
from timing import Figure, Taken, interleave, milliseconds, process, ratios, spread


def whole(inputs: Inputs, rounds: int) -> list[Figure]:
    """`harness run`, store and card included, against the reference script."""
    script = Path(__file__).with_name("reference.py")
    run = _run_command(inputs)
    commands = {
        "reference": [sys.executable, script, inputs.bars],
        "harness run --fresh": [*run, "--fresh"],
        "harness run, measures kept": run,
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
    }
    _once(inputs, run)
    taken = interleave({n: lambda c=c: _once(inputs, c) for n, c in commands.items()}, rounds)
    figures = [f for name, turns in taken.items() for f in milliseconds("whole", name, turns)]
    for name in ("harness run --fresh", "harness run, measures kept"):
        figures += ratios("whole", f"reference / {name}", taken["reference"], taken[name], ">= 5")
    return figures


def neighbour(inputs: Inputs, rounds: int) -> list[Figure]:
    """How much one spinning process slows a run."""
    command = [*_run_command(inputs), "--fresh"]
    _once(inputs, command)

    def disturbed() -> Taken:
        spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            return _once(inputs, command)
        finally:
            spinner.kill()
            spinner.wait()

    taken = interleave({"alone": lambda: _once(inputs, command), "beside": disturbed}, rounds)
    pairs = zip(taken["beside"], taken["alone"], strict=True)
    slower = [beside.wall / alone.wall for beside, alone in pairs]
    return [
        *milliseconds("neighbour", "alone", taken["alone"]),
        *milliseconds("neighbour", "beside a spinner", taken["beside"]),
        spread("neighbour", "beside a spinner / alone, wall", "x", slower, "<= 2.5"),
    ]


def helps(inputs: Inputs, rounds: int) -> list[Figure]:
    """`harness --help`."""
    command = [_harness(), "--help"]
    bare = [sys.executable, "-c", "pass"]
    turns = {"harness --help": lambda: _once(inputs, command), "bare": lambda: _once(inputs, bare)}
    taken = interleave(turns, rounds + 2)
    return [
        *milliseconds("help", "harness --help", taken["harness --help"], "< 300"),
        *ratios("help", "harness --help / python -c pass", taken["harness --help"], taken["bare"]),
    ]


def _run_command(inputs: Inputs) -> list[str | Path]:
    return [_harness(), "run", inputs.hypothesis_file, "--log", inputs.work / "log"]


def _once(inputs: Inputs, command: list[str | Path]) -> Taken:
    return process(command, inputs.environment, inputs.work)


def _harness() -> str:
    found = shutil.which("harness", path=Path(sys.executable).parent)
    if found is None:
        raise SystemExit("no `harness` beside this Python: pip install -e . first")
    return found
