"""One worker process of a service: it holds packages, follows the order file, and says what it holds."""

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
from serving.settings import ServingSettings
from serving.slot_manager import SlotManager

WATCH_SECONDS = 0.05
TELL_SECONDS = 0.5

LOG = logging.getLogger("bentoml.modelyard")


class Worker:
    """Starts with what the order names, or with the bundle's own package where there is none.

    Args:
        bundle: the source folder of the bundle that this process runs.
        service: the folder with the order; None: no orders are taken.
        threads: that answer.

    Raises:
        ModelyardError: there is no order, and the bundle's own package cannot be loaded.
    """

    def __init__(self, bundle: Path, service: Path | None, threads: int) -> None:
        self.settings = ServingSettings.load(bundle)
        self._bundle = manifests.load(bundle, "bundle")
        self._news, self._end = threading.Event(), threading.Event()
        self.holding = SlotManager(self.settings.model, threads, self._news.set)
        self._service = service
        self._statements = Heartbeats(service) if service else None
        self._seen: tuple[int, int, int] | None = None
        self._failure: str | None = None
        self._draining = False
        order = self._first_spec()
        if order is None:
            self.holding.serve(loaded.own(bundle))
        else:
            self.holding.carry_out(order)
        self._threads: list[threading.Thread] = []
        if self._statements:
            self._tell(self._statements)
            self._statements.clear()
            self._threads = [
                threading.Thread(target=self._follow, name="orders", daemon=True),
                threading.Thread(target=self._talk, args=(self._statements,), name="statements", daemon=True),
            ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Follow no more orders; what is held stays and answers."""
        self._end.set()
        self._news.set()
        for thread in self._threads:
            thread.join()

    def drain(self) -> None:
        """Leave the service: other workers no longer report this one, which answers what it has accepted."""
        self._draining = True
        self._news.set()

    def statement(self) -> WorkerStatus:
        """What this process holds now."""
        now = self.holding.now
        record = now.challenger_record
        return WorkerStatus(
            worker=os.getpid(),
            generation=now.generation,
            code=str(self._bundle.facts["code"]),
            champion=now.champion.held() if now.champion else None,
            champion_failed=now.missing.get("champion"),
            challenger=now.held("challenger"),
            policy=now.policy,
            previous=now.held("previous"),
            staged=now.held("staged"),
            champion_stats=now.champion.record.tally() if now.champion else RequestStats(),
            challenger_stats=record.tally() if record else RequestStats(),
            shadow_dropped=record.dropped if record else 0,
            bundle_digest=self._bundle.digest,
            spec_format=SPEC_FORMAT,
            decision=now.decision,
            draining=self._draining,
        )

    def service_statement(self) -> ServiceStatus:
        """What every living worker of the service says."""
        others = self._statements.others() if self._statements else []
        own = [] if self._draining and others else [self.statement()]
        return ServiceStatus(model=self.settings.model, expected=self.settings.workers, workers=[*own, *others])

    def versions(self) -> set[str]:
        """The versions that a slot of any worker of the service holds, or is to hold."""
        return {
            held.version
            for worker in self.service_statement().workers
            for held in (worker.champion, worker.champion_failed, worker.challenger, worker.previous, worker.staged)
            if held is not None
        }

    def _follow(self) -> None:
        while not self._end.wait(WATCH_SECONDS):
            if order := self._news_of_order():
                self.holding.carry_out(order)

    def _first_spec(self) -> ServingSpec | None:
        """The spec at the start. A worker that cannot read it does not start: it does not know what to serve."""
        spec = ServingSpec.load(self._service) if self._service else None
        return spec.resolved(self._service) if spec and self._service else None

    def _news_of_order(self) -> ServingSpec | None:
        """The order, if its file is another one than at the last look and can be read."""
        if self._service is None:
            return None
        path = self._service / SPEC_FILE
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp == self._seen:
                return None
            order = ServingSpec.read(self._service)
        except FileNotFoundError:
            if self._seen is not None:
                LOG.error("%s is gone: what is served stays", path)
            self._seen = self._failure = None
        except ValueError as error:  # the file holds no order: it is not read again until it changes
            self._seen = stamp
            LOG.error("%s cannot be read, what is served stays: %s", path, error)
        except OSError as error:  # a passing error of the disk or of this process: the file is read again
            if str(error) != self._failure:
                LOG.error("%s cannot be read now, what is served stays: %s", path, error)
            self._failure = str(error)
        else:
            self._seen, self._failure = stamp, None
            return order.resolved(self._service) if order is not None else None
        return None

    def _talk(self, statements: Heartbeats) -> None:
        while not self._end.is_set():
            self._news.wait(TELL_SECONDS)
            self._news.clear()
            self._tell(statements)

    def _tell(self, statements: Heartbeats) -> None:
        now = self.holding.now
        if now.challenger and (held := statements.removed(now.generation)):
            slot = now.challenger.loaded.slot
            if (held.package_digest, held.version) == (slot.package_digest, slot.version):
                self.holding.remove_challenger(now.challenger, held.reason or "taken out by another worker")
        try:
            statements.write(self.statement())
        except OSError as error:  # a full disk keeps nobody from answering
            LOG.error("the statement is not written: %s", error)
