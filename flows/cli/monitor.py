"""`modelyard monitor`"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from components.core.errors import UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from flows.monitoring.look import Look


@click.command(epilog="Example:  modelyard monitor sst2 --dry-run")
@click.argument("model")
@click.option("--dry-run", is_flag=True, help="Judge and decide, and carry nothing out; no server is started.")
@click.option("--orders", "show_orders", is_flag=True, help="Only list the orders so far.")
@click.option("--approve", metavar="ORDER", help="Carry out an order that was proposed or held back.")
@click.option("--pause", is_flag=True, help="Hold every order back, until --resume; those wait for --approve.")
@click.option("--resume", is_flag=True, help="Carry new orders out again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def monitor(
    model: str, dry_run: bool, show_orders: bool, approve: str | None, pause: bool, resume: bool, as_json: bool
) -> int:
    """Judge what MODEL answered until now, and carry out what `monitor.actions` of its pipeline file says.

    After `modelyard schedule` the platform looks by itself, as `monitor.schedule` says. Orders stand in the ledger with
    their evidence and their outcome. The exit code is 1 if an order failed.
    """
    if sum([dry_run, show_orders, approve is not None, pause, resume]) > 1:
        raise UsageError(
            "these options exclude each other", expected="one of --dry-run, --orders, --approve, --pause, --resume"
        )
    project = Project.find()
    from flows.pipelines import named_pipeline

    spec = named_pipeline.read(project, model)
    if pause or resume:
        return _switch(project, model, paused=pause, as_json=as_json)
    if show_orders:
        return _orders(project, model, as_json)
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.monitoring import look as looks
    from flows.monitoring.context import ASKED_BY, MonitorContext
    from flows.platform import connections, lifecycle

    if dry_run:  # no server is asked, and none is started
        with Api(connections.configured(project).mlflow, connections.of(project).mlflow.credentials) as api:
            found = looks.look(MonitorContext(project, spec, api, log), dry_run=True)
        _show(project, model, found, as_json)
        return 0
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    connections.enter(project)
    # A retraining is a flow run of this project's Prefect; the terminal shows Modelyard's messages only.
    os.environ["PREFECT_API_URL"] = endpoints.prefect_api
    os.environ["MODELYARD_TERMINAL"] = "1"
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        by = ASKED_BY if approve is None else _approver(project, model)
        context = MonitorContext(project, spec, api, log, by)
        if approve is not None:
            outcome = looks.approve(context, approve)
            click.echo(json.dumps(outcome._asdict()) if as_json else outcome.text)
            return int(outcome.failed)
        found = looks.look(context)
    _show(project, model, found, as_json)
    return int(found.failed)


def _approver(project: Project, model: str) -> str:
    """Who approves an order; where people have names of their own, a user of MLflow who may approve."""
    from flows.platform.user_name import user_name
    from flows.releases import authority

    user = authority.user_of_command(project)
    authority.require(project, model, user, "approve")
    return user or user_name()


def _show(project: Project, model: str, found: Look, as_json: bool) -> None:
    from components.monitoring import orders

    if as_json:
        document = {
            "alarms": [one._asdict() for one in found.alarms],
            "orders": [
                {
                    "order": order.id,
                    "action": order.action,
                    "mode": order.mode,
                    **order.alarm._asdict(),
                    **outcome._asdict(),
                }
                for order, outcome in found.orders
            ],
            "challenger": found.challenger,
            "waiting": [{"order": one.id, "action": one.action, "state": one.state} for one in found.waiting],
            "notes": list(found.notes),
        }
        click.echo(json.dumps(document, indent=2))
        return
    for alarm in found.alarms:
        click.echo(f"{alarm.window}  {alarm.trigger}: {alarm.text}")
    for order, outcome in found.orders:
        click.echo(f"order {order.id}  {order.action}: {outcome.text}")
    if found.challenger:
        click.echo(found.challenger)
    if not found.alarms:
        click.echo(f"{model}: no alarm")
    elif not found.orders and not found.waiting:
        click.echo("nothing new follows: these alarms were answered, or monitor.actions names nothing for them")
    for one in found.waiting:
        state = one.state.replace("_", " ")
        click.echo(f"order {one.id}  {one.action}: {state} before; `modelyard monitor {model} --approve {one.id}`")
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if orders.is_paused(project.monitoring(model)):
        click.echo(f"the monitor of {model} is paused: `modelyard monitor {model} --resume`")


def _switch(project: Project, model: str, *, paused: bool, as_json: bool) -> int:
    switch = project.monitoring(model) / "paused"
    if paused:
        switch.parent.mkdir(parents=True, exist_ok=True)
        switch.touch()
    else:
        switch.unlink(missing_ok=True)
    held = [] if paused else _held_back(project, model)
    if as_json:
        click.echo(json.dumps({"paused": paused, "held_back": held}))
        return 0
    click.echo(f"the monitor of {model} {'holds every order back' if paused else 'carries new orders out'}")
    if held:
        count = "1 order that was held back waits" if len(held) == 1 else f"{len(held)} orders that were held back wait"
        click.echo(f"{count} for you: `modelyard monitor {model} --orders` lists them, --approve ORDER carries one out")
    return 0


def _held_back(project: Project, model: str) -> list[str]:
    from components.monitoring import orders
    from components.release import ledger as ledgers

    entries = [(one.time, one.facts) for one in ledgers.of(project, model).entries() if one.event == orders.EVENT]
    return [one.id for one in orders.past(entries) if one.state == "held_back"]


def _orders(project: Project, model: str, as_json: bool) -> int:
    from components.monitoring import orders
    from components.release import ledger as ledgers
    from flows.cli import table

    entries = [one for one in ledgers.of(project, model).entries() if one.event == orders.EVENT]
    last: dict[str, dict[str, Any]] = {}
    for entry in entries:
        facts = entry.facts
        key = str(facts.get("order") or f"{facts['action']} {facts.get('version')}")
        last[key] = {**last.get(key, {}), **facts, "time": entry.time, "by": entry.asked_by}
    if as_json:
        click.echo(json.dumps(list(last.values()), indent=2))
        return 0
    if not last:
        click.echo(f"the monitor of {model} has made no order yet")
        return 0
    table.show(
        ["time", "order", "action", "trigger", "window", "state", "by", ""],
        [
            [
                one["time"][:19].replace("T", " ") + "Z", str(one.get("order", "-")), one["action"],
                one.get("trigger", "-"), one.get("window", "-"), one["state"], one["by"],
                str(one.get("outcome") or one.get("why") or ""),
            ]
            for one in last.values()
        ],
    )  # fmt: skip
    return 0
