"""One look of the monitor: judge, decide, carry out, and say what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from components.core import file_lock
from components.core.errors import NotFoundError, UsageError
from components.monitoring import orders, policy
from components.monitoring.policy import MonitorAlarm, MonitorOrder, PastOrder
from flows.monitoring import carrying_out, challenger, looking
from flows.monitoring.carrying_out import OrderOutcome
from flows.monitoring.context import MonitorContext


@dataclass(frozen=True)
class Look:
    """What a look found and did.

    Args:
        orders: that were made in this look, with what came of each.
        challenger: what was done about a challenger.
        waiting: earlier orders about these alarms that a person can carry out: held back, proposed, or given up.
        notes: what a person should know of the labels.
    """

    alarms: tuple[MonitorAlarm, ...]
    orders: tuple[tuple[MonitorOrder, OrderOutcome], ...]
    challenger: str | None
    waiting: tuple[PastOrder, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether an order failed."""
        return any(outcome.failed for _, outcome in self.orders)


def look(context: MonitorContext, *, dry_run: bool = False) -> Look:
    """Judge what was answered, and carry out what follows.

    Args:
        dry_run: decide, and neither record nor carry out.

    Raises:
        NotFoundError: the model has logged nothing, or what it is judged by is not here.
        UsageError: another look is going on.
    """
    folder = context.project.monitoring(context.name)
    with file_lock.locked(folder / ".monitor.lock", "another look of the monitor"):
        looking.judge(context.project, context.pipeline, context.spec, context.log)
        found = looking.labels(context)
        alarms = looking.alarms(context, found)
        past = context.past()
        decided = policy.decide(context.spec.actions, context.name, alarms, past, time.time(), orders.is_paused(folder))
        waiting = tuple(policy.waiting(context.spec.actions, context.name, alarms, past))
        notes = () if found is None or found[0].unknown_note is None else (found[0].unknown_note,)
        if dry_run:
            told = tuple((order, OrderOutcome("dry run", failed=False)) for order in decided)
            return Look(tuple(alarms), told, None, waiting, notes)
        done = [(order, _answer(context, order, decided)) for order in decided]
        beside = None if orders.is_paused(folder) else challenger.judge(context, found)
        if beside is not None:
            context.log(beside)
        return Look(tuple(alarms), tuple(done), beside, waiting, notes)


def approve(context: MonitorContext, order_id: str) -> OrderOutcome:
    """Carry out what was proposed or held back.

    Raises:
        NotFoundError: there is no such order, or it was carried out already.
        UsageError: it is about a version that serves no longer.
    """
    folder = context.project.monitoring(context.name)
    with file_lock.locked(folder / ".monitor.lock", "another look of the monitor"):
        for _, facts in reversed(context.entries()):
            if facts.get("order") == order_id and "trigger" in facts:
                break
        else:
            raise NotFoundError(
                f"the monitor of {context.name} made no order {order_id}",
                next_step=f"`modelyard monitor {context.name} --orders` lists them",
            )
        if facts["state"] == "done":
            raise NotFoundError(f"order {order_id} was carried out", got=facts.get("outcome"))
        if facts["action"] != "notify":
            _check_champion(context, order_id, facts["window"])
        alarm = MonitorAlarm(facts["trigger"], facts["window"], facts["alarm"], facts["evidence"])
        return carrying_out.carry_out(context, MonitorOrder(order_id, facts["action"], alarm, "carry_out"))


def _check_champion(context: MonitorContext, order_id: str, window: str) -> None:
    """Check that an order is about the version that serves now.

    Raises:
        UsageError: it is not, or nothing serves.
    """
    own = [facts for _, facts in context.entries() if facts.get("order") == order_id]
    package = next((facts["package"] for facts in own if "package" in facts), None)
    if package is None:  # an order of an earlier Modelyard
        verdict = context.project.monitoring(context.name) / window / looking.VERDICT
        package = json.loads(verdict.read_bytes())["package"] if verdict.is_file() else None
    champion = looking.production_of(context).champion
    if package is None or (champion is not None and champion.package_digest == package):
        return
    raise UsageError(
        f"order {order_id} is about a version that serves no longer",
        got=f"package {package[:12]}",
        expected=f"package {str(champion.package_digest)[:12]}, version {champion.version}" if champion else "none",
        next_step=f"`modelyard monitor {context.name} --dry-run` says what the present version's alarms ask for",
    )


def _answer(context: MonitorContext, order: MonitorOrder, decided: Sequence[MonitorOrder]) -> OrderOutcome:
    """Carry an order out, or record why it is not."""
    if order.mode == "carry_out":
        return carrying_out.carry_out(context, order, decided)
    state: policy.State = "proposed" if order.mode == "propose" else "held_back"
    context.record(orders.facts(order, state, package=looking.champion_package(context)))
    outcome = f"held back: {order.why}" if order.why else "proposed"
    context.log(f"{order.action}: {outcome}")
    return OrderOutcome(outcome, failed=False)
