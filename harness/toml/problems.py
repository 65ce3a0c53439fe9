"""Turns a TOML file into checked sections, or into a one-line error that names the key.

Used for every kind of spec file; it knows no particular section. A field's own validator states
what is wanted as the text of its ValueError; for all other errors the field's description does.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from harness.errors import SpecError, UsageError, nearest, one_line

MAX_BYTES = 1_000_000
Loc = tuple[str | int, ...]
Section = TypeVar("Section", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """One error in a spec file: its key, the value found, what is wanted, the nearest word."""

    loc: Loc
    wanted: str
    got: object = None
    nearest: str | None = None


def read_spec(path: Path, what: str) -> str:
    """The file's text without a byte order mark.

    `what` names the kind of file in messages. Raises UsageError if the file is missing or cannot
    be read, SpecError if it is not text, is empty or is larger than 1 MB.
    """
    shown = one_line(path, 300)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = nearest(path.name, (other.name for other in path.parent.glob("*.toml")))
        hint = f"; did you mean '{path.with_name(near)}'?" if near else ""
        raise UsageError(f"{shown}: no such file, wanted {what} (TOML){hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{shown}: cannot be read ({reason}), wanted {what} (TOML)") from None
    if len(content) > MAX_BYTES:
        raise SpecError(path, "the file", wanted=f"{what} of at most 1 MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wanted = f"{what} in UTF-8 (byte {error.start} is invalid)"
        raise SpecError(path, "the file", wanted=wanted) from None
    if not text.strip():
        raise SpecError(path, "the file", wanted=f"{what}, but it is empty")
    return text


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """The file's tables. SpecError names the line that is not valid TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SpecError(path, "the file", wanted="less deeply nested TOML") from None
    except ValueError as error:
        reason = one_line(Unquoted(str(error)), 160)
        place = re.search(r"line (\d+)", reason)
        number = int(place[1]) if place else text.count("\n", 0, len(text.rstrip())) + 1
        line = text.split("\n")[number - 1].strip() if place else None
        raise SpecError(path, f"line {number}", got=line, wanted=f"TOML: {reason}") from None


@dataclass(frozen=True)
class Unquoted:
    """Text that a message shows without quotation marks."""

    words: str

    def __str__(self) -> str:
        return self.words[:1].lower() + self.words[1:]


def unknown_key(loc: Loc, known: Collection[str]) -> Problem:
    """The problem that the last part of `loc` is not a known key."""
    key = str(loc[-1])
    return Problem(loc, f"one of the keys {', '.join(known)}", key, nearest(key, known))


def unknown_word(loc: Loc, word: object, known: Collection[str]) -> Problem:
    """The problem that `word` is not one of the words allowed at `loc`."""
    return Problem(loc, f"one of {', '.join(known)}", word, nearest(str(_printable(word)), known))


def validate(
    model: type[Section], table: object, loc: Loc, also: tuple[str, ...] = ()
) -> tuple[Section | None, list[Problem]]:
    """The section built from `table`, or None and its problems.

    `also` are valid keys of the table that the model does not have; messages list them too.
    """
    if not isinstance(table, Mapping):
        return None, [Problem(loc, f"a table [{key_text(loc)}]", table)]
    try:
        return model.model_validate(table), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    keys = (*also, *fields_by_key(model))
    # A misspelt key is one problem, not an unknown key plus a missing one. A default that could
    # not be computed because another key is wrong is not a problem of its own.
    meant = {nearest(str(d["loc"][-1]), keys) for d in details if d["type"] == "extra_forbidden"}
    problems = [
        _problem(detail, (*loc, *detail["loc"]), model, keys)
        for detail in details
        if detail["type"] != "default_factory_not_called"
        and not (detail["type"] == "missing" and detail["loc"][-1] in meant)
    ]
    return None, problems


def fields_by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The model's fields by their key in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _problem(
    detail: ErrorDetails, loc: Loc, model: type[BaseModel], keys: Collection[str]
) -> Problem:
    if detail["type"] == "extra_forbidden":
        return unknown_key(loc, keys)
    # A problem between several keys of a section has no key of its own.
    described = fields_by_key(model)[str(detail["loc"][0])].description if detail["loc"] else None
    if detail["type"] == "missing":
        return Problem(loc, "this key, which is missing" + (f": {described}" if described else ""))
    if detail["type"] == "value_error":
        return Problem(loc, str(detail["ctx"]["error"]), detail["input"])
    if detail["type"] == "literal_error":
        words = re.findall(r"'([^']+)'", detail["ctx"]["expected"])
        return unknown_word(loc, detail["input"], words)
    count = re.search(r"at (?:least|most) \d+ items?", detail["msg"])
    said = count[0] if count else detail["msg"].removeprefix("Input should be ")
    return Problem(loc, described or said, detail["input"])


def refuse(path: Path, raw: Mapping[str, Any], problems: list[Problem]) -> NoReturn:
    """Raise SpecError for the problem that comes first in the file; count the others."""
    first = min(problems, key=lambda problem: _place(raw, problem.loc))
    error = SpecError(
        path,
        key_text(first.loc),
        got=_printable(first.got),
        wanted=first.wanted,
        nearest=first.nearest,
    )
    if len(problems) > 1:
        rest = len(problems) - 1
        error.args = (f"{error} (and {rest} more mistake{'s' if rest != 1 else ''})",)
    raise error


def key_text(loc: Loc) -> str:
    """`models.har-rv.features[2]`; a part that is not a bare TOML key is quoted."""
    words = ""
    for part in loc:
        if isinstance(part, int):
            words += f"[{part}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", part)
            words += ("." if words else "") + (part if bare else one_line(part, 60))
    return words


def _place(raw: object, loc: Loc) -> tuple[int, ...]:
    """The position of `loc` in the file; a missing key counts as the last of its table."""
    place = []
    for part in loc:
        if isinstance(raw, dict):
            place.append(list(raw).index(part) if part in raw else len(raw))
            raw = raw.get(part)
        elif isinstance(raw, list) and isinstance(part, int):
            place.append(part)
            raw = raw[part]
    return tuple(place)


def _printable(value: object) -> object:
    """`value`, or a description if it holds an integer too long for Python to print."""
    try:
        str(value)
    except ValueError:
        return Unquoted("a number of thousands of digits")
    return value
