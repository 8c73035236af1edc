"""The form of a refusal by protocol, which the path tells: clients of a protocol read the errors of that protocol."""

from __future__ import annotations

from typing import Any

from serving import json_text
from serving.exchange import JSON_TYPE
from serving.problem import PROBLEM_TYPE, RefusedRequest


def refused(path: str, refusal: RefusedRequest) -> tuple[int, bytes, bytes]:
    """Status, content and media type of a refusal.

    Paths below /v2 answer `{"error": ...}`, below /v1 OpenAI's error object, /invocations answers MLflow's
    `{"error_code", "message"}`, all others problem details.
    """
    status = refusal.status
    if path.startswith("/v2"):
        return (400 if status == 422 else status), _json({"error": sentence(refusal)}), JSON_TYPE
    if path.startswith("/v1/"):
        return (400 if status == 422 else status), _json({"error": openai(refusal)}), JSON_TYPE
    if path == "/invocations":
        code = "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR"
        document = {"error_code": code, "message": sentence(refusal)}
        return (400 if status == 422 else status), _json(document), JSON_TYPE
    return status, refusal.content(), PROBLEM_TYPE


def sentence(refusal: RefusedRequest) -> str:
    """A refusal in one line, with its facts."""
    facts = "; ".join(f"{name}: {value}" for name, value in refusal.facts.items())
    return f"{refusal.message} ({facts})" if facts else refusal.message


def openai(refusal: RefusedRequest) -> dict[str, Any]:
    """A refusal as OpenAI's error object."""
    kind = "invalid_request_error" if refusal.status < 500 else "server_error"
    if refusal.status == 429:
        kind = "rate_limit_error"
    return {"message": sentence(refusal), "type": kind, "param": refusal.facts.get("where"), "code": refusal.code}


def _json(document: dict[str, Any]) -> bytes:
    return json_text.dumps(document)
