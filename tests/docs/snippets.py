"""The fenced snippets of the documentation: all pages of docs/, and the pages at the top."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md"))]
)
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Snippet(NamedTuple):
    """A fenced block: its page, its first line there, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        """Page and line."""
        return f"{self.page}:{self.line}"


class CommandLine(NamedTuple):
    """One command of a console block, split into words."""

    where: str
    words: list[str]


def of_pages() -> list[Snippet]:
    """Every fenced block with a language."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = page.relative_to(ROOT).as_posix()
        for match in _FENCE.finditer(text):
            found.append(Snippet(name, text.count("\n", 0, match.start()) + 2, match[1], match[2]))
    return found


def commands(page: str | None = None) -> list[CommandLine]:
    """The commands after `$ ` in console blocks, without comments; `a && b` is two."""
    found = []
    for snippet in of_pages():
        if snippet.language != "console" or page not in (None, snippet.page):
            continue
        for number, line in enumerate(snippet.text.splitlines()):
            if line.startswith("$ "):
                words = shlex.split(line[2:], comments=True)
                where = f"{snippet.page}:{snippet.line + number}"
                while "&&" in words:
                    found.append(CommandLine(where, words[: words.index("&&")]))
                    words = words[words.index("&&") + 1 :]
                found.append(CommandLine(where, words))
    return found
