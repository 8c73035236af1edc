"""Is the server on a port well, and is it ours? One small HTTP request; no library of a server is imported."""

from __future__ import annotations

import http.client
import json

from flows.stack.ports import LOOPBACK

TOKEN_HEADER = "X-Modelyard-Stack"  # noqa: S105  # the name of a header


def is_ready(port: int, path: str, token: str | None, timeout_seconds: float = 2.0) -> bool:
    """Whether GET `path` answers 200, with our token where one is asked for."""
    answer = ask(port, path, timeout_seconds)
    return answer is not None and answer[0] == 200 and (token is None or answer[1] == token)


def ask(port: int, path: str, timeout_seconds: float) -> tuple[int, str | None] | None:
    """Status and token of the answer to GET `path`; None if nobody answers in time."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader(TOKEN_HEADER)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def runner_is_online(prefect_port: int, work_pool: str) -> bool:
    """Whether Prefect hears from a worker on the work pool."""
    connection = http.client.HTTPConnection(LOOPBACK, prefect_port, timeout=5)
    try:
        connection.request(
            "POST", f"/api/work_pools/{work_pool}/workers/filter", "{}", {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        content = response.read()
        return response.status == 200 and any(worker["status"] == "ONLINE" for worker in json.loads(content))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
