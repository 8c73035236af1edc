"""Set single values of a YAML text: every other byte of it stays, comments and line breaks too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node

_ENDLESS = 10**9  # no line is broken


def set_values(text: str, values: Mapping[str, Any]) -> str:
    """The text with some values set.

    A value takes the place of what stands there, on one line; a key that is missing is added to its mapping.

    Args:
        text: a YAML document whose root is a mapping.
        values: by dotted key; in their order.
    """
    for key, value in values.items():
        text = _set(text, key.split("."), value)
    return text


def _set(text: str, parts: Sequence[str], value: Any) -> str:
    node: Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    for depth, name in enumerate(parts):
        if not isinstance(node, MappingNode):
            raise ValueError(f"{'.'.join(parts[:depth]) or 'the document'} is no mapping")
        pair = next(((key, inner) for key, inner in node.value if key.value == name), None)
        if pair is None:
            return _inserted(text, node, parts[depth], _nested(parts[depth + 1 :], value))
        key_node, inner = pair
        is_last = depth == len(parts) - 1
        if is_last or not isinstance(inner, MappingNode):
            replacement = value if is_last else _nested(parts[depth + 1 :], value)
            end = _end(text, inner)
            return f"{text[: key_node.end_mark.index]}: {_dumped(replacement)}{text[end:]}"
        node = inner
    return text


def _inserted(text: str, mapping: MappingNode, name: str, value: Any) -> str:
    pair = f"{name}: {_dumped(value)}"
    if mapping.flow_style:
        before = text[: mapping.end_mark.index - 1].rstrip()
        separator = ", " if mapping.value else ""
        return f"{before}{separator}{pair}{text[mapping.end_mark.index - 1 :]}"
    first, (_, last) = mapping.value[0][0], mapping.value[-1]
    end = _line_end(text, _end(text, last))
    return f"{text[:end]}\n{' ' * first.start_mark.column}{pair}{text[end:]}"


def _nested(parts: Sequence[str], value: Any) -> Any:
    for name in reversed(parts):
        value = {name: value}
    return value


def _end(text: str, node: Node) -> int:
    """Where a value ends. PyYAML ends a block at the next token, after blank lines and comments, which stay."""
    lines = text[node.start_mark.index : node.end_mark.index].split("\n")
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return int(node.start_mark.index) + len("\n".join(lines))


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _dumped(value: Any) -> str:
    dumped: str = yaml.safe_dump(value, default_flow_style=True, width=_ENDLESS, sort_keys=False, allow_unicode=True)
    return dumped.removesuffix("...\n").rstrip("\n")
