"""`python -m flows.releases.controller`: one loop that makes what serves what the registry asks for.

Level-triggered: observe (registry, ledger, service), decide (`components.release.decision`), do one step, observe
again. What it missed, or saw twice, or while it was away, makes no difference. Steps that need neither gates nor
servers (what is pinned is applied, started, rolled back) are done by a thread of this process; a release is handed to a
worker process, which a newer order preempts. A registry that does not answer changes nothing: what is pinned goes on.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from components.core.errors import ModelyardError
from components.core.project import Project
from components.core.waiting import periodically
from components.registry import alias_notes
from components.registry.api import Api
from components.release import history, ledger_place
from components.release import ledger as ledgers
from components.release.decision import Decision, DesiredState, Situation, decide, is_superseded
from components.release.ledger_database import OwnHold
from components.release.ledger_store import Hold, LedgerAbsentError
from flows.platform import connections, environment, followed_registry, lifecycle, readiness
from flows.platform.log_upkeep import LogUpkeep
from flows.releases import activity as activities
from flows.releases import authority, observation, registry_change, rollback, telling
from flows.releases.activity import Activity, Doing
from flows.releases.observation import Head, Observer
from flows.releases.preemption import PREEMPT
from flows.releases.registry_poll import OWN_PERIOD_SECONDS, RegistryPoll
from flows.releases.worker import Ending, Order
from flows.releases.worker_process import WorkerProcess
from flows.serving_targets import cluster_placement, cluster_report, cluster_snapshot, host_leases, host_logs
from flows.serving_targets.host_leases import LeaseKeeper
from flows.serving_targets.host_logs import HostLogs

PERIOD_SECONDS = 1.0
WAKE_SECONDS = 0.05  # between two looks at whether anything has changed
LONGEST_PAUSE_SECONDS = 60.0
REGISTRY_SECONDS = 10.0  # between two looks at a registry that may not be the one of the other machines
KEY_SECONDS = 5.0  # between two looks at whether this machine can read a ledger that is shared
COMING_UP_SECONDS = 60.0
DEFAULT_GRACE_SECONDS = 30.0
NO_ENTRY: Head = (0, ledgers.FIRST)
MOST_RELEASES = 100  # of one worker process, then a fresh one takes its place


@dataclass
class Memory:
    """What the controller remembers of a model between two looks.

    Args:
        gone_since: when its champion was first seen to be nobody's.
        silent_since: when its service was first seen to be starting and not answering.
        desired: what the failures below were about.
        failures: steps in a row that did not come to their end.
        failure: what stopped the last one of them.
        failed_at: when, in seconds since 1970.
        not_before: the next try.
        order: what the worker does, or did last.
        release: the release that it carries out, once that has begun.
        decision: what the last step was decided by.
        refused: what was decided before the last refusal: deciding it again means that refusals do not end.
        step: what a thread of this process does.
        needs_release: what was asked for by somebody who may not go back at once; the release says so.
        at_rest: what was seen of a model without a service when nothing was due.
    """

    observer: Observer
    gone_since: float | None = None
    silent_since: float | None = None
    desired: DesiredState | None = None
    failures: int = 0
    failure: str = ""
    failed_at: float | None = None
    not_before: float = 0.0
    worker: WorkerProcess | None = None
    order: Order | None = None
    release: str | None = None
    decision: Decision | None = None
    refused: Decision | None = None
    step: Future[None] | None = None
    needs_release: DesiredState | None = None
    at_rest: tuple[DesiredState | None, Head | None, int, str | None] | None = None


@dataclass
class Controller:
    """Looks at all models of a project."""

    project: Project
    registry: RegistryPoll
    models: dict[str, Memory] = field(default_factory=dict)
    idle: list[WorkerProcess] = field(default_factory=list)
    logged: dict[str, str] = field(default_factory=dict)
    written: dict[str, Activity] = field(default_factory=dict)
    ledger_stamp: tuple[int, ...] = ()
    next_stamp: float = 0.0
    leadership: Hold = field(default_factory=OwnHold)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "step"))
    upkeep: LogUpkeep | None = None
    is_leading: bool = False
    not_followed: str | None = None  # why the registry that is named now is not followed
    key_problem: str | None = None
    next_key_look: float = 0.0
    unknown_registry: str | None = None  # why the first registry of this machine is not the one that is followed
    next_registry_look: float = 0.0
    ledger_where: str | None = None  # at its start

    def reconcile_all(self) -> None:
        """One look at every model; none where another machine's controller leads."""
        if self._leads():
            self._look()
        readiness.controller_heartbeat(self.project).touch()

    def _look(self) -> None:
        self.idle = [worker for worker in self.idle if worker.is_alive()]
        if not self.idle and not any(memory.worker for memory in self.models.values()):
            self.idle.append(WorkerProcess())
        aliases = self._aliases()
        heads = self._heads()
        placed = self._placed()
        for name in sorted(path.stem for path in self.project.pipelines.glob("*.yaml")):
            memory = self.models.setdefault(name, Memory(Observer(self.project, name)))
            head = heads.get(name, NO_ENTRY) if heads is not None else None
            try:
                has_history = head != NO_ENTRY if head is not None else memory.observer.has_history()
                is_known = memory.worker is not None or has_history or name in (aliases or {})
                if isinstance(placed, Exception):
                    if is_known:
                        raise placed
                    continue
                if not is_known and placed is not None and name not in placed:
                    continue
                named = None if aliases is None else aliases.get(name, {})
                with cluster_snapshot.taken():
                    is_placed = placed is None or name in placed
                    url = memory.observer.service.url if is_placed else None
                    if url is not None or is_known:
                        self._reconcile(name, memory, named, url, head)
            except (ModelyardError, OSError) as error:
                told = cluster_report.told(error) if isinstance(error, ModelyardError) else error
                self._log(name, f"{name}: {told}")
                self._write(name, "waiting", str(told))
        if self.upkeep is not None:
            try:
                self.upkeep.look()
            except (ModelyardError, OSError) as error:
                self._log("prediction logs", f"prediction logs: {error}")

    def _placed(self) -> frozenset[str] | ModelyardError | OSError | None:
        """The models that a cluster holds; None: no cluster serves. An error is that of each model's own look."""
        try:
            return cluster_placement.placed(self.project)
        except (ModelyardError, OSError) as error:
            return error

    def _aliases(self) -> dict[str, dict[str, str]] | None:
        """What the registry that production follows says; None where it says nothing, and what is pinned goes on."""
        aliases = self.registry.aliases()
        try:
            self.not_followed = followed_registry.another(self.project)
            if self.not_followed is None and aliases is not None:
                self.not_followed = self._unknown_registry()
            if self.not_followed is None and aliases is not None:
                followed_registry.follow(self.project)
        except (ModelyardError, OSError) as error:  # a wrong modelyard.toml; the ledger's server does not answer
            self.not_followed = f"nobody knows whether production follows this registry: {str(error).splitlines()[0]}"
        if self.not_followed is not None:
            self._log("registry", f"{self.not_followed}; what is pinned goes on (`modelyard status`)")
            return None
        if aliases is None:
            self._log("registry", f"the registry does not answer ({self.registry.error()}); what is pinned goes on")
        else:
            self._log("registry", "the registry answers")
        return aliases

    def _unknown_registry(self) -> str | None:
        """As `registry_change.unknown`, which asks the registry; the answer is kept for a while."""
        now = time.monotonic()
        if self.unknown_registry is None or now >= self.next_registry_look:
            self.unknown_registry = registry_change.unknown(self.project, self.registry.api)
            self.next_registry_look = now + REGISTRY_SECONDS
        return self.unknown_registry

    def _leads(self) -> bool:
        """Whether this controller is the one of all machines that acts; a release of one that lost that ends.

        One that cannot read the ledger, or has another registry, does not lead: another machine's may be able to.
        """
        try:
            self._look_at_key()
            if self.key_problem is not None:
                self.leadership.leave()
                leads, why = False, f"{self.key_problem}, so this controller does not lead (`modelyard doctor`)"
            elif self.unknown_registry is not None and self._unknown_registry() is not None:
                self.leadership.leave()
                leads, why = False, f"this controller does not lead: {self.unknown_registry}"
            else:
                leads, why = self.leadership.take(), "another machine's controller leads; this one waits"
        except LedgerAbsentError as error:
            leads, why = False, f"nobody knows whether this controller leads, so it waits ({error.got})"
        except ModelyardError as error:  # its settings or its key: another machine's controller may be able to
            self.leadership.leave()
            leads, why = False, f"this controller does not lead: {str(error).splitlines()[0]} ({error.got})"
        self.is_leading = leads
        self._log("leadership", "this controller leads" if leads else why)
        for name in self.models if not leads else ():
            self._write(name, "waiting", why)
        for memory in self.models.values() if not leads else ():
            if memory.worker is not None and memory.worker.ending() is None:
                memory.worker.preempt()
            elif memory.worker is not None:
                memory.worker.dismiss()
                memory.worker = None
        return leads

    def _look_at_key(self) -> None:
        now = time.monotonic()
        if isinstance(self.leadership, OwnHold) or now < self.next_key_look:
            return
        self.key_problem = ledgers.key_problem(self.project)
        self.next_key_look = now + KEY_SECONDS

    def _heads(self) -> dict[str, Head] | None:
        """The end of each model's ledger in one query; None where that fails: each model's own look says why."""
        try:
            return ledgers.heads(self.project)
        except (ModelyardError, OSError):
            return None

    def _reconcile(
        self,
        name: str,
        memory: Memory,
        aliases: Mapping[str, str] | None,
        url: str | None,
        head: Head | None,
    ) -> None:
        now = time.monotonic()
        desired = DesiredState.of(aliases) if aliases is not None else None
        seen = (desired, head, memory.observer.pipeline_stamp(), url)
        if head is not None and memory.at_rest == seen:  # nothing serves, nothing is asked for, and nothing has changed
            return
        memory.at_rest = None
        if self._is_busy(name, memory, desired, now):
            return
        if desired is not None and memory.desired != desired:
            memory.desired, memory.failures, memory.not_before = desired, 0, 0.0
            memory.failure, memory.failed_at, memory.refused, memory.needs_release = "", None, None, None
        if now < memory.not_before:
            return
        situation = memory.observer.situation(
            aliases, champion_gone=self._is_champion_gone(memory, desired, now), head=head
        )
        if memory.needs_release is not None and memory.needs_release == desired:
            situation = replace(situation, going_back=False)
        decision = decide(situation)
        if decision is None:
            memory.refused, memory.failures = None, 0
            memory.at_rest = seen if url is None else None
            self._write(name, "idle", "")
        elif decision.step == "wait":
            reason = (
                decision.reason
                if desired is not None
                else f"{decision.reason} ({self.not_followed or self.registry.error()})"
            )
            self._write(name, "waiting", reason)
        elif self._is_coming_up(situation, decision, memory, now):
            self._write(name, "waiting", "the service is starting")
        elif observation.is_at_work(self.project, name) and decision.step not in ("apply", "roll back"):
            self._preempt_other(name, decision, desired)
            self._write(name, "releasing", "another process releases it")
        elif decision == memory.refused:
            self._failed(name, memory, now, f"production of {name} does not come to rest")
            memory.refused = None
        else:
            if decision.step != "roll back" or decision != memory.decision:  # else it waits for leases to run out
                print(f"{name}: {decision.reason}", flush=True)
            self._write(name, "releasing", decision.reason)
            memory.decision = decision
            self._do(name, memory, decision, situation)

    def _is_busy(self, name: str, memory: Memory, desired: DesiredState | None, now: float) -> bool:
        """Whether a step is still being done; a release that a newer order overtook is preempted."""
        if memory.step is not None:
            if not memory.step.done():
                return True
            step, memory.step = memory.step, None
            error = step.exception()
            if error is not None:
                self._failed(name, memory, now, _reason(error))
            elif memory.decision is not None and memory.decision.retries:
                self._failed(name, memory, now, memory.decision.reason)
            else:
                memory.failures = 0
        if memory.worker is None:
            return False
        ending = memory.worker.ending()
        if ending is not None:
            self._finished(name, memory, now, ending)
            return False
        if memory.order is not None and memory.order.step != "tell" and self._is_superseded(memory, desired):
            self._log(name, f"{name}: a newer order has come; the release of the {memory.order.role} ends")
            memory.worker.preempt()
        return True

    def _is_superseded(self, memory: Memory, desired: DesiredState | None) -> bool:
        assert memory.order is not None  # noqa: S101
        entries = memory.observer.ledger.entries()
        own = next((release for release in history.releases(entries) if release.id == memory.release), None)
        if own is not None and own.end is not None:
            if own.end.event == "superseded":
                return True
            own = None  # it was the end of another order; the worker's own release is still to be seen
        left = history.unfinished(entries, memory.order.role)
        if left is None or left.is_direct:  # a rollback, which is not the worker's
            return False
        if own is None:
            memory.release = left.id
        return left.id == memory.release and is_superseded(left, memory.order.role, desired)

    def _preempt_other(self, name: str, decision: Decision, desired: DesiredState | None) -> None:
        """A worker that a killed controller left is preempted as one of this controller is."""
        left = history.unfinished(self.models[name].observer.ledger.entries(), decision.role)
        pid = observation.worker(self.project, name)
        if pid is not None and left is not None and is_superseded(left, decision.role, desired):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, PREEMPT)

    def _do(self, name: str, memory: Memory, decision: Decision, situation: Situation) -> None:
        if decision.step in ("release", "withdraw", "tell"):
            order = Order(name=name, role=decision.role, step=decision.step, broken=decision.broken)
            memory.order, memory.release, memory.worker = order, None, self._hand_over(order)
        else:
            memory.step = self.threads.submit(self._step, name, memory, decision, situation)

    def _step(self, name: str, memory: Memory, decision: Decision, situation: Situation) -> None:
        """A step that needs neither gates nor servers."""
        service, project = memory.observer.service, self.project

        def log(text: str) -> None:
            print(f"{name}: {text}", flush=True)

        if decision.step == "apply":
            rollback.apply_pinned(service, project, name)
        elif decision.step == "start":
            rollback.start_pinned(service, project, name, log)
        elif decision.step == "stop":
            service.stop()
        elif decision.step == "close":
            left = situation.open.get(decision.role)
            with observation.alone(project, name) as is_alone:  # a worker that carries it out closes it itself
                if is_alone and left is not None:
                    rollback.close(memory.observer.ledger, left, decision.reason)
        elif decision.step == "set policy" and situation.policy is not None:
            rollback.set_policy(service, project, name, situation.policy, log)
        elif decision.step == "roll back":
            left = situation.open.get(decision.role)
            if left is not None and left.is_direct:
                rollback.finish(service, project, name, left, log, waits=False)
            elif situation.desired is not None and situation.desired.champion is not None:
                requester, note = telling.requester_of_alias(project, name, memory.observer.ledger.entries())
                if not authority.may_go_back(project, name, situation.desired.champion, note):
                    memory.needs_release = situation.desired
                    return
                champion = situation.desired.champion
                rollback.roll_back(service, project, name, champion, requester, log, waits=False)
                if note is not None:
                    alias_notes.consume(project, note)

    def _finished(self, name: str, memory: Memory, now: float, ending: Ending) -> None:
        worker, memory.worker = memory.worker, None
        if worker is not None and worker.is_alive():
            if self.idle or worker.orders >= MOST_RELEASES:
                worker.dismiss()
            else:
                self.idle.append(worker)
        memory.refused = memory.decision if ending.refused else None
        if ending.failure is None:
            memory.failures = 0
        else:
            self._failed(name, memory, now, ending.failure)

    def _failed(self, name: str, memory: Memory, now: float, failure: str) -> None:
        memory.failures += 1
        pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** (memory.failures - 1))
        memory.not_before = now + pause
        memory.failure, memory.failed_at = failure, time.time()
        self._write(name, "retrying", failure, next_try=memory.failed_at + pause)
        print(f"{name}: {failure}; again in {pause:.0f} s", flush=True)

    def _is_coming_up(self, situation: Situation, decision: Decision, memory: Memory, now: float) -> bool:
        """A service that is starting is given its time; what its workers hold is not known before they answer."""
        if situation.observed is not None or situation.service == "stopped" or decision.step in ("apply", "roll back"):
            memory.silent_since = None
            return False
        if decision.step in ("tell", "withdraw", "close"):
            return False
        memory.silent_since = memory.silent_since or now
        return now - memory.silent_since < COMING_UP_SECONDS

    def _is_champion_gone(self, memory: Memory, desired: DesiredState | None, now: float) -> bool:
        """Whether no version was champion for longer than the grace period."""
        if desired is None:
            return False
        if desired.champion is not None:
            memory.gone_since = None
            return False
        memory.gone_since = memory.gone_since or now
        release = memory.observer.release_spec()
        grace = release.grace_seconds if release is not None else DEFAULT_GRACE_SECONDS
        return now - memory.gone_since >= grace

    def _hand_over(self, order: Order) -> WorkerProcess:
        while self.idle:
            worker = self.idle.pop()
            with contextlib.suppress(BrokenPipeError):  # it was killed since it was last looked at
                worker.give(order)
                return worker
        worker = WorkerProcess()
        worker.give(order)
        return worker

    def _write(self, name: str, doing: Doing, reason: str, next_try: float | None = None) -> None:
        """For who waits for the release: written where something has changed."""
        memory = self.models[name]
        activity = Activity(
            doing=doing,
            reason=reason,
            champion=memory.desired.champion if memory.desired else None,
            challenger=memory.desired.challenger if memory.desired else None,
            failures=memory.failures,
            failure=memory.failure,
            failed_at=memory.failed_at,
            next_try=next_try,
        )
        if self.written.get(name) != activity:
            self.written[name] = activity
            activities.write(self.project, name, activity)

    def _log(self, about: str, text: str) -> None:
        """Log something once, until something else is to be said about it."""
        if self.logged.get(about) != text:
            self.logged[about] = text
            print(text, flush=True)

    def wait(self) -> None:
        """Until something has changed that may make a step due, a second at most."""
        end = time.monotonic() + PERIOD_SECONDS
        busy = {name for name, memory in self.models.items() if memory.worker or memory.step}
        while time.monotonic() < end:
            if self.registry.changed.is_set() or any(self._has_ended(name) for name in busy):
                break
            if self._ledger_has_changed():
                break
            time.sleep(WAKE_SECONDS)
        self.registry.changed.clear()

    def is_ledger_elsewhere(self) -> bool:
        """Whether `modelyard.toml` names another place of the ledger than at the start: what was read is of before."""
        try:
            return self.ledger_where not in (None, ledger_place.store(self.project).where)
        except (ModelyardError, OSError):  # the next look says so
            return False

    def _ledger_has_changed(self) -> bool:
        now = time.monotonic()
        if now < self.next_stamp:
            return False
        try:
            store = ledger_place.store(self.project)
            self.next_stamp = now + store.pause_seconds
            before, self.ledger_stamp = self.ledger_stamp, store.stamp()
        except ModelyardError:  # the next look says so
            return False
        return before != self.ledger_stamp

    def _has_ended(self, name: str) -> bool:
        memory = self.models[name]
        return (memory.step is not None and memory.step.done()) or (
            memory.worker is not None and memory.worker.has_answered()
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, ModelyardError):
        return f"{error.what}: {error.got}" if error.got is not None else error.what
    return repr(error)


def main() -> None:
    """Reconcile for good."""
    environment.quiet(os.environ)
    project = Project(Path(sys.argv[1]))
    endpoints = lifecycle.configured(project)
    with Api(endpoints.mlflow, endpoints.credentials, patience_seconds=0, timeout_seconds=5) as api:
        is_own = connections.of(project).mlflow.is_own
        registry = RegistryPoll(api, project, OWN_PERIOD_SECONDS if is_own else PERIOD_SECONDS)
        registry.start()
        store = ledger_place.store(project)
        leadership = store.hold("controller")
        controller = Controller(
            project, registry, upkeep=LogUpkeep(project), leadership=leadership, ledger_where=store.where
        )
        logs = HostLogs(project, lambda text: print(text, flush=True))

        def bring_logs() -> None:
            if controller.is_leading:
                with contextlib.suppress(ModelyardError):  # a wrong modelyard.toml, which every look says
                    logs.look()

        leases = LeaseKeeper(project, lambda text: print(text, flush=True))

        def renew_leases() -> None:
            with contextlib.suppress(ModelyardError):
                leases.renew() if controller.is_leading else leases.forget()

        with periodically(bring_logs, host_logs.PERIOD_SECONDS), periodically(renew_leases, host_leases.PERIOD_SECONDS):
            while not controller.is_ledger_elsewhere():
                controller.reconcile_all()
                controller.wait()
        print("the ledger is in another place now: this controller ends, and is started anew", flush=True)
        leadership.leave()
        os._exit(1)  # its threads may wait for hosts; the supervisor starts it again


if __name__ == "__main__":
    main()
