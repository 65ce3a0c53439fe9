"""A fit in a process of its own, which knows nothing of what this one did before.

It starts like this one (module path, arguments, folder, environment, threads), gets the rows of one
fit and gives back its forecasts. One that does not end is ended, with all that it started.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.audit.one_fit import Answer, OneFit

_ASKED, _ANSWER, _PATH = "asked.pickle", "answer.pickle", "path.json"
_SETTINGS = {
    "blas": ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    "openmp": ("OMP_NUM_THREADS",),
}
_POLL = 0.01  # seconds between checks of a process
_START = (
    "import json, sys; place = sys.argv[1]; sys.path[:] = json.load(open(place + '/path.json')); "
    "from harness.audit.fresh_process import answer; answer(place)"
)


class Lost(Exception):
    """A fresh process that gave no forecasts: what happened, in words."""


class Ended(Lost):
    """A fresh process that died or did not end in time, without an error of the model."""


class Refused(Lost):
    """A fresh process in which the model refused its rows by a ModelError."""


def in_fresh_process(
    one: OneFit, limit: float, singles: Sequence[int] = (), share: float = 0.0
) -> Answer:
    """`fit_again` of a fit in a new process; Lost if that takes more than `limit` seconds or fails.

    Refused if the model raised a ModelError there.
    """
    with TemporaryDirectory(prefix="harness-audit-") as folder:
        place = Path(folder)
        (place / _PATH).write_text(json.dumps(sys.path))
        with (place / _ASKED).open("wb") as file:
            pickle.dump((sys.argv, _torch_threads()), file)
            pickle.dump((one, list(singles), share), file, pickle.HIGHEST_PROTOCOL)
        process = subprocess.Popen(
            [sys.executable, "-c", _START, folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        try:
            _wait(process, limit)
        finally:
            _end(process)
        if not (place / _ANSWER).exists():
            raise Ended(_death(process.returncode))
        found = pickle.loads((place / _ANSWER).read_bytes())
    if isinstance(found, Lost):
        raise found
    answer: Answer = found
    return answer


def _wait(process: subprocess.Popen[bytes], limit: float) -> None:
    # Polars' interrupt handler restarts a single long wait, which would not see Ctrl-C.
    stop = time.monotonic() + limit
    while process.poll() is None:
        if time.monotonic() > stop:
            raise Ended(f"it had not finished after {limit:.0f} s and was ended")
        time.sleep(_POLL)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _death(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"its process was killed by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code} before it had forecast"


def _environment() -> dict[str, str]:
    """This process's environment, with as many threads as its libraries of numbers use.

    They read the environment when they are loaded, and it may have changed since: with another
    number of threads, sums are added in another order.
    """
    from threadpoolctl import threadpool_info

    found = dict(os.environ)
    for library in threadpool_info():
        for name in _SETTINGS.get(library["user_api"], ()):
            found[name] = str(library["num_threads"])
    return found


def _torch_threads() -> int | None:
    """The threads of torch in this process; None if nothing has loaded it."""
    torch = sys.modules.get("torch")
    return None if torch is None else torch.get_num_threads()


def answer(folder: str) -> None:
    """Make the fit that was asked for in this folder and leave its answer there: a new process."""
    parent, place = os.getppid(), Path(folder)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    found = _answer(place / _ASKED)
    unfinished = place / "unfinished"
    unfinished.write_bytes(pickle.dumps(found))
    unfinished.rename(place / _ANSWER)
    os._exit(0)  # whatever threads the model has started


def _answer(asked: Path) -> Answer | Lost:
    from harness.audit.one_fit import fit_again
    from harness.errors import HarnessError
    from harness.models.foreign import told
    from harness.models.protocol import ModelError

    with asked.open("rb") as file:
        sys.argv, threads = pickle.load(file)
        try:
            one, singles, share = pickle.load(file)
        except (Exception, SystemExit) as error:
            return Lost(f"its package cannot be loaded: {told(error, '')}")
    if threads is not None and (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    try:
        return fit_again(one, singles, share)
    except ModelError as error:
        return Refused(f"it raised: {error}")
    except HarnessError as error:
        return Refused(str(error))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
