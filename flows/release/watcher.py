"""`python -m flows.release.watcher`: sees within a second that production is not what the registry asks for.

Level-triggered: each second it compares what the aliases name with what the services say they hold, and hands every
model where the two differ to a release worker. What it missed, or saw twice, or while it was away, makes no difference.
A registry that does not answer changes nothing: production goes on as it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from components.contracts import located_yaml
from components.contracts.errors import ModelyardError, SpecError, StackError
from components.contracts.pipeline import PipelineSpec
from components.contracts.project import Project
from components.registry import versions
from components.registry.api import Api
from components.release import history
from components.release.due import Due, Found, Wanted, due
from components.release.ledger import Ledger
from flows import environment, stack
from flows.release import look
from flows.release.service import Service

PERIOD_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
COMING_UP_SECONDS = 60.0
REST_SECONDS = 3.0  # before the next waiting worker is started: the machine has just switched production


@dataclass
class Known:
    """What the watcher remembers of a model between two looks.

    Args:
        gone_since: when its champion was first seen to be nobody's.
        silent_since: when its service was first seen to be starting and not answering.
        wanted: what the failures below were about.
        failures: releases in a row that did not come to their end.
        not_before: the next try.
        ledger: size and time of its ledger when it was last read, and whether a release in it had no end.
    """

    gone_since: float | None = None
    silent_since: float | None = None
    wanted: Wanted | None = None
    failures: int = 0
    not_before: float = 0.0
    worker: subprocess.Popen[str] | None = None
    ledger: tuple[tuple[int, int] | None, bool] = (None, False)


@dataclass
class Watcher:
    """Looks at all models of a project."""

    project: Project
    api: Api
    known: dict[str, Known] = field(default_factory=dict)
    spare: subprocess.Popen[str] | None = None
    spare_after: float = 0.0
    said: dict[str, str] = field(default_factory=dict)

    def look(self) -> None:
        """One look at everything."""
        now = time.monotonic()
        waiting = self.spare is not None and self.spare.poll() is None
        if not waiting and now >= self.spare_after and not any(known.worker for known in self.known.values()):
            self.spare = _start()
        try:
            aliases = versions.aliases(self.api)
        except ModelyardError as error:
            _seen(self.project)
            self._say("registry", f"the registry does not answer ({error.got}); production goes on as it is")
            return
        self._say("registry", "the registry answers")
        for name in sorted(path.stem for path in self.project.pipelines.glob("*.yaml")):
            if name in aliases or Service(self.project, name).url is not None:
                try:
                    self._look_at(name, Wanted.of(aliases.get(name, {})), now)
                except (ModelyardError, OSError) as error:
                    self._say(name, f"{name}: {error}")
        _seen(self.project)

    def _look_at(self, name: str, wanted: Wanted, now: float) -> None:
        known = self.known.setdefault(name, Known())
        if known.worker is not None:
            if known.worker.poll() is None:
                return
            self._finished(name, known, now)
        if known.wanted != wanted:
            known.wanted, known.failures, known.not_before = wanted, 0, 0.0
        if now < known.not_before:
            return
        service = Service(self.project, name)
        statement = service.statement(timeout_seconds=2)
        todo = due(wanted, Found.of(statement))
        if statement is None and todo is not None and self._is_coming_up(service, known, now):
            return
        if statement is not None:
            known.silent_since = None
        if wanted.champion is not None:
            known.gone_since = None
        champion_gone = False
        if todo is not None and todo.withdraws:
            known.gone_since = known.gone_since or now
            champion_gone = now - known.gone_since >= self._grace(name)
            todo = todo if champion_gone else None
        if todo is None and self._left_unfinished(name, known):
            todo = Due("champion", "a release was left unfinished")
        if todo is not None and not look.is_at_work(self.project, name):
            print(f"{name}: {todo.reason}", flush=True)
            known.worker = self._hand_over({"name": name, "champion_gone": champion_gone})

    def _finished(self, name: str, known: Known, now: float) -> None:
        code = known.worker.returncode if known.worker else 0
        known.worker = None
        self.spare_after = now + REST_SECONDS
        known.failures = known.failures + 1 if code else 0
        if code:
            pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** (known.failures - 1))
            known.not_before = now + pause
            print(f"{name}: the release ended with {code}; again in {pause:.0f} s", flush=True)

    def _is_coming_up(self, service: Service, known: Known, now: float) -> bool:
        """A service that is starting is given its time; what it holds is not known before it answers."""
        if not service.is_coming_up():
            return False
        known.silent_since = known.silent_since or now
        return now - known.silent_since < COMING_UP_SECONDS

    def _grace(self, name: str) -> float:
        try:
            return located_yaml.read(self.project.pipeline_file(name), PipelineSpec).release.grace_seconds
        except SpecError:
            return PipelineSpec.model_fields["release"].default.grace_seconds  # type: ignore[no-any-return]

    def _left_unfinished(self, name: str, known: Known) -> bool:
        """Read only when the file has changed."""
        path = self.project.ledger(name)
        if not path.exists():
            return False
        about = path.stat()
        seen = (about.st_size, about.st_mtime_ns)
        if known.ledger[0] != seen:
            entries = Ledger(path).entries()
            known.ledger = (seen, any(history.unfinished(entries, role) for role in look.ROLES))
        return known.ledger[1]

    def _hand_over(self, asked: dict[str, object]) -> subprocess.Popen[str]:
        worker = self.spare if self.spare is not None and self.spare.poll() is None else _start()
        self.spare = None
        assert worker.stdin is not None  # noqa: S101  # a pipe
        worker.stdin.write(json.dumps(asked) + "\n")
        worker.stdin.close()
        return worker

    def _say(self, about: str, text: str) -> None:
        """Say something once, until something else is to be said about it."""
        if self.said.get(about) != text:
            self.said[about] = text
            print(text, flush=True)


def _start() -> subprocess.Popen[str]:
    """A worker of its own session: a release goes on when the watcher is killed; one that waits ends with its pipe."""
    words = [sys.executable, "-m", "flows.release.worker"]
    return subprocess.Popen(words, stdin=subprocess.PIPE, text=True, start_new_session=True)


def _seen(project: Project) -> None:
    stack.watcher_sign(project).touch()


def main() -> None:
    """Look each second, for good."""
    environment.quiet(os.environ)
    project = Project(Path(sys.argv[1]))
    endpoints = stack.configured(project)
    while True:
        try:
            stack.warm_registry(project)
            break
        except StackError as error:
            print(error.what, flush=True)
            time.sleep(PERIOD_SECONDS)
    with Api(endpoints.mlflow, patience_seconds=0, timeout_seconds=5) as api:
        watcher = Watcher(project, api)
        while True:
            begun = time.monotonic()
            watcher.look()
            time.sleep(max(0.0, PERIOD_SECONDS - (time.monotonic() - begun)))


if __name__ == "__main__":
    main()
