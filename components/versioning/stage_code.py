"""What code a data stage consists of, as the file that DVC compares."""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts import atomic, source_code
from components.contracts.errors import UsageError
from components.contracts.source_code import SourceIdentity

STAGES = ("ingest", "validate", "prepare")

_ENTRIES = {
    "ingest": ("components.ingestion.stage",),
    "validate": ("components.validation.stage",),
    "prepare": ("components.preprocessing.stage", "components.validation.stage"),
}


def main(arguments: list[str]) -> None:
    """Write `data/.code/<stage>.json` for each stage; a file whose content stays the same is not touched."""
    if arguments:
        raise UsageError("no arguments are expected", got=arguments)
    for stage in STAGES:
        path = file(Path(), stage)
        text = as_text(identity(Path(), stage))
        if not path.is_file() or path.read_text() != text:
            atomic.write_text(path, text)


def file(root: Path, stage: str) -> Path:
    """Where the identity of a stage's code is written."""
    return root / "data" / ".code" / f"{stage}.json"


def identity(root: Path, stage: str) -> SourceIdentity:
    """The identity of a stage's code, read from the source now."""
    return source_code.identity(_ENTRIES[stage], root)


def as_text(found: SourceIdentity) -> str:
    """The content of a stage's file."""
    return json.dumps(found._asdict(), indent=1, sort_keys=True) + "\n"
