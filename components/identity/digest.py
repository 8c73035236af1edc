"""sha256 over content: of a file, of a value. No times, no absolute paths, sorted."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path


def of_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hex. Reads in pieces: memory does not grow with the file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(value: object) -> bytes:
    """The one JSON form of a value: sorted keys, no spaces, UTF-8; NaN and infinity are refused (ValueError)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def of_value(value: object) -> str:
    """The sha256 of a JSON value in its canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def is_sha256(text: str) -> bool:
    """Whether a text is a sha256 digest in lower-case hex, and so can be no path but a plain name."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def short(digest: str) -> str:
    """The first 12 hex digits: enough for names and tables."""
    return digest[:12]
