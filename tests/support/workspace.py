"""A workspace for the end-to-end tests: a small panel, a hypothesis on it, the command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from harness.cli.main import main

# Where the project lies, whatever folder a test is in.
ROOT = Path(harness.__file__).parents[1]

# What a slow machine, or one that has not compiled the loops yet, says on the way.
PROGRESS = re.compile(r"^compiling |\(\d+\.\d s\)$")

PANEL = """\
[panel]
name = "tiny"
title = "Thirty simulated days of 5-minute bars"
bar = "5m"
calendar = "24/7"
how_to_get = "nothing to get"

[source]
kind = "simulated"
seed = 7
start = "2021-01-01"
days = 30
annual_vol = 0.6
log_vol = "rough"
hurst = 0.12
log_vol_sd = 0.6
memory_days = 10
jumps_per_day = 4
jump_scale = 8
diurnal = 0.4
"""

HYPOTHESIS = """\
[hypothesis]
name = "tiny-har"
title = "HAR on thirty simulated days"
claim = "Three scales beat the last hours by 1 point of R²."
approach = \"\"\"
Compare on the log:
- persistence, no parameters
- har, three scales
\"\"\"

[panel]
name = "tiny"

[sample]
every = "1h"
scales = ["1h", "4h", "1d"]
measures = ["rv"]

[target]
measure = "rv"
scale = "log"
horizons = ["1h", "4h"]
back = "lognormal"

[walk_forward]
scheme = "rolling"
train = "10d"
test = "5d"
embargo = "1d"
first_test = "2021-01-13"

[models.persistence]
kind = "persistence"

[models.har]
kind = "ols"
features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]

[verdict]
baseline = "persistence"
candidates = ["har"]
metric = "r2_log"
horizon = "4h"
min_gain = 0.01
alpha = 0.05
"""

CSV_PANEL = """\
[panel]
name = "file"
title = "Hourly bars from a file"
bar = "1h"
calendar = "24/7"
timezone = "UTC"
how_to_get = "ask your broker for prices.csv"

[source]
kind = "csv"
path = "prices.csv"
symbol = "X"

[columns]
ts = "ts"
close = "close"
"""


def lay_out(folder: Path) -> None:
    """The workspace's files: panels/tiny.toml and hypotheses/tiny-har.toml."""
    for name, text in (("panels/tiny.toml", PANEL), ("hypotheses/tiny-har.toml", HYPOTHESIS)):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


def changed(*changes: tuple[str, str], text: str = HYPOTHESIS) -> str:
    """The text with each (old, new) replaced; every old must be there once."""
    for old, new in changes:
        assert text.count(old) == 1, (old, text.count(old))
        text = text.replace(old, new)
    return text


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything under a folder: files with their bytes, folders with None."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def done(self) -> Ran:
        """Itself, when it ended well."""
        assert self.code == 0, self.err
        return self

    def refused(self, code: int = 2) -> str:
        """Its one line of error, with nothing on stdout and no traceback."""
        assert self.code == code, (self.code, self.err)
        assert self.out == ""
        lines = [line for line in self.err.splitlines() if not PROGRESS.search(line)]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0]


def call(arguments: tuple[object, ...], capsys: Any) -> Ran:
    """The command in this process, as its console script would run it."""
    before = signal.getsignal(signal.SIGTERM)
    capsys.readouterr()
    try:
        main([str(a) for a in arguments])
    except SystemExit as end:
        shown = capsys.readouterr()
        return Ran(int(end.code or 0), shown.out, shown.err)
    finally:
        signal.signal(signal.SIGTERM, before)
    raise AssertionError("main returned")


def process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """The command as a process of its own, its output on pipes."""
    root = str(ROOT)
    environment = {**os.environ, "PYTHONPATH": root, **options.pop("environment", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli.main", *map(str, arguments)],
        env=environment,
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def finish(running: subprocess.Popen[str]) -> Ran:
    out, err = running.communicate(timeout=120)
    return Ran(running.returncode, out or "", err or "")
