"""Processor time for work in the background.

Where Linux schedules by sessions (`sched_autogroup_enabled`, sched(7)), the nice value of a process counts among the
processes of its session only, and each new session gets a share of its own: the group of the session must be nice too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def lower(niceness: int) -> None:
    """Let this process and its session yield to others; children inherit the nice value.

    Args:
        niceness: added to the nice value; 5 means a third of the time of a process that is as busy, 10 a tenth.
    """
    os.nice(niceness)
    follow(os.getpid())


def follow(pid: int) -> None:
    """Give the session of a child, which was just started, the nice value of this process."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    if niceness > 0:
        with contextlib.suppress(OSError):  # no such file: the kernel schedules by processes alone; or the child ended
            Path(f"/proc/{pid}/autogroup").write_text(str(niceness))
