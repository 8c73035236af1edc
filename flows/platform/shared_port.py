"""`python -m flows.platform.shared_port APPLICATION PORT OWN_PORT`: a server on a port that it shares with another one.

Both servers listen on PORT with SO_REUSEPORT (socket(7)): the kernel gives each connection to one of them, and when one
ends, every new connection to the other. Only processes of the same user may share a port. On OWN_PORT a server listens
alone, so that each can be asked whether it answers.
"""

from __future__ import annotations

import socket
import sys

from flows.platform.ports import LOOPBACK


def listening(port: int, *, shared: bool) -> socket.socket:
    """A socket bound to a port of the loopback interface; connections reach it once a server listens on it.

    Raises:
        OSError: a process that does not share the port has it.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError:
        bound.close()
        raise
    return bound


def main() -> None:
    """Run the server until SIGTERM."""
    import uvicorn

    application, port, own_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    sockets = [listening(port, shared=True), listening(own_port, shared=False)]
    configuration = uvicorn.Config(
        application,
        factory=True,
        # Proxy headers of a client are ignored: the door asks the kernel which user opened the connection.
        proxy_headers=False,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(configuration).run(sockets=sockets)


if __name__ == "__main__":
    main()
