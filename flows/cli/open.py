"""`modelyard open`"""

from __future__ import annotations

import json

import click

from components.core.errors import NotFoundError, StackError
from components.core.project import Project


@click.command("open", epilog="Example:  modelyard open mlflow")
@click.argument("name", default="console")
@click.option("--link", "only_link", is_flag=True, help="Print the link instead; it is good once, for ten minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print the link as JSON.")
def open_(name: str, only_link: bool, as_json: bool) -> None:
    """Open the console, Prefect, MLflow or a model's service in the browser.

    NAME is console (the default: all models, releases, data and runs on one page each), prefect, mlflow or a pipeline.

    The browser gets a cookie; for 30 days the plain URLs work in it, too. The URL of an external server, which
    modelyard.toml names, is printed.
    """
    from flows.platform import browser, stack_status

    project = Project.find()
    services = {row.name: row for row in stack_status.status(project)}
    service = services.get(name) or services.get(f"serve-{name}")
    if service is None or service.url is None:
        names = ", ".join(row.name.removeprefix("serve-") for row in services.values() if row.url)
        raise NotFoundError(f"no server {name}", expected=names or "the stack is not running: `modelyard up`")
    if service.state != "ready":
        raise StackError(f"{name} is {service.state}", where=service.log, next_step="`modelyard up`")
    if not service.is_own:
        click.echo(json.dumps({"link": service.url}) if as_json else service.url)
        return
    if as_json or only_link or not browser.show(project, name, service.url):
        url = browser.link(project, name, service.url)
        if as_json:
            click.echo(json.dumps({"link": url}))
            return
        if not only_link:
            click.echo("there is no browser here; this link is good once, for ten minutes:", err=True)
        click.echo(url)
        return
    click.echo(f"{name} is open in the browser, at {service.url}")
