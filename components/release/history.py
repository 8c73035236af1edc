"""What the ledger says: releases, which of them is not finished, what served well and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.release.ledger import CLOSING, Entry, Event, Role, Side


@dataclass(frozen=True)
class Release:
    """All entries of one release, in order."""

    entries: tuple[Entry, ...]

    @property
    def id(self) -> str:
        """What its entries have in common."""
        return self.entries[0].release

    @property
    def role(self) -> Role:
        """Which alias it follows."""
        return self.entries[0].role

    @property
    def before(self) -> Side | None:
        """What served in that role when it began."""
        return self.entries[0].before

    @property
    def after(self) -> Side | None:
        """What was asked for, as exactly as was known last."""
        return self.entries[-1].after

    @property
    def end(self) -> Entry | None:
        """The closing entry; None while it is open."""
        return self.entries[-1] if self.entries[-1].event in CLOSING else None

    def entry(self, event: Event) -> Entry | None:
        """The last entry of that kind."""
        return next((entry for entry in reversed(self.entries) if entry.event == event), None)


def releases(entries: Sequence[Entry]) -> list[Release]:
    """The releases in the order in which they began."""
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.release, []).append(entry)
    return [Release(tuple(group)) for group in grouped.values()]


def unfinished(entries: Sequence[Entry], role: Role) -> Release | None:
    """The release of a role that has no end yet."""
    found = [release for release in releases(entries) if release.role == role and release.end is None]
    return found[-1] if found else None


def served_well(entries: Sequence[Entry]) -> list[Side]:
    """The champions that one can go back to, the present one last.

    Each release that ended well adds its version. Going back to one of them takes away those above it: what was left
    in that way did not serve well enough to be gone back to.
    """
    found: list[Side] = []
    for entry in entries:
        if entry.role != "champion" or entry.event != "served" or entry.after is None:
            continue
        known = [side.package_digest for side in found]
        if entry.after.package_digest in known:
            del found[known.index(entry.after.package_digest) + 1 :]
        else:
            found.append(entry.after)
    return found


def is_going_back(entries: Sequence[Entry], package_digest: str | None, serving: str | None) -> bool:
    """Whether a package served well before the one that serves now.

    Args:
        serving: digest of the package that serves; None if nothing does.
    """
    known = {side.package_digest for side in served_well(entries)}
    return package_digest is not None and package_digest != serving and package_digest in known


def to_go_back_to(entries: Sequence[Entry], serving: str | None) -> Side | None:
    """What served well last, before what serves now.

    Args:
        serving: digest of the package that serves; None if nothing does.
    """
    return next((side for side in reversed(served_well(entries)) if side.package_digest != serving), None)
