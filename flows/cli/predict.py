"""`modelyard predict`"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import click

from components.core.errors import NotFoundError, ServingError, UsageError
from components.core.project import Project


@click.command(epilog="Example:  modelyard predict digits seven.png")
@click.argument("pipeline")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter, such as temperature=0.7.")
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Where a picture that the model makes is written; default: PIPELINE.png.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the service's answers.")
def predict(pipeline: str, inputs: tuple[str, ...], settings: tuple[str, ...], out: Path | None, as_json: bool) -> int:
    """Send files or text (JSON for numeric tasks) to the running service of PIPELINE, and print the predictions."""
    from flows.cli import prediction_client
    from flows.platform import lifecycle

    project = Project.find()
    if not project.pipeline_file(pipeline).is_file():
        raise NotFoundError(f"no pipeline {pipeline}", where=str(project.pipelines))
    services = {service.name: service for service in lifecycle.status(project)}
    service = services.get(f"serve-{pipeline}")
    if service is None or service.url is None or service.state != "ready":
        raise ServingError(f"{pipeline} is not served", next_step=f"`modelyard serve {pipeline}`")
    parameters = dict(_parameter(setting) for setting in settings)
    schema = prediction_client.input_schema(service.url)
    requests = [prediction_client.request_for(schema, text, parameters) for text in inputs]
    answers = [prediction_client.predict(service.url, request) for request in requests]
    if as_json:
        click.echo(json.dumps(answers, indent=2, ensure_ascii=False))
        return 0
    for number, (request, answer) in enumerate(zip(requests, answers, strict=True), 1):
        prediction, version = answer["predictions"][0], answer["model"]["version"]
        if "image" in prediction:
            path = out or Path(f"{pipeline}.png")
            path = path if len(requests) == 1 else path.with_stem(f"{path.stem}-{number}")
            path.write_bytes(base64.b64decode(prediction["image"]))
            click.echo(f"{request.name}: {path}  (version {version})")
        else:
            click.echo(f"{request.name}: {prediction_client.describe(prediction, f'version {version}')}")
    return 0


def _parameter(setting: str) -> tuple[str, Any]:
    name, separator, value = setting.partition("=")
    if not separator or not name:
        raise UsageError("a parameter is NAME=VALUE", got=setting)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
