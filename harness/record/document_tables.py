"""What a document elsewhere claims and reports, as the record's tables."""

from __future__ import annotations

from harness.spec.sections import Document
from harness.tables import Table, table


def document_tables(document: Document | None) -> dict[str, Table]:
    """`documents`, one row, and `reported`, a row per figure; neither without [document]."""
    if document is None:
        return {}
    d = document
    figures = [
        (metric, model, value)
        for metric, by_model in d.figures.items()
        for model, value in by_model.items()
    ]
    head = ("title", "place", "says", "differs", "right_if", "gain")
    return {
        "documents": table(head, [tuple(getattr(d, key) for key in head)]),
        "reported": table(("metric", "model", "value"), figures),
    }
