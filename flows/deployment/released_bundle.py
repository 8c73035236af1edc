"""Which bundle leaves: the very one that was released, if it is here; else one that is built now."""

from __future__ import annotations

from dataclasses import dataclass

from components.contracts.pipeline import PipelineSpec
from components.core.errors import CorruptArtifactError
from components.core.log import Log
from components.core.project import Project
from components.packaging.bundle import Bundle
from components.registry.api import Api
from components.registry.versions import Version
from components.release import ledger as ledgers
from components.release import production as productions
from flows.releases import promotion
from flows.serving_targets.serving_target import target_of


@dataclass(frozen=True)
class ChosenBundle:
    """A version and its bundle.

    Args:
        was_released: whether production was ever made of this very bundle.
    """

    version: Version
    bundle: Bundle
    was_released: bool


def choose(project: Project, spec: PipelineSpec, api: Api, number: str | None, log: Log) -> ChosenBundle:
    """The bundle of a version, or of the champion, verified.

    Raises:
        NotFoundError: there is no such version, or no champion.
        CorruptArtifactError: the bundle that was released is not as it was.
        ServingError: Modelyard did not register the version, or BentoML could not build the bundle.
    """
    version = promotion.find_version(api, spec.name, number)
    entries = ledgers.of(project, spec.name).entries()
    pin = productions.pins(entries).get(version.package_digest or "")
    released = None if pin is None else target_of(project, spec.name).bundle(pin)
    if pin is not None and released is not None and released.exists():
        digest = released.verify().digest
        if pin.bundle_digest not in (None, digest):
            raise CorruptArtifactError(
                "the bundle is not the one that was released",
                where=str(released.folder),
                got=digest,
                expected=pin.bundle_digest,
                next_step=f"`modelyard promote {spec.name} {version.version}` builds it anew, through the gates",
            )
        return ChosenBundle(version, released, was_released=True)
    built = promotion.bundle_of(project, spec, api, version, log)
    log(
        f"version {version.version} was not released from a bundle that is here: {built.tag} has not been through gates"
    )
    return ChosenBundle(version, built, was_released=False)
