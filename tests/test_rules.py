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

import harness
from harness.cache import code_files
from harness.samples import measured as store
from harness.walk import fit_cache as fit_store

PACKAGE = Path(harness.__file__).parent
MOST_LINES = 400

# The order of the house: a module imports from lines above its own, and from its own line when
# it is one that may (a family). pipeline.py alone knows all stages.
ORDER = """
errors durations types
roughness descriptive portfolios
figures.style
figures.*
guard environment
kept_files
kernels.compiler
kernels.loader
kernels.lanes
kernels.garch
kernels.*
risk.definitions
distribution.definitions
models.params
measures.table models.table sources.table sources.times spec_errors quality row_filter side cleaning
sessions
adjust panel_sections selection
panel_conflicts
panel_file
prepare panel_meaning
sources.files
sources.*
labels
panel
panel_report
measures.windows
measures.realised
measures.ranges
measures.cascade
measures.estimate measures.store
feature_functions
features scale
samples splits risk.tails distribution.laws
keep
models.protocol
teaching
models.pupils models.staged
models.insanity
models.linear models.scaling models.volatility
nets.attention nets.decomposition nets.losses nets.positions nets.recurrent nets.sequence
nets.hybrid nets.encoder_decoder
nets.loop
nets.universal
models.recurrent models.boosting
models.transfer
models.*
fit_store fit_rows
swept_rows
sweeps fold_fits
chains held_out
common_rows single_fits training_time
walk workers
losses evidence
means
metrics
scoring
dates
regimes
groups tables
seeds
risk.losses risk.backtests distribution.scores
risk.forecasts
risk.assess distribution.assess
inference
ability.hac ability.multiple ability.table
ability.blocks ability.comparison ability.rationality
ability.bootstrap
wins
ability.*
reality_check
verdict
sections
regime_specs
conflicts plugins
hypothesis
study
audit.findings audit.perturb audit.stretch
audit.columns audit.embargo audit.probe audit.quality audit.quick audit.sentinel
audit.late
audit.auditor
forecast_file
durable
log
registrations stored
tried
standing
family rivals
cards.group_rows
cards.ability_rows cards.coefficient_rows cards.seed_rows cards.training_rows
cards.distribution_rows cards.fragility_rows cards.risk_rows
cards.render cards.run_figure
cards.residual_figures
cards.figures
cautions
ability_table group_tables risk.tables distribution.tables
fragility.proxies fragility.training
fragility.rows
fragility.variants
judgement
document_tables fit_tables
record
index_tables
index
query
pipeline
fragility.again
register family_report verify
published_fits
published
calibration.worlds
calibration.trials
calibration.rates
calibration.page
describe
describe_page
audited
instruments documents
plan compare catalogue doctor starter screen options
ability_report
audit_command panel_commands log_commands describe_command figures_command calibrate_command
cache_command documents_command register_command family_command verify_command
fragility_command ability_command
cli
"""
STAGES = [line.split() for line in ORDER.split("\n") if line]

# What the keys of kept results name, and modules from which all that makes them is imported.
KEYS = {
    "fits": (fit_store.MADE_BY, ("fold_fits", "held_out", "single_fits", "models.*", "nets.*")),
    "measures": (store.MADE_BY, ("measures.store",)),
}
# They say what went wrong, where things lie and how fits are told apart: results have none of it.
IN_NO_KEY = {
    "durations",
    "environment",
    "errors",
    "fit_store",
    "kept_files",
    "models.__init__",
    "portfolios",
}

HEAVY = {
    "numba": {"kernels.compiler"},
    "llvmlite": {"kernels.compiler", "kernels.loader"},
    "duckdb": {"index", "query"},
    "jinja2": {"cards.render"},
    "rich": {"screen"},
    "click": {
        "ability_command",
        "ability_report",
        "audit_command",
        "cache_command",
        "calibrate_command",
        "cli",
        "describe_command",
        "documents_command",
        "figures_command",
        "fragility_command",
        "guard",
        "options",
        "family_command",
        "log_commands",
        "panel_commands",
        "register_command",
        "screen",
        "verify_command",
    },
    "xxhash": {
        "fit_store",
        "panel",
        "panel_file",
        "quality",
        "selection",
        "hypothesis",
    },
    "safetensors": {"fit_store"},
    "torch": {
        "models.deepvol",
        "models.hybrid",
        "models.recurrent",
        "models.transfer",
        "models.transvol",
        "nets.attention",
        "nets.decomposition",
        "nets.hybrid",
        "nets.encoder_decoder",
        "nets.loop",
        "nets.losses",
        "nets.positions",
        "nets.recurrent",
        "nets.sequence",
        "nets.universal",
    },
    "sklearn": {"models.regressors"},
    "lightgbm": {"models.boosting"},
    "arch": {"ability.confidence_set"},
    "pandas": set(),
    "scipy": {"calibration.worlds", "risk.backtests", "risk.forecasts", "risk.tails", "roughness"},
    "scoringrules": set(),
    "statsmodels": {"descriptive"},
    "matplotlib": {"figures.style"},
    "pywt": {"roughness"},
    "exchange_calendars": {"sessions"},
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


def imports(tree: ast.AST, *, top_only: bool = False) -> Iterator[str]:
    """What is imported at run time, by full name; not what only the type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        elif not (top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from imports(node, top_only=top_only)


def own(name: str, *, top_only: bool = False) -> set[str]:
    """The modules of the package that a module imports."""
    found = set()
    for full in imports(modules()[name][1], top_only=top_only):
        if full.startswith("harness."):
            parts = full.split(".")[1:]
            whole = ".".join(parts)
            found.add(whole if whole in modules() else ".".join(parts[:-1]))
    return found


def stage(name: str) -> int:
    """The line of a module in the order: its own, else its family's."""
    family = name.split(".")[0] + ".*"
    for wanted in (name, family):
        for number, names in enumerate(STAGES):
            if wanted in names:
                return number
    raise AssertionError(
        f"harness.{name} has no place in ORDER of tests/test_rules.py: give it one"
    )


@pytest.mark.parametrize("name", CODE)
def test_a_stage_imports_only_from_earlier_stages(name):
    late = {other for other in own(name) if stage(other) >= stage(name)}
    assert not late, f"harness.{name} imports {late}, which come later: see ORDER in test_rules.py"


def test_the_order_names_only_modules_that_exist():
    named = {n for line in STAGES for n in line if not n.endswith("*")}
    assert named <= set(CODE), named - set(CODE)


def test_only_the_pipeline_and_what_stands_after_it_know_the_whole_way():
    stages = {"measures.store", "samples", "walk", "judgement", "record", "log"}
    assert [name for name in CODE if stages <= own(name)] == ["pipeline"]


def test_the_command_line_imports_stages_inside_its_commands_only():
    light = {
        "ability_command",
        "calibrate_command",
        "describe_command",
        "environment",
        "errors",
        "figures_command",
        "guard",
        "options",
    }
    light |= {"audit_command", "log_commands", "panel_commands", "fragility_command"}
    light |= {"cache_command", "register_command", "family_command", "verify_command"}
    light |= {"documents_command"}
    for name in light - {"environment", "errors"} | {"cli"}:
        assert own(name, top_only=True) <= light, name


def closure(starts: tuple[str, ...]) -> set[str]:
    """These modules and all that they import, directly or not; `x.*` are those of a folder."""
    left = [n for n in CODE if n in starts or n.rpartition(".")[0] + ".*" in starts]
    found = set(left)
    while left:
        new = own(left.pop()) - found
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
        name for name in CODE if library in {i.split(".")[0] for i in imports(modules()[name][1])}
    }
    assert users <= HEAVY[library], f"{library} is imported by {users - HEAVY[library]}"


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


def test_a_har_run_loads_no_heavy_library(at_desk, command):
    command("run", "hypotheses/tiny-har.toml").done()  # compiles the loops where they are not yet
    assert imported(["run", "hypotheses/tiny-har.toml", "--fresh"], BANNED) == ""


def test_help_loads_nothing_but_click():
    assert imported(["--help"], ("numpy", "polars", "duckdb", "pydantic", "jinja2", "rich")) == ""


def test_the_import_probe_sees_a_library_that_is_loaded(two_runs):
    assert imported(["list", "--log", str(two_runs[0])], ("duckdb", "numba")) == "duckdb"
