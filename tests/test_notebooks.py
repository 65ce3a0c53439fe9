"""The notebooks run from a clone, from the first cell to the last."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = ("torch", "nbclient", "ipykernel")


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED),
    reason="torch, nbclient and ipykernel are not all installed",
)
@pytest.mark.parametrize("file", sorted((ROOT / "docs/notebooks").glob("*.ipynb")), ids=str)
def test_a_notebook_runs_and_shows_something(file: Path, tmp_path: Path, monkeypatch):
    import nbclient
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(file, as_version=4)
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell["outputs"] = []
    where = {"metadata": {"path": str(file.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert {"stream", "display_data", "execute_result"} <= {out.output_type for out in shown}
    assert not [out for out in shown if out.get("name") == "stderr"]
