# ruff: noqa: E501 - a message stands here as the user sees it: on one line
"""Models of installed packages: found by name, held to the protocol, named on the card, audited."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import workspace
from support.workspace import ROOT

import harness
from harness.errors import RunError
from harness.models import plugins
from harness.study.study import set_up
from harness.walk import workers
from harness.walk.workers import Workers

DOCS = ROOT / "docs/plugins.md"
Install = Callable[..., Path]

# A plug-in that does what is asked of it; tests change a line of it.
MODULE = """\
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from harness import Kind, ModelError, Params, own_features, versions
from pydantic import Field, model_validator


class LevelParams(Params):
    features: list[str]
    share: float = Field(default=1.0, gt=0.0, le=1.0)


KIND = Kind("level", "levels:Level", LevelParams, "a constant beside the first feature", "nobody")


@dataclass(frozen=True)
class Level:
    features: tuple[str, ...]
    share: float
    mean: float = 0.0
    look_back: ClassVar[int] = 0
    validates: ClassVar[bool] = False
    training: ClassVar[None] = None

    @classmethod
    def build(cls, params, task):
        return cls(own_features(params.features, task), params.share)

    def fit(self, rows, y, *, validation=None, seed=0):
        return replace(self, mean=float((y - self.share * rows.X[:, 0]).mean()))

    def predict(self, rows):
        return self.mean + self.share * rows.X[:, 0]

    @property
    def coefficients(self):
        return {"mean": self.mean}
"""
END = MODULE.count("\n") + 1  # the line of what is added to it
MODEL = """\
[models.level]
kind = "level"
features = ["log(rv_1h)"]
share = 0.5

[verdict]"""
HYPOTHESIS = workspace.changed(
    ("[verdict]", MODEL), ('candidates = ["har"]', 'candidates = ["har", "level"]')
)
ENTRY = {"level": "levels:KIND"}


def distribution(folder: Path, name: str, entries: dict[str, str], version: str = "1.0") -> None:
    """What an installer leaves of a distribution: its metadata."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[harness.models]", *lines, ""]))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install(text)`: a distribution with a module `levels` of this text on the path."""
    before = set(sys.modules)

    def make(
        text: str = MODULE,
        name: str = "levels-of-vol",
        entries: dict[str, str] = ENTRY,
        module: str = "levels",
        version: str = "1.0",
    ) -> Path:
        site = tmp_path / f"site-{name}"
        distribution(site, name, entries, version)
        (site / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(site)
        return site

    yield make
    forget(before)


def forget(before: set[str]) -> None:
    """Modules imported since, as a new process would not have them."""
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("levels", "decayed_har", "elsewhere"):
            del sys.modules[name]


@pytest.fixture
def file(in_workspace: Path) -> Path:
    path = in_workspace / "hypotheses/level.toml"
    path.write_text(HYPOTHESIS)
    return path


def with_lines(*changes: tuple[str, str]) -> str:
    return workspace.changed(*changes, text=MODULE)


def blocks() -> dict[str, str]:
    """The example's files, by the name that stands on the line before each."""
    found = re.findall(r"`([\w/.-]+)`[^`\n]*:\n\n```\w+\n(.*?)^```$", DOCS.read_text(), re.M | re.S)
    return dict(found)


def record_of(log: Path) -> dict[str, object]:
    (path,) = log.glob("runs/*/record.json")
    return json.loads(path.read_text())


# The example of the docs


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The docs' example, laid out and installed as pip would leave it."""
    files = blocks()
    assert set(files) == {
        "decayed-har/pyproject.toml",
        "decayed-har/decayed_har.py",
        "panels/simulated-hourly.toml",
        "hypotheses/decayed-har.toml",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    project = tomllib.loads(files["decayed-har/pyproject.toml"])["project"]
    offered = project["entry-points"]["harness.models"]
    distribution(tmp_path / "decayed-har", project["name"], offered, project["version"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_of_the_docs_runs_as_it_stands(example):
    path = os.pathsep.join([str(ROOT), str(example / "decayed-har")])

    def command(*arguments: str) -> workspace.Ran:
        return workspace.finish(workspace.process(*arguments, environment={"PYTHONPATH": path}))

    ran = command("run", "hypotheses/decayed-har.toml").done()
    assert re.match(r"decayed-har: (CONFIRMED|REFUTED|INCONCLUSIVE)  ", ran.out)
    record = record_of(example / "reports")
    code = record["environment"]["plugins"]["decayed-har"]
    assert (code["distribution"], code["version"]) == ("decayed-har", "1.0")
    assert code["source"].startswith("sha256:")
    (card,) = (example / "reports").glob("*.md")
    row = f"| plug-in decayed-har | decayed-har 1.0, `{code['source'][:19]}` |"
    assert row in card.read_text()
    assert record["audit"]["passed"]
    (listed,) = command("list", "--json").done().json
    assert listed["status"] == record["status"]
    # The numbers: a long half-life is least squares, and the audit had nothing left out.
    assert not [w for w in record["audit"]["left_out"] if "decayed" in w]
    stated = record["tables"]["coefficients"]
    assert {n for n, m in zip(stated["name"], stated["model"], strict=True) if m == "decayed"} >= {
        "intercept",
        "log(rv_1d)",
    }


def test_an_old_row_counts_for_less_in_the_example(example, monkeypatch):
    import numpy as np
    from support.worlds import make_samples

    monkeypatch.syspath_prepend(example / "decayed-har")
    from decayed_har import DecayedHar

    from harness.models.linear import Linear

    samples = make_samples(400, seed=3)
    rows, y = samples.rows, samples.y
    slow = DecayedHar(rows.names, 1e12).fit(rows, y)
    plain = Linear(rows.names).fit(rows, y)
    assert np.allclose(slow.predict(rows), plain.predict(rows), rtol=1e-9)
    moved = np.where(np.arange(y.size) < 200, y + 1.0, y)
    fast = [DecayedHar(rows.names, 0.05).fit(rows, t).predict(rows)[-1] for t in (y, moved)]
    assert abs(fast[1] - fast[0]) < 0.05
    del sys.modules["decayed_har"]


# Found, listed, checked


def test_a_plug_in_is_listed_and_examined(install, command, in_workspace):
    install()
    entry = command("models", "--json").done().json[-1]
    assert entry == {
        "kind": "level",
        "what": "a constant beside the first feature",
        "parameters": "features (list, required), share (float, default 1.0)",
        "source": "nobody",
        "package": "levels-of-vol 1.0 (levels:KIND)",
    }
    checks = {c["check"]: c for c in command("doctor", "--json").json}
    assert checks["plug-in level"]["state"] == "ok"
    assert checks["plug-in level"]["detail"] == entry["package"]


def test_without_a_plug_in_doctor_says_that_there_is_none(command, in_workspace):
    checks = {c["check"]: c for c in command("doctor", "--json").done().json}
    assert checks["plug-ins"] == {"check": "plug-ins", "state": "ok", "detail": "none installed"}


def test_a_run_that_names_no_plug_in_looks_at_no_package(install, in_workspace):
    site = install("raise AssertionError('imported')\n")
    code = (
        "import importlib.metadata as m, sys\n"
        "found = m.entry_points\n"
        "def looked(group): assert group != 'harness.models'; return found(group=group)\n"
        "m.entry_points = looked\n"
        "from harness.cli.main import main\n"
        "try: main(['run', 'hypotheses/tiny-har.toml'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'levels', 'harness.models.plugins'} & set(sys.modules)\n"
    )
    root = str(ROOT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, str(site)])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)


def test_another_plug_in_is_not_imported_by_a_run_that_names_one(install, file, command):
    install()
    install("raise AssertionError\n", "other", {"other": "elsewhere:KIND"}, "elsewhere")
    harness.load_hypothesis(file)
    assert "levels" in sys.modules and "elsewhere" not in sys.modules


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([('kind = "level"', 'kind = "levle"')], "models.level.kind: got 'levle', wanted one of persistence, {kinds}, level; did you mean 'level'?"),
        ([("share = 0.5", "shar = 0.5")], "models.level.shar: got 'shar', wanted one of the keys kind, scope, refit, features, share; did you mean 'share'?"),
        ([("share = 0.5", "share = 2.0")], "models.level.share: got 2.0, wanted less than or equal to 1"),
        ([("share = 0.5", 'scope = "effects"')], "models.level.scope: got 'effects', wanted one of pooled, asset"),
        ([('features = ["log(rv_1h)"]\nshare', 'features = ["lg(rv_1h)"]\nshare')], "models.level.features[0]: got 'lg(rv_1h)', wanted a feature expression"),
        ([('features = ["log(rv_1h)"]\nshare', 'features = ["log(bv_1h)"]\nshare')], "models.level.features[0]: got 'log(bv_1h)', wanted columns of rv over"),
        ([('features = ["log(rv_1h)"]\nshare', "share")], "models.level.features: wanted this key, which is missing"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_names_file_key_and_the_nearest_word(
    changes, words, install, file, command
):
    install()
    file.write_text(workspace.changed(*changes, text=HYPOTHESIS))
    kinds = ", ".join(k for k in plugins.KINDS if k != "persistence")
    assert command("run", file).refused().startswith(
        f"error: {file}: {words.replace('{kinds}', kinds)}"
    )  # fmt: skip


# A plug-in that cannot be used: what its module says -> what is said of it.
UNUSABLE = {
    "an import": ("import nosuchmodule\n" + MODULE, "levels-of-vol 1.0 (levels:KIND): cannot be imported: ModuleNotFoundError: No module named 'nosuchmodule' (levels.py, line 1)"),
    "an error": (MODULE + "1 / 0\n", f"cannot be imported: ZeroDivisionError: division by zero (levels.py, line {END})"),
    "an exit": (MODULE + "raise SystemExit(3)\n", f"cannot be imported: SystemExit: 3 (levels.py, line {END})"),
    "a typo": (MODULE + "def\n", f"cannot be imported: SyntaxError: invalid syntax (levels.py, line {END})"),
    "no object": (MODULE.replace("KIND", "KNID"), "cannot be imported: AttributeError: module 'levels' has no attribute 'KIND'"),
    "no kind": (MODULE + "KIND = Level\n", "the entry point gives a type, wanted a harness.Kind"),
    "another name": (with_lines(('Kind("level"', 'Kind("levels"')), "its Kind is named 'levels', wanted the entry point's name, 'level'"),
    "no summary": (with_lines(('"a constant beside the first feature"', '""')), "its Kind has no text in summary"),
    "scopes": (with_lines(('"nobody")', '"nobody", ("own",))')), "its Kind has scopes ('own',), wanted a tuple of some of pooled, effects, asset"),
    "stepwise": (with_lines(('"nobody")', '"nobody", stepwise=("rte",))')), "its Kind has 'rte' in stepwise, wanted some of rv, "),
    "a dict": (with_lines(("LevelParams, ", "dict, ")), "its params are dict, wanted a subclass of harness.Params"),
    "any key": (with_lines(("    features: list[str]\n", '    model_config = {"extra": "allow"}\n    features: list[str]\n')), "LevelParams changes extra of harness.Params, which is fixed"),
    "a common key": (with_lines(("    features: list[str]\n", "    features: list[str]\n    scope: str\n")), "LevelParams has a key 'scope', which every model has already"),
    "features": (with_lines(("    features: list[str]\n", "    features: str\n")), "LevelParams.features is not list[str], wanted for expressions"),
    "expressions": (with_lines(("    features: list[str]\n", '    expressions = ("weight",)\n    features: list[str]\n    weight: int\n')), "LevelParams.weight is not str, wanted for expressions"),
    "no expression": (with_lines(("    features: list[str]\n", '    expressions = ("weight",)\n    features: list[str]\n')), "LevelParams has no key 'weight', which its expressions name"),
    "a validator": (with_lines(("    share: float = Field", '    @model_validator(mode="after")\n    def own(self):\n        raise TypeError("never")\n\n    share: float = Field')), "its parameters: TypeError: never (levels.py, line 13)"),
    "a check": (with_lines(('"nobody")', '"nobody", check="levels:check")')) + "def check(params):\n    raise KeyError('x')\n", f"its parameters: KeyError: 'x' (levels.py, line {END + 1})"),
    "no class": (with_lines(('"levels:Level"', '"levels:Lvel"')), "levels:Lvel cannot be imported: AttributeError: module 'levels' has no attribute 'Lvel'"),
    "no module": (with_lines(('"levels:Level"', '"elsewhere:Level"')), "elsewhere:Level cannot be imported: ModuleNotFoundError: No module named 'elsewhere'"),
    "no build": (with_lines(("def build", "def make")), "levels:Level is not a class with a classmethod build(params, task)"),
    "a build that fails": (with_lines(("params.share)", "params.shre)")), "its model cannot be built: AttributeError: 'LevelParams' object has no attribute 'shre' (levels.py, line 28)"),
    "no model": (with_lines(("return cls(own_features(params.features, task), params.share)", "return None")), "what build returns, NoneType, lacks features (a tuple of expressions), look_back"),
    "no look_back": (with_lines(("    look_back: ClassVar[int] = 0\n", "")), "what build returns, Level, lacks look_back (a whole number from 0 on)"),
    "a negative one": (with_lines(("ClassVar[int] = 0", "ClassVar[int] = -1")), "lacks look_back (a whole number from 0 on)"),
    "no validates": (with_lines(("    validates: ClassVar[bool] = False\n", "")), "lacks validates (true or false)"),
    "no fit": (with_lines(("def fit(self", "def train(self")), "lacks fit(rows, y, *, validation=None, seed=0)"),
    "a fit without a seed": (with_lines((", seed=0):", "):")), "lacks fit(rows, y, *, validation=None, seed=0)"),
    "no predict": (with_lines(("def predict(", "def forecast(")), "lacks predict(rows)"),
    "no training": (with_lines(("    training: ClassVar[None] = None\n", "")), "lacks training (a property or attribute)"),
    "a method": (with_lines(("    @property\n", "")), "lacks coefficients (a property or attribute)"),
    "half kept": (MODULE + "\n    def made_by(self):\n        return {}\n", "lacks weights() beside made_by()"),
    "half trained": (MODULE + "\n    def watched(self, progress):\n        return self\n", "lacks estimate() beside watched()"),
    "a feature that is none": (with_lines(("cls(own_features(params.features, task)", 'cls(("lg(rv_1h)",)')), "feature 'lg(rv_1h)' is not an expression ('lg' is not a function"),
    "a feature in other words": (with_lines(("cls(own_features(params.features, task)", 'cls(("log( rv_1h )",)')), "feature 'log( rv_1h )' is not in its canonical text, 'log(rv_1h)' (own_features)"),
    "a column that is not measured": (with_lines(("cls(own_features(params.features, task)", 'cls(("log(bv_1h)",)')), "feature 'log(bv_1h)' reads bv_1h, which the hypothesis does not measure"),
    "no pickle": (with_lines(("params.share)", "lambda: 1)")), "it cannot be pickled ("),
    "effects": (with_lines(('"nobody")', '"nobody", ("pooled", "effects"))')), "scope 'effects' is for models that are Linear and swept"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_plug_in_that_cannot_be_used_is_one_line_and_code_2(case, install, file, command):
    text, words = UNUSABLE[case]
    install(text)
    said = command("run", file).refused()
    assert said.startswith(
        f"error: {file}: models.level.kind: got 'level', wanted a kind that can be used: "
        "levels-of-vol 1.0 (levels:KIND): "
    )
    assert words in said
    assert not (file.parents[1] / "reports").exists() or not list(
        file.parents[1].glob("reports/runs/*")
    )


def test_what_a_plug_in_s_parameters_find_between_keys_is_a_mistake_in_the_file(
    install, file, command
):
    install(
        with_lines(
            (
                "    share: float = Field",
                '    @model_validator(mode="after")\n    def own(self):\n'
                '        raise ValueError("a share below 0.4 for one feature")\n\n    share: float = Field',
            )
        )
    )
    said = command("run", file).refused()
    assert f"{file}: models.level: " in said and "wanted a share below 0.4 for one feature" in said


def test_a_plug_in_s_own_check_names_its_key(install, file, command):
    text = with_lines(('"nobody")', '"nobody", check="levels:check")')) + (
        "from harness import Mistake\n"
        "def check(params):\n"
        '    yield Mistake(("share",), "a share of 1", params.share)\n'
    )
    install(text)
    said = command("run", file).refused()
    assert said == f"error: {file}: models.level.share: got 0.5, wanted a share of 1"


def test_a_broken_plug_in_is_listed_with_why(install, command, in_workspace):
    install("import nosuchmodule\n")
    entry = command("models", "--json").done().json[-1]
    why = "cannot be imported: ModuleNotFoundError: No module named 'nosuchmodule' (levels.py, line 1)"
    said = f"levels-of-vol 1.0 (levels:KIND): {why}"
    assert entry == {"kind": "level", "cannot be used": said}
    ran = command("doctor", "--json")
    assert ran.code == 1
    assert {"check": "plug-in level", "state": "fails", "detail": said} in ran.json


def test_a_class_that_is_missing_is_found_by_doctor(install, command, in_workspace):
    install(with_lines(('"levels:Level"', '"levels:Lvel"')))
    checks = {c["check"]: c for c in command("doctor", "--json").json}
    assert checks["plug-in level"]["state"] == "fails"


def test_a_plug_in_never_replaces_a_built_in_kind(install, in_workspace, command):
    install(entries={"ols": "levels:KIND"})
    command("run", "hypotheses/tiny-har.toml").done()
    assert "levels" not in sys.modules
    why = "levels-of-vol 1.0 (levels:KIND): refused, since ols is a built-in kind"
    assert command("models", "--json").done().json[-1] == {"kind": "ols", "cannot be used": why}
    assert command("doctor").code == 1
    assert "levels" not in sys.modules


def test_a_name_that_two_packages_offer_is_refused(install, file, command):
    install()
    install(MODULE, "other", {"level": "elsewhere:KIND"}, "elsewhere")
    assert command("run", file).refused() == (
        f"error: {file}: models.level.kind: got 'level', wanted a kind that can be used: offered "
        "by other 1.0 (elsewhere:KIND) and by levels-of-vol 1.0 (levels:KIND): uninstall all but one"
    )
    assert not {"levels", "elsewhere"} & set(sys.modules)


# What goes wrong while it runs

FAILURES = {
    "a fit that fails": (("float((y", "float(1 / 0 * (y"), "ZeroDivisionError: division by zero (levels.py, line 31)"),
    "an error of its own": (("        return replace(", '        raise ModelError("too calm")\n        return replace('), "too calm"),
    "an exit": (("        return replace(", "        raise SystemExit\n        return replace("), "SystemExit (levels.py, line 31)"),
    "a harness error": (("        return replace(", "        from harness.errors import UsageError\n        raise UsageError('no')\n        return replace("), "UsageError: no (levels.py, line 32)"),
    "a forecast that fails": (("return self.mean +", "return self.men +"), "AttributeError: 'Level' object has no attribute 'men' (levels.py, line 34)"),
    "many words": (("        return replace(", "        raise OSError('a\\n\\n  b')\n        return replace("), "OSError: a b (levels.py, line 31)"),
    "fit gives nothing": (("return replace(", "replace("), "fit gave a NoneType, wanted a fitted copy of Level"),
    "fit gives itself": (("return replace(self, mean=float((y - self.share * rows.X[:, 0]).mean()))", "return self"), "fit gave the model itself, wanted a fitted copy of Level"),
    "a list": (("return self.mean + self.share * rows.X[:, 0]", "return [0.0] * len(rows.X)"), "predict gave a list, wanted an array of float64 ("),
    "a column": (("rows.X[:, 0]\n\n    @", "rows.X[:, :1]\n\n    @"), ", 1), wanted one of float64 ("),
    "one short": (("rows.X[:, 0]\n\n    @", "rows.X[1:, 0]\n\n    @"), "predict gave an array of float64 ("),
    "float32": (("return self.mean + self.share * rows.X[:, 0]", "return rows.X[:, 0].astype(np.float32)"), "predict gave an array of float32 ("),
    "not finite": (("return self.mean + self.share * rows.X[:, 0]", "return np.full(len(rows.X), np.nan)"), "a forecast is not finite"),
    "writing to the rows": (("        return replace(", "        rows.X[:] -= 1.0\n        return replace("), "ValueError: output array is read-only (levels.py, line 31)"),
    "writing to the targets": (("        return replace(", "        y -= y.mean()\n        return replace("), "ValueError: output array is read-only (levels.py, line 31)"),
    "a coefficient in words": (('{"mean": self.mean}', '{"mean": "high"}'), "ValueError: could not convert string to float: 'high'"),
    "a coefficient without a name": (('{"mean": self.mean}', "{1: self.mean}"), "coefficients has the name 1, wanted a string"),
    "training of its own": (("training: ClassVar[None] = None", "training: ClassVar[dict] = {}"), "training is a dict, wanted a Training or None"),
    "a note of its own": (("training: ClassVar[None] = None", "from harness import Training\n    training = Training(1, notes={'odd': 1})"), "training has the note 'odd', wanted some of insane, "),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_what_goes_wrong_in_a_plug_in_names_model_window_and_words(case, install, file, command):
    change, words = FAILURES[case]
    install(with_lines(change))
    said = command("run", file).refused(1)
    assert re.match(
        rf"error: {file}: model level, horizon 1h, window 1 \(2021-01-13 to 2021-01-18\): ", said
    ), said
    assert words in said
    assert not list(file.parents[1].glob("reports/runs/*"))


CHAIN = """
    def fit_chain(self, rows, y, trains, *, seed=0):
        for train in trains[:{}]:
            yield self.fit(rows.take(train), y[train])
"""
TRAINS = """
    def watched(self, progress):
        return replace(self)

    def estimate(self, n_rows, n_validation):
        return {}
"""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (CHAIN.format("1"), r"window 2 .*: fit gave a NoneType, wanted a fitted copy of Level"),
        (CHAIN.replace("yield", "y[0] = 1.0\n            yield").format(""), r"window 1 .*: ValueError: assignment"),
        (TRAINS.format("1 / 0"), r"window 1 .*: ZeroDivisionError"),
        (TRAINS.format("None"), r"window 1 .*: AttributeError: 'NoneType' object has no attribute 'typical'"),
        (TRAINS.replace("replace(self)", "self.gone").format("__import__('harness').FitTime(1.0, 1.0, 1.0)"), r"window 1 .*: AttributeError: 'Level' object has no attribute 'gone'"),
    ],
)  # fmt: skip
def test_optional_parts_that_go_wrong_are_named_too(more, words, install, file, command):
    install(MODULE + more)
    said = command("run", file).refused(1)
    assert re.search(rf"^error: {file}: model level, horizon 1h, {words}", said), said


def test_a_chain_forecasts_as_its_fits_one_by_one_do(install, file, command):
    before = set(sys.modules)
    site = install()
    command("run", file, "--log", "one").done()
    forget(before)
    (site / "levels.py").write_text(MODULE + CHAIN.format(""))
    command("run", file, "--log", "chain").done()
    scores = [record_of(file.parents[1] / log)["tables"]["scores"] for log in ("one", "chain")]
    assert scores[0] == scores[1]


# Leaks

LEAKS = {
    "future history": [
        ("look_back: ClassVar[int] = 0", "look_back: ClassVar[int] = 1"),
        (
            "return self.mean + self.share * rows.X[:, 0]",
            "at = np.minimum(rows.at + 3, rows.history.values.shape[1] - 1)\n"
            "        return self.mean + self.share * np.nan_to_num(rows.history.values[0][at])",
        ),
    ],
    "the mean of the rows asked for": [
        (
            "return self.mean + self.share * rows.X[:, 0]",
            "return self.mean + self.share * (rows.X[:, 0] - rows.X[:, 0].mean())",
        )
    ],
    "rows kept between fits": [
        ("        return replace(", "        SEEN.append(y.mean())\n        y = y + len(SEEN)\n        return replace("),
        ("@dataclass(frozen=True)\n", "SEEN = []\n\n\n@dataclass(frozen=True)\n"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("leak", LEAKS)
def test_a_plug_in_that_looks_ahead_is_found(leak, install, file, command):
    install(with_lines(*LEAKS[leak]))
    ran = command("audit", file)
    assert ran.code == 1
    assert "model level at 4h" in ran.out
    command("run", file).done()
    record = record_of(file.parents[1] / "reports")
    assert record["status"] == "void"


def test_an_honest_plug_in_passes_the_audit_and_is_looked_at(install, file, command):
    install()
    ran = command("audit", file).done()
    assert "3 models" in ran.out
    assert "level" not in ran.err


def test_a_plug_in_that_looks_back_honestly_passes(install, file, command):
    change = (
        "return self.mean + self.share * rows.X[:, 0]",
        "return self.mean + self.share * rows.sequences(3)[:, 0, 0]",
    )
    install(with_lines(("ClassVar[int] = 0", "ClassVar[int] = 3"), change))
    command("audit", file).done()


# Kept fits

KEPT = """
    def made_by(self):
        return versions()

    def weights(self):
        return {"mean": np.array([self.mean])}
"""


def fits_kept(log: Path) -> int:
    times = record_of(log)["tables"]["fit_times"]
    return sum(k for k, m in zip(times["kept"], times["model"], strict=True) if m == "level")


def test_kept_fits_of_a_plug_in_are_those_of_its_version_and_its_text(
    install, file, command, monkeypatch, tmp_path
):
    """A fit is taken again until version or text changes; an edited plug-in is fitted."""
    before, logs = set(sys.modules), iter(range(9))

    def ran() -> int:
        forget(before)
        log = tmp_path / f"log-{next(logs)}"
        command("run", file, "--log", log).done()
        return fits_kept(log)

    text = MODULE + KEPT.replace("versions()", f'{{"of": "{tmp_path.name}"}}')
    site = install(text)
    assert ran() == 0
    many = ran()
    assert many > 0
    (site / "levels.py").write_text(text + "# edited\n")
    assert ran() == 0
    assert ran() == many
    info = site / "levels_of_vol-1.0.dist-info"
    (info / "METADATA").write_text((info / "METADATA").read_text().replace("1.0", "1.1"))
    assert ran() == 0
    (site / "levels.py").write_text(text)
    (info / "METADATA").write_text((info / "METADATA").read_text().replace("1.1", "1.0"))
    assert ran() == many


def test_an_edit_anywhere_in_a_package_is_seen(install, monkeypatch, tmp_path):
    site = tmp_path / "site"
    (site / "levels").mkdir(parents=True)
    (site / "levels/__init__.py").write_text("from levels.kind import KIND\n")
    (site / "levels/kind.py").write_text(
        MODULE.replace("levels:Level", "levels.kind:Level") + "from levels import sums\n"
    )
    (site / "levels/sums.py").write_text("ONE = 1\n")
    distribution(site, "levels-of-vol", ENTRY)
    monkeypatch.syspath_prepend(site)
    before = set(sys.modules)

    def source() -> str | None:
        forget(before)
        return plugins.load("level", plugins.offers()["level"]).source

    first = source()
    assert first == source() and first is not None
    (site / "levels/sums.py").write_text("ONE = 2\n")
    assert source() != first
    # What a process has imported is what it says, whatever became of the files.
    plugin = plugins.load("level", plugins.offers()["level"])
    imported = plugin.source
    (site / "levels/sums.py").write_text("ONE = 3\n")
    assert plugin.source == imported


def test_a_plug_in_without_made_by_and_weights_keeps_nothing(install, file, command, tmp_path):
    install()
    for name in ("a", "b"):
        command("run", file, "--log", tmp_path / name).done()
    assert fits_kept(tmp_path / "b") == 0


def test_weights_that_cannot_be_kept_are_named(install, file, command):
    install(MODULE + KEPT.replace("np.array([self.mean])", "np.array([object()])"))
    assert "level.toml: model level, horizon 1h, window 1" in command("run", file).refused(1)


# Workers, verify


def test_a_plug_in_goes_to_a_worker_process_and_back(install, file):
    install()
    hypothesis = harness.load_hypothesis(file)
    models = set_up(hypothesis, [file.parents[1] / "panels"]).models("1h")
    with Workers(2) as processes:
        (back,) = processes.map(itself, [models["level"]])
    assert back == models["level"]
    assert type(back).__module__ == "levels"


def itself(model: object) -> object:
    return model


def test_an_error_in_a_worker_comes_back_in_words(install, file, monkeypatch):
    monkeypatch.setattr(workers, "_WORTH", 0.0)
    install(with_lines(("float((y", "float(1 / 0 * (y")))
    with pytest.raises(RunError, match=r"model level, .* window 1 .*: ZeroDivisionError"):
        harness.run(harness.load_hypothesis(file), harness.open_log("log"), workers=2)


def test_a_run_with_a_plug_in_can_be_verified_and_its_code_is_a_cause(install, file, command):
    before = set(sys.modules)
    site = install()
    (run,) = command("run", file, "--json").done().json
    assert command("verify", run["run_id"], "--json").done().json
    forget(before)
    (site / "levels.py").write_text(MODULE.replace("self.mean + ", "self.mean + 0.1 + "))
    ran = command("verify", run["run_id"])
    assert ran.code == 1
    assert "plug-in level" in ran.out + ran.err
