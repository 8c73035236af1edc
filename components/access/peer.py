"""Which user is at the other end of a TCP connection on this machine, as the kernel knows it (Linux).

The kernel is asked over a netlink socket for the socket with the reversed addresses (sock_diag(7),
`struct inet_diag_req_v2` of linux/inet_diag.h). No privilege is needed.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import Any

_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST, _ERROR = 4, 20, 1, 2
_HEADER, _REQUEST_FORMAT = struct.Struct("=IHHII"), struct.Struct("=BBBBI")
# struct inet_diag_msg: 4 bytes, the socket's id (ports and addresses first), expires, rqueue, wqueue, uid, inode
_PORTS_OFFSET, _PORTS = _HEADER.size + 4, struct.Struct("!HH")
_USER_OFFSET, _USER = _PORTS_OFFSET + 48 + 12, struct.Struct("=II")
_NO_COOKIE = b"\xff" * 8
_ALL_STATES = 0xFFFFFFFF

Address = tuple[str, int]


def user_of(theirs: Address, ours: Address) -> int | None:
    """The user id that owns the socket `theirs` of a connection to `ours`; None: not on this machine, or not known.

    A socket that its process has closed already belongs to nobody, and the kernel then names user 0.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        source, target = ipaddress.ip_address(theirs[0]), ipaddress.ip_address(ours[0])
        if source.version != target.version:
            return None
        family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        body = _REQUEST_FORMAT.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES)
        asked_ports = _PORTS.pack(theirs[1], ours[1])
        body += asked_ports
        body += source.packed.ljust(16, b"\0") + target.packed.ljust(16, b"\0") + struct.pack("=I", 0) + _NO_COOKIE
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as asked:
            asked.settimeout(1.0)
            size = _HEADER.size + len(body)
            asked.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST, 1, 0) + body)
            answer = asked.recv(4096)
    except (OSError, ValueError, struct.error):
        return None
    if len(answer) < _USER_OFFSET + _USER.size or _HEADER.unpack_from(answer)[1] == _ERROR:
        return None
    if answer[_PORTS_OFFSET : _PORTS_OFFSET + _PORTS.size] != asked_ports:  # a socket that listens there, not this one
        return None
    user, inode = _USER.unpack_from(answer, _USER_OFFSET)
    return int(user) if inode else None


def user_of_scope(scope: Any) -> int | None:
    """The same for the connection that an ASGI scope came over."""
    client, server = scope.get("client"), scope.get("server")
    if not client or not server or server[1] is None:
        return None
    return user_of((client[0], client[1]), (server[0], server[1]))


def user_behind(connected: socket.socket) -> int | None:
    """The user id that owns the other end of a connected socket."""
    return user_of(connected.getpeername()[:2], connected.getsockname()[:2])


def name_of(user: int) -> str:
    """A user's name, or `uid 1034` where the machine has none for it."""
    try:
        import pwd

        return pwd.getpwuid(user).pw_name
    except (ImportError, KeyError):
        return f"uid {user}"
