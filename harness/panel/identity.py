"""One hash of everything in a panel file that decides how its bars are read.

A fingerprint covers the values in the source. How they are dated, adjusted, filled, joined and
dropped is stated by the panel file alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from harness.panel.cleaning import Cleaning
from harness.panel.sections import PanelTable
from harness.panel.spec import PanelSpec, Side

# Texts for people, paths, how revisions are judged, how much is read: they change no bar.
_NOT_HASHED = (
    "name", "title", "note", "how_to_get", "file", "digest", "revision_tolerance", "until", "among",
)  # fmt: skip
_DEFAULTS = {key: field.default for key, field in PanelTable.model_fields.items()} | {
    "params": {}, "keep": (), "drop_inconsistent": False, "side": {}, "cleaning": Cleaning(),
    "members": None,
}  # fmt: skip


def panel_identity(spec: PanelSpec, columns: Collection[str]) -> str:
    """`sha256:` and a hash of all that the file states about these columns, but no texts or paths.

    It covers the panels of side series among the columns. Keys at their default are left out, so
    that a key added later changes no hash.
    """
    words = json.dumps(_words(spec, columns), sort_keys=True, default=vars)
    return "sha256:" + hashlib.sha256(words.encode()).hexdigest()[:32]


def _words(spec: PanelSpec, columns: Collection[str]) -> dict[str, Any]:
    words = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name not in _NOT_HASHED}
    words["bar"] = spec.bar.ns
    words["params"] = spec.params.model_dump(exclude={"path"}, exclude_defaults=True)
    for key in ("columns", "extra_units"):
        words[key] = _only(words[key], columns)
    if spec.labels:
        words["labels"] = {"symbol": spec.labels.symbol, "columns": spec.labels.columns}
        words["labels"] |= {"groups": spec.labels.groups} if spec.labels.groups else {}
    words["members"] = spec.members and _words(spec.members, ("close",))
    words["side"] = {name: _side(side) for name, side in _only(spec.side, columns).items()}
    return {key: value for key, value in words.items() if value != _DEFAULTS.get(key)}


def _side(side: Side) -> dict[str, Any]:
    panel = _words(side.panel, (side.column,))
    return {"column": side.column, "max_age": side.max_age, "panel": panel}


def _only(of: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in of.items() if name in columns}
