"""Kinds of model from installed packages, through the entry point group `harness.models`.

The offered kinds are read from the packages' metadata, which imports no package; a package is
imported when a hypothesis names its kind. An entry point gives a `Kind`, like the built-in ones;
its class is imported when a model is built.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from harness.measures.table import MEASURES
from harness.models.foreign import lacking, misfits, told
from harness.models.linear import Linear
from harness.models.params import ModelKeys, Params
from harness.models.protocol import Forecaster, Task
from harness.models.table import KINDS, Kind
from harness.toml.fields import NAME, NAME_WANTED

GROUP = "harness.models"
_SCOPES = ("pooled", "effects", "asset")
_SOURCES = (".py", ".so", ".pyd")


class Unusable(Exception):
    """A plug-in that cannot be used: its distribution, and why."""


@dataclass(frozen=True)
class Offer:
    """A kind offered by an installed distribution: its entry point, not imported."""

    point: EntryPoint

    @property
    def distribution(self) -> str:
        """The name of the distribution."""
        return (self.point.dist and self.point.dist.name) or "a distribution without a name"

    @property
    def version(self) -> str:
        """Its version."""
        return (self.point.dist and self.point.dist.version) or "without a version"

    def __str__(self) -> str:
        """`decayed-har 1.0 (decayed_har:KIND)`."""
        return f"{self.distribution} {self.version} ({self.point.value})"


@dataclass(frozen=True)
class Plugin:
    """A kind of model from an installed distribution."""

    kind: Kind
    offer: Offer

    @property
    def model_class(self) -> type:
        """The kind's class, imported here. Unusable if it is missing or has no `build`."""
        module, _, name = self.kind.target.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (Exception, SystemExit) as error:
            why = f"{self.kind.target} cannot be imported: {told(error, module)}"
            raise Unusable(f"{self.offer}: {why}") from None
        if not isinstance(found, type) or not callable(getattr(found, "build", None)):
            wanted = "a class with a classmethod build(params, task)"
            raise Unusable(f"{self.offer}: {self.kind.target} is not {wanted}")
        return found

    def build(self, params: Params, task: Task, columns: Collection[str]) -> Forecaster:
        """An unfitted model for this task; Unusable if the walk cannot work with it.

        `columns` are the measured columns, which its features may read.
        """
        made_of: Any = self.model_class
        try:
            model: Forecaster = made_of.build(params, task)
            absent = list(lacking(model))
            wrong = [] if absent else list(misfits(model, columns))
        except (Exception, SystemExit) as error:
            why = f"its model cannot be built: {told(error, made_of.__module__)}"
            raise Unusable(f"{self.offer}: {why}") from None
        if absent:
            lacks = f"{type(model).__name__}, lacks {', '.join(absent)}"
            raise Unusable(f"{self.offer}: what build returns, {lacks}")
        if "effects" in self.kind.scopes and not (isinstance(model, Linear) and model.swept):
            wrong.append("scope 'effects' is for models that are Linear and swept")
        if wrong:
            raise Unusable(f"{self.offer}: {wrong[0]}")
        return model

    @property
    def source(self) -> str | None:
        """`sha256:` and the hash of its source files; None if it has none."""
        return _source(self.model_class, self.offer.point.module)

    def words(self) -> dict[str, str | None]:
        """The identity of its code, for the record and for cache keys."""
        return {
            "distribution": self.offer.distribution,
            "version": self.offer.version,
            "source": self.source,
        }


def offers() -> dict[str, list[Offer]]:
    """The kinds that installed packages offer, by name; nothing is imported."""
    found: dict[str, list[Offer]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        found.setdefault(point.name, []).append(Offer(point))
    return found


def load(name: str, offered: Sequence[Offer]) -> Plugin:
    """The plug-in of this name, imported; Unusable if there is no usable offer."""
    if name in KINDS:
        refused = "; ".join(map(str, offered))
        raise Unusable(f"{refused}: refused, since {name} is a built-in kind")
    if len(offered) > 1:
        raise Unusable(f"offered by {' and by '.join(map(str, offered))}: uninstall all but one")
    offer = offered[0]
    try:
        kind = offer.point.load()
    except (Exception, SystemExit) as error:
        package = offer.point.value.partition(":")[0]
        raise Unusable(f"{offer}: cannot be imported: {told(error, package)}") from None
    wrong = next(_wrong(kind, name), None)
    if wrong is not None:
        raise Unusable(f"{offer}: {wrong}")
    return Plugin(kind, offer)


def loaded() -> Iterator[tuple[str, Plugin | str]]:
    """Every installed plug-in by name, imported, or why it cannot be used."""
    for name, offered in offers().items():
        try:
            plugin = load(name, offered)
            plugin.model_class  # noqa: B018 - asked for what it raises
        except Unusable as error:
            yield name, str(error)
        else:
            yield name, plugin


def _wrong(kind: object, name: str) -> Iterator[str]:
    """What is wrong with the object of an entry point."""
    if not isinstance(kind, Kind):
        yield f"the entry point gives a {type(kind).__name__}, wanted a harness.Kind"
        return
    if kind.name != name:
        yield f"its Kind is named {kind.name!r}, wanted the entry point's name, {name!r}"
    if not NAME.fullmatch(name):
        yield f"it is named {name!r}, wanted {NAME_WANTED}"
    for key in ("target", "summary", "source"):
        if not isinstance(getattr(kind, key), str) or not getattr(kind, key).strip():
            yield f"its Kind has no text in {key}"
    scopes = kind.scopes
    if not isinstance(scopes, tuple) or not scopes or not set(scopes) <= set(_SCOPES):
        yield f"its Kind has scopes {scopes!r}, wanted a tuple of some of {', '.join(_SCOPES)}"
    unknown = [measure for measure in kind.stepwise if measure not in MEASURES]
    if unknown:
        yield f"its Kind has {unknown[0]!r} in stepwise, wanted some of {', '.join(MEASURES)}"
    yield from _wrong_params(kind.params)


def _wrong_params(params: Any) -> Iterator[str]:
    """What is wrong with the class of a kind's parameters."""
    if not isinstance(params, type) or not issubclass(params, Params):
        shown = getattr(params, "__name__", type(params).__name__)
        yield f"its params are {shown}, wanted a subclass of harness.Params"
        return
    changed = [key for key, v in Params.model_config.items() if params.model_config.get(key) != v]
    if changed:
        yield f"{params.__name__} changes {changed[0]} of harness.Params, which is fixed"
    fields = params.model_fields
    keys = [field.alias or name for name, field in fields.items()]
    taken = [key for key in ("kind", *ModelKeys.model_fields) if key in keys]
    if taken:
        yield f"{params.__name__} has a key {taken[0]!r}, which every model has already"
    wanted: Mapping[str, Any] = {
        **dict.fromkeys(params.lists, list[str]),
        **dict.fromkeys(params.expressions, str),
    }
    for key, annotation in wanted.items():
        if key in fields and fields[key].annotation != annotation:
            said = getattr(annotation, "__name__", annotation) if annotation is str else annotation
            yield f"{params.__name__}.{key} is not {said}, wanted for expressions"
        elif key not in fields and key != "features":
            yield f"{params.__name__} has no key {key!r}, which its expressions name"


@cache
def _source(model: type, entry: str) -> str | None:
    """The hash of the packages of a class and of its entry point's module.

    Cached by class: a process that imported a package before an edit keeps the hash of the old
    text; reloading the module makes a new class, with a new hash.
    """
    digest, count = hashlib.sha256(), 0
    for package in sorted({p for m in (model.__module__, entry) if (p := _package(m))}):
        inside = package.parent.rglob("*") if package.stem == "__init__" else [package]
        try:
            for path in sorted(p for p in inside if p.suffix in _SOURCES):
                digest.update(path.relative_to(package.parent).as_posix().encode() + b"\0")
                digest.update(path.read_bytes())
                count += 1
        except OSError:
            return None
    return f"sha256:{digest.hexdigest()}" if count else None


def _package(module: str) -> Path | None:
    """The file of the outermost package of the module that has a file."""
    parts = module.split(".")
    names = (".".join(parts[:k]) for k in range(1, len(parts) + 1))
    files = (getattr(sys.modules.get(name), "__file__", None) for name in names)
    return next((Path(file) for file in files if file), None)
