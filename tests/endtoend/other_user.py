"""`python other_user.py`: does what its standard input (JSON) says as user 65534, and prints what came of it.

Everything is imported, and the project's folder is entered, before the user is changed: who may not enter the folder
above it still begins inside.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  # the socket module imports it late
import http.client
import json
import os
import socket
import sys
from collections import Counter
from typing import Any

NOBODY = 65534


def main() -> None:
    """Try it all."""
    job: dict[str, Any] = json.load(sys.stdin)
    os.chdir(job["folder"])
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    answers = [
        f"{answered} {method} {path} {port}"
        for port, method, path, body in job["requests"]
        if (answered := ask(port, method, path, body)) not in (401, 403)
    ]
    opened = [path for path in job["files"] if can(lambda path=path: os.close(os.open(path, os.O_RDONLY)))]
    written = [path for path in job["files"] if can(lambda path=path: os.close(os.open(path, os.O_WRONLY)))]
    listed = [path for path in job["folders"] if can(lambda path=path: os.listdir(path))]
    sockets = [path for path in job["sockets"] if can(lambda path=path: socket.socket(socket.AF_UNIX).connect(path))]
    spied = [pid for pid in job["processes"] if can(lambda pid=pid: os.close(os.open(f"/proc/{pid}/environ", 0)))]
    result = {"answers": answers, "files": opened + written, "folders": listed, "sockets": sockets, "processes": spied}
    json.dump(result | {"tried": Counter(map(len, job.values())).total(), "user": os.getuid()}, sys.stdout)


def can(attempt: Any) -> bool:
    """Whether something does not fail."""
    try:
        attempt()
    except OSError:
        return False
    return True


_connections: dict[int, http.client.HTTPConnection] = {}


def ask(port: int, method: str, path: str, body: str | None) -> int:
    """The status that a server answers with."""
    for _ in range(2):
        connection = _connections.setdefault(port, http.client.HTTPConnection("127.0.0.1", port, timeout=30))
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):  # it closed the connection after the one before
            connection.close()
            continue
        return response.status
    return 0


if __name__ == "__main__":
    main()
