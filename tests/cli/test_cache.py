"""What is kept is shown and pruned, by part and by age, and nothing else is touched."""

from __future__ import annotations

import os
import time

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Two fits, one of them forty days old, and a folder of measures."""
    folder = tmp_path / "cache"
    for name, size, days in (
        ("fits/a", 1_500_000, 0),
        ("fits/b", 500_000, 40),
        ("fits/b.lock", 0, 0),
        ("measures/c", 9, 0),
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
        then = time.time() - days * 86_400
        os.utime(file, (then, then))
    (folder / "notes.txt").write_text("the user's own")
    monkeypatch.setenv("HARNESS_CACHE", str(folder))
    return folder


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_what_is_kept_is_shown(command, cache):
    found = command("cache", "--json").done().json
    assert found["folder"] == str(cache) and not found["pruned"]
    assert found["parts"] == [
        {"part": "fits", "files": 2, "megabytes": 2.0},
        {"part": "measures", "files": 1, "megabytes": 0.0},
        {"part": "kernels", "files": 0, "megabytes": 0},
    ]
    text = command("cache", "show").done().out
    assert text.splitlines()[0] == str(cache) and "fits" in text
    assert len(files(cache)) == 5


def test_old_fits_alone_are_pruned(command, cache):
    found = command("cache", "prune", "--only", "fits", "--older", "30d", "--json").done().json
    assert found["parts"] == [{"part": "fits", "files": 1, "megabytes": 0.5}]
    assert files(cache) == ["fits/a", "fits/b.lock", "measures/c", "notes.txt"]
    command("cache", "prune", "--older", "1mo").done()
    assert files(cache) == ["fits/a", "fits/b.lock", "measures/c", "notes.txt"]


def test_everything_kept_is_pruned_and_nothing_else(command, cache):
    assert "deleted" in command("cache", "prune").done().out
    assert files(cache) == ["notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--older", "3d"), "--older belongs to prune"),
        (("prune", "--older", "3 days"), "--older: got '3 days', wanted a duration above 0"),
        (("prune", "--only", "fit"), "'fit' is not one of"),
        (("purge",), "'purge' is not one of"),
    ],
)
def test_a_mistake_is_one_line_and_deletes_nothing(command, cache, arguments, words):
    assert words in command("cache", *arguments).refused()
    assert len(files(cache)) == 5
