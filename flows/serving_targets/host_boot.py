"""`python -m flows.serving_targets.host_boot start|stop FOLDER`: a host's supervisor at the start of its machine.

What ran before is not started before the controller has said what is in force, but with a lease that refuses: such a
service loads what it has, and answers as soon as the lease is renewed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from components.access import project_door
from components.core.errors import ModelyardError, StackError
from components.core.project import Project
from flows.platform import lifecycle
from flows.serving_targets import host_folder


def start(project: Project) -> None:
    """Start the supervisor unless it runs.

    Raises:
        StackError: the folder is no clone, or no project has it as a host yet.
    """
    host_folder.require_clone(project.root)
    if project_door.secret_of(project) is None:
        raise StackError(
            "this folder is no project's host yet",
            where=str(project.root),
            expected="a controller that has reached it once",
            next_step="name it under [hosts.NAME] of modelyard.toml, where the controller runs",
        )
    host_folder.start_supervisor(project)


def main() -> None:
    """Start, or stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=("start", "stop"))
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    os.umask(0o077)
    project = Project(chosen.folder)
    try:
        if chosen.step == "start":
            start(project)
        else:
            lifecycle.down(project, log=lambda line: print(line, file=sys.stderr))
    except ModelyardError as error:
        sys.exit("; ".join(error.lines()))


if __name__ == "__main__":
    main()
