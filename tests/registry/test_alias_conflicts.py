"""The project's MLflow server changes an alias only if it is what the client expects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from components.access.door import ACTOR, Actor, Receive, Scope, Send
from components.core.project import Project
from components.registry import alias_notes
from components.registry.server import ALIAS_PATH, AliasNoteMiddleware


class Registry:
    """An MLflow that sets an alias slowly, as other requests come."""

    def __init__(self) -> None:
        self.alias: str | None = "1"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the alias."""
        request = json.loads((await receive())["body"])
        await asyncio.sleep(0.02)
        self.alias = request.get("version")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def _ask(door: AliasNoteMiddleware, version: str | None, expected: str | None) -> tuple[int, dict[str, Any]]:
    """Set the alias to a version, None: delete it; returns the status and the body of the response."""
    headers = [] if expected is None else [(alias_notes.EXPECTED_HEADER.lower().encode(), expected.encode())]
    method = "DELETE" if version is None else "POST"
    body = json.dumps({"name": "digits", "alias": "champion", **({"version": version} if version else {})}).encode()
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": ALIAS_PATH, "headers": headers,
        ACTOR: lambda: Actor(name="ann", claimed=None, known_by="secret"),
    }  # fmt: skip
    await door(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def door(registry: Registry, tmp_path: Path) -> AliasNoteMiddleware:
    return AliasNoteMiddleware(registry, Project(tmp_path), lambda *_: registry.alias)


def test_an_alias_that_somebody_else_has_set_is_not_overwritten(door: AliasNoteMiddleware, registry: Registry) -> None:
    async def race() -> list[tuple[int, dict[str, Any]]]:
        return await asyncio.gather(_ask(door, "3", None), _ask(door, "1", "1"), _ask(door, None, "1"))

    person, *late = asyncio.run(race())
    assert person[0] == 200
    assert [code for code, _ in late] == [409, 409]
    said = "champion of digits names version 3 by now"
    assert late[0][1] == {"error_code": "RESOURCE_CONFLICT", "message": said}
    assert registry.alias == "3"


def test_an_alias_that_is_as_expected_is_changed(door: AliasNoteMiddleware, registry: Registry) -> None:
    async def change() -> list[tuple[int, dict[str, Any]]]:
        return [await _ask(door, "2", "1"), await _ask(door, None, "2"), await _ask(door, "4", "")]

    assert [code for code, _ in asyncio.run(change())] == [200, 200, 200]
    assert registry.alias == "4"
