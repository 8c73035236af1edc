"""One worker process of a service: it reconciles its slots with the spec file and reports its status."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from components.contracts.serving_spec import (
    SPEC_FILE,
    SPEC_FORMAT,
    RequestStats,
    ServiceStatus,
    ServingSpec,
    WorkerStatus,
)
from components.identity import manifest as manifests
from serving import loaded
from serving.heartbeats import Heartbeats
from serving.lease import FollowedLease
from serving.prediction_log import PredictionLog
from serving.settings import ServingSettings
from serving.slot_manager import SlotManager

WATCH_SECONDS = 0.05
HEARTBEAT_SECONDS = 0.5

LOG = logging.getLogger("bentoml.modelyard")


class Worker:
    """Starts with the slots of the spec, or with the bundle's own package where there is no spec.

    Args:
        bundle: the source folder of the bundle that this process runs.
        service: the folder with the spec; None: no spec is read.
        threads: size of the inference pool.

    Raises:
        UnreadableSpecError: there is a spec, and it cannot be read.
        ModelyardError: there is no spec, and the bundle's own package cannot be loaded.
    """

    def __init__(self, bundle: Path, service: Path | None, threads: int) -> None:
        self.settings = ServingSettings.load(bundle)
        self._bundle = manifests.load(bundle, "bundle")
        self._changed, self._end = threading.Event(), threading.Event()
        self.slot_manager = SlotManager(self.settings.model, threads, self._changed.set)
        self._service = service
        self.lease = FollowedLease(service)
        self._heartbeats = Heartbeats(service) if service else None
        self._seen: tuple[int, int, int] | None = None
        self._failure: str | None = None
        self._draining = False
        self.log: PredictionLog | None = None
        spec = self._first_spec()
        if spec is None:
            self.slot_manager.serve(loaded.own(bundle))
        else:
            self.slot_manager.reconcile(spec)
        self._threads: list[threading.Thread] = []
        if self._heartbeats:
            self._write_heartbeat(self._heartbeats)
            self._heartbeats.clear()
            self._threads = [
                threading.Thread(target=self._follow, name="reconcile", daemon=True),
                threading.Thread(target=self._report, args=(self._heartbeats,), name="heartbeats", daemon=True),
            ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop following the spec; the slots stay as they are and answer."""
        self._end.set()
        self._changed.set()
        for thread in self._threads:
            thread.join()
        if self.log is not None:
            self.log.stop()

    def drain(self) -> None:
        """Leave the service: other workers stop reporting this one, which still answers what it has accepted."""
        self._draining = True
        self._changed.set()

    def status(self) -> WorkerStatus:
        """The status of this process."""
        current = self.slot_manager.current
        recorder = current.challenger_recorder
        return WorkerStatus(
            worker=os.getpid(),
            generation=current.generation,
            code=str(self._bundle.facts["code"]),
            champion=current.champion.status() if current.champion else None,
            champion_failed=current.missing.get("champion"),
            challenger=current.status("challenger"),
            policy=current.policy,
            previous=current.status("previous"),
            staged=current.status("staged"),
            champion_stats=current.champion.recorder.stats() if current.champion else RequestStats(),
            challenger_stats=recorder.stats() if recorder else RequestStats(),
            shadow_dropped=recorder.dropped if recorder else 0,
            bundle_digest=self._bundle.digest,
            spec_format=SPEC_FORMAT,
            decision=current.decision,
            draining=self._draining,
            lease_seconds=self.lease.seconds,
            lease_is_over=self.lease.is_over,
        )

    def service_status(self) -> ServiceStatus:
        """The status of every living worker of the service."""
        others = self._heartbeats.others() if self._heartbeats else []
        own = [] if self._draining and others else [self.status()]
        return ServiceStatus(model=self.settings.model, expected=self.settings.workers, workers=[*own, *others])

    def versions(self) -> set[str]:
        """The versions in the slots of all workers of the service, loaded or not."""
        return {
            slot.version
            for worker in self.service_status().workers
            for slot in (worker.champion, worker.champion_failed, worker.challenger, worker.previous, worker.staged)
            if slot is not None
        }

    def _follow(self) -> None:
        while not self._end.wait(WATCH_SECONDS):
            if self.lease.refresh():
                self._changed.set()
            if spec := self._changed_spec():
                self.slot_manager.reconcile(spec)

    def _first_spec(self) -> ServingSpec | None:
        """The spec at the start. A worker that cannot read it does not start, since it does not know what to serve."""
        spec = ServingSpec.load(self._service) if self._service else None
        return spec.resolved(self._service) if spec and self._service else None

    def _changed_spec(self) -> ServingSpec | None:
        """The spec, if its file has changed since the last check and can be read."""
        if self._service is None:
            return None
        path = self._service / SPEC_FILE
        try:
            file = path.stat()
            stamp = (file.st_ino, file.st_mtime_ns, file.st_size)
            if stamp == self._seen:
                return None
            spec = ServingSpec.read(self._service)
        except FileNotFoundError:
            if self._seen is not None:
                LOG.error("%s is gone; the slots stay as they are", path)
            self._seen = self._failure = None
        except ValueError as error:  # the file holds no spec; it is not read again until it changes
            self._seen = stamp
            LOG.error("%s cannot be read; the slots stay as they are: %s", path, error)
        except OSError as error:  # a transient error of the disk or of this process; the file is read again
            if str(error) != self._failure:
                LOG.error("%s cannot be read now; the slots stay as they are: %s", path, error)
            self._failure = str(error)
        else:
            self._seen, self._failure = stamp, None
            return spec.resolved(self._service) if spec is not None else None
        return None

    def _report(self, heartbeats: Heartbeats) -> None:
        while not self._end.is_set():
            self._changed.wait(HEARTBEAT_SECONDS)
            self._changed.clear()
            self._write_heartbeat(heartbeats)

    def _write_heartbeat(self, heartbeats: Heartbeats) -> None:
        current = self.slot_manager.current
        if current.challenger and (removed := heartbeats.removed(current.generation)):
            spec = current.challenger.loaded.spec
            if (removed.package_digest, removed.version) == (spec.package_digest, spec.version):
                self.slot_manager.remove_challenger(current.challenger, removed.reason or "removed by another worker")
        try:
            heartbeats.write(self.status())
        except OSError as error:  # a full disk does not stop the service
            LOG.error("the heartbeat is not written: %s", error)
