"""`python -m components.core.with_parent PROGRAM ARGUMENTS`: becomes a program that ends when its parent ends.

For programs that are not ours. The kernel sends SIGTERM when the parent is gone, also when it was killed; outside Linux
nothing is sent.
"""

from __future__ import annotations

import os
import sys

from components.core.stage_process import die_with_parent


def command(program: list[str]) -> list[str]:
    """The command line that runs a program so."""
    return [sys.executable, "-m", "components.core.with_parent", *program]


if __name__ == "__main__":
    die_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # no shell
