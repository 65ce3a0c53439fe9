"""Runs a hypothesis again from a record and compares every number, bit by bit: `harness verify`.

The replay sees the log as the run saw it: a temporary log holds the earlier runs of its family and
the registrations that its record names, and the replay is written there. The log itself does not
change. Nor does the replay read what the panel has gained since.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.log.run_digests import copy_digests
from harness.log.store import Log
from harness.panel.revisions import revised
from harness.pipeline import run
from harness.reanalysis.data_as_read import study_as_read
from harness.samples.measured import read_contents
from harness.spec.reading import stored_hypothesis

if TYPE_CHECKING:
    import polars as pl

    from harness.spec.hypothesis import Hypothesis
    from harness.study.study import Study

# What cannot be the same in a second run, and what says where it ran: not compared as numbers.
_ITS_OWN = ("run_id", "started", "seconds", "card", "environment", "figures")
_OF_THE_SPEC = (
    "format", "methods", "hypothesis", "title", "claim", "approach", "spec", "spec_hash",
    "comparison_hash", "question_hash", "seed", "forecasts",
)  # fmt: skip
_TIMED = ("timings", "fit_times")
_NOT_NUMBERS = (  # what the data are is a cause, and no result
    ("panel", "measures_kept"), ("panel", "tolerance"), ("source", "tolerance"),
    ("panel", "contents"), ("source", "contents"),
)  # fmt: skip
_NOTHING = "nothing"
_CHECK = "reality_check"  # a part of `family` with a method of its own
# Parts in which no number depends on a fit's residuals.
_WITHOUT_RESIDUALS = {
    "folds", "fits", "fit_notes", "training", "seed_training", "attention", "net_weights",
    "foresight", "documents", "reported", "timings", "fit_times", "panel", "source", "settings",
    "registration", "targets", "forecasts_digest",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One part of a record, compared: how many values, how many differ, and where the first does.

    `largest` is the largest absolute difference of two numbers, None where no numbers differ.
    `reworded` sentences are other ones because another version of the code wrote them. A table
    whose method has changed since is not compared: no values, and `where` says so.
    """

    name: str
    values: int
    differ: int = 0
    largest: float | None = None
    where: str | None = None
    reworded: int = 0


@dataclass(frozen=True)
class Cause:
    """Something that the numbers depend on, then and now."""

    what: str
    then: str
    now: str

    @property
    def same(self) -> bool:
        """Whether it is the same."""
        return self.then == self.now


@dataclass(frozen=True)
class Replay:
    """A run compared with its replay; `gone` are earlier runs that it knew, removed since."""

    run_id: str
    hypothesis: str
    started: str
    seconds: float
    parts: tuple[Part, ...]
    causes: tuple[Cause, ...]
    gone: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether every number is the same."""
        return not any(part.differ for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        """As `harness verify --json` shows it."""
        return {
            "run_id": self.run_id,
            "hypothesis": self.hypothesis,
            "same": self.same,
            "seconds": round(self.seconds, 3),
            "parts": [vars(part) for part in self.parts],
            "causes": [vars(cause) | {"same": cause.same} for cause in self.causes],
            "gone": list(self.gone),
        }


def verify_run(
    log: Log,
    prefix: str,
    *,
    search: Sequence[Path],
    progress: Callable[[str], None] = lambda _: None,
    epochs: Callable[[str], None] = lambda _: None,
) -> Replay:
    """Run a stored hypothesis again and compare with its record and its stored forecasts.

    Where the log has the record alone, forecasts are compared by the digest in the record, if it
    has one.

    UsageError for an unknown run, a record that was changed, a spec that this version does not
    accept, and a missing panel or data; RunError for a replay that fails.
    """
    stored = log.read(prefix)
    kept = log.has_forecasts(stored["run_id"])
    forecasts = log.read_forecasts(stored["run_id"]) if kept else None
    study = study_as_read(_hypothesis(stored), stored, search)
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as folder:
        temporary = Log(folder)
        gone = _fill(temporary, log, stored)
        outcome = run(
            study,
            temporary,
            # The time of the run, so that registrations are before or after it as they were.
            clock=lambda: datetime.fromisoformat(stored["started"]),
            keep=False,
            progress=progress,
            epochs=epochs,
        )
        again = temporary.read(outcome.run_id)
        parts = (
            *_parts(stored, again),
            _not_stored(stored)
            if forecasts is None
            else _forecasts(forecasts, temporary.read_forecasts(outcome.run_id)),
        )
    return Replay(
        stored["run_id"],
        stored["hypothesis"],
        stored["started"],
        outcome.seconds,
        parts,
        (*_causes(stored, again), *_revisions(stored, again, study)),
        tuple(gone),
    )


def _hypothesis(stored: Mapping[str, Any]) -> Hypothesis:
    """The spec of the run, without drawing figures: they hold no numbers to compare."""
    found = stored_hypothesis(stored)
    return replace(found, run=found.run.model_copy(update={"figures": False}))


def _fill(temporary: Log, log: Log, stored: Mapping[str, Any]) -> list[str]:
    """Copy what the run knew into the temporary log; returns the earlier runs that are gone."""
    family, registration = stored.get("family", {}), stored.get("registration", {})
    temporary.runs_directory.mkdir(parents=True)
    known = {*family.get("run_ids", []), *registration.get("run_ids", [])}
    there = known.intersection(log.runs())
    for run_id in there:
        name = f"run_id={run_id}"
        (temporary.runs_directory / name).symlink_to(log.runs_directory / name, True)
    # Digests of other runs would be of runs that are gone, and those of this one are of later.
    copy_digests(log, temporary, known.union(family.get("gone", []), family.get("unreadable", [])))
    folder = temporary.root / "registrations"
    folder.mkdir()
    for file in registration.get("files", []):
        with suppress(OSError):
            shutil.copyfile(log.root / "registrations" / file, folder / Path(file).name)
    # What the run could not read must be unreadable for the replay too.
    for run_id in family.get("unreadable", []):
        (temporary.runs_directory / f"run_id={run_id}").unlink(missing_ok=True)
        (temporary.runs_directory / f"run_id={run_id}").mkdir()
    for file in registration.get("unreadable", []):
        (folder / Path(file).name).write_bytes(b"")
    return sorted(known - there)


def _parts(stored: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[Part]:
    """Every table and other part of the record that a replay should reproduce."""
    code, its = _codes(stored["environment"], again["environment"])
    compared = partial(_compared, same_code=code == its)
    for name, table in stored["tables"].items():
        if changed := _changed(name, stored, again):
            yield changed
        elif name not in _TIMED:
            yield compared(name, _cells(table, again["tables"].get(name, {})))
    for name in stored:
        if name not in (*_ITS_OWN, *_OF_THE_SPEC, "tables"):
            then, now = stored[name], again.get(name, _NOTHING)
            if name != "family" and (changed := _changed(name, stored, again)):
                yield changed
                continue
            if name == "family" and (changed := _changed(_CHECK, stored, again)):
                yield changed
                then = {key: value for key, value in then.items() if key != _CHECK}
            if name == "family" and (changed := _changed(name, stored, again)):
                yield changed
                continue
            yield compared(name, _values(name, then, now))


def _changed(name: str, stored: Mapping[str, Any], again: Mapping[str, Any]) -> Part | None:
    """The part of that name, not compared, if the method that computes it has changed since."""
    of_residuals = ["residuals"] if name not in _WITHOUT_RESIDUALS else []
    for method in (name, *of_residuals):
        was, now = (record.get("methods", {}).get(method, 1) for record in (stored, again))
        if was != now:
            whose = "" if method == name else " of residuals"
            return Part(name, 0, where=f"not compared: computed by method {was}{whose}, now {now}")
    return None


_Pair = tuple[str, Any, Any]  # where it is, then and now


def _cells(then: Mapping[str, Sequence[Any]], now: Mapping[str, Sequence[Any]]) -> list[_Pair]:
    """A table, column by column; columns that are new in the replay are no difference."""
    return [
        (f"{column}, row {row + 1}", a, b)
        for column in then
        if "seconds" not in column
        for row, (a, b) in enumerate(_padded(then[column], now.get(column, [])))
    ]


def _padded(then: Sequence[Any], now: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    for row in range(max(len(then), len(now))):
        yield (
            then[row] if row < len(then) else _NOTHING,
            now[row] if row < len(now) else _NOTHING,
        )


def _values(name: str, then: Any, now: Any) -> list[_Pair]:
    return [
        (".".join(map(str, path)) or name, a, b)
        for path, a, b in _pairs(then, now)
        if (name, *path[:1]) not in _NOT_NUMBERS
    ]


def _pairs(then: Any, now: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any, Any]]:
    """Every value then and now, by its path; a longer list now has `nothing` then.

    Keys that are new in the replay are no difference.
    """
    if isinstance(then, dict) and then:
        found = now if isinstance(now, dict) else {}
        items = [(key, item, found.get(key, _NOTHING)) for key, item in then.items()]
    elif isinstance(then, list) and isinstance(now, list) and (then or now):
        items = [(row, a, b) for row, (a, b) in enumerate(_padded(then, now))]
    else:
        yield path, then, now
        return
    for key, a, b in items:
        yield from _pairs(a, b, (*path, key))


def _compared(name: str, pairs: Sequence[_Pair], *, same_code: bool) -> Part:
    # Texts are compared too: 0.0 equals -0.0, and 1 equals true.
    off = [(place, a, b) for place, a, b in pairs if a != b or repr(a) != repr(b)]
    other = [] if same_code else [pair for pair in off if _is_sentence(*pair[1:])]
    off = [pair for pair in off if pair not in other]
    if not off:
        return Part(name, len(pairs), reworded=len(other))
    numbers = [abs(a - b) for _, a, b in off if _is_number(a) and _is_number(b)]
    place, a, b = off[0]
    where = f"{place}: was {_short(a)}, is {_short(b)}"
    return Part(name, len(pairs), len(off), max(numbers, default=None), where, len(other))


def _is_sentence(then: Any, now: Any) -> bool:
    """Whether both are text for people, of three words or more, or one is and the other is gone."""
    texts = [value for value in (then, now) if value != _NOTHING]
    return all(isinstance(value, str) and len(value.split()) > 2 for value in texts)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else text[:59] + "…"


def _not_stored(stored: Mapping[str, Any]) -> Part:
    """The part of the forecasts where the log has the record alone."""
    by_digest = "forecasts_digest" in stored
    how = "compared by forecasts_digest" if by_digest else "not compared: the record has no digest"
    return Part("forecasts", 0, where=f"not in this log; {how}")


def _forecasts(then: pl.DataFrame, now: pl.DataFrame) -> Part:
    """Rows, targets and forecasts, bit by bit."""
    values = 2 * then.height
    keys = ["horizon", "model", "symbol", "formed_at", "resolved_at", "window"]
    if not then.select(keys).equals(now.select(keys)):
        why = f"other forecast origins: {then.height:,} rows were stored, {now.height:,} were made"
        return Part("forecasts", values, max(then.height, now.height), None, why)
    differ = 0
    largest: float | None = None
    where: str | None = None
    for column in ("y", "yhat"):
        a, b = then[column].to_numpy(), now[column].to_numpy()
        off = np.flatnonzero(a.view(np.int64) != b.view(np.int64))
        if off.size:
            differ += off.size
            largest = max(largest or 0.0, float(np.abs(a[off] - b[off]).max()))
            row = then.row(int(off[0]), named=True)
            at = (
                f"{row['horizon']} {row['model']} {row['symbol']} {row['formed_at']:%Y-%m-%d %H:%M}"
            )
            where = where or f"{column}, {at}: was {a[off[0]]:.17g}, is {b[off[0]]:.17g}"
    return Part("forecasts", values, differ, largest, where)


def _causes(stored: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[Cause]:
    """Everything that numbers depend on: data, panel file, code, libraries, machine, threads."""
    then, now = stored["environment"], again["environment"]
    for what, key in (("data", "fingerprint"), ("panel file", "digest")):
        yield Cause(what, str(stored["panel"].get(key)), str(again["panel"].get(key)))
        if stored.get("source") and again.get("source"):
            both = (str(record["source"].get(key)) for record in (stored, again))
            yield Cause(f"source's {what}", *both)
    yield Cause("spec", str(stored["spec_hash"]), str(again["spec_hash"]))
    yield Cause("code", *_codes(then, now))
    for what in ("python", "machine"):
        yield Cause(what, str(then.get(what)), str(now.get(what)))
    for what in ("libraries", "threads"):
        old, new = then.get(what) or {}, now.get(what) or {}
        for name in old:
            yield Cause(name, str(old[name]), str(new.get(name)))
    was, there = then.get("plugins") or {}, now.get("plugins") or {}
    for kind in was:
        yield Cause(f"plug-in {kind}", _plugin(was[kind]), _plugin(there.get(kind) or {}))


def _revisions(
    stored: Mapping[str, Any], again: Mapping[str, Any], study: Study
) -> Iterator[Cause]:
    """Where data differ that the run read, if its record holds months to compare."""
    for key, of in (("panel", study), ("source", study.source)):
        then, now = stored.get(key), again.get(key)
        if of is None or not (then and now and then.get("contents")):
            continue
        if then["fingerprint"] != now["fingerprint"]:
            contents = read_contents(of.panel, of.plan)[1]
            found = revised(then["contents"], contents, until=None)
            what = f"bars of {then['name']} until {then['end'][:16].replace('T', ' ')}"
            if found is not None:
                yield Cause(what, "those of the record", found.words())


def _plugin(words: Mapping[str, Any]) -> str:
    return " ".join(str(words.get(key)) for key in ("distribution", "version", "source"))


def _codes(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str]:
    """The version of the code: the hash of its source where that is the same, else git's name."""
    if then.get("source") == now.get("source"):
        return str(then.get("source")), str(now.get("source"))
    return str(then.get("code_version")), str(now.get("code_version"))
