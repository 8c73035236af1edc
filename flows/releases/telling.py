"""Telling the registry what a rollback has left, and who has set an alias since."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from components.core.errors import ModelyardError
from components.core.log import Log
from components.core.project import Project
from components.registry import alias_notes, versions
from components.registry.alias_notes import AliasNote
from components.registry.api import Api, MissingError
from components.release import history
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.history import Release
from components.release.ledger import Entry
from flows.releases import refusal
from flows.releases.rollback import Recorder, Requester
from flows.releases.rollout import ALIAS_SET, NOTE, is_consumed


def tell(api: Api, project: Project, name: str, log: Log) -> str:
    """Let the registry name what a rollback has left, unless somebody set the alias since; returns what was done.

    Raises:
        RegistryError: the registry does not answer.
    """
    ledger = ledgers.of(project, name)
    release = history.untold(ledger.entries())
    if release is None:
        return "the registry knows already"
    champion = productions.decided(ledger.entries()).production.champion
    done = "the alias was set by somebody else since"
    missing = False
    alias = versions.aliases_of(api, name).get("champion")
    handled = handled_by(release, ledger.entries())
    if champion is not None and alias_precedes(project, name, release, alias, handled):
        refusal.set_to(api, name, "champion", champion, log, expected=alias)
        done = f"champion is version {champion.version}"
    if champion is not None:
        try:
            if not versions.has_package(api, name, champion.version, champion.package_digest):
                raise MissingError(f"the registry has no such version of {name}")
            refusal.tag_served(api, name, champion.version, "champion", {})
        except MissingError:
            missing, done = True, f"the registry has no version {champion.version} of it: no alias names it"
    left = release.before
    if left is not None and (champion is None or left.version != champion.version):
        how = str(release.entries[0].facts.get("how", ""))
        tags = {refusal.STATE: "rolled back", refusal.REASON: f"{how}, by {release.entries[0].asked_by}"}
        if versions.has_package(api, name, left.version, left.package_digest):
            with suppress(MissingError):
                versions.tag_version(api, name, left.version, tags)
    refusal.anchor(api, name, ledger)
    Recorder(ledger, release, log)("told", alias=done, missing=missing)
    return done


def alias_precedes(project: Project, name: str, release: Release, alias: str | None, handled: frozenset[str]) -> bool:
    """Whether what an alias names is older than a rollback.

    The registry's server notes when an alias is set. Where there is no note, an alias that names what served before the
    rollback, or what was being released, is older.
    """
    target = release.after.version if release.after else None
    if alias == target:
        return False
    note = alias_notes.read(project, name, "champion")
    if note is not None and note.version == alias:
        since = datetime.fromisoformat(release.entries[0].time)
        return datetime.fromisoformat(note.at) < since
    return alias is None or alias in handled


def handled_by(release: Release, entries: list[Entry]) -> frozenset[str]:
    """Versions that the alias may have named when a rollback came: what served, and what was being released."""
    first = release.entries[0].sequence
    found = {release.before.version} if release.before else set()
    for other in history.releases(entries):
        begun = other.entries[0].sequence < first
        ended = other.end is not None and other.end.sequence < first
        if other.role == "champion" and begun and not ended and other.after is not None:
            found.add(other.after.version)
    return frozenset(found)


def requester_of_alias(project: Project, name: str, entries: list[Entry]) -> tuple[Requester, AliasNote | None]:
    """Who set the champion's alias, and the note in which the registry's server says so."""
    note = alias_notes.read(project, name, "champion")
    if note is None or is_consumed(note, entries):
        return Requester("registry", ALIAS_SET, {}), None
    user = {} if note.user is None else {"user": note.user}
    facts = {"known_by": note.known_by, "claimed": note.claimed, NOTE: note.id, **user}
    return Requester(note.by, note.how, facts), note


def tell_soon(api: Api, project: Project, name: str, release: str, log: Log) -> None:
    """Set the alias right after a rollback by command, where the registry answers at once; the rest is told later."""
    found = [one for one in history.releases(ledgers.of(project, name).entries()) if one.id == release]
    if not found:
        return
    champion, handled = found[0].after, handled_by(found[0], ledgers.of(project, name).entries())
    try:
        alias = versions.aliases_of(api, name).get("champion")
        if (
            champion is not None
            and alias_precedes(project, name, found[0], alias, handled)
            and versions.has_package(api, name, champion.version, champion.package_digest)
        ):
            versions.set_alias(api, name, "champion", champion.version, refusal.SET_BACK, expected=alias)
    except ModelyardError as error:
        log(f"the registry does not answer ({error.got}): it is told when it is back")
