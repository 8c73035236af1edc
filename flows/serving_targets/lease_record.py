"""How long each host may answer without news, as far as this machine knows: the longest lease that it may hold.

The controller that acts writes it: a longer lease before it is granted, a shorter one once every worker of the service
says that it follows it. So whoever decides may wait for the time that is written here. Of a host that is not named, or
not with the model, nothing is known: its service may answer for good.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from components.core import atomic
from components.core.project import Project
from flows.platform import state

Leases = Mapping[str, Mapping[str, float]]  # by host, by model: seconds


def path(project: Project) -> Path:
    """The file."""
    return state.folder(project) / "leases.json"


def read(project: Project) -> Leases:
    """What is known; nothing where the file cannot be read."""
    try:
        found: Leases = json.loads(path(project).read_bytes())
    except (OSError, ValueError):
        return {}
    return found


class LeaseRecord:
    """The file, as its only writer has it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._leases = {host: dict(models) for host, models in read(project).items()}

    def hosts(self) -> set[str]:
        """The hosts that may hold a lease."""
        return set(self._leases)

    def longest(self, host: str) -> float:
        """The longest lease that a host may hold for any model."""
        return max(self._leases.get(host, {}).values(), default=0.0)

    def drop(self, host: str) -> None:
        """A host holds none any more."""
        self.put(host, dict.fromkeys(self._leases.get(host, {})))

    def get(self, host: str, model: str) -> float | None:
        """The longest lease that a host may hold for a model; None: not known."""
        return self._leases.get(host, {}).get(model)

    def put(self, host: str, seconds: Mapping[str, float | None]) -> None:
        """Change what is known of a host; None: nothing is known of the model there any more."""
        models = dict(self._leases.get(host, {}))
        for model, longest in seconds.items():
            if longest is None:
                models.pop(model, None)
            else:
                models[model] = longest
        if models == self._leases.get(host, {}):
            return
        self._leases = {name: known for name, known in {**self._leases, host: models}.items() if known}
        atomic.write_text(path(self._project), json.dumps(self._leases, indent=1, sort_keys=True) + "\n")

    def clear(self) -> None:
        """Nothing is known any more."""
        if self._leases:
            self._leases = {}
            path(self._project).unlink(missing_ok=True)
