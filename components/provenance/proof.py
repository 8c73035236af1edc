"""The chain of proof: links that hold, are broken, or could not be looked at because a piece is not here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from components.core.errors import ModelyardError

State = Literal["ok", "broken", "absent"]


class AbsentError(Exception):
    """A piece that a link needs is not here; nothing speaks against the link."""


@dataclass(frozen=True)
class Link:
    """One link of the chain.

    Args:
        said: what was compared and found; what is wrong; or what is not here.
        where, got, expected: of a broken link: the place, and the two values that differ.
    """

    name: str
    state: State
    said: str
    where: str | None = None
    got: str | None = None
    expected: str | None = None


@dataclass(frozen=True)
class Proof:
    """All links from what a person named down to the locked environment.

    Args:
        target: what was named.
        subject: what it is, in words: `digits version 3, package 0cf606ad8124`.
    """

    target: str
    subject: str
    links: tuple[Link, ...]

    @property
    def holds(self) -> bool:
        """Whether no link is broken."""
        return all(link.state != "broken" for link in self.links)


def link(name: str, check: Callable[[], str]) -> Link:
    """Look at one link.

    Args:
        check: says what it found; raises `AbsentError` where it cannot look, a `ModelyardError` where it does not hold.
    """
    try:
        return Link(name, "ok", check())
    except AbsentError as error:
        return Link(name, "absent", str(error))
    except ModelyardError as error:
        return Link(name, "broken", error.what, error.where, error.got, error.expected)
