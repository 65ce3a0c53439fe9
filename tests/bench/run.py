"""The benchmark: `python tests/bench/run.py [PART …]`; README.md says what each part measures."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from timing import Figure

from harness.environment import one_thread_each

PARTS = {
    "whole": "processes:whole",
    "warm": "warm:warm",
    "cascade": "warm:cascade",
    "assets": "growth:assets",
    "windows": "growth:windows",
    "models": "growth:models",
    "memory": "memory:memory",
    "storing": "warm:storing",
    "neighbour": "processes:neighbour",
    "help": "processes:helps",
    "har": "har:har",
    "garch": "garch:garch",
    "garch-kin": "garch:garch_kin",
    "nets": "nets:nets",
    "learning": "learning:learning",
}
LONG = ("learning",)  # parts that take an hour or more: made only where they are named


def main() -> None:
    """Run the parts asked for, print a table of figures, and write them as JSON if asked."""
    arguments = _arguments()
    # Children start as a user's processes do; this one runs both contenders on one thread.
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    one_thread_each()
    from inputs import prepare

    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as scratch:
        environment.setdefault("PYTHONPYCACHEPREFIX", f"{arguments.work or scratch}/bytecode")
        inputs = prepare(arguments.work or Path(scratch), environment)
        source = "real" if inputs.bars.parent != inputs.panels else "simulated"
        for part in arguments.parts or [part for part in PARTS if part not in LONG]:
            print(f"{part} …", file=sys.stderr, flush=True)
            began = time.perf_counter()
            module, function = PARTS[part].split(":")
            figures += getattr(import_module(module), function)(inputs, arguments.rounds)
            print(f"{part}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"{source} bars, {arguments.rounds} rounds, {os.cpu_count()} cores")
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(f) for f in figures], indent=1) + "\n")


def show(figures: list[Figure]) -> None:
    """A Markdown table: median, least, greatest, and what is wanted."""
    width = max(len(f.name) for f in figures)
    print(f"| part | {'figure':<{width}} | median | least | greatest | unit | wanted |")
    print("| --- | --- | ---: | ---: | ---: | --- | --- |")
    for f in figures:
        numbers = " | ".join(f"{v:.3g}" if v < 100 else f"{v:,.0f}"
                             for v in (f.middle, f.least, f.greatest))  # fmt: skip
        print(f"| {f.part} | {f.name:<{width}} | {numbers} | {f.unit} | {f.wanted} |")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--work", type=Path, help="folder to keep bars and caches in")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    if wrong := [part for part in arguments.parts if part not in PARTS]:
        parser.error(f"no part {wrong[0]!r}; there are {', '.join(PARTS)}")
    if arguments.rounds < 1:
        parser.error("--rounds: wanted 1 or more")
    return arguments


if __name__ == "__main__":
    main()
