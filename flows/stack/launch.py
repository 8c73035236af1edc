"""What the supervisor really starts: `python -m flows.stack.launch PROGRAM.json` becomes the program.

The program is one process that dies with the supervisor (Linux: the kernel sees to it), so a killed supervisor leaves
no server behind that holds a port. Leftovers of a killed earlier incarnation are ended first.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

SET_PARENT_DEATH_SIGNAL = 1


def main() -> None:
    parent = os.getppid()
    document = json.loads(Path(sys.argv[1]).read_text())
    if sys.platform == "linux" and document["dies_with_supervisor"]:
        ctypes.CDLL(None, use_errno=True).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the supervisor is gone")
    environment = {**os.environ, **document["environment"]}
    if document["clears_leftovers"]:
        from flows.stack import leftovers, mark

        ended = leftovers.clear(environment[mark.STACK], environment[mark.PROGRAM])
        if ended:
            print(f"ended {ended} process(es) that an earlier start left behind", flush=True)
    if document["after"] is not None:
        _wait_for(document["after"])
    os.chdir(document["folder"])
    command = document["command"]
    os.execvpe(command[0], command, environment)  # noqa: S606  # becoming the program is the point


def _wait_for(server: dict[str, object]) -> None:
    from flows.stack import health

    while not health.is_ready(int(str(server["port"])), str(server["path"]), str(server["token"])):
        time.sleep(0.3)


if __name__ == "__main__":
    main()
