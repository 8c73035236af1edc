"""Parts of sentences on the columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.drafting.cells import Column


def count(columns: Sequence[Column]) -> str:
    """Their number."""
    return f"{len(columns):,} column{'s' if len(columns) != 1 else ''}"


def of_words(words: Mapping[str, int]) -> list[str]:
    """A sentence on the words that stand for a missing value, with their numbers of cells; none without words."""
    if not words:
        return []
    return ["words for a missing value: " + ", ".join(f"{word} ({count:,} cells)" for word, count in words.items())]
