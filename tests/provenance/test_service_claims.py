"""What a running service says of its models: a claim for the champion and one for the challenger."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from components.contracts.serving_spec import ServiceStatus, SlotStatus, WorkerStatus
from components.provenance import target


def slot(version: str, state: Any = "ready") -> SlotStatus:
    return SlotStatus(version=version, package_digest=version * 64, state=state, since=0.0)


def test_champion_and_challenger_each_have_a_claim_and_what_was_removed_has_none() -> None:
    workers = [
        WorkerStatus(worker=1, generation=1, code="c", champion=slot("1"), challenger=slot("2")),
        WorkerStatus(worker=2, generation=1, code="c", champion=slot("1"), challenger=slot("3", "removed")),
    ]
    body = ServiceStatus(model="digits", expected=2, workers=workers).model_dump_json().encode()

    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        claims = target.claims(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert {name for name, _ in claims} == {"digits"}
    assert [(claim.version, claim.package_digest) for _, claim in claims] == [("1", "1" * 64), ("2", "2" * 64)]
    assert "champion of 2 of 2 workers" in repr(claims[0][1])
    assert "challenger of 1 of 2 workers" in repr(claims[1][1])
