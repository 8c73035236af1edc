"""What production is made of, pinned: versions, bundles by tag and digest, the challenger's policy.

A decision is an entry of the ledger with a `Production` in its fact `production`. It is recorded before it is acted
on, and whoever finds that the service does something else makes the service do this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from components.contracts.serving_spec import RolloutPolicy
from components.core.errors import CorruptArtifactError
from components.core.strict import Strict
from components.release.ledger import Entry, VersionRef

PRODUCTION = "production"  # the fact of an entry that holds a decision


class Pin(Strict):
    """One bundle that production is made of.

    Args:
        bundle: the bundle's tag, `<model>:<first 12 digits of its key>`.
        bundle_digest: digest of the bundle's sealed content; None: the entry of an older Modelyard does not name it.
        tolerance: largest difference of an answer to a golden example from the training process's answer.
    """

    version: str
    package_digest: str
    bundle: str
    bundle_digest: str | None
    tolerance: float = 1e-4

    @property
    def side(self) -> VersionRef:
        """The version and its package."""
        return VersionRef(version=self.version, package_digest=self.package_digest)


class Production(Strict):
    """Everything that a service is to hold, but what is staged.

    Args:
        champion: answers requests; None: nothing serves.
        previous: was champion before; stays warm for a rollback.
        challenger: runs beside the champion under `policy`.
    """

    champion: Pin | None = None
    previous: Pin | None = None
    challenger: Pin | None = None
    policy: RolloutPolicy | None = None

    @property
    def pins(self) -> tuple[Pin, ...]:
        """All pinned bundles, each once."""
        found = [pin for pin in (self.champion, self.previous, self.challenger) if pin is not None]
        return tuple(dict.fromkeys(found))

    def with_champion(self, pin: Pin) -> Production:
        """This version answers requests; the champion so far becomes the previous one.

        A challenger of the same package has become the champion: it is a challenger no more.
        """
        same = self.champion is None or self.champion.package_digest == pin.package_digest
        previous = self.previous if same else self.champion
        beside = self.challenger
        if beside is not None and beside.package_digest == pin.package_digest:
            beside = None
        return Production(
            champion=pin,
            previous=None if previous is not None and previous.package_digest == pin.package_digest else previous,
            challenger=beside,
            policy=self.policy if beside is not None else None,
        )

    def with_challenger(self, pin: Pin, policy: RolloutPolicy) -> Production:
        """This version runs beside the champion."""
        return self.model_copy(update={"challenger": pin, "policy": policy})

    def without_challenger(self) -> Production:
        """No version runs beside the champion."""
        return self.model_copy(update={"challenger": None, "policy": None})

    def with_policy(self, policy: RolloutPolicy) -> Production:
        """The challenger runs under another policy."""
        return self.model_copy(update={"policy": policy})


class PinnedState(Strict):
    """The production that was decided on last.

    Args:
        sequence: number of the entry that decided it; 0: nothing was ever decided.
    """

    sequence: int
    production: Production


def decided(entries: Sequence[Entry]) -> PinnedState:
    """The production that the ledger pins.

    Entries of an older Modelyard name no production: what they switched to is taken from their events.

    Raises:
        CorruptArtifactError: an entry's production cannot be read.
    """
    found = PinnedState(sequence=0, production=Production())
    bundles: dict[str, Pin] = {}
    pinning: set[str] = set()
    for entry in entries:
        if PRODUCTION in entry.facts:
            found = PinnedState(sequence=entry.sequence, production=of_entry(entry) or Production())
            pinning.add(entry.release)
        if entry.release in pinning:
            continue
        if entry.event == "bundled" and entry.after is not None and entry.after.package_digest is not None:
            bundles[entry.release] = Pin(
                version=entry.after.version,
                package_digest=entry.after.package_digest,
                bundle=str(entry.facts.get("bundle")),
                bundle_digest=entry.facts.get("digest"),
            )
        now = _as_before(found.production, entry, bundles.get(entry.release))
        if now is not None:
            found = PinnedState(sequence=entry.sequence, production=now)
    return found


def of_entry(entry: Entry) -> Production | None:
    """The production that an entry decided; None: it decides none.

    Raises:
        CorruptArtifactError: the fact cannot be read.
    """
    if PRODUCTION not in entry.facts:
        return None
    try:
        return Production.model_validate(entry.facts[PRODUCTION])
    except ValidationError as error:
        raise CorruptArtifactError(
            "the production that an entry of the ledger decided cannot be read",
            where=f"entry {entry.sequence}",
            got=str(entry.facts[PRODUCTION])[:200],
            next_step="it was written by another Modelyard: use that one",
        ) from error


def pins(entries: Iterable[Entry]) -> dict[str, Pin]:
    """The last pin of each package that production was ever made of, by the package's digest."""
    found: dict[str, Pin] = {}
    built: dict[str, Pin] = {}
    for entry in entries:
        production = of_entry(entry)
        if production is not None:
            found |= {pin.package_digest: pin for pin in production.pins}
        elif entry.after is not None and entry.after.package_digest is not None:
            if entry.event == "bundled" and "bundle" in entry.facts:
                built[entry.release] = Pin(
                    version=entry.after.version,
                    package_digest=entry.after.package_digest,
                    bundle=str(entry.facts["bundle"]),
                    bundle_digest=entry.facts.get("digest"),
                )
            elif entry.event == "switched" and entry.release in built:
                found[entry.after.package_digest] = built[entry.release]
    return found


def _as_before(production: Production, entry: Entry, pin: Pin | None) -> Production | None:
    """What an entry without a pinned production made of production; None: it changed nothing."""
    if entry.event == "switched" and pin is not None:
        if entry.role == "champion":
            return production.with_champion(pin)
        return production.model_copy(update={"challenger": pin, "policy": None})
    if entry.event == "returned" and entry.role == "champion":
        return Production(champion=production.previous)
    if entry.event == "removed" and entry.role == "challenger":
        return production.without_challenger()
    return Production() if entry.event == "withdrawn" else None
