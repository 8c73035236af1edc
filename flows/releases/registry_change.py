"""Another registry takes over: what production is made of there, whether the numbers of versions mean the same, and
what a rollback can go to."""

from __future__ import annotations

from contextlib import suppress

from components.core.errors import UsageError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api, MissingError
from components.release import followed, history, ledger_place
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.ledger import Entry, Ledger, VersionRef
from components.release.production import Pin
from flows.platform import followed_registry

MOST_COMPARED = 20  # models; one that is in the registry is proof enough


def changes(project: Project, api: Api) -> list[str]:
    """What will change once production follows the registry, a line for each model.

    Raises:
        UsageError: its champion has the number of the version that serves, and is another package.
    """
    found = []
    for name in ledgers.models(project):
        serves = productions.decided(ledgers.of(project, name).entries()).production.champion
        number = versions.aliases(api).get(name, {}).get("champion")
        if serves is None:
            continue
        if number is None:
            found.append(
                f"{name}: version {serves.version} serves, no version is champion there: it serves on until one is"
            )
        elif number != serves.version:
            found.append(f"{name}: version {serves.version} serves, {number} is champion there: it is released")
        else:
            require_same(name, serves, versions.by_number(api, name, number).package_digest)
        entries = ledgers.of(project, name).entries()
        back = [side for side in history.served_well(entries) if side.package_digest != serves.package_digest]
        lost = [side.version for side in back if not _has(api, name, side)]
        if lost:
            numbers = ", ".join(dict.fromkeys(reversed(lost)))
            found.append(f"{name}: `modelyard rollback` cannot go to {numbers}: they are no versions there")
    return found


def unknown(project: Project, api: Api) -> str | None:
    """Why the first registry of a machine that joins a team is not the one that production follows; None: it may be.

    It is where it has a version that serves, under its number, and where nothing serves.
    """
    if followed_registry.followed(project) is not None or not ledger_place.store(project).is_shared:
        return None
    serves = {}
    for name in ledgers.models(project):
        pin = productions.decided(ledgers.of(project, name).entries()).production.champion
        if pin is not None:
            serves[name] = pin.side
        if len(serves) == MOST_COMPARED:
            break
    if not serves or any(_may_have(api, name, side) for name, side in serves.items()):
        return None
    named = ", ".join(f"{name} version {side.version}" for name, side in sorted(serves.items()))
    registry = followed_registry.place(project)
    return f"production follows another registry, as {named} is not in {registry}: nothing is switched"


def record(project: Project, api: Api, registry: str, before: str, asked_by: str) -> None:
    """Write into each model's ledger that production follows another registry, and what of before is there.

    Args:
        registry, before: as `followed_registry.place` and `followed`.
    """
    for name in ledgers.models(project):
        _note(ledgers.of(project, name), api, registry, before, asked_by)


def compare_again(project: Project, api: Api, registry: str, asked_by: str) -> list[str]:
    """Write what the registry that is followed has in common with what served, where that is not what was recorded.

    Returns:
        A line for each model of which another record was written.
    """
    lines = []
    for name in ledgers.models(project):
        ledger = ledgers.of(project, name)
        known = followed.last(ledger.entries())
        if known is None or known.facts[followed.REGISTRY] != registry:  # this registry was the first one, or is not
            continue
        entry = _note(ledger, api, registry, str(known.facts[followed.BEFORE]), asked_by)
        if entry.sequence != known.sequence:
            numbers = ", ".join(side.version for side in history.served_well(ledger.entries()))
            lines.append(f"{name}: recorded anew; of what served, the registry has {numbers or 'no version'}")
    return lines


def _note(ledger: Ledger, api: Api, registry: str, before: str, asked_by: str) -> Entry:
    """Write the entry; what was released from this registry already is in common with it in any case."""
    entries = ledger.entries()
    same = {side.package_digest for side in _to_compare(entries) if _has(api, ledger.model, side)}
    known = followed.last(entries)
    if known is not None and known.facts[followed.REGISTRY] == registry:
        same |= followed.released_since(entries)
    return ledger.note_followed(registry, before, [one for one in same if one is not None], asked_by)


def _to_compare(entries: list[Entry]) -> list[VersionRef]:
    """What served well, of every registry, what serves now, and what was in common at the last comparison."""
    serves = productions.decided(entries).production.pins
    known = followed.packages(entries) or frozenset()
    before = [entry.after for entry in entries if entry.after is not None and entry.after.package_digest in known]
    found = [*history.served_elsewhere(entries), *history.served_well(entries), *(pin.side for pin in serves), *before]
    return list(dict.fromkeys(found))


def _has(api: Api, name: str, side: VersionRef) -> bool:
    """Whether the registry has a version of this number that is the same package."""
    with suppress(MissingError):
        return side.package_digest is not None and (
            versions.by_number(api, name, side.version).package_digest == side.package_digest
        )
    return False


def _may_have(api: Api, name: str, side: VersionRef) -> bool:
    """Whether the registry has a version of this number that does not say that it is another package."""
    with suppress(MissingError):
        return versions.by_number(api, name, side.version).package_digest in (None, side.package_digest)
    return False


def require_same(name: str, serves: Pin, package_digest: str | None) -> None:
    """Check that the version of the registry with the number of the one that serves is the same model.

    Raises:
        UsageError: it is another one.
    """
    if package_digest != serves.package_digest:
        raise UsageError(
            f"version {serves.version} of {name} is another model in this registry than the one that serves",
            got=f"package {(package_digest or 'unknown')[:12]}",
            expected=f"package {serves.package_digest[:12]}",
            next_step=f"register it there once more, so that it has another number, and make that one champion "
            f"(`modelyard run {name} --force register`); what serves stays until then",
        )
