"""The verdict card: Markdown rendered from a run's record alone, so it can be rendered again.

Text that came from a file is data here: it is escaped for Markdown and kept on its line, and is
never part of the template.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import jinja2

from harness.cache import cache_folder
from harness.cards.evidence_rows import (
    ability_rows,
    decided_tail,
    difference_rows,
    distribution_rows,
    risk_rows,
)
from harness.cards.fit_rows import (
    coefficient_rows,
    coefficient_words,
    medians,
    residual_words,
    seed_rows,
    shown_settings,
    speed_rows,
    training_rows,
)
from harness.cards.fragility_rows import fragility_rows
from harness.cards.group_rows import adaptation_rows, deciding_rows, group_rows, sweep_rows
from harness.log.run_digests import sealed_holm
from harness.log.store import card_stem
from harness.models.table import NOTES
from harness.scores.metrics import METRICS
from harness.tables import rows_of
from harness.verdict.words import Show, p_value

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#!&$^])")
_TOTALS = ("fits", "failed", "fit_seconds", "predict_seconds")
_MOST_PROOFS = 100


def render_card(record: Mapping[str, Any]) -> str:
    """The card of a record, with `Decision: none yet.` in its head (the log fills in decisions)."""
    coefficients, gain_as = coefficient_rows(record), record["verdict"]["gain_as"]
    training = training_rows(record)
    return _template().render(
        r=record,
        v=record["verdict"],
        p=record["panel"],
        s=record["settings"],
        e=record["environment"],
        t=record["tables"],
        date=datetime.fromisoformat(record["started"]).date().isoformat(),
        metrics={name: m for name, m in METRICS.items() if name in pooled_rows(record)[0]},
        headings={name: m.heading for name, m in METRICS.items()},
        holm=sealed_holm(record),
        gain=Show(record["verdict"]["metric"], gain_as),
        mean_gain=Show(record["verdict"]["metric"], "difference" if gain_as == "wins" else gain_as),
        labels=_label_counts(record["panel"]["labels"]),
        pooled=pooled_rows(record),
        deciding=deciding_rows(record, pooled_rows(record)),
        windows=_windows(record),
        coefficients=coefficients,
        medians=medians(record, coefficients),
        residual_words=residual_words(record),
        coefficient_words=coefficient_words(record, coefficients),
        groups=group_rows(record),
        adaptations=adaptation_rows(record),
        fragility=fragility_rows(record),
        sweep=sweep_rows(record, pooled_rows(record)),
        costs=_costs(record, training),
        training=training,
        speeds=speed_rows(record, training),
        models=shown_settings(record),
        seeds=seed_rows(record),
        document=next(iter(rows_of(record["tables"].get("documents", {}))), None),
        risk=risk_rows(record),
        tail=decided_tail(record["verdict"]),
        distribution=distribution_rows(record),
        figures=record.get("figures", []),
        folder=card_stem(record),
        notes=_notes(record),
        folds=rows_of(record["tables"]["folds"]),
        proofs=_proofs(record),
        tests=rows_of(record["tables"]["tests"]),
        differences=difference_rows(record),
        losses=METRICS[record["verdict"]["metric"]].loss,
        ability=ability_rows(record),
        wins=rows_of(record["tables"]["wins"]),
        timings=rows_of(record["tables"]["timings"]),
    )


class _Options(TypedDict):
    trim_blocks: bool
    lstrip_blocks: bool
    keep_trailing_newline: bool
    autoescape: bool


_OPTIONS: _Options = {
    "trim_blocks": True,
    "lstrip_blocks": True,
    "keep_trailing_newline": True,
    "autoescape": False,  # Markdown, not HTML: every text from a file goes through `md` instead
}


class _TemplateCache(jinja2.FileSystemBytecodeCache):
    """The compiled template on disk: compiling it in every run costs more than the scores."""

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        # With a full or read-only cache folder the next run just compiles it again.
        with suppress(OSError):
            Path(self.directory).mkdir(parents=True, exist_ok=True)
            super().dump_bytecode(bucket)


@cache
def _template() -> jinja2.Template:
    # The compiled code depends on these options too, which the cache's own key does not cover.
    options = hashlib.sha256(repr(_OPTIONS).encode()).hexdigest()[:16]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.cards", "."),
        bytecode_cache=_TemplateCache(str(cache_folder() / "cards" / options)),
        undefined=jinja2.StrictUndefined,
        **_OPTIONS,
    )
    environment.filters |= {
        "md": escape,
        "prose": prose,
        "code": code,
        "num": number,
        "percent": percent,
        "p": p_value,
        "day": day,
        "span": minutes_in_words,
        "settings": settings,
        "mean_of": mean_of,
    }
    return environment.get_template("card.md.j2")


def escape(text: object) -> str:
    """Text for a Markdown line or table cell: special characters escaped, all on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def prose(text: str) -> str:
    """Text of several lines: list items and paragraphs stay, all other Markdown is escaped."""
    lines = [" ".join(line.split()) for line in text.strip().splitlines()]
    return "\n".join(
        "- " + escape(line[2:]) if line.startswith(("- ", "* ")) else _no_block(escape(line))
        for line in lines
    )


def code(text: object) -> str:
    """Text as inline code: a bar is escaped for table cells, a backtick cannot end it."""
    return "`" + " ".join(str(text).replace("`", "'").split()).replace("|", "\\|") + "`"


def number(value: float | None, digits: int = 4) -> str:
    """A number with `digits` decimals, or with `digits` significant digits below 0.1.

    In powers of ten below 0.001 and from 100,000 on; `n/a` for None and non-finite values.
    """
    if value is None or not math.isfinite(value):
        return "n/a"
    if value != 0.0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3e}"
    leading = 0 if value == 0.0 else -math.floor(math.log10(abs(value)))
    return f"{value:.{max(digits, digits - 1 + leading)}f}"


def percent(share: float) -> str:
    """`2.5 %`."""
    return f"{100 * share:g} %"


def day(moment: str) -> str:
    """`2021-01-02`, with the time of day unless it is midnight."""
    date, _, clock = moment.partition("T")
    return date if clock.startswith("00:00:00") else f"{date} {clock[:5]}"


def settings(model: Mapping[str, Any]) -> str:
    """A model's features and parameters on one line."""
    words = [", ".join(code(f) for f in model.get("features") or [])]
    for key, value in model.items():
        if key == "intercept":
            words.append("" if value else "no intercept")
        elif isinstance(value, Mapping):
            kind = f"{escape(value['kind'])}: " if "kind" in value else ""
            words.append(f"{key} ({kind}{settings(value)})" if value else "")
        elif isinstance(value, list) and key != "features":
            words.append(f"{key} {', '.join(code(item) for item in value)}")
        elif key not in ("kind", "features") and value is not None:
            words.append(f"{key} {escape(value)}")
    return ", ".join(word for word in words if word) or "none"


def minutes_in_words(minutes: float) -> str:
    """`1440 min (1 d)`."""
    days = minutes / 1440
    if days >= 1:
        return f"{minutes:,.0f} min ({days:.4g} d)"
    return f"{minutes:,.0f} min"


def mean_of(mean: float, span: str) -> str:
    """A mean of counts with their range: `14.3 (9 to 22)`; the count alone if all are equal."""
    return f"{mean:,.1f} ({span})" if " to " in span else span


def _no_block(line: str) -> str:
    """A line that Markdown cannot read as a list, a rule or an indented block."""
    return re.sub(r"^([-+=]|\d+[.)])", r"\\\1", line)


def _label_counts(labels: Mapping[str, Mapping[str, str]]) -> dict[str, list[tuple[str, int]]]:
    """Label -> number of symbols by text, the most common first."""
    return {name: Counter(sorted(of.values())).most_common() for name, of in labels.items()}


def pooled_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per horizon and model: its pooled metrics and n."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows_of(record["tables"]["scores"]):
        if row["scope"] == "pooled":
            key = row["horizon"], row["model"]
            start, end = row["window_start"], row["window_end"]
            head = {"horizon": key[0], "model": key[1], "n": row["n"], "start": start, "end": end}
            entry = rows.setdefault(key, head)
            entry[row["metric"]] = row["value"]
    return list(rows.values())


def _windows(record: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Horizon -> one row per test window: its span, n and the verdict's metric of every model."""
    metric = record["verdict"]["metric"]
    horizons: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows_of(record["tables"]["scores"]):
        if row["scope"] == "window" and row["metric"] == metric:
            windows = horizons.setdefault(row["horizon"], {})
            window = windows.setdefault(row["window_start"], {**row, "models": {}})
            window["models"][row["model"]] = row["value"]
    return {horizon: list(windows.values()) for horizon, windows in horizons.items()}


def _costs(record: Mapping[str, Any], training: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fits, seconds and parameters of every model at the verdict's horizon, beside its score."""
    epochs = {row["model"]: round(row["mean_epochs"]) for row in training}
    verdict = record["verdict"]
    models: dict[str, list[dict[str, Any]]] = {}
    tables = (rows_of(record["tables"][name]) for name in ("fits", "fit_times"))
    for row, times in zip(*tables, strict=True):
        if row["horizon"] == verdict["horizon"]:
            models.setdefault(row["model"], []).append(row | times)
    pooled = {r["model"]: r for r in pooled_rows(record) if r["horizon"] == verdict["horizon"]}
    return [
        {
            **rows[0],
            **{key: sum(r[key] for r in rows) for key in _TOTALS},
            "kept": sum(r.get("kept", 0) for r in rows),
            "parameters": max(r["parameters"] for r in rows),
            "epochs": epochs.get(model, 0),
            "value": pooled[model][verdict["metric"]],
        }
        for model, rows in models.items()
    ]


def _notes(record: Mapping[str, Any]) -> list[str]:
    """The fits' own counts at the verdict's horizon, summed by model."""
    horizon, totals = record["verdict"]["horizon"], Counter[tuple[str, str]]()
    for row in rows_of(record["tables"]["fit_notes"]):
        if row["horizon"] == horizon:
            totals[row["model"], row["note"]] += row["count"]
    return [f"{model}: {count:,} {note} ({NOTES[note]})" for (model, note), count in totals.items()]


def _proofs(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The leak proofs at the verdict's horizon by refit; of very many the first and last."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of(record["tables"]["folds"]):
        if row["horizon"] == record["verdict"]["horizon"]:
            kinds.setdefault(row.get("refit", "window"), []).append(row)
    return {
        refit: {
            "all": len(rows),
            "shown": rows if len(rows) <= _MOST_PROOFS else [rows[0], rows[-1]],
        }
        for refit, rows in kinds.items()
    }
