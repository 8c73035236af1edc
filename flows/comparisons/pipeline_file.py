"""Change `model:` and `train:` of a pipeline file; its other keys and its comments stay."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from components.contracts.pipeline import PipelineSpec
from components.core import atomic, located_yaml

HEAD = "# Tried by `modelyard try` on "
_BEFORE = re.compile(re.escape(HEAD) + r".*\n(?:#   .*\n)*")


def write(path: Path, spec: PipelineSpec, table: Sequence[str]) -> None:
    """Write the model and the training of a pipeline into its file, below a comment with the table of the trial.

    Args:
        table: lines of the comment; they replace those of an earlier trial.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    document = yaml.load(path.read_text(encoding="utf-8"))
    for key, value in (("model", _keys(spec.model)), ("train", _keys(spec.train))):
        if dict(document.get(key) or {}) != value:
            document[key] = _flow(value)
    stream = io.StringIO()
    yaml.dump(document, stream)
    today = datetime.now(UTC).date().isoformat()
    comment = f"{HEAD}{today}: {table[0]}\n" + "".join(f"#   {line}\n" for line in table[1:])
    atomic.write_text(path, comment + _BEFORE.sub("", stream.getvalue()))


def set_keys(path: Path, values: Mapping[str, Any], head: str = "") -> None:
    """Set single keys of a YAML file; all else stays, comments too.

    Args:
        values: by dotted key; a mapping takes the place of what stood there.
        head: comment at the top of the file, lines that begin with `#`; what begins like its first line is replaced.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # a line that is long already stays one
    document = yaml.load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        *parents, last = key.split(".")
        mapping = document
        for name in parents:
            if not isinstance(mapping.get(name), dict):
                mapping[name] = _flow({})
            mapping = mapping[name]
        mapping[last] = _flow(value) if isinstance(value, dict) else _quoted(value)
    stream = io.StringIO()
    yaml.dump(document, stream)
    text = stream.getvalue()
    if head:
        begin = head.split(" on ")[0]
        text = re.sub(re.escape(begin) + r".*\n(?:#   .*\n)*", "", text)
    atomic.write_text(path, head + text)


def _keys(part: BaseModel) -> dict[str, Any]:
    """The keys that a person or a draft set, in their order."""
    return part.model_dump(mode="json", exclude_unset=True)


def _flow(value: dict[str, Any]) -> Any:
    """A mapping on one line, as drafts have them."""
    mapping = CommentedMap(
        {key: _flow(part) if isinstance(part, dict) else _quoted(part) for key, part in value.items()}
    )
    mapping.fa.set_flow_style()
    return mapping


def _quoted(value: Any) -> Any:
    """The value; in quotation marks a text that the reader of pipeline files (YAML 1.1) takes for more, as `off`."""
    is_text = not isinstance(value, str) or located_yaml.parse_value(value) == value
    return value if is_text else DoubleQuotedScalarString(value)
