"""What a reader leaves out or assumes: nothing of it happens without a word."""

from __future__ import annotations

from typing import Any

FIRST = 5  # names that are kept of each remark


class Remarks:
    """Counts what is left out or assumed, by remark, and keeps the first names of each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}
        self._sentences: list[str] = []

    def add(self, remark: str, name: str = "", count: int = 1) -> None:
        """Count something that is left out or assumed.

        Args:
            remark: a sentence without its number, as in `files .txt are left out`.
            name: a file, a column, a class.
        """
        self._counts[remark] = self._counts.get(remark, 0) + count
        names = self._names.setdefault(remark, [])
        if name and len(names) < FIRST:
            names.append(name)

    def count(self, remark: str) -> int:
        """How many were counted of a remark."""
        return self._counts.get(remark, 0)

    def say(self, sentence: str) -> None:
        """Add a sentence that has its number already."""
        self._sentences.append(sentence)

    def lines(self) -> list[str]:
        """One line a remark: the number, the remark, the first names."""
        lines = []
        for remark, count in self._counts.items():
            names = self._names[remark]
            more = ", …" if names and count > len(names) else ""
            lines.append(f"{count:,} {remark}" + (f" ({', '.join(names)}{more})" if names else ""))
        return lines + self._sentences

    def document(self) -> dict[str, Any]:
        """For a manifest: number and first names of each remark."""
        counted = {remark: {"count": count, "first": self._names[remark]} for remark, count in self._counts.items()}
        return {**counted, **({"sentences": self._sentences} if self._sentences else {})}
