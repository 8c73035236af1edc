"""`python -P serving/start.py BUNDLE --host HOST --port PORT`: `bentoml serve`, for the local stack.

BentoML's process manager (circus) opens two TCP ports on loopback, over which any user of the machine may have it
start programs. Here they are Unix sockets in a folder of this user alone.

Where MODELYARD_HANDOVER names a folder, the service's listening socket is offered there over a Unix socket, and taken
from a process that offers it when this one starts: both then accept connections of one queue, and the earlier one can
end without a request being refused. All other words go to `bentoml serve`.

This file stands alone: it imports nothing of ours, which would take the place of the bundle's own modules.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

CHECK_SECONDS = 1.0  # between two looks at the workers: one that was killed is started again; BentoML looks each 10

DRAIN_SECONDS = 60.0  # after SIGTERM, for a worker to answer what it was asked; BentoML gives 30


def close_control_ports(folder: Path) -> None:
    """Replace the function with which BentoML makes its process manager; `folder` holds the sockets instead.

    Raises:
        AttributeError: BentoML has no such function any more; then its control ports must be closed another way.
    """
    from bentoml._internal.utils import circus

    circus.create_standalone_arbiter  # noqa: B018  # it must be there

    def create(watchers: list[Any], *, threaded: bool = False, **settings: Any) -> Any:
        for watcher in watchers:
            watcher.graceful_timeout = DRAIN_SECONDS
        kind = circus.ThreadedArbiter if threaded else circus.Arbiter
        arbiter = kind(
            watchers,
            endpoint=f"ipc://{folder / 'control'}",
            pubsub_endpoint=f"ipc://{folder / 'events'}",
            check_delay=CHECK_SECONDS,
            **{name: value for name, value in settings.items() if name != "check_delay"},
        )
        arbiter.stop = _closing_sockets(arbiter)  # type: ignore[method-assign]
        return arbiter

    circus.create_standalone_arbiter = create


def _closing_sockets(arbiter: Any) -> Any:
    """The arbiter's `stop`, which first closes its own copies of the listening sockets.

    Once the workers have closed theirs, a new connection is refused at once, so that its client goes elsewhere.
    Otherwise it would wait until the last worker has drained, and be reset then.
    """
    stop = arbiter.stop

    def close_and_stop(*words: Any, **settings: Any) -> Any:
        arbiter.sockets.close_all()
        return stop(*words, **settings)

    return close_and_stop


HANDOVER = "MODELYARD_HANDOVER"
TAKE_SECONDS = 5.0


def take(folder: Path) -> int | None:
    """The listening socket that a living process offers, as a descriptor of this process; None where nobody does."""
    for path in sorted(folder.glob("*")):
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(TAKE_SECONDS)
            try:
                asked.connect(str(path))
                _, descriptors, _, _ = socket.recv_fds(asked, 1, 1)
            except OSError:  # its process has ended
                path.unlink(missing_ok=True)
                continue
        if descriptors:
            return descriptors[0]
    return None


def offer(folder: Path, descriptor: int) -> None:
    """Hand a listening socket to whoever connects to `<pid>` in the folder, while this process lives."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / str(os.getpid())
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def answer() -> None:
        while True:
            connected, _ = listener.accept()
            with connected, contextlib.suppress(OSError):
                socket.send_fds(connected, [b"."], [descriptor])

    threading.Thread(target=answer, name="handover", daemon=True).start()


def share_listening_socket(folder: Path) -> None:
    """Let the process manager take the service's socket from the process before it, and offer it to the next one.

    Raises:
        AttributeError: the process manager binds its sockets in another way now.
    """
    from circus.sockets import CircusSocket

    bind = CircusSocket.bind_and_listen

    def take_or_bind(self: Any) -> None:
        taken = None if self.is_unix else take(folder)
        if taken is not None:
            with socket.socket(fileno=taken) as theirs:
                if theirs.getsockname()[1] == self.port:
                    os.dup2(theirs.fileno(), self.fileno())
                else:
                    taken = None
        if taken is None:
            bind(self)
        if not self.is_unix:
            offer(folder, self.fileno())

    CircusSocket.bind_and_listen = take_or_bind


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-"))  # mode 0700; short, as the path of a socket must be
    try:
        close_control_ports(folder)
        if path := os.environ.get(HANDOVER):
            share_listening_socket(Path(path))
        from bentoml_cli.cli import create_bentoml_cli

        create_bentoml_cli()(args=["serve", *sys.argv[1:]], prog_name="bentoml")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
