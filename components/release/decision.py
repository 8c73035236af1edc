"""What is asked for against what serves: is there anything to do? A pure function of the two, whatever happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.contracts.serving_spec import RolloutPolicy, ServiceStatus, SlotStatus
from components.release.ledger import Role

MIXED = "mixed"  # the workers of a service do not all hold the same


@dataclass(frozen=True)
class DesiredState:
    """Version numbers that the aliases name.

    Args:
        terms: the challenger's, as the pipeline says; None: not known, so the present ones stay.
    """

    champion: str | None
    challenger: str | None
    terms: RolloutPolicy | None = None

    @staticmethod
    def of(aliases: Mapping[str, str], terms: RolloutPolicy | None = None) -> DesiredState:
        """From a model's aliases. A challenger that is the champion is none; nor is one without a champion."""
        champion, challenger = aliases.get("champion"), aliases.get("challenger")
        return DesiredState(champion, None if champion is None or challenger == champion else challenger, terms)

    def of_role(self, role: Role) -> str | None:
        """The version wanted in a role."""
        return self.champion if role == "champion" else self.challenger


@dataclass(frozen=True)
class ObservedState:
    """Version numbers that the service's workers say they hold.

    Args:
        broken: why the workers took the challenger out by themselves.
        terms: what they apply to their challengers.
    """

    champion: str | None = None
    challenger: str | None = None
    broken: str | None = None
    terms: frozenset[RolloutPolicy | None] = frozenset()

    @staticmethod
    def of(statement: ServiceStatus | None) -> ObservedState:
        """From what a service says; nothing from a service that does not answer."""
        if statement is None or not statement.workers:
            return ObservedState()
        challengers = [worker.challenger for worker in statement.workers]
        broken = next((held.reason for held in challengers if held is not None and held.state == "removed"), None)
        return ObservedState(
            _common([worker.champion for worker in statement.workers]),
            next((held.version for held in challengers if held), None) if broken else _common(challengers),
            broken,
            frozenset(worker.policy for worker in statement.workers),
        )


@dataclass(frozen=True)
class Decision:
    """A role whose version must change, and why.

    Args:
        withdraws: nothing is to serve any more; not before the grace period is over.
        broken: why the service took the challenger out.
    """

    role: Role
    reason: str
    withdraws: bool = False
    broken: str | None = None


def decide(wanted: DesiredState, found: ObservedState) -> Decision | None:
    """What must change first; None: production is what was asked for."""
    if wanted.champion is not None and wanted.champion != found.champion:
        return Decision("champion", f"champion is to be {wanted.champion}, serving is {found.champion or 'nothing'}")
    if found.broken is not None:
        return Decision("challenger", f"the challenger broke a limit: {found.broken}", broken=found.broken)
    if wanted.challenger != found.challenger:
        asked = wanted.challenger or "nothing"
        return Decision("challenger", f"challenger is to be {asked}, is {found.challenger or 'nothing'}")
    if wanted.challenger is not None and wanted.terms is not None and found.terms != {wanted.terms}:
        return Decision("challenger", "the challenger's terms (canary, limits) have changed")
    if wanted.champion is None and found.champion is not None:
        return Decision("champion", "no version is champion any more", withdraws=True)
    return None


def _common(held: list[SlotStatus | None]) -> str | None:
    versions = {slot.version if slot is not None and slot.state == "ready" else None for slot in held}
    return versions.pop() if len(versions) == 1 else MIXED
