"""A piece of the input: the samples of one part of the output. What is in it depends on the input alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from components.identity import digest

PARTS = 64  # pieces that a small input is cut into, so that all processes have work
TEXT_CHARACTERS = (1 << 14, 1 << 20)  # of a piece of text: the fewest and the most
ROWS = (64, 8192)
FILES = (8, 256)

Kind = Literal["text", "json_lines", "batch", "files", "samples"]


@dataclass(frozen=True)
class Piece:
    """Content that a worker makes samples of.

    Args:
        number: of the piece, from 0 on.
        file: number of the file that it is of; of `files`, of the first.
        first: number of the first line or row.
        content: whole lines as text; rows as an Arrow stream; numbers of files; samples of a dataset.
    """

    number: int
    kind: Kind
    file: int
    first: int
    content: Any

    def digest(self) -> str:
        """The digest of the content; of files, which are not read yet, of nothing."""
        if isinstance(self.content, str):
            content = hashlib.sha256(self.content.encode("utf-8", "surrogatepass")).hexdigest()
        elif isinstance(self.content, bytes):
            content = hashlib.sha256(self.content).hexdigest()
        elif self.kind == "samples":
            hashed = hashlib.sha256()
            for sample in self.content:
                hashed.update(digest.canonical([*sample[:3], sample.media, hashlib.sha256(sample.content).hexdigest()]))
            content = hashed.hexdigest()
        else:
            content = ""
        return digest.of_value([self.kind, self.file, self.first, content])


def size(total: int, limits: tuple[int, int]) -> int:
    """The size of the pieces of an input: a 64th of it, within limits, so that memory does not grow with the input."""
    return min(max(total // PARTS, limits[0]), limits[1])
