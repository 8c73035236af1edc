"""The name of a category as it is kept: one spelling, whatever wrote it."""

from __future__ import annotations

from typing import Any

from components.ingestion.class_name import class_name

_BOOLEANS = ("true", "false")


def category_name(value: Any) -> str | None:
    """The name that a value stands for: text as `class_name` spells it, a boolean as true or false, a whole number.

    The texts True and TRUE are the boolean, as CSV files spell it.

    Returns:
        None for a value that names nothing: empty text, NaN, None.

    Raises:
        ValueError: the value is no name: a fraction, a list, an object.
    """
    if isinstance(value, str):
        name = class_name(value)
        return (name.lower() if name.lower() in _BOOLEANS else name) or None
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    raise ValueError("not text, a boolean or a whole number")
