"""Words and punctuation marks of a text: what the tags of token classification belong to, in data and in requests."""

from __future__ import annotations

import re

# A URL, a word with a prefix (@name, #tag) and punctuation within, or one punctuation mark.
_SPLIT = re.compile(r"https?://\S+|[@#]?\w+(?:[._\-/&]\w+)*|['\u2019]\w+|[^\w\s]")


def words(text: str) -> list[tuple[str, int, int]]:
    """Words and punctuation marks of a text, each with the offsets of its start and end (excluded)."""
    return [(match.group(), match.start(), match.end()) for match in _SPLIT.finditer(text)]
