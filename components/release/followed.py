"""What the ledger knows of registries: which of the versions that served are versions of the one that is followed now.

The versions of two registries have the same numbers and are other models. When production begins to follow another
registry, an entry `followed` in the ledger of each model names it, and the packages that it has under the numbers of
before. Whatever else served before is not a version there: no alias of this registry means it.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.release.entry import Entry

EVENT = "followed"
REGISTRY, BEFORE, SAME = "registry", "before", "same"  # facts of the entry


def last(entries: Sequence[Entry]) -> Entry | None:
    """The entry that names the registry followed now; None where it was never another one."""
    return next((entry for entry in reversed(entries) if entry.event == EVENT), None)


def packages(entries: Sequence[Entry]) -> frozenset[str] | None:
    """Digests of the packages that are versions of the registry followed now, as far as they were in production.

    Those that it had when it was followed first, and those of releases that began since. None: all that ever served.
    """
    found = last(entries)
    if found is None:
        return None
    return frozenset(map(str, found.facts.get(SAME, ()))) | released_since(entries)


def released_since(entries: Sequence[Entry]) -> frozenset[str]:
    """Digests of the packages of releases that began since the registry is followed; none where it never changed."""
    found = last(entries)
    if found is None:
        return frozenset()
    begun = {entry.release for entry in entries if entry.sequence < found.sequence}
    since = (
        entry.after.package_digest
        for entry in entries
        if entry.sequence > found.sequence and entry.release not in begun and entry.after is not None
    )
    return frozenset(digest for digest in since if digest is not None)


def is_of_another(entries: Sequence[Entry], package_digest: str | None) -> bool:
    """Whether a package that is in production is no version of the registry followed now."""
    known = packages(entries)
    return known is not None and package_digest is not None and package_digest not in known
