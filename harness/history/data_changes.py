"""Whether the data that an earlier run or registration read has changed since, and by how much.

Every version of a hypothesis, and every run that asked the same question under another name
(Hypothesis.question_hash), is held to the data of every other: what it read and what is read now
are compared month by month. Older records do not hold months: their fingerprint is compared with
that of the panel cut at the record's end, and the targets that they stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.durations import parse_moment
from harness.errors import HarnessError
from harness.history.stored_targets import MovedTargets, targets_moved
from harness.log.registrations import DataRead
from harness.log.run_digests import RunDigest, sealed_data
from harness.log.store import Log
from harness.panel.contents import Contents, begins_as
from harness.panel.identity import panel_identity
from harness.panel.revisions import Revision, revised, shifted, size_words
from harness.samples.measured import read_contents
from harness.spec.reading import parse_hypothesis
from harness.study.stages import MeasuredStudy, target_settings
from harness.study.study import Study, on_panel
from harness.types import Forecasts

_OTHERWISE = "its file says otherwise how bars are read, held, filled or joined"


@dataclass(frozen=True)
class Difference:
    """How earlier data differ from the present: `shown` in words, None if a fingerprint shows it.

    `size` is in ln of volatility, infinite where it cannot be told. `slight`: it forbids no
    verdict, being within rounding, within the panel's tolerance, or another beginning of the
    history. `revised`: values differ, not the beginning alone. `of_source`: it is in the source
    panel of pretrained models.
    """

    shown: str | None
    size: float = math.inf
    slight: bool = False
    revised: bool = True
    of_source: bool = False


@dataclass(frozen=True)
class Earlier:
    """What an earlier run, `run_id`, or a registration read, and the text of its spec.

    `same_spec`: it is a run or registration of the present spec. `latest`: it is the last run or
    registration of these, or of the other versions; of older records only these are compared with
    data that grew, which takes reading the panel again.
    """

    data: DataRead
    spec: str
    run_id: str | None
    same_spec: bool
    latest: bool


@dataclass(frozen=True)
class PresentData:
    """The data of the present run, or registration, which has no `forecasts`."""

    measured: MeasuredStudy
    log: Log
    forecasts: Mapping[str, Forecasts]
    _again: dict[tuple[str, str | None], tuple[str, Contents] | None] = field(default_factory=dict)

    def difference(self, then: Earlier) -> Difference | None:
        """How the earlier data differ from the present; None where they do not."""
        study, facts = self.measured.study, self.measured.facts
        found = self._of_panel(then, study, self.measured.data, facts.contents)
        if found is not None and not found.slight:
            return found
        source, now = study.source, self.measured.data.source
        taught, read = then.data.source, self.measured.source_facts
        if source is None or now is None or taught is None or read is None:
            return found
        of_source = replace(then, data=taught, run_id=None)
        other = self._of_panel(of_source, source, now, read.contents)
        return found if other is None else replace(other, of_source=True)

    def of_others(self, runs: Sequence[RunDigest]) -> list[str]:
        """Says that the latest of these runs of other hypotheses that read other data did so."""
        facts = self.measured.facts
        for run in reversed(runs):
            begun, same = run.beginning, run.fingerprint == facts.fingerprint
            if same or begun is None or run.panel != self.measured.data.panel:
                continue
            if begins_as(begun, facts.contents.panel):
                continue
            for _, data, spec in sealed_data(self.log, [run])[0]:
                found = self.difference(Earlier(data, spec, None, False, False))
                if found is not None and not found.of_source:
                    size = "" if math.isinf(found.size) else f"; {size_words(found.size)}"
                    return [
                        f"The panel has changed since run {run.run_id} of {run.hypothesis} read it "
                        f"on {run.started[:10]}: {found.shown}{size}."
                    ]
        return []

    def _of_panel(
        self, then: Earlier, study: Study, now: DataRead, contents: Contents
    ) -> Difference | None:
        data, spec = then.data, study.panel_spec
        if data.panel != now.panel:
            return None
        if data.meaning is not None:
            known = set(data.columns) <= set(spec.names)
            if not known or panel_identity(spec, data.columns) != data.meaning:
                return Difference(_OTHERWISE)
        alike = data.columns == now.columns and data.selection in (None, now.selection)
        if alike and data.fingerprint == now.fingerprint:
            return None
        if data.contents is None:
            return self._by_fingerprint(then, study, now, alike=alike)
        if data.selection != now.selection:
            read = self._read_as(then, study, None)
            if read is None:
                return None
            contents = read[1]
        until = study.hypothesis.panel.end
        revision = revised(data.contents, contents, until=until)
        begun = None
        if study.hypothesis.panel.start is None:
            begun = shifted(data.contents, contents)
        if revision is None:
            return Difference(begun, 0.0, slight=True, revised=False) if begun else None
        return self._sized(then, revision, begun, spec.revision_tolerance or 0.0)

    def _sized(
        self, then: Earlier, revision: Revision, begun: str | None, tolerance: float
    ) -> Difference:
        """The larger of the contents' and the stored targets' differences."""
        # What is a change already needs no reading of forecasts, but in the one that is shown.
        asked = then.latest or revision.within(tolerance)
        moved = self._targets(then) if asked else None
        size = max(revision.size, moved.size if moved else 0.0)
        whole = Revision(revision.where, size)
        words = [moved.first if moved else None, revision.where, begun]
        shown = "; ".join(word for word in words if word)
        return Difference(shown, size, slight=whole.within(tolerance))

    def _by_fingerprint(
        self, then: Earlier, study: Study, now: DataRead, *, alike: bool
    ) -> Difference | None:
        """By the fingerprint alone, which an older record holds."""
        data = then.data
        if data.fingerprint is None:
            return None
        if alike and then.same_spec and not data.grew_into(now):
            return Difference(None)
        if not then.latest:
            return None
        moved = self._targets(then)
        read = self._read_as(then, study, data.end)
        if moved is None and (read is None or read[0] == data.fingerprint):
            return None
        return Difference(moved.first if moved else None)

    def _targets(self, then: Earlier) -> MovedTargets | None:
        if then.run_id is None or not self.forecasts:
            return None
        study = self.measured.study
        return targets_moved(
            self.log,
            then.run_id,
            target_settings(study),
            self.forecasts,
            study.scale,
            same_rows=then.same_spec,
        )

    def _read_as(self, then: Earlier, study: Study, end: str | None) -> tuple[str, Contents] | None:
        """The present panel as the earlier spec reads it, up to `end`; None where it cannot."""
        key = then.spec, end
        if key not in self._again:
            self._again[key] = _read(then.spec, study, end)
        return self._again[key]


def _read(spec: str, study: Study, end: str | None) -> tuple[str, Contents] | None:
    try:
        h = parse_hypothesis(spec, Path("an earlier spec"), stored=True)
        if h.panel.unseen or h.panel.name != study.panel_spec.name:
            return None
        if end is not None:
            limit = parse_moment(end)
            own = h.panel.end
            cut = limit if own is None else min(own, limit)
            h = replace(h, panel=h.panel.model_copy(update={"end": cut}))
        then = on_panel(h, study.panel_spec)
        return read_contents(then.panel, then.plan)
    except HarnessError:  # such a spec or such data cannot be read any more
        return None
