"""The result of an audit: checks, what each covered, and the first row of every failure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.audit.other_columns import OtherColumn, foresight_table, warnings_of
from harness.durations import show_moment
from harness.tables import Table, rows_of, table

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = (
    "name", "passed", "count", "covered", "subject", "symbol", "first_row", "reason",
)  # fmt: skip
QUALITY = "data quality"


@dataclass(frozen=True)
class Failure:
    """A failure: the column or model, the symbol and time (UTC ns) of its first row, the reason."""

    subject: str
    reason: str
    symbol: str | None = None
    moment: int | None = None

    @property
    def words(self) -> str:
        """On one line: `feature log(rv_1h), BTCUSDT, 2022-03-01 04:00: it depends on …`."""
        where = [self.subject, *([self.symbol] if self.symbol else [])]
        where += [] if self.moment is None else [show_moment(self.moment)]
        return f"{', '.join(where)}: {self.reason}"


@dataclass(frozen=True)
class Check:
    """One check: its name, what it covered, how many values or rows, and its failures."""

    name: str
    covered: str
    count: int
    failures: tuple[Failure, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


@dataclass(frozen=True)
class Audit:
    """All checks of a form (`short` or `full`), origins and stretches (UTC ns), what was left out.

    `unprobed` are the models whose forecasts at the verdict's horizon were never compared with
    those under another future; `others` the features that read other columns than the target's.
    """

    form: str
    checks: tuple[Check, ...]
    origins: tuple[int, ...]
    stretches: tuple[tuple[int, int], ...]
    symbols: tuple[str, ...]
    left_out: tuple[str, ...]
    unprobed: tuple[str, ...] = ()
    others: tuple[OtherColumn, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def forbidden(self) -> tuple[str, ...]:
        """Reasons for a void verdict: a sentence per failed check, with its first failure."""
        return tuple(_sentence(check) for check in self.checks if check.failures)

    @property
    def words(self) -> str:
        """The result on one line."""
        failed = sum(not check.passed for check in self.checks)
        state = "passed" if not failed else f"failed, {failed} of"
        rest = "" if self.stretches else "; no stretch of bars was checked"
        return f"{state}{',' if not failed else ''} {len(self.checks)} checks{rest}"

    def cautions(self, deciding: Collection[str]) -> list[str]:
        """Warnings for a verdict between these models: suspected columns, what was not checked."""
        return [*warnings_of(self.others), *self._unchecked(deciding)]

    def _unchecked(self, deciding: Collection[str]) -> list[str]:
        if not self.stretches:
            return [
                "The leak audit found no stretch of this panel on which it could replace later "
                "bars: dependence on later bars was not checked."
            ]
        unprobed = [name for name in self.unprobed if name in deciding]
        if not unprobed:
            return []
        return [
            f"The leak audit did not check the forecasts of {', '.join(unprobed)}, on which the "
            "verdict rests: harness audit FILE --full checks more stretches."
        ]

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, for the record and for `harness audit --json`."""
        return {
            "form": self.form,
            "passed": self.passed,
            "words": self.words,
            "origins": [iso(origin) for origin in self.origins],
            "stretches": [[iso(a), iso(b)] for a, b in self.stretches],
            "symbols": list(self.symbols),
            "left_out": list(self.left_out),
            "unprobed": list(self.unprobed),
            "foresight": rows_of(foresight_table(self.others)),
            "checks": [
                {
                    **{k: v for k, v in asdict(check).items() if k != "failures"},
                    "passed": check.passed,
                    "failures": [
                        {**asdict(f), "moment": None if f.moment is None else iso(f.moment)}
                        for f in check.failures
                    ],
                }
                for check in self.checks
            ],
        }


def audit_table(audit: Audit) -> Table:
    """The log table `audits`: a row per check, with its first failure if it has any."""
    rows: list[tuple[Any, ...]] = []
    for check in audit.checks:
        first = check.failures[0] if check.failures else None
        where: tuple[Any, ...] = (None,) * 4
        if first is not None:
            moment = None if first.moment is None else iso(first.moment)
            where = first.subject, first.symbol, moment, first.reason
        rows.append((check.name, check.passed, check.count, check.covered, *where))
    forms = {"form": [audit.form] * len(rows)}
    return forms | table(_COLUMNS, rows)


def merged(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Merge checks of one name: add counts, keep the earliest failure of each subject."""
    found: dict[str, list[Check]] = {}
    for check in checks:
        found.setdefault(check.name, []).append(check)
    return tuple(
        Check(
            name,
            "; ".join(dict.fromkeys(c.covered for c in same if c.covered)),
            sum(c.count for c in same),
            firsts(f for c in same for f in c.failures),
        )
        for name, same in found.items()
    )


def firsts(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """The earliest failure of every subject; subjects in the order in which they first failed."""
    found: dict[str, Failure] = {}
    for failure in failures:
        known = found.get(failure.subject)
        if known is None or (failure.moment or 0) < (known.moment or 0):
            found[failure.subject] = failure
    return tuple(found.values())


def iso(moment: int) -> str:
    """A moment (UTC ns) in ISO format, as in records."""
    return (_EPOCH + timedelta(microseconds=int(moment) // 1_000)).isoformat()


def _sentence(check: Check) -> str:
    first, more = check.failures[0], len(check.failures) - 1
    rest = f" ({more} more)" if more else ""
    if check.name == QUALITY:
        return f"Data quality forbids a verdict: {first.words}{rest}."
    return f"The leak audit failed, {check.name}: {first.words}{rest}."
