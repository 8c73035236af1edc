"""Bundles between this machine and a host: sent to one that has not what is sealed here, fetched from one that has."""

from __future__ import annotations

import tempfile
from pathlib import Path

from components.core.errors import CorruptArtifactError, ModelyardError, ServingError
from components.core.project import Project
from components.packaging import archive, bundle_store
from components.packaging.bundle import Bundle
from components.release.production import Pin
from flows.serving_targets.host_connection import HostConnection


def bring(project: Project, host: HostConnection, bundle: Bundle, pin: Pin | None, *, needed: bool) -> None:
    """Send a bundle that a host does not have as it is sealed here.

    Args:
        needed: without it nothing can be served; else a bundle that is gone here stays away there too.
    """
    key = bundle.folder.name
    known = host.ask("GET", f"/models/{bundle.model}/bundles/{key}", timeout_seconds=120)["digest"]
    sealed = pin.bundle_digest if pin is not None and pin.bundle_digest else None
    if known is not None and known == (sealed or known):
        return
    if not bundle.exists():
        if needed:
            raise ServingError(
                f"the bundle {bundle.tag} is not there, and {host.name} does not have it",
                where=str(bundle.folder),
                next_step=f"`modelyard promote {bundle.model} VERSION` builds it anew, through the gates",
            )
        return
    with tempfile.TemporaryDirectory(dir=project.state, prefix="sending-") as temporary:
        packed = Path(temporary) / "bundle.tar"
        archive.pack(bundle.folder, packed)
        there = host.send_bundle(key, bundle.model, packed)
    expected = sealed or bundle.verify().digest
    if there != expected:
        raise CorruptArtifactError(
            f"the bundle {bundle.tag} arrived otherwise than it is sealed",
            where=host.place,
            got=there,
            expected=expected,
        )


def fetch(host: HostConnection, bundle: Bundle, digest: str) -> bool:
    """Bring a bundle from a host; returns whether it is here now, as it was sealed."""
    key = bundle.folder.name
    try:
        if host.ask("GET", f"/models/{bundle.model}/bundles/{key}", timeout_seconds=120)["digest"] != digest:
            return False
        with bundle_store.staging(bundle) as own:
            packed = own / "bundle.tar"
            host.fetch_bundle(key, bundle.model, packed)
            archive.unpack(packed, own)
            bundle_store.place(own / key, bundle)
    except ModelyardError:
        return False
    return bundle.exists()
