"""What a running service is asked to serve (`spec.json`), and what its workers report (`GET /status`).

The platform starts a service with the path of a folder in `MODELYARD_SERVICE`. The release controller writes the
desired state to `spec.json` there; each worker process reconciles with it within a fraction of a second, by swapping
references, and reports its observed state over HTTP. A service without that variable (a Bento in a container elsewhere)
serves the package of its own bundle and reads no spec.

These types cross the boundary between a bundle, which carries the code of the day it was built, and the Modelyard of
today. They are therefore read tolerantly: unknown fields are ignored, and a field added later has a default.
`SPEC_FORMAT` counts the changes that an older service would misunderstand.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from components.core import atomic
from components.core.errors import ServingError

# A bundle's manifest names the format that its service reads (fact `spec_format`); a bundle without that fact predates
# it. A service reads every spec of its own format, whatever fields were added since. A field that must not be ignored,
# and a new value of `SlotStatus.state`, need the next number.
SPEC_FORMAT = 1

SERVICE_FOLDER = "MODELYARD_SERVICE"
SPEC_FILE = "spec.json"
# In a request: the version that must answer, by its number or by its package's digest; 409 if no slot has it ready.
# In a response: the number of the version that answered.
VERSION_HEADER = "X-Modelyard-Version"
FORMER_VERSION_HEADER = "X-Modelyard-Want"  # the same in requests, as clients of earlier versions send it
# Requests with the same key are answered by the same side of a canary.
KEY_HEADER = "X-Modelyard-Key"
# In a request: how many milliseconds the client waits; a request that is not begun by then is refused with 504.
TIMEOUT_HEADER = "X-Modelyard-Timeout-Ms"
WORKER_HEADER = "X-Modelyard-Worker"
# The slot that answered: champion, challenger, previous or staged.
ROLE_HEADER = "X-Modelyard-Role"

READ_ATTEMPTS, READ_PAUSE_SECONDS = 5, 0.05


class OvertakenError(ServingError):
    """The spec in the folder carries out a later decision than the one to be written."""


class UnreadableSpecError(ServingError):
    """The spec in the folder cannot be read, so it is neither changed nor replaced."""


Device = Literal["auto", "cpu", "cuda"]  # what onnxruntime computes on
SlotName = Literal["champion", "challenger", "previous", "staged"]
SLOT_NAMES: tuple[SlotName, ...] = get_args(SlotName)


class Tolerant(BaseModel):
    """The base of these types: frozen, no silent conversions, unknown fields ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class SlotSpec(Tolerant):
    """A packaged version for one slot of the service.

    Args:
        bundle: path of the bundle's source folder, with `package/` and `serving.json` in it. A relative path starts at
            the service's folder, so that a spec stays right in a project that is moved or copied.
        tolerance: largest difference between an answer to a golden example here and in the training process; the
            parity gate's.
    """

    version: str
    package_digest: str
    bundle: str
    tolerance: float = 1e-4


class ChallengerLimits(Tolerant):
    """The limits beyond which the workers remove a challenger by themselves.

    Args:
        max_error_rate: share of its answers that failed or were not finite.
        max_latency_ratio: its median time to answer, divided by the champion's.
        min_requests: answers before a rate counts.
    """

    max_error_rate: float
    max_latency_ratio: float
    min_requests: int


class RolloutPolicy(Tolerant):
    """How a challenger runs beside the champion.

    Args:
        canary_percent: share of the requests that the challenger answers, 0 to 100. At 0 it is a shadow: it also
            answers requests that the champion has answered, and its answers are compared but not returned.
    """

    canary_percent: float
    limits: ChallengerLimits


class ChallengerSpec(SlotSpec):
    """A version beside the champion."""

    policy: RolloutPolicy


class ServingSpec(Tolerant):
    """`spec.json`: the desired state of a service.

    Args:
        generation: grows with each spec written.
        decision: the sequence number, in the ledger, of the decision that this spec carries out. A spec never replaces
            one of a higher decision.
        champion: answers requests; None: the service answers 503, except to requests that name a version.
        previous: the former champion; stays loaded and warm.
        staged: loaded beside the others; answers only requests that name it.
    """

    generation: int
    decision: int = 0
    champion: SlotSpec | None = None
    challenger: ChallengerSpec | None = None
    previous: SlotSpec | None = None
    staged: SlotSpec | None = None

    @staticmethod
    def read(service: Path) -> ServingSpec | None:
        """The spec in a service's folder; None where there is none.

        Raises:
            ValueError: the file holds no spec.
            OSError: the file cannot be read now.
        """
        try:
            return ServingSpec.model_validate_json((service / SPEC_FILE).read_bytes())
        except FileNotFoundError:
            return None

    @staticmethod
    def load(service: Path) -> ServingSpec | None:
        """`read`, again for a fraction of a second if the file cannot be read.

        Raises:
            UnreadableSpecError: it cannot be read for good; what it says is unknown, which is not the same as nothing.
        """
        error: Exception | None = None
        for attempt in range(READ_ATTEMPTS):
            if attempt:
                time.sleep(READ_PAUSE_SECONDS)
            try:
                return ServingSpec.read(service)
            except ValueError as content:  # the next read gives the same bytes
                error = content
                break
            except OSError as passing:
                error = passing
        raise UnreadableSpecError(
            "the spec of this service cannot be read; it is not changed, and the workers keep what they serve",
            where=str(service / SPEC_FILE),
            got=" ".join(str(error).split()),
            expected="a spec as this version of Modelyard writes it",
            next_step="rename the file; the release controller then writes the spec anew",
        ) from error

    @staticmethod
    def apply(
        service: Path, slots: Mapping[SlotName, SlotSpec | None], *, decision: int | None = None, repeat: bool = False
    ) -> ServingSpec:
        """Change slots of the spec in a service's folder, under a lock; slots that are not named stay as they are.

        Args:
            slots: what changes, such as `{"champion": slot, "staged": None}`.
            decision: the decision that the change carries out; None: the same as the present spec.
            repeat: also write a spec that changes nothing, so that workers try again to load what failed.

        Returns:
            The spec that is in the folder now: with the next generation, or the present one if nothing changed.

        Raises:
            OvertakenError: the present spec carries out a later decision.
            UnreadableSpecError: the present spec cannot be read; it stays as it is.
        """
        with _locked(service):
            present = ServingSpec.load(service)
            before = present or ServingSpec(generation=0)
            fields: dict[str, Any] = dict(before)
            fields |= {str(name): slot for name, slot in slots.items()}
            fields["decision"] = before.decision if decision is None else decision
            _refuse_overtaken(service, before, fields["decision"])
            if present is not None and not repeat and ServingSpec(**fields) == present:
                return present
            spec = ServingSpec(**{**fields, "generation": before.generation + 1})
            spec._write(service)
            return spec

    def write(self, service: Path) -> ServingSpec:
        """Replace the spec in a service's folder as a whole, under a lock.

        Returns:
            The spec that was written: its generation is higher than that of the spec before.

        Raises:
            OvertakenError, UnreadableSpecError: as `apply`.
        """
        with _locked(service):
            present = ServingSpec.load(service)
            spec = self
            if present is not None:
                _refuse_overtaken(service, present, self.decision)
                spec = self.model_copy(update={"generation": max(self.generation, present.generation + 1)})
            spec._write(service)
            return spec

    def resolved(self, service: Path) -> ServingSpec:
        """The same spec with absolute paths of its bundles."""
        slots: dict[str, SlotSpec | None] = {name: getattr(self, name) for name in SLOT_NAMES}
        absolute = {
            name: slot.model_copy(update={"bundle": str((service / slot.bundle).resolve())})
            for name, slot in slots.items()
            if slot is not None
        }
        return self.model_copy(update=absolute)

    def _write(self, service: Path) -> None:
        atomic.write_text(service / SPEC_FILE, self.model_dump_json(indent=1) + "\n")


def set_aside(service: Path) -> Path | None:
    """Rename the spec file, so that a whole new spec can be written in place of one that cannot be read.

    Returns:
        Where it is now; None if there was none. Workers keep what they serve meanwhile.
    """
    with _locked(service):
        target = service / f"{SPEC_FILE}.unreadable-{time.time_ns()}"
        try:
            return (service / SPEC_FILE).rename(target)
        except FileNotFoundError:
            return None


@contextmanager
def _locked(service: Path) -> Iterator[None]:
    """One writer of a service's spec at a time; the kernel frees the lock of a process that ends."""
    service.mkdir(parents=True, exist_ok=True)
    with (service / f"{SPEC_FILE}.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _refuse_overtaken(service: Path, present: ServingSpec, decision: int) -> None:
    if present.decision > decision:
        raise OvertakenError(
            "a later decision has been carried out",
            where=str(service / SPEC_FILE),
            got=f"decision {decision}",
            expected=f"decision {present.decision} or later",
            next_step="read the ledger again; the later decision is the one in force",
        )


class SlotStatus(Tolerant):
    """A slot as a worker has it.

    Args:
        state: `ready`; `failed`: the version could not be loaded or failed its golden examples, and the slot keeps what
            it had; `removed`: a challenger that the worker removed because it broke a limit.
        reason: why it failed or was removed.
        since: when the version came into this slot in this worker, seconds since 1970.
    """

    version: str
    package_digest: str
    state: Literal["ready", "failed", "removed"]
    reason: str | None = None
    since: float


class RequestStats(Tolerant):
    """Requests of a version in one worker since it came into its slot. Counts of several workers add up.

    Args:
        requests: answered by this version, or failed by it; requests refused with 4xx are not counted.
        errors: answers that failed: 5xx, or answered by the champion instead.
        not_finite: answers with NaN or infinity; a part of the errors.
        compared: samples that champion and challenger both answered (shadow); `agreed`: those of them on which the two
            answers agree, as the task defines it.
        p50_ms, p99_ms: decoding and inference, over the last 1,000 answers; None before the first.
    """

    requests: int = 0
    errors: int = 0
    not_finite: int = 0
    compared: int = 0
    agreed: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


class WorkerStatus(Tolerant):
    """The observed state of one worker process.

    Args:
        worker: its process id.
        generation: the spec that it has reconciled with as far as possible; 0 before the first.
        code: digest of the serving code and libraries that this process runs (fact `code` of its bundle's manifest).
        champion: the version that answers requests. `champion_failed` is the champion of the spec, if it could not be
            loaded; then the champion before it, or at a start the previous one, answers instead.
        policy: the challenger's, as it is applied to requests.
        shadow_dropped: requests that a busy challenger in the shadow did not get.
        bundle_digest: of the sealed bundle that this process was started from.
        spec_format: the format of `spec.json` that this process reads; 0: it does not say.
        decision: the decision of the spec with this generation.
        draining: it accepts no connections any more and ends once it has answered.
        lease_seconds: how long it answers without news of what is in force (serving_lease.py); None: for good.
        lease_is_over: whether that time has passed.
    """

    worker: int
    generation: int
    code: str
    champion: SlotStatus | None = None
    champion_failed: SlotStatus | None = None
    challenger: SlotStatus | None = None
    policy: RolloutPolicy | None = None
    previous: SlotStatus | None = None
    staged: SlotStatus | None = None
    champion_stats: RequestStats = RequestStats()
    challenger_stats: RequestStats = RequestStats()
    shadow_dropped: int = 0
    bundle_digest: str = ""
    spec_format: int = 0
    decision: int = 0
    draining: bool = False
    lease_seconds: float | None = None
    lease_is_over: bool = False


class ServiceStatus(Tolerant):
    """`GET /status`: the status of every living worker.

    Args:
        expected: how many workers the service is to have.
        hosts: how many machines report here.
        absent: hosts of the service that do not answer; their workers are not among `expected`.
        unleased: hosts that are not ready, or refuse requests, as their lease is over.
    """

    model: str
    expected: int
    workers: list[WorkerStatus]
    hosts: int = 1
    absent: list[str] = Field(default_factory=list)
    unleased: list[str] = Field(default_factory=list)
