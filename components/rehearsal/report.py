"""The result of a rehearsal as JSON, and as one HTML page that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.contracts.rehearsal_request import RehearsalRequest
from components.core import html_page
from components.identity.digest import short
from components.rehearsal import drawing
from components.rehearsal.outcome import Rehearsed, RehearsedOrder
from components.rehearsal.pool import Pool
from components.rehearsal.world import HOURS_A_DAY, HOURS_A_MONTH

_TEMPLATE = Path(__file__).with_name("rehearsal.html.j2")
SIMULATED = (
    "Requests are rows drawn at random from the pool, and a change gives other rows more weight; their inputs, answers "
    "and truths are real.",
    "A retraining is not carried out. It takes `retrain_hours`, its model passes its gates, and it has back the share "
    "`recovers` of the accuracy that the change took; which rows it answers rightly is drawn at random.",
    "A person answers proposals, judges challengers and starts a stopped service after `person_hours`.",
    "The monitor's reference is drawn from the same pool, for a retrained model from the rows of the day of its order; "
    "what an order does takes effect with the next full hour.",
)
MOST_LINES = 200  # of the protocol of one policy in one scenario


def document(
    request: RehearsalRequest, package: str, pool: Pool, found: Sequence[Rehearsed], notes: Sequence[str]
) -> dict[str, Any]:
    """result.json; the same seed has the same one."""
    return {
        "model": request.model,
        "package": package,
        "source": "log" if request.log else "dataset",
        "rows": pool.clean,
        "accuracy": pool.accuracy,
        "months": request.months,
        "seed": request.seed,
        "policies": {one.name: one.monitor.model_dump(mode="json") for one in request.policies},
        "simulated": list(SIMULATED),
        "notes": list(notes),
        "heads": list(HEADS),
        "rows_of_table": [row(one) for one in found],
        "results": [one.model_dump(mode="json") for one in found],
    }


class _Line(NamedTuple):
    """A line of the protocol of a policy in a scenario."""

    hour: float
    when: str
    kind: str
    text: str
    colour: str


class _Part(NamedTuple):
    """A policy in a scenario."""

    result: Rehearsed
    facts: dict[str, str]
    lines: list[_Line]
    left_out: int


class _Section(NamedTuple):
    """A scenario."""

    name: str
    says: str
    parameters: str
    plot: bytes
    parts: list[_Part]


def render(request: RehearsalRequest, result: dict[str, Any], found: Sequence[Rehearsed]) -> str:
    """The page."""
    scenarios = _grouped(found, len(request.policies))
    return html_page.render(
        _TEMPLATE,
        model=request.model,
        facts={
            "package": short(result["package"]),
            "rows drawn from": f"{result['rows']:,} of the {result['source']}",
            "accuracy of these": _share(result["accuracy"]),
            "time": ", ".join(dict.fromkeys(f"{one.hours / HOURS_A_DAY:.0f} days" for one in found)),
            "seed": str(request.seed),
        },
        policies=[one.name for one in request.policies],
        heads=HEADS,
        rows=[row(one) for one in found],
        sections=[_section(group) for group in scenarios],
        simulated=SIMULATED,
        notes=result["notes"],
    )


def _grouped(found: Sequence[Rehearsed], policies: int) -> list[Sequence[Rehearsed]]:
    return [found[at : at + policies] for at in range(0, len(found), policies)]


HEADS = (
    "scenario", "policy", "found after", "answers until then", "true alarms", "false alarms", "retrainings", "promoted",
    "taken away", "held back", "wrong answers", "without the policy",
)  # fmt: skip


def row(one: Rehearsed) -> list[str]:
    """A line of the table, in the order of `HEADS`."""
    kinds = [event.kind for event in one.events]
    cost = one.cost
    return [
        one.scenario,
        one.policy,
        found_after(one),
        "-" if one.answers_before is None else f"{one.answers_before:,}",
        str(one.true_alarms) if one.scenario != "recorded" else f"{len(one.alarms)} in all",
        f"{one.false_alarms} (stated {one.stated_false_alarms * one.hours / HOURS_A_MONTH:.1f})"
        if one.scenario != "recorded"
        else "-",
        str(cost.retrainings),
        str(kinds.count("promoted")),
        str(kinds.count("taken_away") + kinds.count("rolled_back")),
        str(sum(one.held_back.values())),
        _share_of(cost.wrong, cost.answers),
        _share_of(cost.wrong_without, cost.answers + cost.unanswered),
    ]


def found_after(one: Rehearsed) -> str:
    """The delay in words."""
    if one.changed is None or one.scenario == "label_noise":
        return "no change"
    if one.found_after is None:
        return "never"
    return f"{one.found_after:.1f} h" if one.found_after < 3 * HOURS_A_DAY else f"{one.found_after / HOURS_A_DAY:.1f} d"


def _section(group: Sequence[Rehearsed]) -> _Section:
    first = group[0]
    parameters = ", ".join(f"{key} {value}" for key, value in first.parameters.items() if value is not None)
    return _Section(first.scenario, first.says, parameters, drawing.timeline(group), [_part(one) for one in group])


def _part(one: Rehearsed) -> _Part:
    lines = _lines(one)
    cost = one.cost
    facts = {
        "found after": found_after(one),
        "false alarms": f"{one.false_alarms}, stated are {one.stated_false_alarms:g} a month",
        "messages": str(cost.messages),
        "retrainings": f"{cost.retrainings}"
        + ("" if cost.retraining_seconds is None else f", {cost.retraining_seconds:,.0f} s of computing"),
        "wrong answers": _share_of(cost.wrong, cost.answers),
        "without the policy": _share_of(cost.wrong_without, cost.answers + cost.unanswered),
        "unanswered": f"{cost.unanswered:,}",
        "refused": f"{cost.refused:,}",
    }
    return _Part(one, facts, lines[:MOST_LINES], max(0, len(lines) - MOST_LINES))


def _lines(one: Rehearsed) -> list[_Line]:
    lines = [_line(alarm.hour, _word(alarm.is_true), f"{alarm.trigger} in {alarm.window}: {alarm.text}",
                   "alarm" if alarm.is_true is not False else "false") for alarm in one.alarms]  # fmt: skip
    lines += [_line(order.hour, order.mode.replace("_", " "), _told(order), "order") for order in one.orders]
    for event in one.events:
        accuracy = "" if event.accuracy is None else f" (accuracy {event.accuracy:.1%})"
        lines.append(
            _line(event.hour, event.kind.replace("_", " "), f"version {event.version}{accuracy}: {event.text}", "event")
        )
    if one.changed is not None:
        lines.append(_line(one.changed, "change", one.says, "change"))
    order = {"change": 0, "alarm": 1, "false": 1, "order": 2, "event": 3}
    return sorted(lines, key=lambda line: (line.hour, order[line.colour]))


def _line(hour: float, kind: str, text: str, colour: str) -> _Line:
    return _Line(hour, f"day {int(hour // HOURS_A_DAY) + 1}, {hour % HOURS_A_DAY:04.1f} h", kind, text, colour)


def _word(is_true: bool | None) -> str:
    return {True: "alarm", False: "false alarm", None: "alarm"}[is_true]


def _told(order: RehearsedOrder) -> str:
    return f"{order.action} after {order.trigger}: {order.why or order.outcome}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _share_of(count: int | None, total: int) -> str:
    if count is None:
        return "-"
    return f"{count:,} ({count / total:.1%})" if total else f"{count:,}"
