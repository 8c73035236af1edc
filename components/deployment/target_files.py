"""All files of a deployment target, by name."""

from __future__ import annotations

from components.deployment import (
    compose,
    kserve,
    kubernetes,
    platform_compose,
    platform_systemd,
    readme,
    resources,
    systemd,
)
from components.deployment.container import DeploymentOptions
from components.deployment.readme import TargetName
from components.deployment.service_facts import ServiceFacts


def of_target(
    target: TargetName, facts: ServiceFacts, options: DeploymentOptions, *, platform: bool = False
) -> dict[str, str]:
    """The files: manifests or units, and the README. The same facts and options give the same bytes.

    Args:
        platform: also the files of the platform, in a folder below.
    """
    needed = resources.of_service(facts)
    files = {
        "kubernetes": lambda: kubernetes.files(facts, options, needed),
        "kserve": lambda: kserve.files(facts, options, needed),
        "compose": lambda: compose.files(facts, options, needed),
        "systemd": lambda: systemd.files(facts, needed),
    }[target]()
    about = readme.render(target, facts, options, needed, sorted(files), platform=platform)
    return {**files, **(of_platform(target) if platform else {}), "README.md": about}


def of_platform(target: TargetName) -> dict[str, str]:
    """The files of the platform itself, in the folder `platform/`; {} where a target has none."""
    return {"compose": platform_compose.files, "systemd": platform_systemd.files}.get(target, dict)()
