"""The file D/tried.jsonl of run digests: a line for each, which can be deleted without loss.

A line holds the layout of the digest, the stamp of its record, and its values, of which the first
is the run's id and the last the sketch of its targets. A sketch is long and most runs of a panel
have the same, so it has a line of its own, and digests name it by its hash. A line that was cut
short is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from harness.log.atomic_files import encode
from harness.log.store import Log

_SKETCH = b'["targets", "'  # a sketch's line begins so; its hash and its text follow


class Line(NamedTuple):
    """A digest in the file; where its sketch is lost it is not `whole`, and its last value None."""

    layout: int
    stamp: list[int]
    words: list[Any]
    whole: bool = True


def read_lines(log: Log) -> list[Line]:
    """Every digest in the file, oldest first; none without the file."""
    sketches: dict[str, str] = {}
    found = []
    for line in _lines(log):
        try:
            entry = json.loads(line)
            if line.startswith(_SKETCH):
                _, name, sketches[name] = entry
                continue
            layout, stamp, words = entry
            found.append(Line(layout, stamp, [*words]))
        except (ValueError, TypeError):  # cut short
            continue
    return [_with_sketch(line, sketches) for line in found if line.words]


def _with_sketch(line: Line, sketches: dict[str, str]) -> Line:
    *others, name = line.words
    text = sketches.get(name) if isinstance(name, str) else None
    return line._replace(words=[*others, text], whole=(name is None) == (text is None))


def append_lines(log: Log, lines: Sequence[Line]) -> None:
    """Append each digest in one write, which no other writer can tear; a read-only log stays."""
    if not lines:
        return
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        handle = os.open(log.root / "tried.jsonl", flags, 0o666)
        try:
            kept = {line for line in _lines(log) if line.startswith(_SKETCH)}
            for line in lines:
                *others, sketch = line.words
                name = None if sketch is None else hashlib.sha256(sketch.encode()).hexdigest()[:16]
                text = encode([line.layout, line.stamp, [*others, name]])
                own = encode(["targets", name, sketch])
                if name is not None and own.strip() not in kept:
                    kept.add(own.strip())
                    text = own + text
                # After a line that was cut short this one must still begin on its own.
                os.write(handle, b"\n" + text)
        finally:
            os.close(handle)


def copy_lines(log: Log, to: Log, run_ids: Collection[str]) -> None:
    """Copy the digests of these runs into the file of another log."""
    append_lines(to, [line for line in read_lines(log) if line.words[0] in run_ids])


def _lines(log: Log) -> list[bytes]:
    try:
        return (log.root / "tried.jsonl").read_bytes().splitlines()
    except OSError:
        return []
