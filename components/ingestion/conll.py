"""CoNLL: one token and its tag on each line, an empty line after each sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.contracts.dataset_layout import ConllLayout
from components.core.errors import SourceError
from components.ingestion import text_lines
from components.ingestion.sample import Sample, split_name

_DOCUMENT = "-DOCSTART-"  # CoNLL-2003: first token of a document


def samples(layout: ConllLayout, folder: Path) -> Iterator[Sample]:
    """The sentences of each file, in order; ids are `<split>/<sentence>`.

    The token is in the first column and the tag in the last; columns are separated by a tab, or else by blanks.

    Raises:
        SourceError: a file is missing or not text, a line has no tag, a file has no sentence.
    """
    for split, name in layout.files.items():
        count = 0
        for tokens, tags in _sentences(folder / name, layout.encoding):
            values = {"tokens": tokens, "tags": tags}
            yield Sample(f"{split or 'all'}/{count:06d}", split_name(split, "layout.files") if split else None, values)
            count += 1
        if not count:
            raise SourceError("no sentence in the file", where=str(folder / name))


def _sentences(path: Path, encoding: str) -> Iterator[tuple[list[str], list[str]]]:
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in text_lines.read(path, encoding):
        content = line.strip()
        if not content or content.startswith(_DOCUMENT):
            if tokens:
                yield tokens, tags
                tokens, tags = [], []
            continue
        cells = line.rstrip("\r\n").split("\t") if "\t" in line else content.split(" ")
        if len(cells) < 2 or not cells[0].strip() or not cells[-1].strip():
            expected = "a token, then its tag in the last column"
            raise SourceError("a line that is no tagged token", where=f"{path} line {number}", got=repr(line),
                              expected=expected)  # fmt: skip
        tokens.append(cells[0].strip())
        tags.append(cells[-1].strip())
    if tokens:
        yield tokens, tags
