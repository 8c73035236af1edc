"""The end of a refusal where production cannot go back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from components.core.errors import ServingError
from components.release.production import Pin
from flows.releases import refusal

PIN = Pin(version="6", package_digest="6" * 64, bundle="digits:000000000006", bundle_digest=None)


def _rollout(said: list[str], worker: Any, *, holds: bool) -> Any:
    def wait(condition: Any, what: str) -> None:
        assert condition(worker) is holds
        if not holds:
            raise ServingError(f"the workers did not {what} within 60 s", where="digits")

    return SimpleNamespace(service=SimpleNamespace(wait=wait), context=SimpleNamespace(log=said.append))


def test_workers_that_do_not_go_back_end_the_release_and_say_why() -> None:
    said: list[str] = []
    worker = SimpleNamespace(champion=SimpleNamespace(package_digest="7" * 64))
    stuck = refusal._wait_for_return(_rollout(said, worker, holds=False), PIN)
    assert stuck == "the workers did not go back to version 6 within 60 s"
    assert stuck in said[0]
    worker.champion.package_digest = PIN.package_digest
    assert refusal._wait_for_return(_rollout(said, worker, holds=True), PIN) is None
