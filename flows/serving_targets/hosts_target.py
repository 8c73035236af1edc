"""A serving target on several hosts: on each, the processes that `LocalServingTarget` runs on one.

A step is asked of all hosts at once, and is done when every host says so. A host that does not answer is absent: its
name is in the status, a release waits for it (`[serving] absent_hosts` allows some), a rollback and what is pinned do
not. When it is back it is told what is pinned before its service is started.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from components.access import project_door
from components.contracts import settings
from components.contracts.serving_spec import RolloutPolicy, ServiceStatus, ServingSpec, WorkerStatus
from components.core.errors import ModelyardError, ServingError, UsageError
from components.identity.package import Package
from components.packaging.bundle import Bundle
from components.release.production import Pin, Production
from flows.serving_targets import host_bundles, host_connections
from flows.serving_targets.host_connection import HostConnection
from flows.serving_targets.host_orders import HostOrders
from flows.serving_targets.host_protocol import ModelObservation
from flows.serving_targets.host_session import HostAbsentError
from flows.serving_targets.hosts_at_once import at_once, on_each
from flows.serving_targets.hosts_handover import has_moved, is_left_here
from flows.serving_targets.local_target import CONVERGE_SECONDS, PROVE_SECONDS, READY_SECONDS, LocalServingTarget
from flows.serving_targets.model_observation import combined, follows, is_ready, loaded_packages, told
from flows.serving_targets.serving_target import ServiceState

POLL_SECONDS = 0.1
SEARCH_SECONDS = 30.0  # after which a bundle that no host had is looked for again
_not_found_until: dict[tuple[str, str], float] = {}  # by the bundle's folder and digest


@dataclass(frozen=True)
class HostsServingTarget:
    """One model's service on the hosts that `modelyard.toml` names.

    Args:
        local: the target on this machine, which knows the bundles; nothing is served here.
    """

    local: LocalServingTarget
    _orders: HostOrders = field(default_factory=HostOrders, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The model."""
        return self.local.name

    @property
    def hosts(self) -> tuple[HostConnection, ...]:
        """The hosts that are to serve the model."""
        return host_connections.connections(self.local.project, self.name)

    @property
    def left_hosts(self) -> tuple[HostConnection, ...]:
        """The hosts that serve the model and are not to: it was moved, and ends there once it serves where it is to."""
        hosts = self.hosts
        others = [host for host in host_connections.connections(self.local.project) if host not in hosts]
        runs = at_once(self._runs_on, others) if others else ()
        return tuple(host for host, does in zip(others, runs, strict=True) if does)

    def _runs_on(self, host: HostConnection) -> bool:
        """Whether a host answers and runs the service."""
        try:
            return host.observe().models.get(self.name, ModelObservation()).port is not None
        except ModelyardError:
            return False

    @property
    def url(self) -> str | None:
        """Where the first host that runs the service is asked, or this machine where no host answers; None: nowhere."""
        present = self._present()
        found = next((host.url(one.port) for host, one in present.items() if one.port is not None), None)
        return found if present else self.local.url

    def ready_url(self) -> str | None:
        """Where the first host is asked whose workers all have a champion, and a lease.

        Where none is ready, the service that ran here before hosts were named, while it does; None: nothing is ready.
        """
        for host, one in self._present().items():
            workers = one.status.workers if one.status is not None else []
            if one.port is not None and workers and all(map(is_ready, workers)):
                return host.url(one.port)
        return self.local.ready_url()

    def observations(self) -> Mapping[HostConnection, ModelObservation | ModelyardError]:
        """What each host that serves the model, or is to, says of it, or why it says nothing."""

        def observe(host: HostConnection) -> ModelObservation | ModelyardError:
            try:
                return host.observe().models.get(self.name, ModelObservation())
            except ModelyardError as error:
                return error

        hosts = (*self.hosts, *self.left_hosts)
        known = {host: found for host in hosts if (found := host.fresh_observation()) is not None}
        if len(known) == len(hosts):  # another model has just asked
            return {host: found.models.get(self.name, ModelObservation()) for host, found in known.items()}
        return dict(zip(hosts, at_once(observe, hosts), strict=True))

    def absent_hosts(self) -> list[str]:
        """The names of the model's hosts that do not answer."""
        return [host.name for host, one in self.observations().items() if isinstance(one, ModelyardError)]

    def _present(self) -> dict[HostConnection, ModelObservation]:
        return {host: one for host, one in self.observations().items() if isinstance(one, ModelObservation)}

    def spec(self) -> ServingSpec | None:
        """A host's spec: of one that has a staged version, if there is one."""
        specs = [one.spec for one in self._present().values() if one.spec is not None]
        return next((spec for spec in specs if spec.staged is not None), specs[0] if specs else None)

    def age_seconds(self) -> float | None:
        """How long ago a host's spec was applied last."""
        return min((one.age_seconds for one in self._present().values() if one.age_seconds is not None), default=None)

    def is_applied(self, production: Production) -> bool:
        """Whether every host that answers has a spec with this production, and the model's API keys.

        A service that this machine ran before hosts were named is to end once theirs run.
        """
        keys, present = _digest(self.local), self._present()
        named = all(
            follows(one.spec, production, self.local) and (one.spec is None or one.keys == keys)
            for one in present.values()
        )
        return named and not is_left_here(self.local, present) and not has_moved(self.local, self.hosts, present)

    def status(self, timeout_seconds: float = 5.0) -> ServiceStatus | None:
        """What the workers of all hosts report; None if no host's service answers.

        A host that answers, and whose service does not, counts as one worker that is missing. Where no host answers,
        what this machine ran before hosts were named serves until one does.
        """
        observed = {host.name: one for host, one in self.observations().items()}
        answers = {name: one.status for name, one in observed.items() if isinstance(one, ModelObservation)}
        absent = [name for name in observed if name not in answers]
        if not answers and (here := self.local.status(timeout_seconds)) is not None:
            return here.model_copy(update={"absent": absent})
        return combined(self.name, answers, absent)

    def state(self) -> ServiceState:
        """Whether the service's processes run: as much as on the host that is furthest behind."""
        hosts, present = self.hosts, self._present()
        if not present:
            return self.local.state()
        states = {one.state for host, one in present.items() if host in hosts or not hosts}
        order: tuple[ServiceState, ...] = ("stopped", "starting", "running")
        return next((state for state in order if state in states), "stopped")

    def check_rollout(self, pin: Pin, policy: RolloutPolicy | None) -> None:
        """Refuse a release of a model that no host is to serve (`UsageError`)."""
        self._placed()

    def _placed(self) -> tuple[HostConnection, ...]:
        hosts = self.hosts
        if not hosts:
            raise UsageError(
                f"no host is to serve {self.name}",
                where=settings.FILE_NAME,
                got="each [hosts.NAME] names other models",
                expected=f"one whose `models` names {self.name}, or one without `models`",
                next_step=f"add {self.name} to `models` of a host",
            )
        return hosts

    def apply(self, production: Production, decision: int, *, staged: Pin | None = None) -> ServingSpec:
        """Send the bundles that a host does not have, then make this its spec; `wait` tells hosts that were away.

        Where no host answers, what this machine ran before hosts were named follows, while it runs.

        Raises:
            OvertakenError: a host carries out a later decision.
            HostAbsentError: no host answers, and nothing runs here.
            UsageError: no host is to serve the model.
        """
        hosts, left = self._placed(), self.left_hosts
        pins = tuple(dict.fromkeys((*production.pins, *((staged,) if staged else ()))))
        keys = _keys(self.local)

        def apply(host: HostConnection) -> ServingSpec:
            warm = loaded_packages(host.observe().models.get(self.name, ModelObservation()))
            for pin in pins:
                if pin.package_digest in warm and pin != staged:  # to read its bundle would delay a rollback
                    continue
                host_bundles.bring(
                    self.local.project, host, self.bundle(pin), pin, needed=pin in (production.champion, staged)
                )
            if _known_keys(host, self.name) != _digest(self.local):
                host.ask("PUT", f"/models/{self.name}/keys", content=keys)
            document = {
                "production": production.model_dump(mode="json"),
                "decision": decision,
                "staged": None if staged is None else staged.model_dump(mode="json"),
            }
            spec = ServingSpec.model_validate(host.ask("PUT", f"/models/{self.name}/spec", document))
            self._orders.generations[host.name] = spec.generation
            return spec

        self._orders.missed.clear()
        try:
            spec = on_each(self._orders.noted(apply), (*hosts, *left))[0]
        except HostAbsentError:
            if self.local.url is None:
                raise
            return self.local.apply(production, decision, staged=staged)  # no host has taken over yet
        present = self._present()
        if is_left_here(self.local, present):
            self.local.stop()
        if has_moved(self.local, hosts, present):
            self._stop_on(left)
        return spec

    def bring(self, pin: Pin) -> None:
        """Send the bundle where it is not as it was sealed.

        Raises:
            HostAbsentError: no host answers.
            UsageError: no host is to serve the model.
        """

        def bring(host: HostConnection) -> None:
            host_bundles.bring(self.local.project, host, self.bundle(pin), pin, needed=True)

        on_each(self._orders.noted(bring), self._placed())

    def wait(
        self, holds: Callable[[WorkerStatus], bool], what: str, timeout_seconds: float = CONVERGE_SECONDS
    ) -> ServiceStatus:
        """Wait until every worker of every host reports it; what a host was away for is ordered once it is back.

        Raises:
            ServingError: not within the time; holds what the workers report instead, and which hosts are absent.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            allowed = settings.read(self.local.project.root).serving.absent_hosts  # it may be changed meanwhile
            said = self._ask_status()
            status = self._combined(said)
            if (
                status is not None
                and len(status.absent) <= allowed
                and len(status.workers) >= status.expected
                and all(map(holds, status.workers))
            ):
                return status
            self._orders.catch_up((*self.hosts, *self.left_hosts), _answering(said))
            if time.monotonic() > deadline:
                raise ServingError(
                    f"the workers of all hosts did not {what} within {timeout_seconds:.0f} s",
                    where=", ".join(host.name for host in self.hosts),
                    got="; ".join(f"{name}: {told(answer)}" for name, answer in said.items()),
                    next_step="`modelyard hosts` shows which answer; `[serving] absent_hosts` allows some to be absent",
                )
            time.sleep(POLL_SECONDS)

    def start(self, bundle: Bundle) -> str:
        """Run the processes from a bundle on every host; those of the same code and number are left alone.

        Raises:
            HostAbsentError: no host answers.
            UsageError: no host is to serve the model.
        """

        def start(host: HostConnection) -> str:
            host_bundles.bring(self.local.project, host, bundle, None, needed=True)
            key = {"key": bundle.folder.name}
            host.ask("POST", f"/models/{self.name}/start", key, timeout_seconds=READY_SECONDS + 30)
            return host.name

        on_each(self._orders.noted(start), self._placed())
        return self.url or ""

    def stop(self) -> None:
        """End the processes on every host that answers."""
        self._orders.missed.clear()
        self._stop_on((*self.hosts, *self.left_hosts))

    def _stop_on(self, hosts: Sequence[HostConnection]) -> None:
        on_each(lambda host: host.ask("POST", f"/models/{self.name}/stop", timeout_seconds=120), hosts)

    def move(self, port: int) -> None:
        """Listen on this port on every host, from the next start on.

        Raises:
            UsageError: several hosts are one machine, where one service alone can have the port.
        """
        by_address: dict[str, list[str]] = {}
        for host in self.hosts:
            by_address.setdefault(host.address, []).append(host.name)
        for address, names in by_address.items():
            if len(names) > 1:
                raise UsageError(
                    f"the hosts {' and '.join(names)} are one machine, where one service alone can have port {port}",
                    got=address,
                    next_step="without --port each takes a free one; `modelyard hosts` shows them",
                )
        on_each(
            lambda host: host.ask("POST", f"/models/{self.name}/move", {"port": port}, timeout_seconds=120),
            self._placed(),
        )

    def bundle(self, pin: Pin) -> Bundle:
        """The bundle that a pin names, on this machine: brought from a host, where another machine has built it."""
        bundle = self.local.bundle(pin)
        key = (str(bundle.folder), pin.bundle_digest or "")
        if pin.bundle_digest is None or bundle.exists() or time.monotonic() < _not_found_until.get(key, 0):
            return bundle
        if not any(host_bundles.fetch(host, bundle, pin.bundle_digest) for host in self._present()):
            _not_found_until[key] = time.monotonic() + SEARCH_SECONDS
        return bundle

    def check_golden_examples(self, package: Package, tolerance: float, workers: int) -> float:
        """Ask every worker of every host for the golden examples; returns the largest difference.

        Raises:
            HostAbsentError: more hosts are absent than `[serving] absent_hosts` allows.
            ServingError, StackError: as `LocalServingTarget.check_golden_examples`.
        """
        asked = {"package_digest": package.digest, "tolerance": tolerance, "workers": workers}

        def prove(host: HostConnection) -> float:
            path = f"/models/{self.name}/prove"
            return float(host.ask("POST", path, asked, timeout_seconds=PROVE_SECONDS + 60)["difference"])

        hosts = self._placed()
        found = on_each(prove, hosts)
        allowed = settings.read(self.local.project.root).serving.absent_hosts
        if (absent := len(hosts) - len(found)) > allowed:
            raise HostAbsentError(
                "not every host could be asked for the golden examples",
                got=f"{absent} of {len(hosts)} do not answer",
                expected=f"at most {allowed}, as `[serving] absent_hosts` says",
                next_step="`modelyard hosts` shows which",
            )
        return max(found)

    def _ask_status(self) -> Mapping[str, ServiceStatus | ModelyardError | None]:
        def ask(host: HostConnection) -> ServiceStatus | ModelyardError | None:
            try:
                found = host.ask("GET", f"/models/{self.name}/status", timeout_seconds=10)
            except ModelyardError as error:
                return error
            return None if found is None else ServiceStatus.model_validate(found)

        hosts = (*self.hosts, *self.left_hosts)
        return dict(zip([host.name for host in hosts], at_once(ask, hosts), strict=True))

    def _combined(self, said: Mapping[str, ServiceStatus | ModelyardError | None]) -> ServiceStatus | None:
        """The status of all hosts; a worker that has not followed the present spec yet is missing."""
        answers = {
            name: None if answer is None else self._orders.current(name, answer)
            for name, answer in _answering(said).items()
        }
        return combined(self.name, answers, [name for name in said if name not in answers])


def _answering(said: Mapping[str, ServiceStatus | ModelyardError | None]) -> dict[str, ServiceStatus | None]:
    return {name: answer for name, answer in said.items() if not isinstance(answer, ModelyardError)}


def _keys(local: LocalServingTarget) -> bytes:
    path = project_door.api_keys_file(local.project, local.name)
    return path.read_bytes() if path.exists() else b""


def _digest(local: LocalServingTarget) -> str:
    content = _keys(local)
    return hashlib.sha256(content).hexdigest() if content else ""


def _known_keys(host: HostConnection, model: str) -> str:
    return host.observe().models.get(model, ModelObservation()).keys
