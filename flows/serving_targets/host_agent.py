"""`python -m flows.serving_targets.host_agent FOLDER SOCKET`: answers on a socket what a controller asks of a host.

HTTP over a Unix socket, which `ssh -L` forwards: nothing listens on the network, and who may log in may ask. The agent
lives as long as its standard input, that is the session that started it. The services outlive it.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

import uvicorn

from components.core.errors import StackError
from components.core.project import Project
from flows.platform.ports import LOOPBACK
from flows.serving_targets import host_folder
from flows.serving_targets.host_endpoints import INCOMING, HostEndpoints
from flows.serving_targets.host_protocol import FORMAT, READY_LINE


def main() -> None:
    """Answer on the socket until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--listen", default=LOOPBACK)
    parser.add_argument("--address")
    chosen = parser.parse_args()
    os.umask(0o077)
    project = Project(chosen.folder)
    try:
        host_folder.require_clone(chosen.folder)
        chosen.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen.socket.unlink(missing_ok=True)
        host_folder.remove_incoming(project, INCOMING)
    except StackError as error:
        sys.exit("; ".join(filter(None, (error.what, error.where, error.got, error.next_step))))
    except OSError as error:
        sys.exit(f"the host's folder cannot be written to; {error}")
    agent = HostEndpoints(project, chosen.listen, chosen.address)
    settings = uvicorn.Config(agent.application(), uds=str(chosen.socket), log_level="error", access_log=False)
    server = uvicorn.Server(settings)

    def end_with_the_session() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    def say_ready() -> None:
        while not server.started:
            threading.Event().wait(0.02)
        chosen.socket.chmod(0o600)
        print(READY_LINE, FORMAT, flush=True)

    threading.Thread(target=end_with_the_session, daemon=True).start()
    threading.Thread(target=say_ready, daemon=True).start()
    try:
        server.run()
    finally:
        chosen.socket.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
