"""What of a panel file says how its bars are read, as one hash.

A fingerprint covers values as they stand in the source. How they are dated, held, filled, joined
and left out is said by the file alone.
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

# For people, or where things lie: another text here reads the same bars.
_SAYS_NOTHING = ("name", "title", "note", "how_to_get", "file", "digest")
_UNSAID = {key: field.default for key, field in PanelTable.model_fields.items()} | {
    "params": {}, "keep": (), "drop_inconsistent": False, "side": {}, "cleaning": Cleaning(),
    "members": None,
}  # fmt: skip


def panel_identity(spec: PanelSpec, columns: Collection[str]) -> str:
    """`sha256:` and a hash of all that the file says of these columns, but for words and paths.

    The panels of side series among the columns are part of it. Keys at their default say nothing,
    so that a key which comes later changes no hash.
    """
    words = json.dumps(_words(spec, columns), sort_keys=True, default=vars)
    return "sha256:" + hashlib.sha256(words.encode()).hexdigest()[:32]


def _words(spec: PanelSpec, columns: Collection[str]) -> dict[str, Any]:
    words = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name not in _SAYS_NOTHING}
    words["bar"] = spec.bar.ns
    words["params"] = spec.params.model_dump(exclude={"path"}, exclude_defaults=True)
    for key in ("columns", "extra_units"):
        words[key] = _only(words[key], columns)
    if spec.labels:
        words["labels"] = {"symbol": spec.labels.symbol, "columns": spec.labels.columns}
        words["labels"] |= {"groups": spec.labels.groups} if spec.labels.groups else {}
    words["members"] = spec.members and _words(spec.members, ("close",))
    words["side"] = {name: _side(side) for name, side in _only(spec.side, columns).items()}
    return {key: value for key, value in words.items() if value != _UNSAID.get(key)}


def _side(side: Side) -> dict[str, Any]:
    panel = _words(side.panel, (side.column,))
    return {"column": side.column, "max_age": side.max_age, "panel": panel}


def _only(of: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in of.items() if name in columns}
