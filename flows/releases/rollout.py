"""One release being carried out: what is known of it, and its entries in the ledger."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from components.contracts.gate_request import GateResult
from components.contracts.serving_spec import OvertakenError
from components.core.errors import ModelyardError
from components.identity.package import Package
from components.packaging.bundle import Bundle
from components.registry import alias_notes, versions
from components.registry.alias_notes import AliasNote
from components.registry.api import Api
from components.registry.versions import Version
from components.release import history
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.decision import DesiredState
from components.release.history import Release
from components.release.ledger import Entry, Event, Ledger, MovedOnError, Role, VersionRef
from components.release.production import PRODUCTION, PinnedState, Production
from flows.pipelines.stages import RunContext
from flows.serving_targets.serving_target import ServingTarget

NOTE = "alias_note"  # the fact of an entry `asked` that holds the id of the note that it was begun for
ALIAS_SET = "the alias in the registry"


class Refused(Exception):
    """The version is not to serve, or is to serve no longer.

    Args:
        results: of the gates that refused it.
        evidence: folder of the gates' report, where there is one.
    """

    def __init__(self, results: list[GateResult], evidence: str | None = None) -> None:
        super().__init__("; ".join(f"{result.gate}: {result.reason}" for result in results))
        self.results = results
        self.evidence = evidence


class Superseded(Exception):
    """A newer order has come: the registry asks for another version, or production was rolled back."""


@dataclass
class Rollout:
    """A release of one role.

    Args:
        id: shared by all its entries in the ledger.
        current: what served in that role when the release began.
        target: what is to serve; None: nothing any more.
        done: the steps that were recorded.
    """

    context: RunContext
    service: ServingTarget
    role: Role
    id: str
    current: VersionRef | None
    target: VersionRef | None
    asked_by: str
    done: set[Event] = field(default_factory=set)

    @property
    def api(self) -> Api:
        """The registry."""
        return self.context.api

    @property
    def name(self) -> str:
        """The model."""
        return self.context.spec.name

    @cached_property
    def ledger(self) -> Ledger:
        """The model's ledger."""
        return ledgers.of(self.context.project, self.name)

    def record(self, event: Event, **facts: Any) -> None:
        """Record a step once: one that a killed process recorded is not recorded again.

        Raises:
            Superseded: a rollback has closed this release.
        """
        self.record_with(event, lambda _: facts)

    def record_with(self, event: Event, facts: Callable[[Sequence[Entry]], dict[str, Any]]) -> None:
        """Record a step whose facts depend on the ledger's entries: nothing comes between reading them and writing.

        Raises:
            Superseded: a rollback has closed this release.
        """
        while event not in self.done:
            entries = self.ledger.entries()
            own = [entry for entry in entries if entry.release == self.id]
            if own and history.Release(tuple(own)).end is not None:
                raise Superseded
            try:
                self.ledger.append(
                    event,
                    release=self.id,
                    role=self.role,
                    before=self.current,
                    after=self.target,
                    asked_by=self.asked_by,
                    facts=facts(entries),
                    if_last=entries[-1].sequence if entries else 0,
                )
            except MovedOnError:
                continue
            self.done.add(event)
            version = f" {self.target.version}" if self.target else ""
            self.context.log(f"{self.role}{version}: {event}")

    def pin(self, event: Event, change: Callable[[Production], Production], **facts: Any) -> PinnedState:
        """Record what production is made of from now on; whoever acts on it, acts on what was recorded.

        Args:
            change: from the production that is pinned now to the one to be pinned.

        Returns:
            The production that is pinned last: this one, or what a later decision has made of it.
        """

        def with_production(entries: Sequence[Entry]) -> dict[str, Any]:
            pinned = change(productions.decided(entries).production)
            return {**facts, PRODUCTION: pinned.model_dump(mode="json")}

        self.record_with(event, with_production)
        return self.pinned()

    def pinned(self) -> PinnedState:
        """What production is made of."""
        return productions.decided(self.ledger.entries())

    def apply(self, staged: productions.Pin | None = None) -> PinnedState:
        """Have the service hold what is pinned, and a staged version beside it."""
        while True:
            pinned = self.pinned()
            try:
                self.service.apply(pinned.production, pinned.sequence, staged=staged)
            except OvertakenError:
                continue  # decided meanwhile: the ledger has it
            return pinned

    def entry(self, event: Event) -> Entry | None:
        """What was recorded of a step of this release."""
        found = [release for release in history.releases(self.ledger.entries()) if release.id == self.id]
        return found[0].entry(event) if found else None

    def end(self) -> Entry | None:
        """The closing entry of this release; None while it is open."""
        found = [release for release in history.releases(self.ledger.entries()) if release.id == self.id]
        return found[0].end if found else None

    def is_still_desired(self) -> bool:
        """Whether the registry still asks for this."""
        desired = DesiredState.of(versions.aliases_of(self.api, self.name)).of_role(self.role)
        return desired == (self.target.version if self.target else None)


@dataclass(frozen=True)
class VerifiedVersion:
    """A version whose package was read byte by byte, and its bundle, built or not."""

    version: Version
    package: Package
    bundle: Bundle


def begin(
    context: RunContext, service: ServingTarget, role: Role, flow_run: str, *, withdraws: bool, broken: str | None
) -> Rollout | None:
    """The release that is due in a role: the one a killed process left, if it is still asked for, else a new one.

    Args:
        withdraws: nothing was champion for the whole grace period; without it, no champion is no order yet.
        broken: why the service took the role's version out, or cannot load it.

    Returns:
        None: what a killed process left is not asked for any more, and what is asked for is another matter.
    """
    ledger = ledgers.of(context.project, context.spec.name)
    entries = ledger.entries()
    desired = DesiredState.of(versions.aliases_of(context.api, context.spec.name)).of_role(role)
    production = productions.decided(entries).production
    pin = production.champion if role == "champion" else production.challenger
    current = pin.side if pin is not None else None
    left = history.unfinished(entries, role)
    if left is not None:
        return _resumed(context, service, left, desired)
    if role == "champion" and desired is None and not withdraws and broken is None:
        return None
    target = _target(context, role, desired, current, broken)
    note = None if broken else _note(context, role, desired, entries)
    by, how = ("service", broken) if broken else ("registry", ALIAS_SET)
    if note is not None:
        by, how = note.by, note.how
    rollout = Rollout(context, service, role, secrets.token_hex(6), current, target, by)
    known = {} if note is None else {"known_by": note.known_by, "claimed": note.claimed, NOTE: note.id}
    if note is not None and note.user is not None:
        known["user"] = note.user
    rollout.record("asked", how=how, broken=broken, flow_run=flow_run, **known)
    if note is not None:
        alias_notes.consume(context.project, note)
    return rollout


def _target(
    context: RunContext, role: Role, desired: str | None, current: VersionRef | None, broken: str | None
) -> VersionRef | None:
    if broken is not None:  # a challenger goes; a champion that cannot be loaded is the version that is refused
        return current if role == "champion" else None
    if desired is None:
        return None
    return VersionRef(version=desired, package_digest=_digest_of(context.api, context.spec.name, desired))


def _resumed(context: RunContext, service: ServingTarget, left: Release, desired: str | None) -> Rollout | None:
    first = left.entries[0]
    rollout = Rollout(context, service, left.role, left.id, left.before, left.after, first.asked_by, set(left.events))
    is_decided = bool(rollout.done & (history.DECIDED | {"switching"})) or bool(first.facts.get("broken"))
    if is_decided or (rollout.target.version if rollout.target else None) == desired:
        context.log(f"going on with the release {left.id}: {left.entries[-1].event} was its last step")
        return rollout
    rollout.record("superseded", reason=f"the registry asks for {desired or 'nothing'} by now")
    return None


def _digest_of(api: Api, name: str, version: str) -> str | None:
    try:
        return versions.by_number(api, name, version).package_digest
    except ModelyardError:
        return None


def _note(context: RunContext, role: Role, version: str | None, entries: list[Entry]) -> AliasNote | None:
    """Who set the alias to this version, unless an earlier release was for that very change."""
    note = alias_notes.read(context.project, context.spec.name, role)
    return None if note is None or note.version != version or is_consumed(note, entries) else note


def is_consumed(note: AliasNote, entries: Sequence[Entry]) -> bool:
    """Whether a release was begun for this change of the alias."""
    return any(entry.event == "asked" and entry.facts.get(NOTE) == note.id for entry in entries)
