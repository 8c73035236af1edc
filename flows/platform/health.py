"""Health checks of servers on this machine: whether one answers, and whether it belongs to the project."""

from __future__ import annotations

import http.client

from components.access import challenge, project_door
from components.core.project import Project
from flows.platform.ports import LOOPBACK


def is_ours(project: Project, port: int, timeout_seconds: float = 2.0) -> bool:
    """Whether a server of this project answers on a port. A server answers once its application has started."""
    secret = project_door.secret_of(project)
    return secret is not None and challenge.is_ours(LOOPBACK, port, secret, timeout_seconds)


def is_ready(port: int, path: str, timeout_seconds: float = 2.0) -> bool:
    """Whether GET `path` on a port answers 200; the server may belong to another project."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
