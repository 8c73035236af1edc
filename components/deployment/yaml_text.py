"""YAML for people and for `kubectl`: keys in the order of the code, comments at the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml


def render(document: dict[str, Any], head: Sequence[str] = ()) -> str:
    """A YAML document; `head` becomes comment lines before it."""
    body = yaml.dump(document, Dumper=_Indented, sort_keys=False, allow_unicode=True, width=110)
    return "".join(f"# {line}\n" for line in head) + body


class _Indented(yaml.SafeDumper):
    """Lists are indented below their key, and no value is an alias of another."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True
