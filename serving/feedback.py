"""POST /feedback: the truth of earlier predictions, appended to the prediction log; whether they fit is the reader's.

A worker does not know what others have answered, or what was answered long ago: unknown, late, double and contradicting
truths are told apart when the log is read (components/monitoring/labels.py).
"""

from __future__ import annotations

import asyncio

import orjson
from pydantic import TypeAdapter, ValidationError

from components.contracts.prediction_log import FOLDER, Feedback
from components.inference.body import JSON
from serving.exchange import Answer, HttpRequest, json_reply
from serving.prediction_log import PredictionLog
from serving.problem import RefusedRequest

MOST = 1000  # truths in a request
MOST_BYTES = 1_000_000

_MANY: TypeAdapter[list[Feedback]] = TypeAdapter(list[Feedback])


async def take(request: HttpRequest, log: PredictionLog | None) -> Answer:
    """Write one truth, or a list of them.

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
    return json_reply({"accepted": len(feedback)}, 202)
