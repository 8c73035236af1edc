"""The name of a class as it is kept: one spelling, whatever wrote it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def class_name(text: str) -> str:
    """The text without blanks at its ends, in Unicode's composed form (NFC).

    macOS decomposes names of files (NFD); editors of annotations leave blanks and line ends around names.
    """
    return unicodedata.normalize("NFC", text).strip()


def lookalikes(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ in case or in blanks alone, each sorted."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(" ".join(name.casefold().split()), set()).add(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]
