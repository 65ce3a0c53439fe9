"""No sound study fails its audit: every family of models on every honest panel.

`python tests/support/sound.py` audits 300 of them, the slow families too.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import cheats, sound

TORCH = importlib.util.find_spec("torch") is not None
SLOW = {
    *(("still", family) for family in ("net", "neighbours", "forest")),
    *((panel, "forest") for panel in sound.PANELS),
    *(
        (panel, family)
        for family in sound.FAMILIES
        for panel in sound.PANELS
        if family.startswith("plug-in, ")
        and (family.split(", ")[1] in ("mlp", "neighbours", "forest") or "sessions" in panel)
    ),
}
CHOSEN = [study for study in sound.STUDIES if study not in SLOW and (TORCH or study[1] != "net")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the panels, with the plug-ins installed."""
    place = tmp_path_factory.mktemp("sound")
    site = str(cheats.install(place / "site"))
    sys.path.insert(0, site)
    yield place
    sys.path.remove(site)
    sys.modules.pop("cheats", None)


@pytest.mark.parametrize(("panel", "family"), CHOSEN)
def test_a_sound_study_raises_no_alarm(panel, family, folder):
    audit = sound.audit(folder, panel, family, f"{family} on {panel}")
    assert audit.passed, audit.forbidden
    assert audit.stretches, audit.left_out
    assert not audit.left_out or (panel, family) == ("ragged", "garch")  # RARE has few returns
