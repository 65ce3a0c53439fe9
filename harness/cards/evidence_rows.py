"""The tests of predictive ability of a record as the rows of the card's section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cards.group_rows import rows_of

WORDS = {
    "giacomini-white": "Giacomini-White",
    "giacomini-white-conditional": "Giacomini-White, conditional",
    "clark-west": "Clark-West",
    "encompassing": "encompassing",
}
_SIGNS = {"ln sigma": "ln σ", "ln variance": "ln σ²", "sigma": "σ", "variance": "σ²"}


def ability_rows(record: Mapping[str, Any]) -> dict[str, Any]:
    """The tests by table of the card: `pairs`, `calibration`, `bootstrap`; {} for none.

    Records from before there were such tests have none.
    """
    rows = [
        row | {"quantity": _SIGNS.get(row["quantity"], row["quantity"])}
        for row in rows_of(record["tables"].get("ability", {}))
    ]
    if not rows:
        return {}
    found = {"calibration": "mincer-zarnowitz", "bootstrap": "bootstrap"}
    by = {kind: [row for row in rows if row["test"] == test] for kind, test in found.items()}
    pairs = [row | {"words": WORDS[row["test"]]} for row in rows if row["test"] in WORDS]
    nested = any(row["test"] == "clark-west" for row in pairs)
    return {"pairs": pairs, "nested": nested, **by}
