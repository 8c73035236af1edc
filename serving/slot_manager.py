"""The slots of one worker. A new package is loaded beside the old, then one reference is swapped."""

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
from serving.loaded import LoadedPackage, load
from serving.slots import ModelSlot, Slots

LOADING_ORDER: tuple[SlotName, ...] = ("champion", "previous", "staged", "challenger")

LOG = logging.getLogger("bentoml.modelyard")  # below BentoML's logger, whose handlers write the service's log


class SlotManager:
    """The slots of one worker.

    `current` is replaced as a whole and never changed in place, so a request that has read it keeps a consistent view.

    Args:
        model: name of the model; packages of another model are refused.
        threads: size of the pool of champion, previous and staged together; a challenger gets a pool of its own.
        changed: called after each change, from any thread.
    """

    def __init__(self, model: str, threads: int, changed: Callable[[], None] = lambda: None) -> None:
        self.model = model
        self.current = Slots()
        self._count = threads
        # A third of what anyio's hop to a thread costs.
        self._threads = ThreadPoolExecutor(threads, "predict")
        self._changed = changed
        self._lock = threading.Lock()

    def serve(self, loaded: LoadedPackage) -> None:
        """Serve one package as the champion, without a spec."""
        before, self.current = self.current, Slots(champion=self._new_slot("champion", loaded))
        self._publish(before, self.current)

    def reconcile(self, spec: ServingSpec) -> None:
        """Make the slots equal to a spec, as far as possible.

        A package that is loaded moves to its new slot at once. Other packages are loaded one after the other; the
        champion stays until the new one is ready. A package that fails to load is `missing`, and the other slots are as
        they would be without it. A package that stays in its slot keeps its counts. One thread calls this at a time.
        """
        before = self.current
        known = {_key(slot.loaded.spec): slot.loaded for role in SLOT_NAMES if (slot := before.get(role))}
        missing = _failed_before(before, spec)
        self._arrange(spec, known, missing, before)
        for role in LOADING_ORDER:
            slot_spec: SlotSpec | None = getattr(spec, role)
            if slot_spec is None or _key(slot_spec) in known or (role == "challenger" and _removed(self.current, spec)):
                continue
            begin = time.perf_counter()
            try:
                known[_key(slot_spec)] = load(_plain(slot_spec), self.model)
                missing.pop(role, None)
            except ModelyardError as error:
                reason = "; ".join(" ".join(line.split()) for line in error.lines())
                missing[role] = _status(slot_spec, "failed", reason)
                LOG.error("%s version %s is not loaded: %s", role, slot_spec.version, reason)
            else:
                LOG.info("%s version %s is loaded: %.2f s", role, slot_spec.version, time.perf_counter() - begin)
                self._arrange(spec, known, missing, before)
        self._arrange(spec, known, missing, spec)

    def judge(self, slot: ModelSlot) -> None:
        """Remove a challenger if it broke a limit."""
        current = self.current
        if current.challenger is not slot or current.policy is None:
            return
        champion = current.champion.recorder if current.champion else None
        if reason := guard.broken_limit(slot.recorder, champion, current.policy.limits):
            self.remove_challenger(slot, reason)

    def remove_challenger(self, slot: ModelSlot, reason: str) -> None:
        """Remove a challenger; from then on the champion answers its requests."""
        with self._lock:
            current = self.current
            if current.challenger is not slot:
                return
            status = _status(slot.loaded.spec, "removed", reason)
            self.current = replace(
                current, challenger=None, missing=MappingProxyType({**current.missing, "challenger": status})
            )
        LOG.warning("challenger version %s is removed: %s", slot.loaded.spec.version, reason)
        slot.publish(False)
        self._changed()

    def _arrange(
        self,
        spec: ServingSpec,
        known: dict[tuple[str, str, str], LoadedPackage],
        missing: dict[SlotName, SlotStatus],
        reconciled: ServingSpec | Slots,
    ) -> None:
        """Put the loaded packages into the slots of the spec; `reconciled` has the generation to report afterwards."""
        with self._lock:
            current = self.current
            slots: dict[SlotName, ModelSlot | None] = {}
            for role in SLOT_NAMES:
                slot_spec: SlotSpec | None = getattr(spec, role)
                loaded = known.get(_key(slot_spec)) if slot_spec else None
                slots[role] = self._kept_or_new(current, role, loaded)
            removed = _removed(current, spec)
            if removed:
                slots["challenger"], missing = None, {**missing, "challenger": removed}
            if spec.champion and slots["champion"] is None:
                stand_in = slots["previous"] if "champion" in missing else None
                slots["champion"] = current.champion or (
                    self._new_slot("champion", stand_in.loaded) if stand_in else None
                )
            recorder = slots["challenger"].recorder if slots["challenger"] else None
            after = Slots(
                reconciled.generation,
                reconciled.decision,
                **slots,
                challenger_recorder=current.challenger_recorder if removed else recorder,
                policy=spec.challenger.policy if spec.challenger else None,
                missing=MappingProxyType(dict(missing)),
            )
            self.current = after
        self._publish(current, after)
        self._changed()

    def _kept_or_new(self, current: Slots, role: SlotName, loaded: LoadedPackage | None) -> ModelSlot | None:
        if loaded is None:
            return None
        present = current.get(role)
        return present if present and present.loaded is loaded else self._new_slot(role, loaded)

    def _new_slot(self, role: SlotName, loaded: LoadedPackage) -> ModelSlot:
        threads: Executor = self._threads
        if role == "challenger":
            threads = ThreadPoolExecutor(self._count, "challenge")
        return ModelSlot(role, loaded, threads, self._count)

    def _publish(self, before: Slots, after: Slots) -> None:
        for role in SLOT_NAMES:
            old, new = before.get(role), after.get(role)
            if old is not new:
                if old:
                    old.publish(False)
                if new:
                    new.publish(True)


def _plain(slot_spec: SlotSpec) -> SlotSpec:
    return SlotSpec(**{name: getattr(slot_spec, name) for name in SlotSpec.model_fields})


def _key(slot_spec: SlotSpec) -> tuple[str, str, str]:
    return slot_spec.package_digest, slot_spec.version, os.path.realpath(slot_spec.bundle)


def _status(slot_spec: SlotSpec, state: Literal["failed", "removed"], reason: str) -> SlotStatus:
    return SlotStatus(
        version=slot_spec.version,
        package_digest=slot_spec.package_digest,
        state=state,
        reason=reason,
        since=time.time(),
    )


def _failed_before(current: Slots, spec: ServingSpec) -> dict[SlotName, SlotStatus]:
    """What failed to load and is to be loaded again: it has failed until it is loaded."""
    return {
        role: status
        for role, status in current.missing.items()
        if status.state == "failed" and _is_of(status, getattr(spec, role))
    }


def _removed(current: Slots, spec: ServingSpec) -> SlotStatus | None:
    """The status of a removed challenger that the spec still names; it stays removed until a spec does not name it."""
    status = current.missing.get("challenger")
    return status if status and status.state == "removed" and _is_of(status, spec.challenger) else None


def _is_of(status: SlotStatus, slot_spec: SlotSpec | None) -> bool:
    return slot_spec is not None and (slot_spec.package_digest, slot_spec.version) == (
        status.package_digest,
        status.version,
    )
