"""What every test runs under: a kernel cache of the tests' own, and one thread per process."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase

if TYPE_CHECKING:
    from support.workspace import Ran

# Tests share small builders; a worker process that a test spawns inherits this path.
sys.path.insert(0, str(Path(__file__).parent))

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


MANY = 1_000  # tests, which will use every kernel between them


def cache_of(config: pytest.Config) -> Path:
    return config.rootpath / ".pytest_cache" / "harness"


def pytest_configure(config: pytest.Config) -> None:
    """Whatever is cached lies in pytest's own cache folder, also while tests are collected.

    Where Python is told to keep no bytecode, this session's processes keep it there too: most tests
    take less time than compiling the text of the libraries that they import.
    """
    os.environ["HARNESS_CACHE"] = str(cache_of(config))
    os.environ["MPLCONFIGDIR"] = str(config.rootpath / ".pytest_cache" / "matplotlib")
    examples = DirectoryBasedExampleDatabase(config.rootpath / ".pytest_cache" / "hypothesis")
    hypothesis.settings.register_profile("harness", database=examples)
    hypothesis.settings.load_profile("harness")
    if sys.dont_write_bytecode and not hasattr(config, "workerinput"):
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(config.rootpath / ".pytest_cache" / "bytecode")
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Worker processes share the compiling: one from the longest kernel on, one from the others."""
    worker = getattr(session.config, "workerinput", {}).get("workerid", "")
    if not worker or len(session.items) < MANY:
        return
    from support.kernels import all_kernels

    kernels = sorted(all_kernels().values(), key=lambda k: k.name != "refit.refit_windows")
    for each in kernels if worker.endswith(("0", "2", "4", "6", "8")) else kernels[::-1]:
        each.object_code()


@pytest.fixture(scope="session", autouse=True)
def own_cache(pytestconfig: pytest.Config) -> Iterator[Path]:
    """Kernels are compiled once and kept between test runs, never in the user's cache."""
    folder = cache_of(pytestconfig)
    with pytest.MonkeyPatch.context() as patch:
        for name in ONE_THREAD:
            patch.setenv(name, "1")
        patch.delenv("HARNESS_LOG", raising=False)
        yield folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What was measured and fitted is of no use to a later session; workers may still read."""
    if not hasattr(session.config, "workerinput"):
        for kind in ("measures", "fits"):
            shutil.rmtree(cache_of(session.config) / kind, ignore_errors=True)


@pytest.fixture
def in_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with workspace.py's panel and hypothesis in it; we are in it."""
    from support.workspace import lay_out

    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`command("run", "x.toml")`: the command line in this process."""
    from support.workspace import call

    return lambda *arguments: call(arguments, capsys)


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> tuple[Path, list[str]]:
    """A log of two runs of the workspace's hypothesis and their ids; for reading only."""
    from support import workspace

    import harness

    folder = tmp_path_factory.mktemp("workspace")
    workspace.lay_out(folder)
    hypothesis = harness.load_hypothesis(folder / "hypotheses/tiny-har.toml")
    log = harness.open_log(folder / "reports")
    runs = [harness.run(hypothesis, log, search=[folder / "panels"]) for _ in range(2)]
    return log.root, [outcome.run_id for outcome in runs]


@pytest.fixture
def log_copy(two_runs: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """The log of `two_runs`, to change at will."""
    return Path(shutil.copytree(two_runs[0], tmp_path / "log"))
