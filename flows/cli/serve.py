"""`modelyard serve`"""

from __future__ import annotations

import json
import os

import click

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import NotFoundError, UsageError
from components.core.project import Project


@click.command(epilog="Example:  modelyard serve digits --port 3000")
@click.argument("pipeline")
@click.option("--port", type=click.IntRange(1, 65535), help="Listen here (default: the last port, or 3000 and up).")
@click.option("--stop", is_flag=True, help="Remove the alias champion: after the grace period the service stops.")
@click.option("--foreground", is_flag=True, help="Serve a bundle in this terminal until Ctrl-C, outside the stack.")
@click.option("--version", "number", help="With --foreground: this version instead of the champion.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def serve(pipeline: str, number: str | None, port: int | None, stop: bool, foreground: bool, as_json: bool) -> int:
    """Wait until the champion of PIPELINE is served, and print its URL.

    Production follows the alias champion; `modelyard promote` sets the alias.
    """
    from components.access import project_door
    from components.access.api_keys import API_KEYS
    from components.access.secret import SECRET_FILE
    from components.registry.api import Api
    from flows.cli import prediction_client
    from flows.cli.run import log
    from flows.pipelines import signing
    from flows.platform import connections, lifecycle, services
    from flows.releases import promotion
    from flows.serving_targets import hosts_placement, local_target
    from flows.serving_targets.hosts_target import HostsServingTarget
    from flows.serving_targets.serving_target import target_of

    if number is not None and not foreground:
        raise UsageError(
            "production serves the champion",
            got=f"--version {number}",
            next_step=f"modelyard promote {pipeline} {number}",
        )
    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec)
    if not foreground and not stop:
        hosts_placement.check(project, pipeline)
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        if stop:
            promotion.remove_alias(api, pipeline, "champion", f"modelyard serve {pipeline} --stop")
            log(f"{pipeline} has no champion any more; its service stops in {spec.release.grace_seconds:.0f} s")
            return 0
        version = promotion.find_version(api, pipeline, number)
        if foreground:
            bundle = promotion.bundle_of(project, spec, api, version, log)
            signing.require(project, bundle)
            command = local_target.command(bundle, str(port or services.FIRST_PORT))
            os.environ.pop("MODELYARD_SERVICE", None)
            os.environ[SECRET_FILE] = str(project_door.secret_file(project))
            os.environ.setdefault(API_KEYS, str(project_door.api_keys_file(project, pipeline)))
            os.execv(command[0], command)  # noqa: S606  # this terminal becomes the server
        if port is not None:
            target = target_of(project, pipeline)
            target.move(port)
            if isinstance(target, HostsServingTarget):
                away = target.absent_hosts()
                each = f"every host but {', '.join(away)}" if away else "every host"
                log(f"{each} listens on {port} now; for the balancer: `modelyard hosts {pipeline} --haproxy`")
                if away:
                    log(f"note: {', '.join(away)} did not answer and keeps its port: run this again when it does")
        outcome = promotion.follow(project, pipeline, "champion", version.version, None, log)
    if outcome.url is None:
        raise NotFoundError(f"{pipeline} is not served", next_step="`modelyard status`")
    if as_json:
        click.echo(json.dumps({"url": outcome.url, "version": outcome.version}, indent=2))
    else:
        click.echo(f"{pipeline} version {outcome.version} answers at {outcome.url}")
        schema = prediction_client.input_schema(outcome.url)
        example = f"-F {schema.item}=@FILE" if schema.media else f"--json '{{\"{schema.item}\": ...}}'"
        click.echo(f"  curl {example} {outcome.url}/predict", err=True)
    return 0
