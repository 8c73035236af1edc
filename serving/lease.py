"""The lease of a service: without news of what is in force for too long, it is not ready and refuses requests.

See components/contracts/serving_lease.py for where it begins. A request that has begun is answered to its end, as at a
switch. A request that names a version is answered: it does not ask for the version in force.
"""

from __future__ import annotations

import logging
from pathlib import Path

from components.contracts import serving_lease
from components.contracts.serving_lease import LEASE_FILE, Lease
from serving.problem import RefusedRequest

READY_PATH = "/readyz"
LOG = logging.getLogger("bentoml.modelyard")


class FollowedLease:
    """The lease in a service's folder, as one worker follows it.

    Args:
        service: the folder; None: a service without a spec has no lease.
    """

    def __init__(self, service: Path | None) -> None:
        self._service = service
        self._boot = serving_lease.boot_id()
        self._stamp: tuple[int, int] | None = None
        self._lease: Lease | None = None
        self._known: tuple[float | None, bool] = (None, False)
        self.refresh()

    @property
    def seconds(self) -> float | None:
        """How long the lease lasts from one renewal on; None: there is none."""
        lease = self._lease
        return None if lease is None else lease.seconds

    @property
    def is_over(self) -> bool:
        """Whether there is a lease and it has run out."""
        lease = self._lease
        return lease is not None and lease.has_run_out(self._boot)

    def refresh(self) -> bool:
        """Read the file if it has changed; returns whether `seconds` or `is_over` has changed since the last call."""
        if self._service is None:
            return False
        try:
            file = (self._service / LEASE_FILE).stat()
            stamp = (file.st_ino, file.st_mtime_ns)
        except OSError:
            stamp = (0, 0)
        if stamp != self._stamp:
            self._stamp, self._lease = stamp, Lease.read(self._service)
        before, self._known = self._known, (self.seconds, self.is_over)
        if before[1] is not self._known[1]:
            LOG.warning("%s", self._reason() if self._known[1] else "the lease is renewed: the service answers")
        return before != self._known

    def require(self) -> None:
        """Check that requests which name no version may be answered.

        Raises:
            RefusedRequest: 503, the lease has run out, and its owner wants requests refused then.
        """
        lease = self._lease
        if lease is not None and lease.refuses and lease.has_run_out(self._boot):
            raise self.refusal()

    def refusal(self) -> RefusedRequest:
        """Why the service is not ready."""
        return RefusedRequest(503, "lease_over", self._reason())

    def _reason(self) -> str:
        return (
            f"this host has not heard for {self.seconds or 0:g} s which version is in force: its lease has run out"
            if self.seconds
            else "this host has not heard yet which version is in force"
        )
