"""Is the server on a port well, and is it ours? One or two small requests; no library of a server is imported."""

from __future__ import annotations

import http.client
import json
from datetime import datetime

from components.access import challenge, project_door
from components.core.project import Project
from flows.platform import connections
from flows.platform.ports import LOOPBACK


def is_ours(project: Project, port: int, timeout_seconds: float = 2.0) -> bool:
    """Whether a server of this project answers on a port; it does once its application has started."""
    secret = project_door.secret_of(project)
    return secret is not None and challenge.is_ours(LOOPBACK, port, secret, timeout_seconds)


def is_ready(port: int, path: str, timeout_seconds: float = 2.0) -> bool:
    """Whether GET `path` answers 200 on a port, whosever server it is."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def worker_is_online(project: Project, prefect_port: int, work_pool: str, since: float) -> bool:
    """Whether Prefect has heard from a worker of the work pool after `since` (seconds since 1970).

    Prefect calls a worker online for a while after its last heartbeat, also one that was killed.
    """
    connection = http.client.HTTPConnection(LOOPBACK, prefect_port, timeout=5)
    headers = {"Content-Type": "application/json", **connections.headers(project)}
    try:
        connection.request("POST", f"/api/work_pools/{work_pool}/workers/filter", "{}", headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != http.HTTPStatus.OK:
            return False
        return any(
            worker["status"] == "ONLINE" and datetime.fromisoformat(worker["last_heartbeat_time"]).timestamp() >= since
            for worker in json.loads(content)
        )
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()
