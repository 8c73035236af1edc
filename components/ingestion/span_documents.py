"""Texts with labelled spans in JSON, as doccano exports them (https://doccano.github.io/doccano/)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.contracts.annotation_layout import SpanLayout
from components.core.errors import SourceError
from components.ingestion import json_documents, span_tags
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample


def samples(layout: SpanLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The texts of each file, in order, as words and BIO tags; ids are `<split>/<number>`.

    Raises:
        SourceError: a file or text is missing, a span is not in its text, or two spans of a text overlap.
    """
    counts: dict[str, int] = {}
    for prefix, split, where, document in json_documents.by_split(layout.files, folder, layout.encoding):
        number = counts[prefix] = counts.get(prefix, -1) + 1
        text, spans = document.get(layout.text), document.get(layout.spans)
        if not isinstance(text, str):
            expected = f"a text under {layout.text!r}"
            raise SourceError("no text", where=where, got=", ".join(document), expected=expected)
        if spans is not None and not isinstance(spans, list):
            got = type(spans).__name__
            raise SourceError("no list of spans", where=where, got=got, expected=f"a list under {layout.spans!r}")
        if not spans:
            remarks.add("texts have no span: all their words are outside", where)
        values = values_of(text, spans or [], where, remarks)
        if values is not None:
            yield Sample(f"{prefix}/{number:06d}", split, values)


def values_of(text: str, spans: list[Any], where: str, remarks: Remarks) -> dict[str, Any] | None:
    """Words and tags of a text; None for a text without a word, which is counted."""
    read = [span_tags.read(entry, text, where, remarks) for entry in spans]
    tokens, tags = span_tags.tagged(text, read, where, remarks)
    if not tokens:
        remarks.add("texts without a word are left out", where)
        return None
    return {"tokens": tokens, "tags": tags}
