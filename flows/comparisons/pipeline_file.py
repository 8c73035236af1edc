"""Set keys of a pipeline file or of dataset.yaml; all else stays, comments too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from components.contracts.pipeline import PipelineSpec
from components.core import atomic, yaml_edit

HEAD = "# Tried by `modelyard try` on "


def write(path: Path, spec: PipelineSpec, table: Sequence[str]) -> None:
    """Write the model and the training of a pipeline into its file, below a comment with the table of the trial.

    Args:
        table: lines of the comment; they replace those of an earlier trial.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    sections = {"model": _keys(spec.model), "train": _keys(spec.train)}
    changed = {key: value for key, value in sections.items() if (document.get(key) or {}) != value}
    today = datetime.now(UTC).date().isoformat()
    set_keys(path, changed, [f"{HEAD}{today}: {table[0]}", *(f"#   {line}" for line in table[1:])])


def set_keys(path: Path, values: Mapping[str, Any], head: Sequence[str] = ()) -> None:
    """Set single keys of a YAML file.

    Args:
        values: by dotted key; a mapping takes the place of what stood there.
        head: lines of a comment at the top: the first has ` on <date>` in it, the others begin with `#   `.
            They replace those of an earlier call whose first line begins so.
    """
    text = yaml_edit.set_values(path.read_text(encoding="utf-8"), values)
    if head:
        begin = head[0].partition(" on ")[0] + " on "
        text = re.sub(re.escape(begin) + r".*\n(?:#   .*\n)*", "", text)
        text = "".join(f"{line}\n" for line in head) + text
    atomic.write_text(path, text)


def _keys(part: BaseModel) -> dict[str, Any]:
    """The keys that a person or a draft set, in their order."""
    return part.model_dump(mode="json", exclude_unset=True)
