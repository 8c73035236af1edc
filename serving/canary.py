"""Choose the slot that answers a request: the version named by the header, else by the canary split."""

from __future__ import annotations

import hashlib
import random

from components.contracts.serving_spec import VERSION_HEADER
from serving.problem import RefusedRequest
from serving.slots import ModelSlot, Slots, is_named


def choose(slots: Slots, named_version: str | None, key: str | None) -> ModelSlot:
    """The slot that answers a request.

    Raises:
        RefusedRequest: 409, no slot has the version that the request names ready; 503, there is no champion.
    """
    if named_version is not None:
        slot = slots.named(named_version)
        if slot is None:
            missing = next((status for status in slots.missing.values() if is_named(status, named_version)), None)
            reason = f"{missing.state}: {missing.reason}" if missing else None
            ready = {slot.loaded.spec.package_digest for slot in slots.all()}
            raise RefusedRequest(
                409,
                "not_held",
                f"no slot has the version ready that {VERSION_HEADER} names",
                got=named_version,
                reason=reason,
                expected=sorted(ready),
            )
        return slot
    if slots.champion is None:
        failed = slots.missing.get("champion")
        reason = f"version {failed.version} {failed.state}: {failed.reason}" if failed else None
        raise RefusedRequest(503, "nothing_released", "no version is released", reason=reason)
    if slots.challenger is None or not slots.canary_percent:
        return slots.champion
    digest = slots.challenger.loaded.spec.package_digest
    return slots.challenger if 100 * place(digest, key) < slots.canary_percent else slots.champion


def place(digest: str, key: str | None) -> float:
    """A number from 0 to 1 for a request; with a key always the same for one challenger, in any process.

    A larger share keeps the keys that the challenger answers already; another challenger gets other keys.
    """
    if key is None:
        return random.random()  # noqa: S311  # not a secret
    return int.from_bytes(hashlib.sha256(f"{digest} {key}".encode()).digest()[:8], "big") / 2**64
