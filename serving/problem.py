"""Refused requests, and how they are told: problem details for HTTP APIs (RFC 9457)."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any

from components.core.errors import SampleError
from serving import json_text

if TYPE_CHECKING:
    from serving.slots import ModelSlot

PROBLEM_TYPE = b"application/problem+json"
TYPE_PREFIX = "urn:modelyard:problem:"
UNREADABLE = ("json", "base64")  # 400: not even the body can be read; all else that is wrong with a sample is 422


class RefusedRequest(Exception):
    """A request that is not answered.

    Args:
        status: the HTTP status, 4xx, 503, 504, or 500 where the model failed.
        code: one word for machines.
        facts: `where`, `got`, `expected`, `reason`, where they are known.
        retry_seconds: when the client may try again (the header Retry-After).

    Attributes:
        slot: whose version refused it, once it is known.
        missed: the expectations of the training data that it is refused for.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_seconds: int | None = None, **facts: object
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.facts: dict[str, Any] = {name: value for name, value in facts.items() if value is not None}
        self.retry_seconds = retry_seconds
        self.slot: ModelSlot | None = None
        self.missed: list[dict[str, Any]] = []

    @staticmethod
    def of(error: SampleError, item: str) -> RefusedRequest:
        """The refusal of a sample; without a code of its own it is named after what the task takes."""
        code = error.code or item
        status = 400 if code in UNREADABLE else 422
        refusal = RefusedRequest(status, code, error.what, where=error.where, got=error.got, expected=error.expected)
        if missed := getattr(error, "missed", None):
            refusal.missed = [one.document() for one in missed]
        return refusal

    def document(self) -> dict[str, Any]:
        """The problem details: `type`, `title`, `status`, `detail`, and as extensions `code` and the facts."""
        try:
            title = http.HTTPStatus(self.status).phrase
        except ValueError:
            title = self.code
        return {
            "type": f"{TYPE_PREFIX}{self.code}",
            "title": title,
            "status": self.status,
            "detail": self.message,
            "code": self.code,
            **self.facts,
            **({"missed": self.missed} if self.missed else {}),
        }

    def content(self) -> bytes:
        """The problem details as JSON; a fact that JSON has no form for is told as text."""
        return json_text.dumps(self.document())
