"""POST /feedback: the truth of earlier predictions, appended to the prediction log; whether they fit is the reader's.

A worker does not know what others have answered, or what was answered long ago: unknown, late, double and contradicting
truths are told apart when the log is read (components/monitoring/labels.py). It knows the classes of its champion: a
truth that is none of them is kept, as the class may be new or of another version, and the answer says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
from pydantic import TypeAdapter, ValidationError

from components.contracts.prediction_log import FOLDER, Feedback
from components.inference import told_truth
from components.inference.body import JSON
from components.inference.told_truth import KnownClasses
from serving.exchange import Answer, HttpRequest, json_reply
from serving.prediction_log import PredictionLog
from serving.problem import RefusedRequest

MOST = 1000  # truths in a request
MOST_BYTES = 1_000_000
_SHOWN, _NAMED = 10, 50  # notes of an answer, and classes that it names
_EXAMINED = 100  # names of a truth

_MANY: TypeAdapter[list[Feedback]] = TypeAdapter(list[Feedback])


async def take(request: HttpRequest, log: PredictionLog | None, known: KnownClasses | None = None) -> Answer:
    """Write one truth, or a list of them.

    Args:
        known: the classes of the champion, if its task has any.

    Raises:
        RefusedRequest: 400 no JSON, 404 this service keeps no log, 415 another type, 422 no truth, or too many; 503 it
            cannot be written now.
    """
    if log is None:
        raise RefusedRequest(
            404, "no_log", "this service keeps no prediction log", expected=f"{FOLDER} names a folder for it"
        )
    if request.media_type != JSON:
        raise RefusedRequest(415, "content_type", "feedback is JSON", got=request.media_type or None, expected=JSON)
    try:
        document = orjson.loads(await request.body(MOST_BYTES))
    except orjson.JSONDecodeError as error:
        raise RefusedRequest(400, "json", "the body is no JSON", reason=str(error)) from error
    told = document if isinstance(document, list) else [document]
    if not 0 < len(told) <= MOST:
        raise RefusedRequest(422, "count", "no truth, or too many", got=len(told), expected=f"1 to {MOST}")
    try:
        feedback = _MANY.validate_python(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        raise RefusedRequest(422, "feedback", text, where=where, expected="id, truth; index, at") from error
    try:
        await asyncio.get_running_loop().run_in_executor(None, log.feedback, feedback)
    except OSError as error:
        raise RefusedRequest(503, "log", "the feedback cannot be written now", retry_seconds=5) from error
    notes = []
    if known is not None:  # names are compared with each class: not in the thread that answers all requests
        notes = await asyncio.get_running_loop().run_in_executor(None, _notes, feedback, known)
    return json_reply({"accepted": len(feedback), **({"notes": notes} if notes else {})}, 202)


def _notes(feedback: Sequence[Feedback], known: KnownClasses) -> list[str]:
    """What the sender should know of truths that cannot be an answer of the champion."""
    found: list[str] = []
    left = 0
    for place, one in enumerate(feedback):
        if len(found) >= _SHOWN:
            left = len(feedback) - place
            break
        if told_truth.is_of_another_kind(one.truth, known):
            found.append(f"truth {place} is of another kind than the answers, which have {known.field}")
            continue
        truth = one.truth[:_EXAMINED] if isinstance(one.truth, list) else one.truth
        for name in told_truth.unknown_names(truth, known)[:_SHOWN]:
            near = told_truth.nearest(name, known.classes)
            perhaps = "" if near is None else f"; the nearest is {near!r}"
            found.append(f"truth {place}: {name[:60]!r} is no class of this version{perhaps}")
    if not found:
        return []
    more = [f"{left:,} more truths were not looked at"] if left else []
    return [
        *found[:_SHOWN], *more,
        f"known classes: {told_truth.named(known.classes, _NAMED)}",
        "such truths are kept and counted apart, neither right nor wrong; told again, the last truth counts",
    ]  # fmt: skip
