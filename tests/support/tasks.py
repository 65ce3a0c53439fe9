"""What tests let worker processes do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def slow_square(x: float) -> float:
    time.sleep(0.2 if x == 0 else 0.0)
    return x * x


def die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def say_and_sleep(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    time.sleep(120)
