"""The name of the current user, also for a user id without a name."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """LOGNAME or USER, else the name of the user id, else `uid 1034`: containers run as ids that have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # Python 3.11 raises the one, 3.13 the other
        return f"uid {os.getuid()}"
