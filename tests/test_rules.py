"""The rules of the house, kept by the machine: who may import whom, and what a file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support.workspace import ROOT

import harness
from harness.cache import code_files
from harness.samples import measured
from harness.walk import fit_cache

PACKAGE = Path(harness.__file__).parent
MOST_LINES = 400

# The order of the house, the way of the data: a room imports from rooms above its own only, and
# rooms on one line do not know each other. docs/architecture.md has the same table.
ROOMS = """
types errors durations tables cache environment
kernels
measures figures toml
panel
samples
models
walk
scores
inference
spec
log
study
audit verdict history
cards calibration
record describe
pipeline
reanalysis
cli
"""
ORDER = {room: k for k, line in enumerate(ROOMS.split("\n")) for room in line.split()}
MOST_FILES, MOST_ROOMS = 8, 22

# What the keys of cached results name, and modules from which all that makes them is imported.
KEYS = {
    "fits": (
        fit_cache.MADE_BY,
        ("walk.fold_fit", "walk.fit_jobs", "walk.conformal_refits", "models.*"),
    ),
    "measures": (measured.MADE_BY, ("samples.measured",)),
}
# They say what went wrong, where things lie and how fits are told apart: results have none of it.
IN_NO_KEY = {"cache", "durations", "environment", "errors", "toml.fields", "toml.problems"}

# Which rooms or modules may import a library that costs time to load or belongs in one place.
HEAVY = {
    "numba": {"kernels.compiler"},
    "llvmlite": {"kernels.compiler", "kernels.loader"},
    "duckdb": {"log.index", "log.query"},
    "jinja2": {"cards.render"},
    "rich": {"cli"},
    "click": {"cli"},
    "xxhash": {"panel", "spec", "walk.fit_cache"},
    "safetensors": {"walk.fit_cache"},
    "torch": {"models"},
    "sklearn": {"models.sklearn_regressors"},
    "lightgbm": {"models.lightgbm_trees"},
    "arch": {"inference.confidence_set"},
    "pandas": set(),
    "scipy": {"calibration.worlds", "scores.risk", "walk.residuals.tails", "describe.roughness"},
    "scoringrules": set(),
    "statsmodels": {"describe.statistics"},
    "matplotlib": {"figures.style"},
    "pywt": {"describe.roughness"},
    "exchange_calendars": {"panel.sessions"},
    "pyarrow": set(),
}


@cache
def modules() -> dict[str, tuple[Path, ast.Module]]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name] = path, ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = sorted(modules())
CODE = [name for name in MODULES if not name.endswith("__init__")]
ENTRANCES = {"__main__"}


def imports(tree: ast.AST, *, top_only: bool = False, typed: bool = True) -> Iterator[str]:
    """What is imported, by full name; `typed`: what only the type checker sees, too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            if typed:
                yield from imports(node, top_only=top_only)
        elif not (top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from imports(node, top_only=top_only, typed=typed)


def own(name: str, *, top_only: bool = False, typed: bool = True) -> set[str]:
    """The modules of the package that a module imports."""
    found = set()
    for full in imports(modules()[name][1], top_only=top_only, typed=typed):
        if full.startswith("harness."):
            parts = full.split(".")[1:]
            whole = ".".join(parts)
            found.add(whole if whole in modules() else ".".join(parts[:-1]))
    return found - {name}


def room(name: str) -> str:
    """The room of a module: the folder or file of the package that it lies in."""
    return name.partition(".")[0]


@pytest.mark.parametrize("name", CODE)
def test_a_room_imports_only_from_rooms_before_it(name):
    if name in ENTRANCES:
        return
    place = room(name)
    assert place in ORDER, f"harness/{place} has no place in ROOMS of tests/test_rules.py"
    late = {n for n in own(name) if room(n) != place and ORDER[room(n)] >= ORDER[place]}
    assert not late, f"harness.{name} imports {late}, which come later: see ROOMS in test_rules.py"


def test_every_room_of_the_order_exists():
    assert set(ORDER) == {room(name) for name in CODE} - ENTRANCES


def test_the_architecture_page_has_the_rooms_in_this_order():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
    assert re.findall(r"`(\w+)/?`", " ".join(first_cells)) == ROOMS.split()


def test_no_modules_import_each_other_in_a_circle():
    # Whatever of the modules is left when those that import none of the others have gone.
    left = {name: own(name) & set(CODE) for name in CODE}
    while free := {name for name, needs in left.items() if not needs}:
        left = {name: needs - free for name, needs in left.items() if name not in free}
    assert not left, f"circles among {sorted(left)}"


def test_the_package_is_few_rooms():
    files = [p for p in PACKAGE.glob("*.py") if p.stem not in ENTRANCES | {"__init__"}]
    rooms = [p for p in PACKAGE.iterdir() if p.is_dir() and list(p.glob("*.py"))]
    assert len(files) <= MOST_FILES
    assert len(rooms) <= MOST_ROOMS


def test_the_folders_of_the_tests_mirror_the_rooms():
    tests = Path(__file__).parent
    folders = {path.parent.relative_to(tests).as_posix() for path in tests.rglob("test_*.py")}
    assert folders - {".", "bench"} <= set(ORDER)


def test_only_the_pipeline_and_what_stands_after_it_know_the_whole_way():
    stages = {"study.stages", "audit.auditor", "verdict.judge", "record.make", "log.store"}
    assert [name for name in CODE if stages <= own(name)] == ["pipeline"]


def test_the_command_line_imports_stages_inside_its_commands_only():
    light = {n for n in CODE if room(n) == "cli"} - {
        "cli.catalogue", "cli.doctor", "cli.terminal", "cli.tests_report",
    }  # fmt: skip
    for name in light:
        known = light | {"environment", "errors", "panel.folders"}
        assert own(name, top_only=True, typed=False) <= known, name


def closure(starts: tuple[str, ...]) -> set[str]:
    """These modules and all that they import, directly or not; `x.*` are those of a folder."""
    left = [n for n in CODE if n in starts or f"{room(n)}.*" in starts]
    found = set(left)
    while left:
        new = own(left.pop(), typed=False) - found
        found |= new
        left += new
    return found


@pytest.mark.parametrize("kind", KEYS)
def test_the_key_of_what_is_kept_covers_all_code_that_makes_it(kind):
    places, starts = KEYS[kind]
    covered = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in code_files(*places)
    }
    assert closure(starts) - covered - IN_NO_KEY == set()


def test_a_place_without_code_is_refused_as_part_of_a_key():
    with pytest.raises(ValueError, match="nowhere"):
        code_files("models", "nowhere")


@pytest.mark.parametrize("library", HEAVY)
def test_a_heavy_library_is_imported_only_where_it_is_allowed(library):
    users = {
        name
        for name in CODE
        if library in {i.split(".")[0] for i in imports(modules()[name][1], typed=False)}
    }
    allowed = HEAVY[library]
    stray = {n for n in users if not any(f"{n}.".startswith(f"{place}.") for place in allowed)}
    assert not stray, f"{library} is imported by {stray}"


@pytest.mark.parametrize("name", MODULES)
def test_a_file_stays_small(name):
    lines = len(modules()[name][0].read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{lines} lines: it asks for two rooms"


@pytest.mark.parametrize("name", CODE)
def test_every_module_public_class_and_function_says_what_it_is_for(name):
    tree = modules()[name][1]
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            inside = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            public = [n for n in inside if not node.name.startswith("_")]
        elif isinstance(node, ast.Module):
            kinds = (ast.FunctionDef, ast.ClassDef)
            public = [n for n in node.body if isinstance(n, kinds)]
        else:
            continue
        silent = [n.name for n in public if n.name[0] != "_" and not ast.get_docstring(n)]
        assert not silent, f"harness.{name}: {silent}"


@pytest.mark.parametrize("name", CODE)
def test_only_the_kernels_print_and_nothing_evaluates_text(name):
    calls = {
        node.func.id
        for node in ast.walk(modules()[name][1])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    if name not in ("kernels.compiler", "kernels.loader"):
        assert "print" not in calls
    if name != "kernels.compiler":
        assert not {"eval", "exec", "compile", "__import__"} & calls


@pytest.mark.parametrize("name", MODULES)
def test_no_file_is_called_utils(name):
    assert not re.search(r"\b(utils?|helpers?|misc|common)\b", name)


BANNED = (
    "torch", "statsmodels", "sklearn", "lightgbm", "arch", "scipy.stats", "matplotlib", "pandas",
    "pyarrow", "numba", "pywt",
)  # fmt: skip
AFTER = """
import sys
from harness.cli.main import main
try:
    main({arguments})
except SystemExit as end:
    assert not end.code, end.code
print(*sorted(m for m in sys.modules if m in {banned}), sep=",", file=sys.stderr)
"""


def imported(arguments: list[str], banned: tuple[str, ...]) -> str:
    """Which of these modules a process has loaded when the command is done."""
    code = AFTER.format(arguments=arguments, banned=banned)
    root = str(PACKAGE.parent)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()[-1]


def test_a_har_run_loads_no_heavy_library(in_workspace, command):
    command("run", "hypotheses/tiny-har.toml").done()  # compiles the loops where they are not yet
    assert imported(["run", "hypotheses/tiny-har.toml", "--fresh"], BANNED) == ""


def test_help_loads_nothing_but_click():
    assert imported(["--help"], ("numpy", "polars", "duckdb", "pydantic", "jinja2", "rich")) == ""


def test_the_import_probe_sees_a_library_that_is_loaded(two_runs):
    assert imported(["list", "--log", str(two_runs[0])], ("duckdb", "numba")) == "duckdb"
