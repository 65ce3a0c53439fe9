"""The page of document claims: what each document reports beside the result of the latest run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cards.render import escape, number
from harness.errors import UsageError
from harness.log.run_digests import all_digests
from harness.log.store import Log, RecordError, card_stem
from harness.scores.metrics import METRICS
from harness.tables import rows_of
from harness.verdict.words import Show

_INTRODUCTION = """\
# What documents claim, and what was found

Written by `harness documents` from the log: the latest run of every hypothesis with a `[document]`
section, beside what that document reports. A gain is that of the candidate over the baseline, out
of sample, with its interval. With several seeds it is the mean over seeds, and the range is over
single seeds. A claim *stands* if the verdict is the one to expect when the document is right, it
*fails* if the verdict is the opposite, and it is *open* if these data show neither. Each card says
what its document leaves open and what was chosen.
"""
_GAINS = {
    "difference": "%s",
    "relative": "share of its %s",
    "wins": "share of symbols with a better %s",
}
_LEGEND = """\
Values are pooled over all test rows at the verdict's horizon, in the units of the card
("Definitions of the metrics"); where the document's values measure something else, it is noted.
"""


@dataclass(frozen=True)
class Claim:
    """One document's claim and its latest run, as a row."""

    record: Mapping[str, Any]
    document: Mapping[str, Any]
    reported: Sequence[Mapping[str, Any]]

    @property
    def outcome(self) -> str:
        """`stands`, `fails` or `open`."""
        status = self.record["status"]
        if status not in ("confirmed", "refuted"):
            return "open"
        return "stands" if status == self.document["right_if"] else "fails"

    @property
    def found(self) -> Mapping[str, Any]:
        """The deciding candidate's row of the table of tests."""
        v = self.record["verdict"]
        return next(
            row
            for row in rows_of(self.record["tables"]["tests"])
            if row["candidate"] == v["candidate"]
        )

    def as_json(self) -> dict[str, Any]:
        """Its row of `harness documents --json`."""
        v, found = self.record["verdict"], self.found
        return {
            "document": self.document["title"],
            "place": self.document["place"],
            "says": self.document["says"],
            "hypothesis": self.record["hypothesis"],
            "run_id": self.record["run_id"],
            "metric": v["metric"],
            "gain_as": v["gain_as"],
            "reported": self.document["gain"],
            "gain": found["gain"],
            "gain_low": found["gain_low"],
            "gain_high": found["gain_high"],
            "seeds": found["seeds"],
            "status": self.record["status"],
            "claim": self.outcome,
            "figures": list(self._figures()),
        }

    def _figures(self) -> Iterator[dict[str, Any]]:
        v = self.record["verdict"]
        pooled = {
            (row["metric"], row["model"]): row["value"]
            for row in rows_of(self.record["tables"]["scores"])
            if row["scope"] == "pooled" and row["horizon"] == v["horizon"]
        }
        for row in self.reported:
            yield {**row, "found": pooled.get((row["metric"], row["model"]))}

    def row(self) -> str:
        """Its row of the page's table."""
        v, found, d = self.record["verdict"], self.found, self.document
        show = Show(v["metric"], v["gain_as"])

        def shown(*gains: float | None) -> str:
            return " to ".join("n/a" if gain is None else show(gain) for gain in gains)

        what = f"{METRICS[v['metric']].heading} {v['horizon']}"
        cells = (
            f"{escape(d['says'])} ({escape(d['place'])})",
            f"{v['candidate']} over {v['baseline']}, {escape(_GAINS[v['gain_as']] % what)}",
            shown(d["gain"]),
            shown(found["gain"]),
            show.interval(found),
            shown(found["seed_least"], found["seed_greatest"]) if found["seeds"] > 1 else "one",
            self.record["status"],
            f"**{self.outcome}**",
            f"[{self.record['hypothesis']}]({card_stem(self.record)}.md)",
        )
        return f"| {' | '.join(cells)} |"

    def figures(self) -> Iterator[str]:
        """Its rows of the page's table of reported values."""
        name, horizon = self.record["hypothesis"], self.record["verdict"]["horizon"]
        for row in self._figures():
            what = f"{METRICS[row['metric']].heading} {horizon}"
            both = number(row["value"]), number(row["found"])
            yield f"| {name} | {what} | {row['model']} | {' | '.join(both)} |"


def claims(log: Log) -> tuple[list[Claim], list[str]]:
    """Every claim, sorted by document and hypothesis, and the runs that cannot be read."""
    runs, unreadable = all_digests(log)
    found = []
    for run in {run.hypothesis: run for run in runs}.values():
        try:
            record = log.read(run.run_id)
        except RecordError:
            unreadable.append(run.run_id)
            continue
        for document in rows_of(record["tables"].get("documents", {})):
            found.append(Claim(record, document, rows_of(record["tables"]["reported"])))
    return sorted(found, key=lambda c: (c.document["title"], c.record["hypothesis"])), unreadable


def page(found: Sequence[Claim], log: Log) -> str:
    """The whole page in Markdown; UsageError if no run names a document."""
    if not found:
        raise UsageError(f"{log.root}: no run of a hypothesis with a [document]")
    lines = [_INTRODUCTION]
    for title in dict.fromkeys(claim.document["title"] for claim in found):
        own = [claim for claim in found if claim.document["title"] == title]
        lines += [f"## {escape(title)}", "", *_claims(own), ""]
        if any(claim.reported for claim in own):
            lines += [*_figures(own), "", _LEGEND]
        lines += [
            f"- {claim.record['hypothesis']}: {escape(claim.document['differs'])}"
            for claim in own
            if claim.document["differs"]
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _claims(found: Sequence[Claim]) -> Iterator[str]:
    yield "| claim | gain of | reported | found | interval | seeds | verdict | the claim | card |"
    yield "|---|---|---:|---:|---:|---:|---|---|---|"
    yield from (claim.row() for claim in found)


def _figures(found: Sequence[Claim]) -> Iterator[str]:
    yield "| hypothesis | metric | model | reported | found |"
    yield "|---|---|---|---:|---:|"
    for claim in found:
        yield from claim.figures()
