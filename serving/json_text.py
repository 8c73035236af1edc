"""JSON of what a service answers."""

from __future__ import annotations

import json
from typing import Any

import orjson


def dumps(document: Any) -> bytes:
    """A document as JSON; what JSON has no form for is told as text.

    Half of a surrogate pair, which JSON may escape, and integers of more than 64 bits are Python's to write.
    """
    try:
        return orjson.dumps(document, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        return json.dumps(document, default=repr).encode()
