"""What a running service is asked to hold, and what its processes say they hold.

A service that the stack runs is told where its folder is (`MODELYARD_SERVICE`). There the release writes `order.json`;
every worker process carries it out within a fraction of a second, by swapping references, and says over HTTP at
`/release` what it holds now. The order is what is wanted; the statements are the truth. A service without that
variable (a Bento in a container elsewhere) serves the package in its own bundle and takes no orders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from components.core import atomic
from components.core.strict import Strict

SERVICE_FOLDER = "MODELYARD_SERVICE"
SPEC_FILE = "order.json"
# A request may name the package that shall answer it, by digest; any that the worker holds ready does, else 409.
VERSION_HEADER = "X-Modelyard-Want"
# Requests of the same key get the same side of a canary.
KEY_HEADER = "X-Modelyard-Key"
WORKER_HEADER = "X-Modelyard-Worker"
# Which slot answered: champion, challenger, previous or staged.
ROLE_HEADER = "X-Modelyard-Role"


class SlotSpec(Strict):
    """One packaged version that a service holds.

    Args:
        bundle: path of the bundle's source folder, with `package/` and `serving.json` in it; a relative one begins at
            the service's folder, so that an order stays right in a project that is moved or copied.
        tolerance: between the answer to a golden example here and in the training process; the parity gate's.
    """

    version: str
    package_digest: str
    bundle: str
    tolerance: float = 1e-4


class ChallengerLimits(Strict):
    """What a challenger may do before the service takes it out by itself.

    Args:
        max_error_rate: share of its answers that failed or were not finite.
        max_latency_ratio: its median time to answer against the champion's.
        min_requests: answers before a rate counts.
    """

    max_error_rate: float
    max_latency_ratio: float
    min_requests: int


class RolloutPolicy(Strict):
    """On which terms a challenger is beside the champion.

    Args:
        canary_percent: share of the requests that it answers, 0 to 100; at 0 it shadows: it answers every request too,
            after the response, and nobody sees its answers.
    """

    canary_percent: float
    limits: ChallengerLimits


class ChallengerSpec(SlotSpec):
    """A version beside the champion."""

    terms: RolloutPolicy


class ServingSpec(Strict):
    """`order.json`.

    Args:
        generation: each spec written has a higher one.
        decision: number of the ledger's entry that the spec carries out.
        champion: answers requests; None: no request is answered (503) except those that name a package.
        previous: what was champion before; stays loaded and warm.
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
        """The order in a service's folder; None where there is none.

        Raises:
            ValueError: it cannot be read.
        """
        try:
            return ServingSpec.model_validate_json((service / SPEC_FILE).read_bytes())
        except FileNotFoundError:
            return None

    def resolved(self, service: Path) -> ServingSpec:
        """The same order with absolute paths of its bundles."""
        slots = {name: getattr(self, name) for name in ("champion", "challenger", "previous", "staged")}
        placed = {
            name: slot.model_copy(update={"bundle": str((service / slot.bundle).resolve())})
            for name, slot in slots.items()
            if slot is not None
        }
        return self.model_copy(update=placed)

    def write(self, service: Path) -> None:
        """Give the order; readers see this one or the one before."""
        atomic.write_text(service / SPEC_FILE, self.model_dump_json(indent=1) + "\n")


class SlotStatus(Strict):
    """A slot as a worker holds it.

    Args:
        state: `ready`; `failed`: it could not be loaded or proven, and what was there before stays;
            `removed`: a challenger that the worker took out because it broke a limit.
        reason: why it failed or was removed.
        since: when it came into this slot in this worker, seconds since 1970.
    """

    version: str
    package_digest: str
    state: Literal["ready", "failed", "removed"]
    reason: str | None = None
    since: float


class RequestStats(Strict):
    """What a version did in a worker since it came into its slot (counts add up over workers).

    Args:
        requests: answered, or failed by this version; what was refused (4xx) is not its doing.
        errors: answers that failed: 5xx, or answered by the champion instead.
        not_finite: answers with NaN or infinity in them; among the errors.
        compared: samples that champion and challenger both answered (shadow); of those, `agreed` as the task sees it.
        p50_ms, p99_ms: decoding and inference, over the last 1,000 answers; None before the first.
    """

    requests: int = 0
    errors: int = 0
    not_finite: int = 0
    compared: int = 0
    agreed: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


class WorkerStatus(Strict):
    """What one worker process holds, in its own words.

    Args:
        generation: the order that it has carried out as far as it can; 0 before the first.
        code: digest of the serving code and libraries that this process runs (fact `code` of its bundle's manifest).
        champion: what really answers. `champion_failed` is what the order names instead, if that could not be loaded;
            the champion before it, or at a start the previous one, then answers in its place.
        terms: the challenger's, as they are applied to requests.
        shadow_dropped: requests that a busy challenger in the shadow did not get.
    """

    worker: int
    generation: int
    code: str
    champion: SlotStatus | None = None
    champion_failed: SlotStatus | None = None
    challenger: SlotStatus | None = None
    terms: RolloutPolicy | None = None
    previous: SlotStatus | None = None
    staged: SlotStatus | None = None
    champion_tally: RequestStats = RequestStats()
    challenger_tally: RequestStats = RequestStats()
    shadow_dropped: int = 0


class ServiceStatus(Strict):
    """`GET /release`: every worker's statement. `expected` is how many workers there are to be."""

    model: str
    expected: int
    workers: list[WorkerStatus]
