"""What the registry says, asked for beside the controller's loop."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from components.core.errors import ModelyardError
from components.core.project import Project
from components.registry import alias_notes, versions
from components.registry.api import Api

PERIOD_SECONDS = 1.0  # of a server that somebody else runs: no note says when an alias is set
OWN_PERIOD_SECONDS = 3.0  # of the project's own server, which notes each alias that is set
AFTER_NOTE_SECONDS = 0.5  # for an alias to be set after it was noted; meanwhile it is asked for at every look
WAKE_SECONDS = 0.05  # between two looks at whether an alias was set
STALE_SECONDS = 8.0  # an answer that is older is none


class RegistryPoll:
    """Asks for the aliases of all models in a thread of its own: a registry that hangs holds up nothing.

    `changed` is set when an answer differs from the one before.
    """

    def __init__(self, api: Api, project: Project, period_seconds: float = PERIOD_SECONDS) -> None:
        self.api, self._notes = api, alias_notes.folder(project)
        self._period_seconds = period_seconds
        self._aliases: dict[str, dict[str, str]] | None = None
        self._answered, self._error = 0.0, "it was not asked yet"
        self.changed = threading.Event()

    def start(self) -> None:
        """Ask once a period, and at once when the registry's server noted that an alias is being set."""
        threading.Thread(target=self._run, name="registry", daemon=True).start()

    def aliases(self) -> dict[str, dict[str, str]] | None:
        """The last answer; None where the registry does not answer."""
        return self._aliases if time.monotonic() - self._answered < STALE_SECONDS else None

    def error(self) -> str:
        """Why there is no answer."""
        return self._error

    def ask(self) -> None:
        """Ask once."""
        begun = time.monotonic()
        try:
            found = versions.aliases(self.api)
        except ModelyardError as error:
            self._error = str(error.got)
            if self._answered:
                self.changed.set()
            self._answered, self._aliases = 0.0, None
            return
        if found != self._aliases:
            self.changed.set()
        self._aliases, self._answered = found, begun

    def _run(self) -> None:
        noted, noted_at = _stamp(self._notes), float("-inf")
        while True:
            begun = time.monotonic()
            self.ask()
            while time.monotonic() < begun + self._period_seconds:
                time.sleep(WAKE_SECONDS)
                if (stamp := _stamp(self._notes)) != noted:
                    noted, noted_at = stamp, time.monotonic()
                if time.monotonic() < noted_at + AFTER_NOTE_SECONDS:  # the note is written before the alias is set
                    break


def _stamp(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
