"""WebSockets through the door: by header, by cookie, and by the first message, as Prefect's clients do it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.access.small_server import Server


def talk(server: Server, *messages: str | bytes, path: str = "/talk", **settings: Any) -> list[str | bytes] | str:
    """What the server answers to each message, or that it refused."""
    url = f"ws://127.0.0.1:{server.port}{path}"
    answers: list[str | bytes] = []
    try:
        with connect(url, proxy=None, open_timeout=5, close_timeout=1, **settings) as connection:
            for message in messages:
                connection.send(message)
                answers.append(connection.recv(timeout=5))
    except InvalidHandshake:
        return "refused"
    except ConnectionClosed as closed:
        return f"closed {closed.rcvd.code if closed.rcvd else None}"
    return answers


def prefect(server: Server, *messages: str | bytes, **settings: Any) -> list[str | bytes] | str:
    return talk(server, *messages, subprotocols=[Subprotocol("prefect")], **settings)


def hello(token: object) -> str:
    return json.dumps({"type": "auth", "token": token})


def test_by_header_and_by_cookie(server: Server) -> None:
    assert talk(server, "a") == "refused"
    assert talk(server, "b", additional_headers=server.authorization) == ["heard"]
    assert talk(server, "c", additional_headers={"Authorization": "Bearer wrong"}) == "refused"
    known = {"Cookie": server.fresh_cookie()}
    assert talk(server, "d", additional_headers=known) == "refused"  # no origin
    assert talk(server, "e", additional_headers=known, origin=server.origin) == ["heard"]
    assert talk(server, "f", additional_headers=known, origin="http://127.0.0.1:1") == "refused"
    assert talk(server, "g", additional_headers=known, origin="http://evil.example") == "refused"
    assert talk(server, "h", origin=server.origin) == "refused"
    assert talk(server, "i", additional_headers={**server.authorization, "Host": "evil.example"}) in ("refused",)
    assert server.reached.messages == ["b", "e"]


def test_by_the_first_message(server: Server) -> None:
    assert prefect(server, hello(f"ada:{server.secret}"), "then") == ["heard", "heard"]
    assert prefect(server, hello(server.secret)) == ["heard"]
    assert prefect(server, hello(server.secret).encode()) != "refused"
    assert prefect(server, hello(server.secret), additional_headers={"Authorization": "Bearer wrong"}) == "refused"
    assert prefect(server, hello(server.secret), origin=server.origin) == "refused"
    assert prefect(server, hello(server.secret), origin="http://evil.example") == "refused"
    assert prefect(server, hello(server.secret), additional_headers={"Host": "evil.example"}) == "refused"
    assert talk(server, hello(server.secret)) == "refused"  # without the subprotocol


@pytest.mark.parametrize(
    "first",
    [
        "", "x", "5", "null", '"auth"', "[]", "{}", '{"type": "auth"}', '{"type": "ping", "token": "TOKEN"}',
        hello("wrong"), hello(None), hello(""), hello(["TOKEN"]), hello("\ud800"), hello("gehe\u00efm"),
        "[" * 20_000, '{"type": ["auth"], "token": "TOKEN"}', b"\xff\xfe", b"", b"[",
    ],
)  # fmt: skip
def test_any_other_first_message_ends_it(server: Server, first: str | bytes) -> None:
    sent = first.replace("TOKEN", server.secret) if isinstance(first, str) else first
    assert prefect(server, sent, hello(server.secret)) == "closed 1008"
    assert server.reached.messages == []


def test_nothing_is_told_before_the_credentials(server: Server) -> None:
    assert str(prefect(server, hello("wrong"), path="/chatter")).startswith("closed")
