"""`modelyard predict`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from components.contracts.errors import ModelyardError, NotFoundError, SampleError, ServingError
from components.contracts.project import Project
from components.contracts.urls import is_secure


@click.command(epilog="Example:  modelyard predict digits seven.png")
@click.argument("pipeline")
@click.argument("files", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the service's answers.")
def predict(pipeline: str, files: tuple[Path, ...], as_json: bool) -> int:
    """Ask the running service of PIPELINE about image files."""
    from flows import stack

    project = Project.find()
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise NotFoundError("no such file", got=", ".join(missing))
    if not project.pipeline_file(pipeline).is_file():
        raise NotFoundError(f"no pipeline {pipeline}", where=str(project.pipelines))
    services = {service.name: service for service in stack.status(project)}
    service = services.get(f"serve-{pipeline}")
    if service is None or service.url is None or service.state != "ready":
        raise ServingError(f"{pipeline} is not served", next_step=f"`modelyard serve {pipeline}`")
    answers = [ask(service.url, path.read_bytes(), str(path)) for path in files]
    if as_json:
        click.echo(json.dumps(answers, indent=2))
        return 0
    for path, answer in zip(files, answers, strict=True):
        prediction = answer["predictions"][0]
        label = prediction["label"]
        version = answer["model"]["version"]
        click.echo(f"{path}: {label}  ({prediction['probabilities'][label]:.3f}, version {version})")
    return 0


def ask(url: str, content: bytes, name: str) -> dict[str, Any]:
    """One image to a service.

    Raises:
        SampleError: the service refused it; holds its reason.
        ServingError: the service does not answer as it should.
    """
    import httpx

    try:
        response = httpx.post(
            f"{url}/predict",
            content=content,
            headers={"content-type": "application/octet-stream"},
            timeout=60,
            trust_env=False,
            verify=is_secure(url),
        )
    except httpx.TransportError as error:
        raise ServingError("the service does not answer", where=url, got=error) from error
    if response.is_success:
        answer: dict[str, Any] = response.json()
        return answer
    try:
        said = response.json()["error"]
    except (ValueError, KeyError) as error:
        raise ServingError("the service failed", where=url, got=f"HTTP {response.status_code}") from error
    kind: type[ModelyardError] = SampleError if response.is_client_error else ServingError
    raise kind(said["message"], where=name, got=said.get("got"), expected=said.get("expected"))
