"""CoNLL: one token and its tag on each line, an empty line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from components.contracts.dataset_layout import ConllLayout
from components.core.errors import SourceError
from components.ingestion import text_lines
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample, split_name

TAG = re.compile(r"O|[BIESLU]-\S+")
_BIO = {"S-": "B-", "U-": "B-", "E-": "I-", "L-": "I-"}  # the prefixes of BIOES and BILOU in BIO
_DOCUMENT = "-DOCSTART-"  # CoNLL-2003: first token of a document
_BLANK = " \t\r\n"  # what separates columns: other blanks of Unicode are tokens


def samples(layout: ConllLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The sentences of each file, in order; ids are `<split>/<sentence>`.

    The token is in the first column and the tag in the last; columns are separated by a tab, or else by blanks. Tags in
    BIOES and BILOU become BIO. An empty token is kept: validation counts the sample. A line that begins with `#` and
    whose last word is no tag is a comment.

    Raises:
        SourceError: a file is missing or not text, a line has no tag, a file has no sentence.
    """
    for split, files in layout.files.items():
        count = 0
        for name in [files] if isinstance(files, str) else files:
            before = count
            for tokens, tags in _sentences(folder / name, layout.encoding, remarks):
                values = {"tokens": tokens, "tags": tags}
                named_split = split_name(split, "layout.files") if split else None
                yield Sample(f"{split or 'all'}/{count:06d}", named_split, values)
                count += 1
            if count == before:
                raise SourceError("no sentence in the file", where=str(folder / name))


def columns(line: str) -> list[str]:
    """The columns of a line; the last one is not empty."""
    content = line.strip("\r\n")
    cells = [cell.strip(_BLANK) for cell in content.split("\t")] if "\t" in content else content.strip(" ").split(" ")
    while len(cells) > 1 and not cells[-1]:  # a tab at the end
        cells.pop()
    return cells


def is_comment(line: str) -> bool:
    """Whether a line is a comment, and no token `#` with its tag."""
    return line.startswith("#") and TAG.fullmatch(columns(line)[-1]) is None


def _sentences(path: Path, encoding: str, remarks: Remarks) -> Iterator[tuple[list[str], list[str]]]:
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in text_lines.read(path, encoding):
        content = line.strip(_BLANK)
        if not content or content.startswith(_DOCUMENT):
            if tokens:
                yield tokens, tags
                tokens, tags = [], []
            continue
        if is_comment(line):
            remarks.add("lines of comments are left out", f"{path.name} line {number}")
            continue
        cells = columns(line)
        if len(cells) < 2:
            expected = "a token, then its tag in the last column"
            raise SourceError("a line that is no tagged token", where=f"{path} line {number}", got=repr(line),
                              expected=expected)  # fmt: skip
        tokens.append(cells[0])
        tags.append(_BIO.get(cells[-1][:2], cells[-1][:2]) + cells[-1][2:])
    if tokens:
        yield tokens, tags
