"""Everything that the reconcile decision depends on, gathered: aliases, ledger, service, the pipeline's file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from components.contracts import settings
from components.contracts.pipeline import PipelineSpec, ReleaseSpec
from components.contracts.serving_spec import UnreadableSpecError
from components.core import file_lock, located_yaml
from components.core.errors import ModelyardError, NotFoundError, SpecError
from components.core.project import Project
from components.release import followed, history, ledger_place
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.decision import ROLES, DesiredState, ObservedState, Situation
from components.release.history import Release
from components.release.ledger import FIRST, Entry, Role
from components.release.production import Production
from flows.releases import telling
from flows.serving_targets import cluster_snapshot
from flows.serving_targets.serving_target import ServingTarget, target_of

SETTLE_SECONDS = 5.0  # after a new spec, before workers that hold something else are told to try again
STATUS_SECONDS = 2.0
SILENT_STATUS_SECONDS = 0.25  # of a service that did not answer at the last look: other models must not wait for it
Head = tuple[int, str]  # sequence number and digest of a ledger's last entry


@dataclass(frozen=True)
class Recorded:
    """What a model's ledger says.

    Args:
        open: the unfinished release of each role.
        untold, unregistered, foreign: as in `Situation`.
    """

    entries: list[Entry]
    production: Production
    open: Mapping[Role, Release]
    untold: Release | None
    unregistered: bool
    foreign: bool

    @staticmethod
    def of(entries: list[Entry]) -> Recorded:
        """From checked entries."""
        production = productions.decided(entries).production
        champion = production.champion
        return Recorded(
            entries,
            production,
            {role: left for role in ROLES if (left := history.unfinished(entries, role)) is not None},
            history.untold(entries),
            history.is_unregistered(entries),
            champion is not None and followed.is_of_another(entries, champion.package_digest),
        )


@dataclass
class Observer:
    """Looks at one model again and again, and reads again only what has changed."""

    project: Project
    name: str
    _release: tuple[tuple[int, int] | None, ReleaseSpec | None] = (None, None)
    _has_history: bool = False
    _recorded: tuple[Head, Recorded] | None = None
    _is_silent: bool = False
    _service: tuple[int, ServingTarget] | None = None

    @property
    def service(self) -> ServingTarget:
        """The model's service; another one as soon as `modelyard.toml` names other hosts."""
        stamp = _stamp(self.project.root / settings.FILE_NAME)
        if self._service is None or self._service[0] != stamp:
            self._service = (stamp, target_of(self.project, self.name))
        return self._service[1]

    @cached_property
    def ledger(self) -> ledgers.Ledger:
        """The model's ledger."""
        return ledgers.of(self.project, self.name)

    def has_history(self) -> bool:
        """Whether anything was ever released of the model."""
        self._has_history = self._has_history or bool(self.ledger.entries())
        return self._has_history

    def pipeline_stamp(self) -> int:
        """When the pipeline's file was written last."""
        return _stamp(self.project.pipeline_file(self.name))

    def release_spec(self) -> ReleaseSpec | None:
        """The section `release:` of the pipeline's file; None where the file cannot be read."""
        path = self.project.pipeline_file(self.name)
        try:
            about = path.stat()
            stamp = (about.st_size, about.st_mtime_ns)
            if self._release[0] != stamp:
                self._release = (stamp, located_yaml.read(path, PipelineSpec).release)
        except (OSError, SpecError, NotFoundError):
            return None
        return self._release[1]

    def recorded(self, head: Head | None = None) -> Recorded:
        """What the ledger says.

        Args:
            head: the ledger's end, as the caller has just read it: without a newer entry than at the last look, nothing
                is read. None: read the ledger.

        Raises:
            CorruptArtifactError: the ledger cannot be read.
        """
        if head is not None and self._recorded is not None and self._recorded[0] == head:
            return self._recorded[1]
        entries = self.ledger.entries()
        found = Recorded.of(entries)
        end = (entries[-1].sequence, entries[-1].digest) if entries else (0, FIRST)
        self._recorded = (end, found)
        return found

    def situation(
        self, aliases: Mapping[str, str] | None, *, champion_gone: bool = False, head: Head | None = None
    ) -> Situation:
        """What is desired, pinned and observed now.

        Args:
            aliases: of the model; None: the registry does not answer.
            champion_gone: whether no version was champion for longer than the grace period.
            head: as in `recorded`.

        Raises:
            CorruptArtifactError: the ledger cannot be read.
        """
        with cluster_snapshot.taken():
            return self._situation(aliases, champion_gone, head)

    def _situation(self, aliases: Mapping[str, str] | None, champion_gone: bool, head: Head | None) -> Situation:
        recorded = self.recorded(head)
        untold = recorded.untold
        desired = DesiredState.of(aliases) if aliases is not None else None
        status = self.service.status(SILENT_STATUS_SECONDS if self._is_silent else STATUS_SECONDS)
        self._is_silent = status is None
        release = self.release_spec()
        is_whole = status is not None and len(status.workers) >= status.expected
        state = "running" if is_whole else self.service.state()  # of several hosts, one may have stopped
        return Situation(
            production=recorded.production,
            open=recorded.open,
            untold=untold,
            desired=desired,
            alias_is_stale=untold is not None
            and desired is not None
            and telling.alias_precedes(
                self.project, self.name, untold, desired.champion, telling.handled_by(untold, recorded.entries)
            ),
            observed=ObservedState.of(status) if status is not None else None,
            service=state,
            spec_is_pinned=self.service.is_applied(recorded.production),
            staged=self._is_staged(),
            policy=release.policy() if release is not None else None,
            going_back=self._goes_back(recorded, desired),
            champion_gone=champion_gone,
            unregistered=recorded.unregistered,
            foreign=recorded.foreign,
            settling=state == "starting" or self._is_fresh(),
        )

    def _is_staged(self) -> bool:
        try:
            spec = self.service.spec()
        except UnreadableSpecError:
            return False
        return spec is not None and spec.staged is not None

    def _is_fresh(self) -> bool:
        age = self.service.age_seconds()
        return age is not None and age < SETTLE_SECONDS

    def _goes_back(self, recorded: Recorded, desired: DesiredState | None) -> bool:
        """Whether the desired champion is not what serves, served well before, and its bundle is there."""
        champion = recorded.production.champion
        if desired is None or desired.champion is None or champion is None or desired.champion == champion.version:
            return False
        try:
            pin = history.rollback_target(recorded.entries, self.name, desired.champion)
            return pin.package_digest != champion.package_digest and self.service.bundle(pin).exists()
        except ModelyardError:
            return False


@contextmanager
def alone(project: Project, name: str) -> Iterator[bool]:
    """Whether this process is the one that releases this model now, of all machines that share the ledger.

    It is, for as long as the block lasts.
    """
    path = _lock(project, name)
    hold = ledger_place.store(project).hold(ledgers.release_of(name))
    with ExitStack() as lock:
        try:
            lock.enter_context(file_lock.locked(path, "another release", timeout_seconds=0))
        except TimeoutError:  # only of the lock: one that the block raises goes through
            yield False
            return
        lock.callback(hold.leave)
        if not hold.take():
            yield False
            return
        pid = path.with_suffix(".pid")
        pid.write_text(str(os.getpid()))
        lock.callback(pid.unlink, missing_ok=True)
        yield True


def is_at_work(project: Project, name: str) -> bool:
    """Whether a process releases this model now, here or on another machine that shares the ledger."""
    return file_lock.is_locked(_lock(project, name)) or ledger_place.store(project).is_held(ledgers.release_of(name))


def worker(project: Project, name: str) -> int | None:
    """The process that releases this model now, as far as it is known."""
    try:
        return int(_lock(project, name).with_suffix(".pid").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _lock(project: Project, name: str) -> Path:
    return project.locks / f"release-{name}.lock"
