"""The template of a Kubernetes work pool, filled in as Prefect does, is a Job that Kubernetes takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from click.testing import CliRunner
from prefect.utilities.templating import apply_values

from components.core.errors import UsageError
from components.deployment import job_template
from components.deployment.job_template import JobTemplateOptions
from flows.cli.pool import pool

IMAGE = f"registry.example.com/ml/modelyard@sha256:{'12' * 32}"
OPTIONS = JobTemplateOptions(IMAGE, 1034, 1034, "team", "modelyard", "shared", "/shared")
NAMES = {"name": "modelyard-stage", "namespace": "team", "env": {}, "labels": {}}


def job(options: JobTemplateOptions, **variables: str) -> dict[str, Any]:
    configuration = job_template.of_kubernetes(options)["job_configuration"]
    filled: dict[str, Any] = apply_values(configuration, {**NAMES, **variables})["job_manifest"]
    return filled


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("variables", [{}, {"cpus": "4", "memory": "32000Mi", "gpus": "1"}])
def test_kubernetes_accepts_the_job_strictly(version: str, variables: dict[str, str]) -> None:
    for options in (OPTIONS, JobTemplateOptions(IMAGE, 1034, 1034)):
        kubernetes_validate.validate(job(options, **variables), version, strict=True)


def test_a_job_is_tried_once_without_privilege_and_with_what_was_asked_for() -> None:
    spec = job(OPTIONS, cpus="4", memory="32000Mi", gpus="1")["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["ttlSecondsAfterFinished"] > 0
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert container["resources"] == {
        "requests": {"cpu": "4", "memory": "32000Mi"},
        "limits": {"cpu": "4", "memory": "32000Mi", "nvidia.com/gpu": "1"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["envFrom"] == [{"secretRef": {"name": "modelyard"}}]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", "/shared"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_what_was_not_asked_for_is_not_in_the_job() -> None:
    spec = job(OPTIONS)["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"] == {"requests": {}, "limits": {}}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"image": "registry.example.com/ml/modelyard:1.4"}, "--image"),
        ({"image": "registry.example.com/ml/modelyard"}, "--image"),
        ({"image": "no image"}, "--image"),
        ({"user": 0}, "--user"),
        ({"namespace": "Team"}, "--namespace"),
        ({"secret": "a_b"}, "--secret"),
        ({"claim": "a/b"}, "--volume-claim"),
        ({"mount": "shared"}, "--mount"),
        ({"mount": "/tmp"}, "--mount"),
        ({"claim": None}, None),
    ],
)
def test_what_kubernetes_would_refuse_later_is_refused(change: dict[str, Any], where: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        job_template.check(replace(OPTIONS, **change))
    assert caught.value.where == where


def test_a_tag_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="may name another image"):
        job_template.check(replace(OPTIONS, image="modelyard:1.4"))


def test_the_command_writes_the_template_and_says_what_comes_next(tmp_path: Path) -> None:
    file = tmp_path / "pool.json"
    words = ["create", "my pool", "--type", "kubernetes", "--image", IMAGE, "--user", "1034", "--write", str(file)]
    done = CliRunner().invoke(pool, words)
    assert done.exit_code == 0
    assert done.stdout == ""
    assert json.loads(file.read_text()) == job_template.of_kubernetes(JobTemplateOptions(IMAGE, 1034, 1034))
    assert f"prefect work-pool create 'my pool' --type kubernetes --base-job-template {file}" in done.stderr
    assert "no volume is mounted" in done.stderr
    assert json.loads(CliRunner().invoke(pool, words[:-2]).stdout) == json.loads(file.read_text())
    assert isinstance(CliRunner().invoke(pool, [*words, "--user", "me"]).exception, UsageError)
