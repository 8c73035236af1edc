"""The chain of proof: each link is ok, broken, or absent if an artifact is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from components.core.errors import ModelyardError

State = Literal["ok", "broken", "absent"]


class AbsentError(Exception):
    """An artifact that a link needs is missing; the link is not broken."""


@dataclass(frozen=True)
class Link:
    """One link of the chain.

    Args:
        said: the summary of the check, the error, or the missing artifact.
        where, got, expected: of a broken link: the location, and the two values that differ.
    """

    name: str
    state: State
    said: str
    where: str | None = None
    got: str | None = None
    expected: str | None = None


@dataclass(frozen=True)
class Proof:
    """All links from the target down to the locked environment.

    Args:
        target: the target as a person typed it.
        subject: model, version and package as text: `digits version 3, package 0cf606ad8124`.
    """

    target: str
    subject: str
    links: tuple[Link, ...]

    @property
    def holds(self) -> bool:
        """Whether no link is broken."""
        return all(link.state != "broken" for link in self.links)


def link(name: str, check: Callable[[], str]) -> Link:
    """Check one link.

    Args:
        check: returns a summary; raises AbsentError for a missing artifact, a ModelyardError for a broken link.
    """
    try:
        return Link(name, "ok", check())
    except AbsentError as error:
        return Link(name, "absent", str(error))
    except ModelyardError as error:
        return Link(name, "broken", error.what, error.where, error.got, error.expected)
