"""The prediction logs of the hosts, brought to the machine that decides: what answers there is judged here.

Lines are appended to files of the same hour here, named after the host, as they are written there; so the sealing, the
figures and the monitors read them as those of a worker of this machine. A host removes an hour once all of it is here.

How far a file was brought is in `<log>/hosts/<host>.json`: the place in the host's file at which the present file here
begins, and at which it ends. A file that is gone here was sealed; what comes later begins a new one.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

from components.contracts import prediction_log
from components.contracts.prediction_log import HOUR_SECONDS, OPEN
from components.core import atomic
from components.core.errors import ModelyardError
from components.core.log import Log
from components.core.project import Project
from flows.serving_targets import host_connections
from flows.serving_targets.host_connection import HostConnection
from flows.serving_targets.host_session import HostAbsentError

PERIOD_SECONDS = 5.0
CLOSED_SECONDS = 300.0  # after the end of an hour, nobody appends to it any more
FOLDER = "hosts"


class HostLogs:
    """Brings what is new, again and again."""

    def __init__(self, project: Project, log: Log) -> None:
        self._project, self._log = project, log
        self._problems: dict[str, str] = {}

    def look(self) -> int:
        """Bring what is new; returns the number of bytes. A host that is absent is asked again the next time."""
        count = 0
        for host in host_connections.connections(self._project):
            if host.is_own_folder:
                continue  # its log is this one
            problem = ""
            try:
                for model, files in host.ask("GET", "/logs").items():
                    count += _Copy(self._project, host, model).bring(files)
            except HostAbsentError:
                continue  # the controller says so
            except (ModelyardError, OSError, ValueError) as error:
                problem = str(error)
            if problem and problem != self._problems.get(host.name):
                self._log(f"the prediction logs of {host.name} are not brought: {problem}")
            self._problems[host.name] = problem
        return count


class _Copy:
    """One model's log of one host."""

    def __init__(self, project: Project, host: HostConnection, model: str) -> None:
        self._host, self._model = host, model
        self._folder = project.predictions(model)
        self._state_file = self._folder / FOLDER / f"{host.name}.json"
        try:
            self._places: dict[str, dict[str, int]] = json.loads(self._state_file.read_bytes())
        except FileNotFoundError:
            self._places = {}

    def bring(self, files: dict[str, int]) -> int:
        """Append what is new.

        Args:
            files: `<hour>/<name>` and the size in bytes.
        """
        count = 0
        for name, size in sorted(files.items()):
            hour, _, file = name.partition("/")
            is_closed = time.time() > prediction_log.begin_of(hour) + HOUR_SECONDS + CLOSED_SECONDS
            count += self._append(hour, file, size, is_closed=is_closed)
        for hour in sorted({name.partition("/")[0] for name in files}):
            self._end(
                hour, {name.partition("/")[2]: size for name, size in files.items() if name.startswith(f"{hour}/")}
            )
        kept = {name: place for name, place in self._places.items() if name in files}
        if kept != self._places:
            self._places = kept
            self._save()
        return count

    def _append(self, hour: str, file: str, size: int, *, is_closed: bool) -> int:
        name, target = f"{hour}/{file}", self._folder / OPEN / hour / f"{self._host.name}~{file}"
        if name not in self._places:  # a new file on the host; one of its name may be here, of a file that it removed
            self._places[name] = {"begin": -target.stat().st_size if target.exists() else 0, "end": 0}
        place = self._places[name]
        if target.exists():  # its size is the truth, also after a kill
            place["end"] = place["begin"] + target.stat().st_size
        begun = place["end"]
        while place["end"] < size:
            path = f"/logs/{self._model}/{hour}/{quote(file)}?start={place['end']}"
            content = self._host.read(path)
            whole = content if is_closed else content[: content.rfind(b"\n") + 1]  # a line that is being written
            if not whole:
                break
            if not target.exists():
                place["begin"] = place["end"]
                self._save()
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with target.open("ab") as stream:
                stream.write(whole)
            place["end"] += len(whole)
            self._save()
        return place["end"] - begun

    def _end(self, hour: str, files: dict[str, int]) -> None:
        """Let the host remove an hour that is over, and all here."""
        is_over = time.time() > prediction_log.begin_of(hour) + HOUR_SECONDS + CLOSED_SECONDS
        if is_over and all(self._places[f"{hour}/{file}"]["end"] >= size for file, size in files.items()):
            answer = self._host.ask("POST", f"/logs/{self._model}/{hour}/remove", {"files": files})
            if answer["removed"]:
                self._places = {name: place for name, place in self._places.items() if not name.startswith(f"{hour}/")}
                self._save()

    def _save(self) -> None:
        self._state_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document: Any = self._places
        atomic.write_text(self._state_file, json.dumps(document, sort_keys=True))
