"""`modelyard deploy`: the files of a deployment target, from a bundle on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.contracts import settings
from components.core.errors import UsageError
from components.core.log import Log
from components.core.project import Project
from components.deployment import service_facts, target_files, written_files
from components.deployment.container import DeploymentOptions, check_namespaces, checked_image
from components.deployment.readme import TargetName
from components.deployment.service_facts import ServiceFacts
from components.deployment.written_files import WrittenFiles
from components.packaging.bundle import Bundle

REPLICAS = {"compose": 1, "kubernetes": 2, "kserve": 2, "systemd": 1}
MAX_REPLICAS_RATIO = 4  # of the autoscaler
OF_FILES = "-deployed"  # the Service of the files, where releases own the one that has the model's name


@dataclass(frozen=True)
class DeployRequest:
    """What the operator asks for.

    Args:
        image: None: the name that `modelyard containerize` gives.
        replicas, max_replicas: None: the target's defaults.
        measure: measure what the service needs, unless it is known; else resources are estimated, and the files say so.
        platform: for compose and systemd: write the platform's own servers too.
    """

    target: TargetName
    folder: Path
    image: str | None = None
    replicas: int | None = None
    max_replicas: int | None = None
    ingress_namespaces: tuple[str, ...] = ()
    measure: bool = True
    platform: bool = False
    force: bool = False


@dataclass(frozen=True)
class Deployed:
    """What was written, for which bundle."""

    facts: ServiceFacts
    options: DeploymentOptions
    files: WrittenFiles


def write(project: Project, bundle: Bundle, request: DeployRequest, log: Log) -> Deployed:
    """Write the files of a target.

    Raises:
        UsageError: options do not go together, the folder is another deployment's, or files in it were edited.
        NotFoundError, CorruptArtifactError: the bundle is not whole.
        ServingError: the service could not be measured.
    """
    check(request)
    written_files.require_own(request.folder, {"target": request.target, "model": bundle.model})
    measurement = None
    if request.measure:
        from flows.deployment import measurement as measurements

        measurement = measurements.of_bundle(project, bundle, log)
    facts = service_facts.of_bundle(bundle, measurement)
    least, most = _replicas(request)
    options = DeploymentOptions(
        image=checked_image(request.image or facts.image),
        replicas=least,
        max_replicas=most,
        ingress_namespaces=request.ingress_namespaces,
        service=f"{facts.model}{OF_FILES}" if settings.read(project.root).kubernetes is not None else None,
    )
    files = target_files.of_target(request.target, facts, options, platform=request.platform)
    about = {
        "target": request.target,
        "model": facts.model,
        "version": facts.version,
        "bundle_digest": facts.bundle_digest,
    }
    return Deployed(facts, options, written_files.write(request.folder, files, about, force=request.force))


def write_platform(request: DeployRequest) -> WrittenFiles:
    """Write the platform's own servers alone, which no bundle has a part in.

    Raises:
        UsageError: the target has no such files, options are of a model's service, or files in the folder were edited.
    """
    check(request)
    given = [
        option
        for option, is_given in (
            ("--image", request.image is not None),
            ("--replicas", request.replicas is not None),
            ("--max-replicas", request.max_replicas is not None),
            ("--ingress-namespace", bool(request.ingress_namespaces)),
        )
        if is_given
    ]
    if given or not request.platform:
        raise UsageError(
            "no pipeline was named",
            got=", ".join(given) or f"--target {request.target}",
            expected="PIPELINE, or --with-platform without options of a model's service",
            next_step="modelyard deploy PIPELINE ..., or modelyard deploy --target systemd --with-platform --out DIR",
        )
    files = {name.partition("/")[2]: text for name, text in target_files.of_platform(request.target).items()}
    about = {"target": request.target, "platform": "yes"}
    return written_files.write(request.folder, files, about, force=request.force)


def check(request: DeployRequest) -> None:
    """Refuse a request that no bundle can meet, before any work.

    Raises:
        UsageError: the target does not have an option; the image may change; a namespace is none; fewer replicas
            at most than at least.
    """
    scaled = request.target in ("kubernetes", "kserve")
    wrong = [
        option
        for option, given, allowed in (
            ("--with-platform", request.platform, bool(target_files.of_platform(request.target))),
            ("--max-replicas", request.max_replicas is not None, scaled),
            ("--ingress-namespace", bool(request.ingress_namespaces), scaled),
            ("--image", request.image is not None, request.target != "systemd"),
            ("--replicas", request.replicas is not None, request.target != "systemd"),
        )
        if given and not allowed
    ]
    if wrong:
        raise UsageError(
            "options that this target does not have", where=f"--target {request.target}", got=", ".join(wrong)
        )
    if request.image is not None:
        checked_image(request.image)
    check_namespaces(request.ingress_namespaces)
    least, most = _replicas(request)
    if most < least:
        raise UsageError(
            "fewer replicas at most than at least", got=f"--max-replicas {most}", expected=f"{least} or more"
        )


def _replicas(request: DeployRequest) -> tuple[int, int]:
    """Containers at least, and at most."""
    least = request.replicas or REPLICAS[request.target]
    return least, request.max_replicas or MAX_REPLICAS_RATIO * least
