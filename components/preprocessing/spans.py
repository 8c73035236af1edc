"""Tags of words (BIO) and the spans that they mean. Evaluation and serving both read tags here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

OUTSIDE = "O"
IGNORED = -100  # the tag of a token that is none's first
FORM = re.compile(r"O|[BI]-.+")


class Span(NamedTuple):
    """Words `begin` to `end` (behind the last) that are one entity."""

    label: str
    begin: int
    end: int


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities, as conlleval reads them: one begins at B, or at an I that does not go on one of its own kind.

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
    """Tags that mean the same entities, each beginning with a B."""
    found = [OUTSIDE] * len(tags)
    for span in spans(tags):
        found[span.begin : span.end] = [f"B-{span.label}"] + [f"I-{span.label}"] * (span.end - span.begin - 1)
    return found
