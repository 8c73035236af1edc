"""BIO tags of words, and the spans of the entities. Evaluation and serving share this code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

OUTSIDE = "O"
IGNORED = -100  # tag number of a token that is not the first token of a word
FORM = re.compile(r"O|[BI]-.+")


class Span(NamedTuple):
    """One entity: words `begin` to `end`, `end` excluded."""

    label: str
    begin: int
    end: int


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities, as conlleval reads them: an entity starts at B, or at an I that does not continue its own kind.

    Tjong Kim Sang and Buchholz 2000, https://aclanthology.org/W00-0726
    """
    found: list[Span] = []
    begin = 0
    for place, (before, tag) in enumerate(zip([OUTSIDE, *tags], [*tags, OUTSIDE], strict=True)):
        goes_on = tag.startswith("I-") and before != OUTSIDE and before[2:] == tag[2:]
        if before != OUTSIDE and not goes_on:
            found.append(Span(before[2:], begin, place))
        if tag != OUTSIDE and not goes_on:
            begin = place
    return found


def repaired(tags: Sequence[str]) -> list[str]:
    """Tags of the same entities, in which each entity starts with B."""
    found = [OUTSIDE] * len(tags)
    for span in spans(tags):
        found[span.begin : span.end] = [f"B-{span.label}"] + [f"I-{span.label}"] * (span.end - span.begin - 1)
    return found
