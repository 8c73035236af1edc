"""What the ledger says: releases, which of them is not finished, what served well and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.core.errors import UsageError
from components.release import followed, production
from components.release.ledger import CLOSING, NOTES, Entry, Event, Role, VersionRef
from components.release.production import Pin

# Entries after which a release goes on to its end, whatever the registry asks for meanwhile.
DECIDED: frozenset[Event] = frozenset({"refusing", "removing", "withdrawing"})


@dataclass(frozen=True)
class Release:
    """All entries of one release, in order."""

    entries: tuple[Entry, ...]

    @property
    def id(self) -> str:
        """The identifier that its entries share."""
        return self.entries[0].release

    @property
    def role(self) -> Role:
        """The alias that the release follows."""
        return self.entries[0].role

    @property
    def before(self) -> VersionRef | None:
        """What served in the role when the release began."""
        return self.entries[0].before

    @property
    def after(self) -> VersionRef | None:
        """The version to serve, with its package's digest once that is known."""
        return self.entries[-1].after

    @property
    def end(self) -> Entry | None:
        """The closing entry; None while the release is open."""
        return next((entry for entry in reversed(self.entries) if entry.event in CLOSING), None)

    @property
    def is_direct(self) -> bool:
        """Whether the release was decided when it was asked for: a rollback, or a changed policy."""
        return self.entries[0].event == "asked" and production.PRODUCTION in self.entries[0].facts

    @property
    def events(self) -> set[Event]:
        """The steps that were recorded."""
        return {entry.event for entry in self.entries}

    def entry(self, event: Event) -> Entry | None:
        """The last entry of that kind."""
        return next((entry for entry in reversed(self.entries) if entry.event == event), None)


def releases(entries: Sequence[Entry]) -> list[Release]:
    """The releases in the order in which they began."""
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.event not in NOTES:
            grouped.setdefault(entry.release, []).append(entry)
    return [Release(tuple(group)) for group in grouped.values()]


def unfinished(entries: Sequence[Entry], role: Role) -> Release | None:
    """The release of a role that has no end yet."""
    found = [release for release in releases(entries) if release.role == role and release.end is None]
    return found[-1] if found else None


def untold(entries: Sequence[Entry]) -> Release | None:
    """The last rollback, if the registry was not told of it yet.

    A release of the champion that was closed after the rollback has told the registry what serves. A registry that is
    followed since, and has no such version, is not told.
    """
    change = followed.last(entries)
    found = [release for release in releases(entries) if release.role == "champion"]
    for release in reversed(found):
        if release.is_direct:
            begun_before = change is not None and release.entries[0].sequence < change.sequence
            if begun_before and release.after and followed.is_of_another(entries, release.after.package_digest):
                return None
            return release if release.end is not None and "told" not in release.events else None
        if release.end is not None and release.end.event not in ("superseded", "refused"):
            return None
    return None


def is_unregistered(entries: Sequence[Entry]) -> bool:
    """Whether production was rolled back to a version that the registry has no more, so that no alias can name it."""
    found = [release for release in releases(entries) if release.role == "champion"]
    told = found[-1].entry("told") if found else None
    return told is not None and told.facts.get("missing") is True


def served_well(entries: Sequence[Entry]) -> list[VersionRef]:
    """The champions that production can go back to, the present one last.

    Each release that ended well adds its version. Going back to one of them, once that is decided, removes those above
    it: what was left in that way did not serve well enough to be gone back to. A version of a registry that production
    does not follow any more is none of them.
    """
    known = followed.packages(entries)
    return [side for side in _served_well(entries) if known is None or side.package_digest in known]


def served_elsewhere(entries: Sequence[Entry]) -> list[VersionRef]:
    """What served well as well, and is a version of a registry that production does not follow any more."""
    return [side for side in _served_well(entries) if followed.is_of_another(entries, side.package_digest)]


def _served_well(entries: Sequence[Entry]) -> list[VersionRef]:
    """As `served_well`, of every registry."""
    found: list[VersionRef] = []
    for entry in entries:
        if entry.role != "champion" or entry.after is None:
            continue
        known = [side.package_digest for side in found]
        served = entry.event == "served"
        decided = entry.event == "asked" and production.PRODUCTION in entry.facts
        if (served or decided) and entry.after.package_digest in known:
            place = known.index(entry.after.package_digest)
            found[place:] = [entry.after]  # another registry may give the same package another number
        elif served:
            found.append(entry.after)
    return found


def rollback_target(entries: Sequence[Entry], name: str, to: str | None = None) -> Pin:
    """The bundle that a rollback goes to: the last one that served well before what serves now, or version `to`.

    Raises:
        UsageError: nothing served before, or that version never served well, or only in another registry.
    """
    champion = production.decided(entries).production.champion
    serving = champion.package_digest if champion else None
    pinned = production.pins(entries)
    served = [side for side in served_well(entries) if side.package_digest in pinned]
    known = _numbers(served)
    if to is not None:
        side = next((side for side in reversed(served) if side.version == to), None)
        if side is None:
            raise _elsewhere(entries, name, to, known) or UsageError(
                f"version {to} of {name} never served well",
                expected=f"one of {known}",
                next_step=f"`modelyard promote {name} {to}` goes through the gates",
            )
    else:
        side = next((side for side in reversed(served) if side.package_digest != serving), None)
        if side is None:
            raise _elsewhere(entries, name, None, known) or UsageError(
                f"nothing to go back to: no other version of {name} served well before",
                got=f"served well: {known}",
                next_step=f"`modelyard history {name}`",
            )
    assert side.package_digest is not None  # noqa: S101  # it is a key of `pinned`
    return pinned[side.package_digest]


def _numbers(sides: Sequence[VersionRef]) -> str:
    return ", ".join(dict.fromkeys(side.version for side in reversed(sides))) or "none"


def _elsewhere(entries: Sequence[Entry], name: str, to: str | None, known: str) -> UsageError | None:
    """Why production cannot go back to what served in another registry; None where nothing did."""
    others = [side for side in served_elsewhere(entries) if to is None or side.version == to]
    change = followed.last(entries)
    if change is None or not others:
        return None
    before, now = change.facts[followed.BEFORE], change.facts[followed.REGISTRY]
    what = (
        f"version {to} of {name} served"
        if to is not None
        else f"nothing to go back to: what served of {name} before is"
    )
    return UsageError(
        f"{what} in another registry than the one that production follows",
        got=f"{_numbers(others)} of {before}, until {change.time[:16].replace('T', ' ')}Z",
        expected=f"one of {known}, of {now}",
        next_step=f"`modelyard promote {name} VERSION` for another version of this registry; or name the registry of "
        "before in modelyard.toml, and `modelyard up --follow-registry`: its versions can be gone back to then",
    )
