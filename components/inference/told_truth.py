"""A truth that somebody tells of an answer, against the classes that the model has.

Legend: known classes are a closed set. An answer with the probability or the score of each class names all of them.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_LISTS_OF_OBJECTS = ("spans", "boxes")
_LONGEST = 200  # characters of a name that is compared with others


class KnownClasses(NamedTuple):
    """The classes that a model's answers can name.

    Args:
        field: of an answer that has them: `label`, `labels`, `spans` or `boxes`.
    """

    field: str
    classes: tuple[str, ...]


def of_schema(prediction: Mapping[str, Any]) -> KnownClasses | None:
    """The known classes of a JSON schema of predictions; None for a task without."""
    properties = prediction.get("properties", {})
    for field in ("label", "labels", *_LISTS_OF_OBJECTS):
        schema = properties.get(field, {})
        items = schema.get("items", {})
        for one in (schema, items, items.get("properties", {}).get("label", {})):
            if "enum" in one:
                return KnownClasses(field, tuple(map(str, one["enum"])))
    return None


def of_answer(output: Mapping[str, Any]) -> KnownClasses | None:
    """The known classes that an answer names; None where it does not name all."""
    odds = output.get("probabilities", output.get("scores"))
    field = next((name for name in ("label", "labels") if name in output), None)
    if field is None or not isinstance(odds, Mapping) or not odds:
        return None
    return KnownClasses(field, tuple(map(str, odds)))


def is_of_another_kind(truth: Any, known: KnownClasses) -> bool:
    """Whether a truth cannot be one of these answers, as a list where one class is told."""
    if known.field == "label":
        return not isinstance(truth, str | int | float)
    return not isinstance(truth, list)


def unknown_names(truth: Any, known: KnownClasses) -> list[str]:
    """The names in a truth that are no known class; [] for a truth of another kind."""
    if is_of_another_kind(truth, known):
        return []
    told: Iterable[Any] = [truth] if known.field == "label" else truth
    if known.field in _LISTS_OF_OBJECTS:
        told = [one["label"] for one in told if isinstance(one, Mapping) and "label" in one]
    names = dict.fromkeys(label_of(one, known.classes) for one in told)
    return [name for name in names if name not in known.classes]


def nearest(name: str, classes: Collection[str]) -> str | None:
    """The known class that a name is perhaps a slip of."""
    alike = spelled_otherwise(name, classes)
    if alike is not None:
        return alike
    if len(name) > _LONGEST:
        return None
    plain = {_plain(one): one for one in classes}
    found = difflib.get_close_matches(_plain(name), list(plain), n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def spelled_otherwise(name: str, classes: Collection[str]) -> str | None:
    """The one class that a name is but for capitals and blanks."""
    alike = [one for one in classes if _plain(one) == _plain(name)]
    return alike[0] if len(alike) == 1 else None


def label_of(truth: Any, classes: Sequence[str]) -> str:
    """A truth as the name of a class: files of tables write 7 as 7.0, and 1.20 as 1.2."""
    text = str(truth)
    if text in classes or (number := number_of(truth)) is None:
        return text
    alike = {one for one in classes if number_of(one) == number}
    return alike.pop() if len(alike) == 1 else text


def number_of(truth: Any) -> float | None:
    """A truth as a finite number, if it is one or the text of one."""
    if isinstance(truth, bool) or not isinstance(truth, int | float | str):
        return None
    try:
        number = float(truth)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def named(names: Iterable[str], most: int = 10) -> str:
    """Names in one line, at most so many."""
    ordered = [one if len(one) <= 60 else f"{one[:60]}…" for one in names]
    return ", ".join(ordered[:most]) + (f", and {len(ordered) - most:,} more" if len(ordered) > most else "")


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
