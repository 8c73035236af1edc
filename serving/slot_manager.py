"""What a worker holds, and how an order changes it: by loading beside, then swapping one reference."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

from components.contracts.serving_spec import SLOT_NAMES, ServingSpec, SlotName, SlotSpec, SlotStatus
from components.core.errors import ModelyardError
from serving import guard
from serving.loaded import Loaded, load
from serving.slots import ModelSlot, Slots

LOADED_FIRST: tuple[SlotName, ...] = ("champion", "previous", "staged", "challenger")

LOG = logging.getLogger("bentoml.modelyard")  # below BentoML's logger, whose handlers write the service's log


class SlotManager:
    """The slots of one worker.

    `now` is never changed in place: who reads it once has a whole that stays as it is.

    Args:
        model: the only one whose packages are taken.
        threads: of champion, previous and staged together; a challenger gets as many of its own.
        changed: called after each change, from any thread.
    """

    def __init__(self, model: str, threads: int, changed: Callable[[], None] = lambda: None) -> None:
        self.model = model
        self.now = Slots()
        self._count = threads
        # A third of what anyio's hop to a thread costs.
        self._threads = ThreadPoolExecutor(threads, "predict")
        self._changed = changed
        self._lock = threading.Lock()

    def serve(self, loaded: Loaded) -> None:
        """Hold one package, without an order."""
        before, self.now = self.now, Slots(champion=self._seat("champion", loaded))
        self._tell(before, self.now)

    def carry_out(self, order: ServingSpec) -> None:
        """Make the slots what an order names, as far as that can be.

        What is held already is in its new slot at once. What is not is loaded meanwhile, one after the other; the
        champion stays until the new one is ready. A package that does not load is `missing`, and all else is as it
        would be without it. Who stays in its slot keeps its counts. Called by one thread at a time.
        """
        before = self.now
        known = {_key(seat.loaded.slot): seat.loaded for role in SLOT_NAMES if (seat := before.seat(role))}
        missing: dict[SlotName, SlotStatus] = {}
        self._arrange(order, known, missing, before)
        for role in LOADED_FIRST:
            slot: SlotSpec | None = getattr(order, role)
            if slot is None or _key(slot) in known or (role == "challenger" and _removed(self.now, order)):
                continue
            begin = time.perf_counter()
            try:
                known[_key(slot)] = load(_plain(slot), self.model)
            except ModelyardError as error:
                reason = "; ".join(" ".join(line.split()) for line in error.lines())
                missing[role] = _held(slot, "failed", reason)
                LOG.error("%s version %s is not loaded: %s", role, slot.version, reason)
            else:
                LOG.info("%s version %s is loaded: %.2f s", role, slot.version, time.perf_counter() - begin)
                self._arrange(order, known, missing, before)
        self._arrange(order, known, missing, order)

    def judge(self, seat: ModelSlot) -> None:
        """Take a challenger out if it broke a limit."""
        now = self.now
        if now.challenger is not seat or now.policy is None:
            return
        champion = now.champion.record if now.champion else None
        if reason := guard.broken(seat.record, champion, now.policy.limits):
            self.remove_challenger(seat, reason)

    def remove_challenger(self, seat: ModelSlot, reason: str) -> None:
        """Take a challenger out; the champion answers its requests from now on."""
        with self._lock:
            now = self.now
            if now.challenger is not seat:
                return
            held = _held(seat.loaded.slot, "removed", reason)
            self.now = replace(now, challenger=None, missing=MappingProxyType({**now.missing, "challenger": held}))
        LOG.warning("challenger version %s is taken out: %s", seat.loaded.slot.version, reason)
        seat.tell(False)
        self._changed()

    def _arrange(
        self,
        order: ServingSpec,
        known: dict[tuple[str, str, str], Loaded],
        missing: dict[SlotName, SlotStatus],
        reconciled: ServingSpec | Slots,
    ) -> None:
        """Put what is known into the slots that the order names; `reconciled` is what counts as carried out then."""
        with self._lock:
            now = self.now
            seats: dict[SlotName, ModelSlot | None] = {}
            for role in SLOT_NAMES:
                slot: SlotSpec | None = getattr(order, role)
                loaded = known.get(_key(slot)) if slot else None
                seats[role] = self._kept_or_new(now, role, loaded)
            removed = _removed(now, order)
            if removed:
                seats["challenger"], missing = None, {**missing, "challenger": removed}
            if order.champion and seats["champion"] is None:
                stand_in = seats["previous"] if "champion" in missing else None
                seats["champion"] = now.champion or (self._seat("champion", stand_in.loaded) if stand_in else None)
            record = seats["challenger"].record if seats["challenger"] else None
            after = Slots(
                reconciled.generation,
                reconciled.decision,
                **seats,
                challenger_record=now.challenger_record if removed else record,
                policy=order.challenger.policy if order.challenger else None,
                missing=MappingProxyType(dict(missing)),
            )
            self.now = after
        self._tell(now, after)
        self._changed()

    def _kept_or_new(self, now: Slots, role: SlotName, loaded: Loaded | None) -> ModelSlot | None:
        if loaded is None:
            return None
        present = now.seat(role)
        return present if present and present.loaded is loaded else self._seat(role, loaded)

    def _seat(self, role: SlotName, loaded: Loaded) -> ModelSlot:
        threads: Executor = self._threads
        if role == "challenger":
            threads = ThreadPoolExecutor(self._count, "challenge")
        return ModelSlot(role, loaded, threads)

    def _tell(self, before: Slots, after: Slots) -> None:
        for role in SLOT_NAMES:
            old, new = before.seat(role), after.seat(role)
            if old is not new:
                if old:
                    old.tell(False)
                if new:
                    new.tell(True)


def _plain(slot: SlotSpec) -> SlotSpec:
    return SlotSpec(**{name: getattr(slot, name) for name in SlotSpec.model_fields})


def _key(slot: SlotSpec) -> tuple[str, str, str]:
    return slot.package_digest, slot.version, os.path.realpath(slot.bundle)


def _held(slot: SlotSpec, state: Literal["failed", "removed"], reason: str) -> SlotStatus:
    return SlotStatus(
        version=slot.version, package_digest=slot.package_digest, state=state, reason=reason, since=time.time()
    )


def _removed(now: Slots, order: ServingSpec) -> SlotStatus | None:
    """The challenger that was taken out, if the order still names it: until one did not, it stays out."""
    held, slot = now.missing.get("challenger"), order.challenger
    if held is None or slot is None or held.state != "removed":
        return None
    return held if (slot.package_digest, slot.version) == (held.package_digest, held.version) else None
