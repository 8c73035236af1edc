"""`modelyard containerize`"""

from __future__ import annotations

import json
import os

import click

from components.core.project import Project


@click.command(epilog="Example:  modelyard containerize digits --tool podman --base my-python:3.11")
@click.argument("pipeline")
@click.option("--version", "number", metavar="N", help="This version instead of the champion.")
@click.option("--base", metavar="IMAGE", help="The base image, with Python 3.11 and venv; default: python:3.11-slim.")
@click.option("--tool", type=click.Choice(["docker", "podman"]), help="What builds; default: the first that works.")
@click.option("--tag", metavar="T", help="The image's name; default: MODEL:12 digits of the bundle.")
@click.option("--find-links", multiple=True, metavar="DIR", help="A folder with wheels, looked in before the index.")
@click.option("--tool-args", metavar="TEXT", help="Options before `build`; default: MODELYARD_CONTAINER_ARGS.")
@click.option("--build-args", metavar="TEXT", help="Options of `build`; default: MODELYARD_CONTAINER_BUILD_ARGS.")
@click.option("--push", "repository", metavar="REPOSITORY", help="Push it there, and record it for [kubernetes].")
@click.option("--pushed", metavar="IMAGE", help="Build nothing: record this image, NAME@sha256:..., of the bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def containerize(
    pipeline: str,
    number: str | None,
    base: str | None,
    tool: str | None,
    tag: str | None,
    find_links: tuple[str, ...],
    tool_args: str | None,
    build_args: str | None,
    repository: str | None,
    pushed: str | None,
    as_json: bool,
) -> int:
    """Build a container image of the bundle of PIPELINE's champion, with Docker or podman.

    The image listens on port 3000, runs as uid 1034, needs no capabilities, and writes below /tmp alone. Its labels
    name the digests of bundle, package and data. It is built from wheels without a network; with podman the same bundle
    on the same base gives the same image. A release to a cluster needs an image that is pushed (docs/kubernetes.md).
    """
    from components.contracts.pipeline import PipelineSpec
    from components.core import located_yaml
    from components.deployment.container import checked_image
    from components.packaging import container_tool, image, pushed_image
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.deployment import containerize as images
    from flows.deployment import released_bundle
    from flows.deployment.containerize import ImageOptions
    from flows.platform import connections, lifecycle

    if repository is not None and pushed is not None:
        raise click.UsageError("--push builds and pushes an image, --pushed records one: name one of them")
    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec)
    arguments = build_args if build_args is not None else os.environ.get(container_tool.BUILD_ARGS, "")
    options = ImageOptions(base or image.DEFAULT_BASE, tag, find_links, container_tool.words(arguments))
    program = container_tool.find(tool, tool_args) if pushed is None else None
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        chosen = released_bundle.choose(project, spec, api, number, log)
    if program is None:
        recorded = pushed_image.record(chosen.bundle, checked_image(str(pushed)))
        click.echo(recorded.model_dump_json(indent=2) if as_json else f"{chosen.bundle.tag}  {recorded.image}")
        return 0
    built = images.build(project, chosen.bundle, program, options, log)
    there = None
    if repository is not None:
        there = pushed_image.record(chosen.bundle, program.push(built.tag, repository, log)).image
    facts = {
        "image": built.tag,
        "image digest": built.digest,
        "tool": program.name,
        "version": chosen.version.version,
        "labels": built.labels,
        **({"pushed": there} if there is not None else {}),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return 0
    click.echo(f"{built.tag}  {built.digest}")
    for name, value in sorted(built.labels.items()):
        click.echo(f"  {name}: {value}")
    if there is not None:
        click.echo(f"pushed: {there}")
    click.echo(f"  {image.run_command(program.name, built.tag)}", err=True)
    return 0
