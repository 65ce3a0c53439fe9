"""Sound studies of every family of models on honest panels: none of their audits may fail.

A study is a family on a panel under a claim; another word in the claim is another hash, and so
other windows, stretches and shuffles. `python tests/support/sound.py` audits 300 of them and prints
every alarm.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support import cheats, workspace
from support import honest_panels as panels

import harness
from harness.audit.auditor import FULL, SHORT, Auditor, Form
from harness.audit.findings import Audit
from harness.study.stages import MeasuredStudy, forecast, measure_study
from harness.study.study import set_up
from harness.types import Forecasts, Samples


def _hours(folder: Path) -> None:
    (folder / "panels/tiny.toml").write_text(workspace.PANEL)


def _three(folder: Path) -> None:
    text = workspace.changed(("days = 30", "days = 30\nsymbols = 3"), text=workspace.PANEL)
    (folder / "panels/tiny.toml").write_text(text)


def _daily(folder: Path) -> None:
    panels.exchange(folder, "out")


# A panel and the three scales of its features.
PANELS: dict[str, tuple[Callable[[Path], None], tuple[str, str, str]]] = {
    "hours": (_hours, ("1h", "4h", "1d")),
    "hours of three": (_three, ("1h", "4h", "1d")),
    "sessions": (panels.exchange, ("1d", "5d", "22d")),
    "sessions without nights": (_daily, ("1d", "5d", "22d")),
    "ragged": (panels.ragged, ("1d", "5d", "22d")),
    "still": (panels.still, ("1d", "5d", "22d")),
}
_FEATURES = 'features = ["log(rv_{a})", "log(rv_{b})", "log(rv_{c})"]'
_NET = "sequence_length = 3\nlayers = 1\nwidth = 4\nepochs = 2\nbatch = 64\ndevice = 'cpu'"


def _plug_in(how: str) -> str:
    return f'kind = "cheat"\nhow = "{how}"\n{_FEATURES}'


FAMILIES = {
    "linear": f'kind = "ols"\n{_FEATURES}',
    "weighted": f'kind = "wls"\nweight = "1 / rv_{{c}}"\n{_FEATURES}',
    "effects": f'kind = "ols"\nscope = "effects"\n{_FEATURES}',
    "by asset": f'kind = "ols"\nscope = "asset"\n{_FEATURES}',
    "garch": 'kind = "garch"',
    "boosted": f'kind = "lightgbm"\nrounds = 40\nearly_stopping = 5\n{_FEATURES}',
    "forest": f'kind = "sklearn"\nclass = "sklearn.ensemble.RandomForestRegressor"\n{_FEATURES}',
    "neighbours": f'kind = "sklearn"\nclass = "sklearn.neighbors.KNeighborsRegressor"\n{_FEATURES}',
    "net": f'kind = "gru"\n{_NET}\n{_FEATURES}',
    "plug-in, least squares": _plug_in("honest"),
    "plug-in, by asset": f'{_plug_in("honest")}\nscope = "asset"',
    "plug-in, fixed slopes": _plug_in("fixed"),
    "plug-in, mlp": _plug_in("mlp"),
    "plug-in, neighbours": _plug_in("knn"),
    "plug-in, forest": _plug_in("forest"),
    "plug-in, single precision": _plug_in("single"),
}
# A run refuses a symbol of no movement with a fit of its own.
_REFUSED = {("still", "by asset"), ("still", "garch")}
STUDIES = tuple(
    (panel, family) for family in FAMILIES for panel in PANELS if (panel, family) not in _REFUSED
)


def text_of(panel: str, family: str) -> str:
    """The hypothesis of a family on a panel, against a HAR."""
    hours = panel.startswith("hours")
    base = workspace.HYPOTHESIS if hours else panels.HYPOTHESIS
    a, b, c = PANELS[panel][1]
    own = FAMILIES[family].replace("{a}", a).replace("{b}", b).replace("{c}", c)
    held = ('embargo = "1d"', 'embargo = "1d"\nvalidation = "2d"')
    if not hours:
        held = ('embargo = "5d"', 'embargo = "5d"\nvalidation = "40d"')
    changes = [
        held,
        ("[verdict]", f"[models.own]\n{own}\n\n[verdict]"),
        ('baseline = "persistence"', 'baseline = "har"'),
        ('candidates = ["har"]', 'candidates = ["own"]'),
    ]
    if not hours:
        changes.append(('train = "200d"', 'train = "300d"'))
    return workspace.changed(*changes, text=base)


@cache
def _laid_out(folder: Path, panel: str) -> Path:
    place = folder / panel.replace(" ", "-")
    place.mkdir()
    workspace.lay_out(place)
    PANELS[panel][0](place)
    return place


@cache
def _made(folder: Path, panel: str, family: str) -> tuple[MeasuredStudy, list[Samples], Forecasts]:
    """A study, measured, with the rows of every horizon and the forecasts of the decided one."""
    place = _laid_out(folder, panel)
    file = place / "hypotheses/tiny-har.toml"
    file.write_text(text_of(panel, family))
    measured = measure_study(set_up(harness.load_hypothesis(file), [place / "panels"]), keep=False)
    h = measured.study.hypothesis
    rows = [measured.samples(horizon) for horizon in map(str, h.target.horizons)]
    (deciding,) = (s for s in rows if s.horizon == str(h.verdict.horizon))
    return measured, rows, forecast(measured.study, deciding, measured.span)


def audit(folder: Path, panel: str, family: str, claim: str, form: Form = SHORT) -> Audit:
    """The audit of one study, as in a run; the plug-ins must be installed."""
    measured, rows, made = _made(folder, panel, family)
    h = measured.study.hypothesis
    identity = h.identity.model_copy(update={"claim": claim})
    study = replace(measured.study, hypothesis=replace(h, identity=identity))
    auditor = Auditor(replace(measured, study=study), form=form)
    for samples in rows:
        auditor.rows(samples, made if samples.horizon == made.horizon else None)
    return auditor.result()


def _asked(count: int, whole: int) -> Iterator[tuple[str, str, int, Form]]:
    """As many studies, all families and panels in turn, the first `whole` in the full form too."""
    for number in range(count):
        panel, family = STUDIES[number % len(STUDIES)]
        yield panel, family, number, SHORT
    for number in range(whole):
        yield *STUDIES[number * 11 % len(STUDIES)], number, FULL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--whole", type=int, default=12, help="of these in the full form too")
    parser.add_argument("--of", default="", help="families with this word only")
    asked = parser.parse_args()
    alarms = left = 0
    began, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sys.path.insert(0, str(cheats.install(folder / "site")))
        for panel, family, number, form in _asked(asked.count, asked.whole):
            if asked.of not in family:
                continue
            found = audit(folder, panel, family, f"claim {number}", form)
            alarms += not found.passed
            left += bool(found.left_out)
            for words in (*found.forbidden, *found.left_out):
                print(f"{panel}, {family}, claim {number}, {form.name}: {words}", flush=True)
    print(
        f"{alarms} alarms; in {left} audits something was left out; "
        f"{time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} s of them CPU here"
    )


if __name__ == "__main__":
    main()
