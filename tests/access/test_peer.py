"""Who is at the other end of a connection, over real sockets."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from components.access import cookie, peer
from tests.access.small_server import Server

NOBODY = 65534

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked over Linux' netlink")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")


def test_our_own(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as ours:
        accepted, _ = listening.accept()
        with accepted:
            assert peer.user_behind(accepted) == peer.user_behind(ours) == os.getuid()


def test_over_ipv6(server: Server) -> None:
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with listening, socket.create_connection(listening.getsockname()[:2]):
        accepted, _ = listening.accept()
        with accepted:
            assert peer.user_behind(accepted) == os.getuid()


def test_a_closed_socket_is_nobodys(server: Server) -> None:
    """The kernel names user 0 for it: another user who closes at once would pass for root."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            ours.close()
            assert peer.user_behind(accepted) is None


def test_a_socket_that_listens_there_is_not_the_one_that_was_asked_for(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert peer.user_of(listening.getsockname(), ("127.0.0.1", 1)) is None


@pytest.mark.parametrize("there", [("nonsense", 1), ("127.0.0.1", 1), ("::1", 1), ("127.0.0.1", 70000), ("", 0)])
def test_what_is_no_connection(server: Server, there: tuple[str, int]) -> None:
    assert peer.user_of(there, ("127.0.0.1", 1)) is None


@as_root
def test_another_user(server: Server) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(NOBODY)
        connected = socket.socket()
        connected.connect(listening.getsockname())
        os.read(reader, 1)
        os._exit(0)
    accepted, _ = listening.accept()
    with listening, accepted:
        assert peer.user_behind(accepted) == NOBODY
    os.write(writer, b"x")
    os.waitpid(child, 0)


def test_a_header_does_not_make_a_connection_anothers(server: Server) -> None:
    """uvicorn believes X-Forwarded-For of this machine, with its port: another user names a connection of ours."""
    with socket.create_connection(("127.0.0.1", server.port)) as ours:
        named = {"X-Forwarded-For": "{}:{}".format(*ours.getsockname())}
        assert server.ask("POST", headers={**server.authorization, **named}).status == 200
        known = {"Cookie": server.fresh_cookie(), "Origin": server.origin}
        assert server.ask("POST", headers=known).status == 200
        assert server.ask("POST", headers={**known, **named}).status == 401
        assert server.ask("POST", headers={**known, "X-Forwarded-For": "127.0.0.1:99999999"}).status == 401
    first = server.reached.actors[0]
    assert first is not None
    assert (first.name, first.known_by) == ("ada", "secret")


@as_root
def test_a_stolen_cookie_is_of_no_use_to_another_user(server: Server) -> None:
    """Browsers send the cookies of 127.0.0.1 to every port, so another user's server may have read it."""
    stolen = server.fresh_cookie()
    assert server.ask(headers={"Cookie": stolen}).status == 200
    server.reached.requests.clear()
    lines = f"GET /thing HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {stolen}\r\n\r\n".encode()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(NOBODY)
        for stays in (True, False):
            connected = socket.socket()
            connected.connect(("127.0.0.1", server.port))
            connected.sendall(lines)
            if stays:
                os.write(writer, connected.recv(12)[9:12])
            connected.close()
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 3) == b"401"
    assert server.ask(headers={"Cookie": f"{server.cookie}={cookie.issue(server.secret, NOBODY)}"}).status == 401
    assert server.reached.requests == []
