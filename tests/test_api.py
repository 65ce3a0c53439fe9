"""The Python API: what is documented is there, its example runs, wrong arguments are one line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime

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
    for name in ("hypotheses/sp500-har.toml", "panels/sp500-daily.toml"):
        shutil.copyfile(ROOT / name, in_workspace / name)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, object] = {}
    exec(example, found)
    said = capsys.readouterr().out
    assert "did you mean 'hypotheses/sp500-har.toml'?" in said
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
        (harness.find_panel, ("tiny", 3)),
        (harness.open_log, (3,)),
        (harness.find_panel, (None,)),
        (harness.open_panel, ("tiny",)),
        (harness.load_frame, ("tiny",)),
    ):
        with pytest.raises(harness.UsageError) as refused:
            function(*arguments)
        assert "\n" not in str(refused.value)


def test_wrong_settings_are_named(in_workspace):
    spec = harness.find_panel("tiny")
    for function, settings, name in (
        (harness.run, {"search": "panels"}, "search"),
        (harness.run, {"workers": "two"}, "workers"),
        (harness.run, {"workers": 0}, "workers"),
        (harness.open_panel, {"columns": "close"}, "columns"),
        (harness.load_frame, {"start": "noon"}, "start"),
        (harness.load_frame, {"end": 1.5}, "end"),
    ):
        first = ("hypotheses/tiny-har.toml", "reports") if function is harness.run else (spec,)
        with pytest.raises(harness.UsageError, match=f"^{name}: got "):
            function(*first, **settings)


def test_moments_may_be_texts_and_datetimes(in_workspace):
    spec = harness.find_panel("tiny")
    day = datetime(2021, 1, 5, tzinfo=UTC)
    frames = [harness.load_frame(spec, start=start) for start in ("2021-01-05", day, day.date())]
    assert frames[0]["ts"][0] == day
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_a_card_is_found_by_its_run_too(two_runs):
    root, (run, _) = two_runs
    log = harness.open_log(root)
    assert log.card(run) == log.card(log.read(run))


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
