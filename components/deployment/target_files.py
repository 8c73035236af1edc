"""All files of a deployment target, by name."""

from __future__ import annotations

from components.deployment import compose, kserve, kubernetes, readme, resources, systemd
from components.deployment.container import DeploymentOptions
from components.deployment.readme import TargetName
from components.deployment.service_facts import ServiceFacts


def of_target(target: TargetName, facts: ServiceFacts, options: DeploymentOptions) -> dict[str, str]:
    """The files: manifests or units, and the README. The same facts and options give the same bytes."""
    needed = resources.of_service(facts)
    files = {
        "kubernetes": lambda: kubernetes.files(facts, options, needed),
        "kserve": lambda: kserve.files(facts, options, needed),
        "compose": lambda: compose.files(facts, options, needed),
        "systemd": lambda: systemd.files(facts, needed),
    }[target]()
    return {**files, "README.md": readme.render(target, facts, options, needed, sorted(files))}
