"""Ports on the loopback interface: which are free, and which process listens on them."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import TYPE_CHECKING

from components.core.errors import StackError

if TYPE_CHECKING:
    import psutil

LOOPBACK = "127.0.0.1"


class PortTaken(Exception):
    """Another process listens on a program's port; the port was free when it was chosen, seconds before.

    Args:
        name: the program's name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def is_free(port: int) -> bool:
    """Whether a server can listen on a port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(first: int, taken: Collection[int], count: int = 200) -> int:
    """The first free port from `first` on that is not among `taken`.

    Raises:
        StackError: none of `count` ports is free.
    """
    for port in range(first, min(first + count, 65536)):
        if port not in taken and is_free(port):
            return port
    raise StackError(
        "no free port", where=LOOPBACK, expected=f"one of {first} to {first + count - 1}", next_step="free one of them"
    )


def listener(port: int) -> psutil.Process | None:
    """The process that listens on a port; None if there is none or this user may not see it."""
    import psutil

    for process in psutil.process_iter(["pid", "name"]):
        try:
            if _listens(process, port):
                return process
        except psutil.Error:
            continue
    return None


def listens(pid: int, port: int) -> bool:
    """Whether a process or one of its descendants listens on a port."""
    import psutil

    try:
        process = psutil.Process(pid)
        processes = [process, *process.children(recursive=True)]
        return any(_listens(process, port) for process in processes)
    except psutil.Error:
        return False


def _listens(process: psutil.Process, port: int) -> bool:
    connections = process.net_connections("tcp")
    return any(connection.status == "LISTEN" and connection.laddr.port == port for connection in connections)


def holder(port: int) -> str:
    """The process that listens on a port, as `name (pid 123)`."""
    process = listener(port)
    return f"{process.info['name']} (pid {process.pid})" if process is not None else "a process of another user"
