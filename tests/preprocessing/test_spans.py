"""Spans of tags, as conlleval reads them."""

from __future__ import annotations

import pytest

from components.preprocessing.spans import Span, repaired, spans


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-a I-a O B-b", [Span("a", 0, 2), Span("b", 3, 4)]),
        ("B-a B-a", [Span("a", 0, 1), Span("a", 1, 2)]),
        ("I-a I-a O I-b", [Span("a", 0, 2), Span("b", 3, 4)]),
        ("B-a I-b I-b", [Span("a", 0, 1), Span("b", 1, 3)]),
        ("O I-a B-a I-a", [Span("a", 1, 2), Span("a", 2, 4)]),
    ],
)
def test_entities_begin_where_conlleval_says(tags: str, expected: list[Span]) -> None:
    assert spans(tags.split()) == expected
    again = repaired(tags.split())
    assert spans(again) == expected
    assert [place for place, tag in enumerate(again) if tag.startswith("B-")] == [span.begin for span in expected]
