"""`python -m flows.releases.watcher`: sees within a second that production is not what the registry asks for.

Level-triggered: each second it compares what the aliases name with what the services say they hold, and hands every
model where the two differ to a release worker. What it missed, or saw twice, or while it was away, makes no difference.
A registry that does not answer changes nothing: production goes on as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.contracts.pipeline import PipelineSpec
from components.contracts.serving_spec import RolloutPolicy
from components.core import located_yaml
from components.core.errors import ModelyardError, SpecError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api
from components.release import history
from components.release import ledger as ledgers
from components.release.decision import Decision, DesiredState, ObservedState, decide
from components.release.ledger import Ledger
from flows.platform import environment, lifecycle
from flows.releases import activity as activities
from flows.releases import observation
from flows.releases.activity import Activity, Doing
from flows.releases.service import Service

PERIOD_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
COMING_UP_SECONDS = 60.0
MOST_RELEASES = 100  # of one worker process, then a fresh one takes its place


@dataclass(frozen=True)
class Ending:
    """How a release ended: a refusal by a gate is an end as good as any.

    Args:
        failure: the error that stopped it; None where there was none.
    """

    failure: str | None


class Hand:
    """A release worker, seen from here.

    It has a session of its own: a release goes on when the watcher is killed; one that waits ends with its pipe.
    """

    def __init__(self) -> None:
        words = [sys.executable, "-m", "flows.releases.worker"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.releases = 0

    def give(self, **asked: object) -> None:
        """Ask it to release a model."""
        assert self._process.stdin is not None  # noqa: S101  # a pipe
        self.releases += 1
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def ending(self) -> Ending | None:
        """How the release ended; None while it goes on."""
        assert self._process.stdout is not None  # noqa: S101  # a pipe
        if not select.select([self._process.stdout], [], [], 0)[0]:
            return None
        line = self._process.stdout.readline()
        return Ending(json.loads(line)["failure"] if line else "the process that released it was killed or crashed")

    def is_alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def dismiss(self) -> None:
        """It ends once it has nothing to do."""
        assert self._process.stdin is not None  # noqa: S101  # a pipe
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()


@dataclass
class Known:
    """What the watcher remembers of a model between two looks.

    Args:
        gone_since: when its champion was first seen to be nobody's.
        silent_since: when its service was first seen to be starting and not answering.
        wanted: what the failures below were about.
        failures: releases in a row that did not come to their end.
        failure: what stopped the last one of them.
        failed_at: when, in seconds since 1970.
        not_before: the next try.
        ledger: digest of the last entry of its ledger when it was last read, and whether a release in it had no end.
        terms: size and time of its pipeline's file when it was last read, and a challenger's terms in it.
    """

    gone_since: float | None = None
    silent_since: float | None = None
    wanted: DesiredState | None = None
    failures: int = 0
    failure: str = ""
    failed_at: float | None = None
    not_before: float = 0.0
    worker: Hand | None = None
    ledger: tuple[str, bool] = ("", False)
    terms: tuple[tuple[int, int] | None, RolloutPolicy | None] = (None, None)


@dataclass
class Watcher:
    """Looks at all models of a project."""

    project: Project
    api: Api
    known: dict[str, Known] = field(default_factory=dict)
    idle: list[Hand] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    written: dict[str, Activity] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)

    def look(self) -> None:
        """One look at everything."""
        now = time.monotonic()
        self.idle = [hand for hand in self.idle if hand.is_alive()]
        if not self.idle and not any(known.worker for known in self.known.values()):
            self.idle.append(Hand())
        try:
            aliases = versions.aliases(self.api)
        except ModelyardError as error:
            _seen(self.project)
            self._say("registry", f"the registry does not answer ({error.got}); production goes on as it is")
            for name in self.known:
                self._write(name, "waiting", f"the registry does not answer ({error.got})")
            return
        self._say("registry", "the registry answers")
        for name in sorted(path.stem for path in self.project.pipelines.glob("*.yaml")):
            if name in aliases or Service(self.project, name).url is not None:
                try:
                    wanted = DesiredState.of(aliases.get(name, {}), self._terms(name, aliases.get(name, {})))
                    self._look_at(name, wanted, now)
                except (ModelyardError, OSError) as error:
                    self._say(name, f"{name}: {error}")
                    self._write(name, "waiting", str(error))
        _seen(self.project)

    def _look_at(self, name: str, wanted: DesiredState, now: float) -> None:
        known = self.known.setdefault(name, Known())
        if known.worker is not None:
            ending = known.worker.ending()
            if ending is None:
                return
            self._finished(name, known, now, ending)
        if known.wanted != wanted:
            known.wanted, known.failures, known.not_before = wanted, 0, 0.0
            known.failure, known.failed_at = "", None
        if now < known.not_before:
            return
        service = Service(self.project, name)
        statement = service.statement(timeout_seconds=2)
        todo = decide(wanted, ObservedState.of(statement))
        if statement is None and todo is not None and self._is_coming_up(service, known, now):
            self._write(name, "waiting", "the service is starting")
            return
        if statement is not None:
            known.silent_since = None
        if wanted.champion is not None:
            known.gone_since = None
        champion_gone = False
        if todo is not None and todo.withdraws:
            known.gone_since = known.gone_since or now
            champion_gone = now - known.gone_since >= self._grace(name)
            if not champion_gone:
                self._write(name, "waiting", "nothing is champion: the service stops after the grace period")
                todo = None
        if todo is None and self._left_unfinished(name, known):
            todo = Decision("champion", "a release was left unfinished")
        if todo is None:
            if known.gone_since is None:
                self._write(name, "idle", "")
        elif observation.is_at_work(self.project, name):
            self._write(name, "releasing", "another process releases it")
        else:
            print(f"{name}: {todo.reason}", flush=True)
            self._write(name, "releasing", todo.reason)
            known.worker = self._hand_over(name=name, champion_gone=champion_gone)

    def _finished(self, name: str, known: Known, now: float, ending: Ending) -> None:
        hand, known.worker = known.worker, None
        if hand is not None and hand.is_alive():
            if self.idle or hand.releases >= MOST_RELEASES:
                hand.dismiss()
            else:
                self.idle.append(hand)
        known.failures = 0 if ending.failure is None else known.failures + 1
        if ending.failure is not None:
            pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** (known.failures - 1))
            known.not_before = now + pause
            known.failure, known.failed_at = ending.failure, time.time()
            self._write(name, "retrying", ending.failure, next_try=known.failed_at + pause)
            print(f"{name}: the release did not come to its end; again in {pause:.0f} s", flush=True)

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
        """All entries are read only when there is a new one."""
        ledger = self.ledgers.setdefault(name, ledgers.of(self.project, name))
        head = ledger.head()
        if head is None:
            return False
        if known.ledger[0] != head.digest:
            entries = ledger.entries()
            known.ledger = (head.digest, any(history.unfinished(entries, role) for role in observation.ROLES))
        return known.ledger[1]

    def _terms(self, name: str, aliases: Mapping[str, str]) -> RolloutPolicy | None:
        """Read only when there is a challenger and the file has changed."""
        if "challenger" not in aliases:
            return None
        known = self.known.setdefault(name, Known())
        seen = _stamp(self.project.pipeline_file(name))
        if known.terms[0] != seen:
            known.terms = (seen, observation.terms(self.project, name))
        return known.terms[1]

    def _hand_over(self, **asked: object) -> Hand:
        while self.idle:
            hand = self.idle.pop()
            with contextlib.suppress(BrokenPipeError):  # it was killed since it was last looked at
                hand.give(**asked)
                return hand
        hand = Hand()
        hand.give(**asked)
        return hand

    def _write(self, name: str, doing: Doing, reason: str, next_try: float | None = None) -> None:
        """For whoever waits for the release: written where something has changed."""
        known = self.known.setdefault(name, Known())
        activity = Activity(
            doing=doing,
            reason=reason,
            champion=known.wanted.champion if known.wanted else None,
            challenger=known.wanted.challenger if known.wanted else None,
            failures=known.failures,
            failure=known.failure,
            failed_at=known.failed_at,
            next_try=next_try,
        )
        if self.written.get(name) != activity:
            self.written[name] = activity
            activities.write(self.project, name, activity)

    def _say(self, about: str, text: str) -> None:
        """Say something once, until something else is to be said about it."""
        if self.said.get(about) != text:
            self.said[about] = text
            print(text, flush=True)


def _stamp(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns


def _seen(project: Project) -> None:
    lifecycle.watcher_sign(project).touch()


def main() -> None:
    """Look each second, for good."""
    environment.quiet(os.environ)
    project = Project(Path(sys.argv[1]))
    endpoints = lifecycle.configured(project)
    with Api(endpoints.mlflow, endpoints.credentials, patience_seconds=0, timeout_seconds=5) as api:
        watcher = Watcher(project, api)
        while True:
            begun = time.monotonic()
            watcher.look()
            time.sleep(max(0.0, PERIOD_SECONDS - (time.monotonic() - begun)))


if __name__ == "__main__":
    main()
