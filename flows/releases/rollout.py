"""One release being carried out: what is known of it, and what of it stands in the ledger."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from components.contracts.gate_request import GateResult
from components.core.errors import ModelyardError
from components.identity.package import Package
from components.packaging.bundle import Bundle
from components.registry import alias_notes, versions
from components.registry.alias_notes import AliasNote
from components.registry.api import Api
from components.registry.versions import Version
from components.release import history
from components.release import ledger as ledgers
from components.release.history import Release
from components.release.ledger import Entry, Event, Ledger, Role, Side
from flows.pipelines.stages import RunContext
from flows.releases import observation
from flows.releases.service import Service

NOTE = "alias_note"  # the fact of an entry `asked` that holds the id of the note that it was begun for
ALIAS_SET = "the alias in the registry"


class Refused(Exception):
    """The version does not get to serve (or no longer does).

    Args:
        results: of the gates that refused it.
        report: the report's folder, where there is one.
    """

    def __init__(self, results: list[GateResult], evidence: str | None = None) -> None:
        super().__init__("; ".join(f"{result.gate}: {result.reason}" for result in results))
        self.results = results
        self.evidence = evidence


class Superseded(Exception):
    """The registry asks for something else by now."""


@dataclass
class Rollout:
    """A release of one role.

    Args:
        id: the same for all its entries in the ledger.
        before: what served in that role when it began.
        after: what is asked for; None: nothing any more.
    """

    work: RunContext
    service: Service
    role: Role
    id: str
    before: Side | None
    after: Side | None
    asked_by: str
    done: set[Event] = field(default_factory=set)

    @property
    def api(self) -> Api:
        """The registry."""
        return self.work.api

    @property
    def name(self) -> str:
        """The model."""
        return self.work.spec.name

    @cached_property
    def ledger(self) -> Ledger:
        """The model's ledger."""
        return ledgers.of(self.work.project, self.name)

    def record(self, event: Event, **facts: Any) -> None:
        """Write a step down, once: one that a killed process had written already is not written again."""
        if event in self.done:
            return
        self.ledger.append(
            event,
            release=self.id,
            role=self.role,
            before=self.before,
            after=self.after,
            asked_by=self.asked_by,
            facts=facts,
        )
        self.done.add(event)
        words = f" {self.after.version}" if self.after else ""
        self.work.say(f"{self.role}{words}: {event}")

    def entry(self, event: Event) -> Entry | None:
        """What was written down of a step of this release."""
        found = [release for release in history.releases(self.ledger.entries()) if release.id == self.id]
        return found[0].entry(event) if found else None

    def still_wanted(self) -> bool:
        """Whether the registry still asks for this."""
        wanted = observation.wanted(self.api, self.name).of_role(self.role)
        return wanted == (self.after.version if self.after else None)


@dataclass(frozen=True)
class Proven:
    """A version whose package and bundle are there and were read byte by byte."""

    version: Version
    package: Package
    bundle: Bundle


def begin(
    work: RunContext, service: Service, role: Role, flow_run: str, *, withdraws: bool, broken: str | None
) -> Rollout | None:
    """The release that is due in a role: the one a killed process left, if it is still asked for, else a new one.

    Args:
        withdraws: nothing was champion for the whole grace period; without it, no champion is no order yet.
        broken: why the service took its challenger out; then that is to go, whatever the alias says.

    Returns:
        None: what a killed process left is not asked for any more, and what is asked for is another matter.
    """
    ledger = ledgers.of(work.project, work.spec.name)
    entries = ledger.entries()
    asked = observation.wanted(work.api, work.spec.name).of_role(role)
    left = history.unfinished(entries, role)
    before = serving(service, role)
    asked = None if broken else asked
    after = None if asked is None else Side(version=asked, package_digest=_digest_of(work.api, work.spec.name, asked))
    if left is not None:
        change = _resumed(work, service, left)
        ending = {"refusing", "removing", "withdrawing"} & change.done
        same = (change.after.version if change.after else None) == asked
        if ending or same:
            work.say(f"going on with the release {left.id}: {left.entries[-1].event} was its last step")
            return change
        change.record("superseded", reason=f"the registry asks for {asked or 'nothing'} by now")
        return None
    if role == "champion" and asked is None and not withdraws:
        return None
    note = None if broken else _note(work, role, asked, entries)
    by, how = ("service", broken) if broken else ("registry", ALIAS_SET)
    if note is not None:
        by, how = note.by, note.how
    beside = service.order().challenger
    if role == "challenger" and before == after and beside and beside.policy != work.spec.release.terms():
        note, by, how = None, "pipeline", "its terms (canary, limits) have changed"
    change = Rollout(work, service, role, secrets.token_hex(6), before, after, by)
    known = {} if note is None else {"known_by": note.known_by, "claimed": note.claimed, NOTE: note.id}
    change.record("asked", how=how, going_back=_goes_back(entries, role, before, after), flow_run=flow_run, **known)
    if note is not None:
        alias_notes.consume(work.project, note)
    return change


def serving(service: Service, role: Role) -> Side | None:
    """What a role's version truly is: what the workers say; what they were ordered where they do not answer."""
    said = service.statement()
    held = [worker.champion if role == "champion" else worker.challenger for worker in said.workers] if said else []
    known = {(slot.version, slot.package_digest) for slot in held if slot is not None}
    if len(known) == 1 and None not in held:
        version, package_digest = known.pop()
        return Side(version=version, package_digest=package_digest)
    order = service.order()
    slot = order.champion if role == "champion" else order.challenger
    return Side(version=slot.version, package_digest=slot.package_digest) if slot else None


def _resumed(work: RunContext, service: Service, left: Release) -> Rollout:
    first = left.entries[0]
    done = {entry.event for entry in left.entries}
    return Rollout(work, service, left.role, left.id, left.before, left.after, first.asked_by, done)


def _goes_back(entries: list[Entry], role: Role, before: Side | None, after: Side | None) -> bool:
    serving = before.package_digest if before else None
    return role == "champion" and after is not None and history.is_going_back(entries, after.package_digest, serving)


def _digest_of(api: Api, name: str, version: str) -> str | None:
    try:
        return versions.by_number(api, name, version).package_digest
    except ModelyardError:
        return None


def _note(work: RunContext, role: Role, version: str | None, entries: list[Entry]) -> AliasNote | None:
    """Who set the alias to this version, unless an earlier release was for that very change."""
    note = alias_notes.read(work.project, work.spec.name, role)
    if note is None or note.version != version:
        return None
    consumed = any(entry.event == "asked" and entry.facts.get(NOTE) == note.id for entry in entries)
    return None if consumed else note
