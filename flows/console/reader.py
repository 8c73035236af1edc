"""`python -m flows.console.reader`: a process that reads what takes long, for the console's server.

A line in is `{"reading": NAME, "arguments": [...]}`, a line out `{"value": ...}` or `{"error": ...}`. It ends when the
server does, or when nothing was asked for `IDLE_SECONDS`, and with it the memory of the libraries that it has imported.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from components.core import disk_space, priority, readable
from components.core.errors import ModelyardError, ServingError
from components.core.project import Project

IDLE_SECONDS = 120.0
NICENESS = 5  # a third of the time of what serves and trains, where that has none to spare


def main() -> None:
    """Answer until nobody asks any more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not be taken for an answer
    priority.lower(NICENESS)
    from flows.platform import connections

    project = Project.find()
    connections.enter(project)
    # Read without a buffer of Python's own: `wait` must see what is still to be read.
    lines = os.fdopen(sys.stdin.fileno(), "rb", buffering=0)
    while readable.wait([lines], IDLE_SECONDS):
        line = lines.readline()
        if not line:
            return
        answers.write(json.dumps(answer(project, json.loads(line)), default=str) + "\n")
        answers.flush()


def answer(project: Project, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request; an error of whatever kind is an answer."""
    from flows.console.readings import READINGS

    try:
        return {"value": READINGS[request["reading"]](project, *request["arguments"])}
    except ModelyardError as error:
        return {"error": error.to_dict()}
    except Exception as error:  # noqa: BLE001  # the page says so; the next request is answered
        known = disk_space.as_error(error) if disk_space.is_full(error) else None
        got = f"{type(error).__name__}: {error}"
        return {"error": (known or ServingError(f"{request['reading']} could not be read", got=got)).to_dict()}


if __name__ == "__main__":
    main()
