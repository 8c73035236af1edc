"""The object that directs the requests to a model: what it says that production is made of, and where requests go."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from components.contracts.serving_spec import ServingSpec, SlotSpec
from components.core.errors import CorruptArtifactError
from components.deployment import release_objects as objects
from components.release.production import Pin, Production
from flows.serving_targets.cluster_api import Document

NAME_IS_TAKEN = (
    "rename the pipeline, or name another namespace in [kubernetes]; or whoever made the object removes it. If "
    "releases wrote it, somebody has changed its annotations: `kubectl describe` shows them"
)


@dataclass(frozen=True)
class TrafficState:
    """What the object that directs the requests says: its annotations, and where requests go.

    Args:
        resource_version: of the object; None: there is none.
        decision: number of the ledger's entry that it carries out.
        applied: when it was written, seconds since 1970.
        champion: key of the bundle whose pods answer; None: none do.
        challenger: key of the bundle that gets a share, or copies, of the requests.
        is_divided: whether the object can send requests to more than one version: an HTTPRoute can, a Service cannot.
        ledger: of the project that wrote it, by the digest of its first entry; None: an earlier Modelyard did.
        pending: what the Gateway says, or has not said yet, of the present route; None: it has taken it over.
        document: the object; None: there is none.
    """

    resource_version: str | None = None
    decision: int = 0
    production: Production = field(default_factory=Production)
    staged: Pin | None = None
    applied: float | None = None
    champion: str | None = None
    challenger: str | None = None
    is_divided: bool = False
    ledger: str | None = None
    pending: str | None = None
    document: Document | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def of(document: Document | None) -> TrafficState:
        """From a Service or an HTTPRoute.

        Raises:
            CorruptArtifactError: its annotations are not those that Modelyard writes.
        """
        if document is None:
            return TrafficState()
        metadata = document["metadata"]
        said: Mapping[str, str] = metadata.get("annotations") or {}
        champion, challenger = _directed(document)
        try:
            staged = said.get(objects.STAGED)
            return TrafficState(
                metadata["resourceVersion"],
                int(said[objects.DECISION]),
                Production.model_validate_json(said[objects.PRODUCTION]),
                Pin.model_validate_json(staged) if staged else None,
                float(said[objects.APPLIED]),
                champion,
                challenger,
                document["kind"] == "HTTPRoute",
                said.get(objects.LEDGER),
                _pending(document) if document["kind"] == "HTTPRoute" else None,
                document,
            )
        except (KeyError, ValueError, ValidationError) as error:
            raise CorruptArtifactError(
                f"the {document['kind']} of this name was not written by Modelyard",
                where=f"{document['kind']} {metadata['name']}",
                got=repr(error)[:300],
                expected=f"the annotations {objects.DECISION}, {objects.PRODUCTION} and {objects.APPLIED}",
                next_step=NAME_IS_TAKEN,
            ) from error

    def spec(self) -> ServingSpec | None:
        """The same as the spec of a service; None: there is none."""
        if self.resource_version is None:
            return None
        production = self.production
        return ServingSpec(
            generation=self.decision,
            decision=self.decision,
            champion=_slot(production.champion),
            previous=_slot(production.previous),
            staged=_slot(self.staged),
        )


def annotations_of(
    production: Production, staged: Pin | None, decision: int, ledger: str | None
) -> dict[str, str | None]:
    """What `TrafficState` is read from; None removes one by a merge patch."""
    return {
        objects.DECISION: str(decision),
        objects.PRODUCTION: production.model_dump_json(),
        objects.STAGED: staged.model_dump_json() if staged is not None else None,
        objects.APPLIED: f"{time.time():.3f}",
        objects.LEDGER: ledger,
    }


def key_of(pin: Pin) -> str:
    """The first digits of the bundle's key, as its objects' names have them."""
    return pin.bundle.rpartition(":")[2]


def _slot(pin: Pin | None) -> SlotSpec | None:
    if pin is None:
        return None
    return SlotSpec(version=pin.version, package_digest=pin.package_digest, bundle=pin.bundle, tolerance=pin.tolerance)


def _directed(document: Document) -> tuple[str | None, str | None]:
    """The keys of the bundles to which requests go: the champion's, the challenger's."""
    if document["kind"] == "Service":
        key = (document["spec"].get("selector") or {}).get(objects.BUNDLE_LABEL)
        return (None if key == objects.NOTHING else key), None
    model = document["metadata"]["name"]
    rule: Document = next(iter(document["spec"].get("rules") or []), {})  # somebody may have changed them
    keys = [_key(model, backend) for backend in rule.get("backendRefs") or []]
    mirrors = [one["requestMirror"] for one in rule.get("filters") or [] if "requestMirror" in one]
    copied = [_key(model, one["backendRef"]) for one in mirrors]
    beside = [*keys[1:], *copied]
    return (keys[0] if keys else None), (beside[0] if beside else None)


def _pending(route: Document) -> str | None:
    """Why the Gateway does not direct requests by the present route.

    https://gateway-api.sigs.k8s.io/reference/spec/#routeparentstatus
    """
    generation = route["metadata"].get("generation", 0)
    parents = (route.get("status") or {}).get("parents") or []
    found = [condition for parent in parents for condition in parent.get("conditions") or []]
    present = {one["type"]: one for one in found if one.get("observedGeneration", generation) >= generation}
    if "Accepted" not in present:
        return "the Gateway has not taken over the present route"
    refused = [
        one for one in present.values() if one["type"] in ("Accepted", "ResolvedRefs") and one["status"] != "True"
    ]
    return "; ".join(f"the Gateway says {one.get('reason')}: {one.get('message')}" for one in refused) or None


def _key(model: str, backend: Mapping[str, Any]) -> str:
    return str(backend["name"]).removeprefix(f"{model}-")
