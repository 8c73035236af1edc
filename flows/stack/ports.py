"""Ports on the loopback interface: free or not, and who holds them."""

from __future__ import annotations

import socket
from collections.abc import Collection

from components.contracts.errors import StackError

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server of ours could listen here now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(first: int, taken: Collection[int], span: int = 200) -> int:
    """The first free port from `first` on that is not among `taken`.

    Raises:
        StackError: none of `span` ports is free.
    """
    for port in range(first, min(first + span, 65536)):
        if port not in taken and is_free(port):
            return port
    raise StackError(
        "no free port", where=LOOPBACK, expected=f"one of {first} to {first + span - 1}", next_step="free one of them"
    )


def holder(port: int) -> str:
    """Who listens on a port, as `name (pid 123)`, as far as this user may see."""
    import psutil

    for process in psutil.process_iter(["pid", "name"]):
        try:
            listening = any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for connection in process.net_connections("tcp")
            )
        except psutil.Error:
            continue
        if listening:
            return f"{process.info['name']} (pid {process.info['pid']})"
    return "a process of another user"
