"""The base job template of a Kubernetes work pool of Prefect, whose jobs run stages (docs/runners.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from components.core.errors import UsageError
from components.deployment.container import NAMESPACE, REFERENCE, TEMPORARY_FOLDER

SECONDS_TO_SAVE = 60  # from SIGTERM to SIGKILL; a stage has 25 s of them to save its checkpoint
SECONDS_KEPT = 24 * 3600  # a finished job, for its output
TEMPORARY_GIBIBYTES = 8
GPU_RESOURCE = "nvidia.com/gpu"
_NAME = re.compile(rf"{NAMESPACE.pattern}(?:\.{NAMESPACE.pattern})*")  # a subdomain of RFC 1123
_SHARED, _TEMPORARY = "shared", "tmp"  # names of volumes


@dataclass(frozen=True)
class JobTemplateOptions:
    """What an operator chooses.

    Args:
        image: by digest; it has `python` with Modelyard's requirements.
        user, group: numbers of the user and group that the jobs run as, and whose files they write.
        namespace: of the jobs.
        secret: whose entries become environment variables of a job: the credentials of Prefect's server and of the
            artifact store. None: no credentials are needed.
        claim: of the volume with the jobs' folder. None: a person adds another kind of volume to the template.
        mount: the path of that volume, which is the same on the machines that submit.
    """

    image: str
    user: int
    group: int
    namespace: str = "default"
    secret: str | None = None
    claim: str | None = None
    mount: str | None = None


def check(options: JobTemplateOptions) -> None:
    """Refuse what Kubernetes would refuse later, at the first job, and an image that may change.

    Raises:
        UsageError: names what is wrong.
    """
    _check_image(options.image)
    names = {"--namespace": options.namespace, "--secret": options.secret, "--volume-claim": options.claim}
    for where, name in names.items():
        if name is not None and not (NAMESPACE if where == "--namespace" else _NAME).fullmatch(name):
            raise UsageError(
                "this is no name of an object of Kubernetes",
                where=where,
                got=name[:200],
                expected="lower-case letters, digits and -, at most 63",
            )
    if options.user == 0:
        raise UsageError(
            "jobs do not run as root",
            where="--user",
            got=f"{options.user}:{options.group}",
            expected="the numbers of the user and the group that own the jobs' folder, as in 1034:1034",
        )
    if (options.claim is None) != (options.mount is None):
        raise UsageError("--volume-claim and --mount belong together", got="one of them")
    if options.mount is not None:
        _check_mount(options.mount)


def of_kubernetes(options: JobTemplateOptions) -> dict[str, Any]:
    """The template, for `prefect work-pool create --type kubernetes --base-job-template`.

    Raises:
        UsageError: as of `check`.
    """
    check(options)
    return {
        "variables": {"type": "object", "properties": _variables(options.namespace)},
        "job_configuration": {
            "name": "{{ name }}",
            "namespace": "{{ namespace }}",
            "labels": "{{ labels }}",
            "env": "{{ env }}",
            "job_manifest": _job(options),
        },
    }


def _variables(namespace: str) -> dict[str, Any]:
    """The job variables: a JSON Schema of each."""
    texts = {
        "name": "Name of a job, before its suffix.",
        "cpus": "Processors of a job: its request and its limit.",
        "memory": "Memory of a job, as in 32000Mi: its request and its limit.",
        "gpus": f"Devices of a job, as {GPU_RESOURCE}.",
    }
    objects = {"env": "Environment variables of a job; no secrets.", "labels": "Labels of a job and its pod."}
    return {
        "namespace": {"type": "string", "default": namespace, "description": "Namespace of the jobs."},
        **{name: {"type": "string", "description": text} for name, text in texts.items()},
        **{name: {"type": "object", "default": {}, "description": text} for name, text in objects.items()},
    }


def _job(options: JobTemplateOptions) -> dict[str, Any]:
    """The Job. Prefect wants `parallelism` and `completions` named; Kubernetes wants them here, not in the pod."""
    labels = {"app.kubernetes.io/component": "stage"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "generateName": "{{ name }}-",
            "namespace": "{{ namespace }}",
            "labels": labels,
            "annotations": {},
        },
        "spec": {
            "backoffLimit": 0,  # a failed stage is begun again by Prefect and `modelyard run`, from its checkpoint
            "parallelism": 1,
            "completions": 1,
            "ttlSecondsAfterFinished": SECONDS_KEPT,
            "template": {"metadata": {"labels": labels}, "spec": _pod(options)},
        },
    }


def _pod(options: JobTemplateOptions) -> dict[str, Any]:
    """No privilege, no token, nothing writable but the shared volume and the temporary folder."""
    volumes: list[dict[str, Any]] = [
        {"name": _TEMPORARY, "emptyDir": {"sizeLimit": f"{TEMPORARY_GIBIBYTES}Gi"}},
    ]
    if options.claim is not None:
        volumes.append({"name": _SHARED, "persistentVolumeClaim": {"claimName": options.claim}})
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": SECONDS_TO_SAVE,
        "securityContext": {  # no fsGroup: it would change the owner of all files of the shared volume
            "runAsNonRoot": True,
            "runAsUser": options.user,
            "runAsGroup": options.group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(options)],
        "volumes": volumes,
    }


def _container(options: JobTemplateOptions) -> dict[str, Any]:
    mounts = [{"name": _TEMPORARY, "mountPath": TEMPORARY_FOLDER}]
    if options.mount is not None:
        mounts.append({"name": _SHARED, "mountPath": options.mount})
    size = {"cpu": "{{ cpus }}", "memory": "{{ memory }}"}
    return {
        "name": "prefect-job",
        "image": options.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python"],  # instead of the image's own
        "args": ["-m", "prefect", "flow-run", "execute"],
        "envFrom": [{"secretRef": {"name": options.secret}}] if options.secret else [],
        "resources": {"requests": size, "limits": {**size, GPU_RESOURCE: "{{ gpus }}"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _check_image(reference: str) -> None:
    match = REFERENCE.fullmatch(reference)
    if match is None or match["digest"] is None:
        raise UsageError(
            "a tag may name another image at the next job, and a resumed training would go on in it"
            if match
            else "this is no reference of an image",
            where="--image",
            got=reference[:200],
            expected="[HOST[:PORT]/]NAME@sha256:DIGEST",
            next_step="`skopeo inspect --format '{{.Digest}}' docker://IMAGE` prints the digest of a pushed image",
        )


def _check_mount(mount: str) -> None:
    path = PurePosixPath(mount)
    if not path.is_absolute() or ".." in path.parts or ":" in mount or str(path) in ("/", TEMPORARY_FOLDER):
        raise UsageError(
            "the volume cannot be mounted there",
            where="--mount",
            got=mount[:200],
            expected="an absolute path that the machines which submit have for it too, as in /shared",
        )
