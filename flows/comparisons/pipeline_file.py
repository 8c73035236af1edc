"""Change `model:` and `train:` of a pipeline file; its other keys and its comments stay."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
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
