"""The Python API: what is documented is there, its example runs, wrong arguments are one line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from support.workspace import ROOT, call

import harness

PAGE = (ROOT / "docs/api.md").read_text(encoding="utf-8")


def test_every_name_of_the_api_is_there_and_on_the_page():
    for name in harness.__all__:
        assert getattr(harness, name) is not None
        assert re.search(rf"`{name}\b", PAGE), f"docs/api.md does not describe {name}"
    assert set(harness.__all__) <= set(dir(harness))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'runs'"):
        harness.runs  # noqa: B018 - it is asked for, no more


def test_the_example_of_the_page_runs(in_workspace, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, object] = {}
    exec(example, found)
    said = capsys.readouterr().out
    assert "did you mean 'hypotheses/tiny-har.toml'?" in said
    assert found["outcome"].run_id in said
    assert found["runs"].height == 1
    assert found["forecasts"].height > 0
    assert found["bars"].columns[:2] == ["symbol", "ts"]


def test_importing_the_package_loads_no_library():
    heavy = ["numpy", "polars", "duckdb", "pydantic", "numba", "torch", "click"]
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import harness;"
        f"print(*[m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((3, "reports"), "got int, wanted a hypothesis or the path of its file"),
        (("nowhere.toml", "reports"), "nowhere.toml: no such file"),
        (("hypotheses/tiny-har.toml", 5), "log: got int, wanted a Log or the path of its folder"),
        (("hypotheses/tiny-har.toml", "hypotheses/tiny-har.toml"), "got a file, wanted the log"),
    ],
)
def test_a_wrong_argument_of_run_is_one_line(in_workspace, arguments, wanted):
    with pytest.raises(harness.UsageError, match=re.escape(wanted)) as refused:
        harness.run(*arguments)
    assert "\n" not in str(refused.value)


def test_other_wrong_arguments_are_one_line_too(in_workspace):
    for function, arguments in (
        (harness.load_hypothesis, (None,)),
        (harness.load_runs, (3,)),
        (harness.find_panel, ("tinny",)),
        (harness.find_panel, ("tiny", "panels")),
        (harness.find_panel, (None,)),
        (harness.open_panel, ("tiny",)),
        (harness.load_frame, ("tiny",)),
    ):
        with pytest.raises(harness.UsageError) as refused:
            function(*arguments)
        assert "\n" not in str(refused.value)


def test_run_finds_panels_beside_the_hypothesis_folder(in_workspace, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    outcome = harness.run(in_workspace / "hypotheses/tiny-har.toml", "reports")
    assert outcome.verdict.status in ("confirmed", "refuted", "inconclusive")


def test_python_minus_m_is_the_command(capsys):
    done = subprocess.run(
        [sys.executable, "-m", "harness", "--version"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.startswith("harness ")
    assert call(("--version",), capsys).out == done.stdout
