"""How long a service may answer without news of what is in force (`lease.json` in the service's folder).

A host that is cut off from whoever decides does not know whether the version that it serves is still the one in force.
With a lease it stops on its own in bounded time. The lease begins at a reading of the host's own clock, which the host
gave *before* the granter read the ledger. So no clocks are compared, and a grant that is delayed on its way does not
last longer (Gray and Cheriton, "Leases", SOSP 1989).

The file crosses the boundary between a bundle's code and the Modelyard of today: it is read tolerantly.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from pydantic import ValidationError

from components.contracts.serving_spec import Tolerant

LEASE_FILE = "lease.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Lease(Tolerant):
    """One lease.

    Args:
        boot: the start of the machine that `since` counts from; after a restart the lease has run out.
        since: reading of `clock_seconds` from which the lease runs.
        seconds: how long it lasts.
        refuses: whether requests are refused once it has run out; else the service is not ready, and answers.
    """

    boot: str
    since: float
    seconds: float
    refuses: bool = True

    def has_run_out(self, boot: str) -> bool:
        """Whether it has run out by now, on a machine whose `boot_id` is this."""
        return boot != self.boot or not 0 <= clock_seconds() - self.since < self.seconds

    @staticmethod
    def read(service: Path) -> Lease | None:
        """The lease in a service's folder; None where there is none: the service answers without one.

        A file that cannot be read is a lease that has run out.
        """
        try:
            return Lease.model_validate_json((service / LEASE_FILE).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            return Lease(boot="", since=0.0, seconds=0.0)

    def write(self, service: Path) -> None:
        """Put it into a service's folder; not synced to the disk, since a crash of the machine ends it in any case."""
        service.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = service / f".{LEASE_FILE}.{os.getpid()}.{threading.get_ident()}"
        new.write_text(self.model_dump_json() + "\n")
        new.replace(service / LEASE_FILE)


def clock_seconds() -> float:
    """A clock of this machine that no one sets, and that goes on while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot_id() -> str:
    """The start of this machine; `-` where the system has no name for it."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return "-"
