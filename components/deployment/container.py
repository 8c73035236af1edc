"""The contract of a bundle's image, as `modelyard containerize` builds it, and what every target says of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from components.core.errors import UsageError
from components.deployment.service_facts import API_KEYS_VARIABLE as API_KEYS_VARIABLE
from components.deployment.service_facts import ServiceFacts
from components.identity import digest

PORT = 3000
USER_ID = 1034
READY_PATH, LIVE_PATH = "/readyz", "/livez"
TEMPORARY_FOLDER = "/tmp"  # noqa: S108  # the image's only writable folder, a volume of its own
TEMPORARY_MEBIBYTES = 1024
API_KEYS_NAME = "api-keys"  # the file, and the key of the secret

# A registry's host, a path, and a tag or a digest: https://github.com/distribution/reference
REFERENCE = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?"
)
NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # a label of RFC 1123, as Kubernetes has them


@dataclass(frozen=True)
class DeploymentOptions:
    """What an operator chooses.

    Args:
        image: reference of the image; it names a tag other than `latest`, or a digest.
        replicas: containers that run at least.
        max_replicas: containers that run at most, under load.
        ingress_namespaces: Kubernetes namespaces, beside the service's own, whose pods may ask the service.
        service: name of the Kubernetes Service; None: the model's.
    """

    image: str
    replicas: int = 2
    max_replicas: int = 8
    ingress_namespaces: tuple[str, ...] = ()
    service: str | None = None


def check_namespaces(names: Iterable[str]) -> None:
    """Refuse what is no name of a Kubernetes namespace: the API server does not look at it, and it would let nobody in.

    Raises:
        UsageError: names what is none.
    """
    if odd := [name for name in names if not NAMESPACE.fullmatch(name)]:
        raise UsageError(
            "this is no name of a Kubernetes namespace",
            where="--ingress-namespace",
            got=", ".join(map(repr, odd))[:200],
            expected="lower-case letters, digits and -, at most 63",
            next_step="`kubectl get namespaces` lists them",
        )


def checked_image(reference: str) -> str:
    """The reference of an image that means the same image tomorrow.

    Raises:
        UsageError: no reference, or one without a tag or a digest, or `latest`.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise UsageError(
            "this is no reference of an image", got=reference, expected="[HOST[:PORT]/]NAME:TAG or NAME@sha256:DIGEST"
        )
    if match["digest"] is None and match["tag"] in (None, "latest"):
        raise UsageError(
            "this reference names another image after the next push",
            got=reference,
            expected="a tag other than latest, or a digest",
            next_step="push the image under its own tag, which `modelyard containerize` prints",
        )
    return reference


def labels(facts: ServiceFacts) -> dict[str, str]:
    """The recommended labels: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/."""
    return {
        **selector(facts),
        "app.kubernetes.io/version": facts.version,
        "app.kubernetes.io/component": "model-server",
        "app.kubernetes.io/part-of": "modelyard",
        "app.kubernetes.io/managed-by": "modelyard",
    }


def selector(facts: ServiceFacts) -> dict[str, str]:
    """The labels that stay the same from version to version."""
    return {"app.kubernetes.io/name": facts.model, "app.kubernetes.io/instance": facts.model}


def digests(facts: ServiceFacts) -> dict[str, str]:
    """The digests, as annotations or labels, under the names that the registry's tags have."""
    return {
        "modelyard.bundle": f"{facts.model}:{digest.short(facts.bundle_key)}",
        "modelyard.bundle_digest": facts.bundle_digest,
        "modelyard.package_digest": facts.package_digest,
        "modelyard.data_digest": facts.data_digest,
    }
