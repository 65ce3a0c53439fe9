"""Peak memory and time of measuring 500 assets, in a process of its own.

`python memory.py PANEL_FILE` prints what one such process needed as JSON. Linux only: the peak
is VmHWM of /proc/self/status, which, unlike getrusage's, does not start at the parent's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from inputs import Inputs
from timing import Figure, spread

ASSETS = 500
SCALES, MEASURES = ("1h", "4h", "1d"), ("rv", "bv", "j")
_MB = 1e6


def memory(inputs: Inputs, rounds: int) -> list[Figure]:
    """Measures of 500 assets, a year of minutes each, streamed from one file an asset."""
    command = [sys.executable, __file__, str(inputs.assets(ASSETS))]
    found = []
    for _ in range(max(rounds // 3, 1)):
        output = subprocess.run(
            command, env=dict(inputs.environment), stdout=subprocess.PIPE, check=True
        ).stdout
        found.append(json.loads(output))
    room = [f["peak"] / (1.25 * f["output"] + 50 * _MB) for f in found]
    return [
        spread("memory", f"{ASSETS} assets", "s", [f["seconds"] for f in found]),
        spread("memory", "output", "MB", [f["output"] / _MB for f in found]),
        spread("memory", "peak above imports", "MB", [f["peak"] / _MB for f in found]),
        spread("memory", "peak / (1.25 output + 50 MB)", "x", room, "<= 1"),
    ]


def measure_all(panel_file: Path) -> dict[str, float]:
    """Seconds, bytes of output and bytes of peak above what the imports took."""
    from harness.durations import parse_duration
    from harness.measures.cascade import plan_cascade
    from harness.panel.panel import open_panel
    from harness.panel.reading import read_panel
    from harness.samples.measured import measure_panel

    spec = read_panel(panel_file)
    durations = [parse_duration(s) for s in SCALES]
    plan = plan_cascade(
        panel_file, bar=spec.bar.ns, calendar=spec.calendar, every=durations[0],
        scales=durations, horizons=durations, measures=MEASURES, target="rv", extra={},
        bipower_edge="inside",
    )  # fmt: skip
    panel = open_panel(spec, start=None, end=None, columns=plan.inputs)
    imported, began = _status("VmRSS"), time.perf_counter()
    measured, _, _ = measure_panel(panel, plan, keep=False)
    seconds = time.perf_counter() - began
    arrays = [a for m in measured for a in (m.known_at, m.origins, *m.columns.values())]
    output = sum(a.nbytes for a in arrays)
    return {"seconds": seconds, "output": output, "peak": _status("VmHWM") - imported}


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    print(json.dumps(measure_all(Path(sys.argv[1]))))
