"""The folders that are searched for panel files."""

from __future__ import annotations

from pathlib import Path


def panel_folders(hypothesis: Path | None, log: Path | None = None) -> list[Path]:
    """`panels` beside the folder of the hypothesis, beside the log, then in the working folder."""
    folders = [Path("panels")]
    if log is not None:
        folders.insert(0, log.resolve().parent / "panels")
    if hypothesis is not None:
        folders.insert(0, hypothesis.resolve().parent.parent / "panels")
    unique = {folder.resolve(): folder for folder in reversed(folders)}
    return list(reversed(unique.values()))
