"""Carry orders out: through the registry's aliases, the controller and the ledger, as a person would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from components.core.errors import Interrupted, ModelyardError
from components.monitoring import orders
from components.monitoring.policy import MOST_ATTEMPTS, MonitorOrder
from components.registry import versions
from flows.monitoring import looking, notification, retraining
from flows.monitoring.context import MonitorContext
from flows.releases import rollback_command
from flows.releases.rollback import Requester


class OrderOutcome(NamedTuple):
    """What came of an order, in words; `failed`: the action raised an error."""

    text: str
    failed: bool


def carry_out(context: MonitorContext, order: MonitorOrder, others: Sequence[MonitorOrder] = ()) -> OrderOutcome:
    """Record an order, do what it says, and record what came of it.

    An error of the action is its outcome: it is recorded and told, and nothing is lost by it.

    Args:
        others: what else follows from the same look, for messages.
    """
    earlier = next((one.attempts for one in context.past() if one.id == order.id), 0)
    context.record(orders.facts(order, "ordered", package=looking.champion_package(context)))
    try:
        outcome, more = _do(context, order, others)
    except Interrupted:  # the next look carries it out
        raise
    except Exception as error:  # noqa: BLE001  # of Prefect and MLflow too: it is the outcome of the order
        if isinstance(error, ModelyardError):
            outcome = "; ".join(line.strip() for line in error.lines())
        else:
            outcome = f"{type(error).__name__}: {error}"[:500]
        outcome += f"; {_what_next(context, order, earlier + 1)}"
        context.record(orders.facts(order, "failed", outcome=outcome))
        context.log(f"{order.action} failed: {outcome}")
        return OrderOutcome(outcome, failed=True)
    context.record(orders.facts(order, "done", outcome=outcome, **more))
    context.log(f"{order.action}: {outcome}")
    return OrderOutcome(outcome, failed=False)


def _what_next(context: MonitorContext, order: MonitorOrder, attempts: int) -> str:
    if attempts < MOST_ATTEMPTS:
        return f"attempt {attempts} of {MOST_ATTEMPTS}, the next look makes another"
    command = f"`modelyard monitor {context.name} --approve {order.id}`"
    return f"that was attempt {attempts}, and no look makes another: {command}"


def how_text(order: MonitorOrder) -> str:
    """An order as the reason of a changed alias and of a rollback."""
    return f"modelyard monitor: {order.alarm.trigger} in {order.alarm.window}, order {order.id}"


def _do(context: MonitorContext, order: MonitorOrder, others: Sequence[MonitorOrder]) -> tuple[str, dict[str, Any]]:
    if order.action == "notify":
        return _notify(context, order, others)
    if order.action == "roll_back":
        return _roll_back(context, order)
    if order.action == "stop":
        return _stop(context, order)
    return retraining.retrain(context, order, how_text(order))


def _notify(context: MonitorContext, order: MonitorOrder, others: Sequence[MonitorOrder]) -> tuple[str, dict[str, Any]]:
    words = {"carry_out": "is carried out", "propose": "is proposed", "hold_back": "is held back"}
    lines = [order.alarm.text]
    for other in others:
        if other.action != "notify" and other.alarm.trigger == order.alarm.trigger:
            note = f": {other.why}" if other.why else ""
            command = f"; `modelyard monitor {context.name} --approve {other.id}`" if other.mode == "propose" else ""
            lines.append(f"{other.action} {words[other.mode]}{note}{command}")
    lines.append(f"evidence: .modelyard/monitoring/{context.name}/, digest {order.alarm.evidence[:12]}")
    subject = f"{context.name}: {order.alarm.trigger.replace('_', ' ')} in {order.alarm.window}"
    reached = notification.send(context.spec.actions.notify, subject, "\n".join(lines))
    return f"told {', '.join(reached)}", {}


def _roll_back(context: MonitorContext, order: MonitorOrder) -> tuple[str, dict[str, Any]]:
    done = [one for one in context.ledger.entries() if one.event == "asked" and one.facts.get("order") == order.id]
    if done:  # by a look that was killed before it could record the outcome
        return f"rolled back to version {done[-1].after.version if done[-1].after else '-'}", {}
    facts = {"known_by": context.by, "order": order.id, "evidence": order.alarm.evidence}
    requester = Requester(context.by, how_text(order), facts)
    outcome = rollback_command.roll_back(
        context.project, context.name, None, requester.how, context.log, requester=requester
    )
    return f"rolled back to version {outcome.version}", {"version": outcome.version}


def _stop(context: MonitorContext, order: MonitorOrder) -> tuple[str, dict[str, Any]]:
    champion = versions.by_alias(context.api, context.name, "champion")
    if champion is None:
        return "no version is champion any more", {}
    versions.delete_alias(context.api, context.name, "champion", how_text(order))
    return f"the alias champion was taken from version {champion.version}; the service stops", {
        "version": champion.version
    }
