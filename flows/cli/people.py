"""`modelyard people`"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from components.core.errors import NotFoundError, UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.registry.api import Api
    from components.registry.people import Right

SHORTEST = 12  # characters of a password, as MLflow asks
LONGEST_NAME = 64
RIGHTS = ("look", "train", "promote", "approve")

_MODEL = click.option("--model", metavar="NAME", help="On this model alone; without it, on every model.")
_MAY = click.option(
    "--may", type=click.Choice(RIGHTS), default="look", show_default=True,
    help="The right; each includes those before it. promote and approve are one permission of MLflow, MANAGE.",
)  # fmt: skip


@click.group(invoke_without_command=True, epilog="Example:  modelyard people; modelyard people add ann --may train")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def people(context: click.Context, as_json: bool) -> None:
    """Who may do what: the users and permissions of MLflow.

    Without a command, lists them. Needs `[people] enabled = true` in modelyard.toml, and the project's secret.
    """
    if context.invoked_subcommand is None:
        _list(as_json)


@people.command(epilog="Example:  modelyard people add ann --may promote --model digits")
@click.argument("name")
@_MAY
@_MODEL
@click.option("--by-proxy", is_flag=True, help="Without a password: a proxy says who it is ([people] header).")
@click.option("--administrator", is_flag=True, help="May do everything, and change users.")
def add(name: str, may: Right, model: str | None, by_proxy: bool, administrator: bool) -> int:
    """Make a user NAME. The password is asked for, or read from standard input."""
    from components.registry import people as users

    with _registry() as api:
        _refuse_own_names(name)
        users.add(api, name, secrets.token_urlsafe(32) if by_proxy else _password(name))
        if administrator:
            users.set_admin(api, name, True)
        else:
            users.grant(api, name, model or users.EVERY_MODEL, may)
    what = "do everything" if administrator else f"{may}, on {model or 'every model'}"
    click.echo(f"{name} may {what}")
    return 0


@people.command(epilog="Example:  modelyard people grant ann --may promote --model digits")
@click.argument("name")
@_MAY
@_MODEL
def grant(name: str, may: Right, model: str | None) -> int:
    """Give a user another right, in place of the one of before on the same model."""
    from components.registry import people as users

    with _registry() as api:
        _known(api, name)
        users.grant(api, name, model or users.EVERY_MODEL, may)
    click.echo(f"{name} may {may}, on {model or 'every model'}")
    return 0


@people.command(epilog="Example:  modelyard people password ann")
@click.argument("name")
def password(name: str) -> int:
    """Give a user another password, which is asked for, or read from standard input."""
    from components.registry import people as users

    with _registry() as api:
        _known(api, name)
        _refuse_own_names(name)
        users.set_password(api, name, _password(name))
    click.echo(f"{name} has another password")
    return 0


@people.command(epilog="Example:  modelyard people remove ann")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask before the account of another machine's platform is removed.")
def remove(name: str, yes: bool) -> int:
    """Remove a user: nothing that was asked for by that name, and not done yet, is done any more."""
    from components.access import service_account
    from components.registry import people as users

    with _registry() as api:
        _known(api, name)
        if api.credentials is not None and name == api.credentials.user:
            raise UsageError("this is the platform's own account; without it nothing can be promoted", got=name)
        if service_account.is_name(name) and not yes:
            _confirm_platform(name)
        users.remove(api, name)
    click.echo(f"{name} is removed")
    return 0


def _confirm_platform(name: str) -> None:
    """Ask before the account of another machine's platform is removed.

    Raises:
        UsageError: there is nobody to ask.
        click.Abort: the answer is no.
    """
    what = f"{name} is the account of Modelyard on another machine, or in another clone of the project"
    stops = "nothing is trained, registered, released or promoted from there any more, until `modelyard up` there"
    if not sys.stdin.isatty():
        raise UsageError(
            what,
            got="no terminal to ask at",
            expected=f"that clone is gone; if it is not, {stops}",
            next_step=f"`modelyard people remove {name} --yes` removes it",
        )
    click.echo(f"{what}: {stops}", err=True)
    click.confirm("is that clone gone, and is the account to be removed?", abort=True, err=True)


def _list(as_json: bool) -> None:
    from components.access import service_account
    from components.registry import people as users
    from flows.cli import table

    with _registry() as api:
        found = users.every(api)
        own = api.credentials.user if api.credentials is not None else None
    if as_json:
        document = [{"name": one.name, "administrator": one.is_admin, "permissions": one.grants} for one in found]
        click.echo(json.dumps(document, indent=2))
        return
    rows = []
    for one in found:
        grants = "; ".join(f"{model}: {given}" for model, given in sorted(one.grants.items())) or "looks"
        if service_account.is_name(one.name):
            grants = "the platform itself" if one.name == own else "the platform of another machine or clone"
        elif one.is_admin:
            grants = "administrator"
        rows.append([one.name, grants])
    table.show(["name", "permissions of MLflow"], rows)


@contextmanager
def _registry() -> Iterator[Api]:
    """MLflow, for the platform's own account.

    Raises:
        UsageError: people have no names of their own in this project.
    """
    from components.contracts.settings import FILE_NAME
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.platform import connections, lifecycle, people_check
    from flows.platform import people as logins

    project = Project.find()
    if not logins.are_enabled(project):
        raise UsageError(
            "people have no names of their own in this project",
            where=FILE_NAME,
            expected="[people] enabled = true",
            next_step="write that, then `modelyard up`",
        )
    if not connections.answers(project, connections.of(project).mlflow, connections.PATIENCE_SECONDS):
        lifecycle.up(project, log=log, runner=False, tells_ports=False)
    people_check.require_account(project)
    with Api(str(connections.of(project).mlflow.url), logins.account(project)) as api:
        yield api


def _known(api: Api, name: str) -> None:
    from components.registry.api import MissingError

    try:
        api.get("users/get", username=name)
    except MissingError as error:
        raise NotFoundError(f"there is no user {name}", next_step="`modelyard people` lists them") from error


def _refuse_own_names(name: str) -> None:
    from components.access import service_account

    # Others are not the same bytes to all that read a login (RFC 7617), or not kept by MLflow.
    is_plain = 0 < len(name) <= LONGEST_NAME and name.isascii() and name.isprintable() and name.strip() == name
    if service_account.is_name(name) or ":" in name or not is_plain:
        raise UsageError(
            "this can be no name of a person", got=name[:80],
            expected=f"1 to {LONGEST_NAME} characters of ASCII, no colon, and not modelyard-12345678",
            next_step="choose another name",
        )  # fmt: skip


def _password(name: str) -> str:
    """A password: asked for twice at a terminal, else the first line of standard input; never an argument."""
    if sys.stdin.isatty():
        found: str = click.prompt(f"password of {name}", hide_input=True, confirmation_prompt=True)
    else:
        found = sys.stdin.readline().rstrip("\n")
    if not found:
        raise UsageError("no password", where="standard input", next_step="pass it as a line, or run at a terminal")
    if len(found) < SHORTEST:
        raise UsageError("the password is too short", got=f"{len(found)} characters", expected=f"at least {SHORTEST}")
    return found
