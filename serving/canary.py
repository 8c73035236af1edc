"""Who answers a request: the package that it names, or a side of the canary."""

from __future__ import annotations

import hashlib
import random

from components.contracts.serving_spec import VERSION_HEADER
from serving.request import RefusedRequest
from serving.slots import ModelSlot, Slots, is_named


def choose(seats: Slots, wanted: str | None, key: str | None) -> ModelSlot:
    """The seat that shall answer.

    Raises:
        RefusedRequest: 409, the package that the request names is not held; 503, nothing is released.
    """
    if wanted is not None:
        seat = seats.named(wanted)
        if seat is None:
            missing = next((held for held in seats.missing.values() if is_named(held, wanted)), None)
            reason = f"{missing.state}: {missing.reason}" if missing else None
            held = [seat.loaded.slot.package_digest for seat in seats.all()]
            raise RefusedRequest(
                409,
                "not_held",
                f"no slot has the version ready that {VERSION_HEADER} names",
                got=wanted,
                reason=reason,
                expected=sorted(set(held)),
            )
        return seat
    if seats.champion is None:
        failed = seats.missing.get("champion")
        reason = f"version {failed.version} {failed.state}: {failed.reason}" if failed else None
        raise RefusedRequest(503, "nothing_released", "no version is released", reason=reason)
    if seats.challenger is None or not seats.canary_percent:
        return seats.champion
    digest = seats.challenger.loaded.slot.package_digest
    return seats.challenger if 100 * place(digest, key) < seats.canary_percent else seats.champion


def place(digest: str, key: str | None) -> float:
    """Where a request stands from 0 to 1; with a key always at the same place for one challenger, in any process.

    Growing the share keeps those on the challenger's side who are there; another challenger draws others.
    """
    if key is None:
        return random.random()  # noqa: S311  # which side it falls on is no secret
    return int.from_bytes(hashlib.sha256(f"{digest} {key}".encode()).digest()[:8], "big") / 2**64
