"""Whether this process listens on anything but loopback."""

from __future__ import annotations

import ipaddress
import os

import psutil


def exposed() -> str | None:
    """An address beside loopback on which this process listens, as `host:port`; None: there is none.

    A process whose sockets cannot be listed counts as exposed, with the address `?`.
    """
    try:
        connections = psutil.Process(os.getpid()).net_connections(kind="inet")
    except psutil.Error:
        return "?"
    for one in connections:
        if one.status == psutil.CONN_LISTEN and one.laddr and not _is_loopback(one.laddr.ip):
            return f"{one.laddr.ip}:{one.laddr.port}"
    return None


def _is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
