"""The licences of the libraries that a bundle installs, as their own metadata declare them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from typing import cast

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

FILE_NAME = "licences.txt"
NOT_DECLARED = "not declared"
# Classifiers that name one licence; "BSD License" and the like name several, and are kept as they are.
_SPDX_BY_CLASSIFIER = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_LONGEST_NAME = 60  # a longer `License` field is the licence's text


@dataclass(frozen=True)
class Licence:
    """What a library declares.

    Args:
        expression: an SPDX expression; None: the library declares none.
        name: the words of a library without an SPDX expression; None: it declares nothing.
    """

    library: str
    version: str
    expression: str | None
    name: str | None = None

    @property
    def text(self) -> str:
        """The expression, or the words, or `NOT_DECLARED`."""
        return self.expression or self.name or NOT_DECLARED


def of_pins(pins: Sequence[str]) -> list[Licence]:
    """The licence of each pin `name==version`; of a library that is not installed in that version none is known."""
    return [_of_pin(*pin.split("==", 1)) for pin in pins]


def as_text(licences: Sequence[Licence]) -> str:
    """A table, one library a line, with a count by licence at the end."""
    width = max((len(f"{one.library} {one.version}") for one in licences), default=0)
    counts: dict[str, int] = {}
    for one in licences:
        counts[one.text] = counts.get(one.text, 0) + 1
    lines = [
        "Licences of the libraries that this bundle installs, as their metadata declare them. The texts of the",
        "licences come with the libraries (*.dist-info).",
        "",
        *(f"{f'{one.library} {one.version}':<{width}}  {one.text}" for one in licences),
        "",
        *(f"{count:>4}  {text}" for text, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))),
    ]
    return "\n".join(lines) + "\n"


def _of_pin(name: str, version: str) -> Licence:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return Licence(name, version, None)
    if distribution.version != version:
        return Licence(name, version, None)
    metadata = cast(Message, distribution.metadata)  # the protocol of importlib lacks `get_all` with a default
    classifiers = [
        line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", []) if line.startswith("License :: ")
    ]
    declared = str(metadata.get("License") or "").strip()
    declared = declared if len(declared) <= _LONGEST_NAME and "\n" not in declared else ""
    expressions = [str(metadata.get("License-Expression") or ""), declared]
    expressions += [
        _SPDX_BY_CLASSIFIER[one] for one in classifiers if len(classifiers) == 1 and one in _SPDX_BY_CLASSIFIER
    ]
    for text in expressions:
        if (expression := _expression(text)) is not None:
            return Licence(name, version, expression)
    words = ", ".join(classifiers) if len(classifiers) > 1 else declared or "".join(classifiers)
    return Licence(name, version, None, words or None)


def _expression(text: str) -> str | None:
    """The canonical SPDX expression; None if the text is none."""
    try:
        return str(canonicalize_license_expression(text)) if text else None
    except InvalidLicenseExpression:
        return None
