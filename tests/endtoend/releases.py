"""Small pipelines, versions and aliases in a house, and what its production says."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml

from components.contracts.serving_spec import ServiceStatus
from components.identity.package import Package
from components.registry import registration, tracking, versions
from components.registry.api import Api
from components.registry.registration import Registration
from components.release import ledger as ledgers
from components.release.ledger import Entry
from flows.platform import connections
from flows.releases import observation
from flows.serving_targets.local_target import LocalServingTarget
from tests import small_package
from tests.house import House
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
CALM = "calm"


class Releases:
    """One house's production."""

    def __init__(self, house: House) -> None:
        self.house = house

    @cached_property
    def api(self) -> Api:
        """Its registry."""
        return self.house.api()

    def pipeline(self, name: str, *, gates: dict[str, Any] | None = None, **release: Any) -> str:
        """A pipeline whose releases take little: no comparison, and a short watch, unless told otherwise."""
        self.house.pipeline(name, schedule=None, gates={})
        path = self.house.project.pipeline_file(name)
        document = yaml.safe_load(path.read_text())
        document["gates"] = gates or {"champion": None}
        document["release"] = {"watch_seconds": 0.2, "grace_seconds": 1.0, **release}
        path.write_text(yaml.safe_dump(document))
        return name

    def register(self, name: str, *, seed: int = 0, pipeline: str | None = None, **options: Any) -> str:
        """A version with a small package of its own; options are those of `small_package.build`."""
        with tempfile.TemporaryDirectory() as folder:
            package = small_package.build(
                Path(folder) / "package",
                pipeline=pipeline or name,
                train_fingerprint=secrets.token_hex(32),
                seed=seed,
                **options,
            )
            return self.register_package(name, package)

    def register_package(self, name: str, package: Package) -> str:
        """A version with this package."""
        run = tracking.ensure(self.api, name, package.facts.train_fingerprint, {})
        asked = Registration(name, secrets.token_hex(32), package, "numpy\n", ROOT, {})
        return registration.register(self.api, run, asked, self.house.project.locks).version

    def set(self, name: str, version: str, alias: str = "champion") -> None:
        """As the registry's UI does it."""
        versions.set_alias(self.api, name, alias, version)

    def clear(self, name: str, alias: str = "champion") -> None:
        """As the registry's UI does it."""
        versions.delete_alias(self.api, name, alias)

    def alias(self, name: str, alias: str = "champion") -> str | None:
        """The version that it names."""
        return versions.aliases_of(self.api, name).get(alias)

    def tags(self, name: str, version: str) -> dict[str, str]:
        """A version's tags."""
        return versions.by_number(self.api, name, version).tags

    def service(self, name: str) -> LocalServingTarget:
        """Its service."""
        return LocalServingTarget(self.house.project, name)

    def says(self, name: str) -> ServiceStatus | None:
        """What its service says."""
        return self.service(name).status()

    def answer(self, name: str, seed: int = 0, **headers: str) -> httpx.Response:
        """One request to production."""
        known = connections.headers(self.house.project) if headers else {}
        return httpx.post(
            f"{self.service(name).url}/predict",
            content=small_package.image(seed),
            headers={"content-type": "application/octet-stream", **known, **headers},
            trust_env=False,
            verify=False,
            timeout=30,
        )

    def serves(self, name: str) -> str | None:
        """The version that answers a request."""
        try:
            return self.answer(name).headers.get("X-Modelyard-Version")
        except (httpx.HTTPError, httpx.InvalidURL):
            return None

    def wait_until_serves(self, name: str, version: str) -> None:
        """Production has followed, and its ledger is closed."""
        eventually(lambda: self.serves(name) == version and self.is_settled(name), f"{name} serves version {version}")

    def entries(self, name: str) -> list[Entry]:
        """The ledger, its chain checked."""
        return ledgers.of(self.house.project, name).entries()

    def events(self, name: str, version: str, role: str = "champion") -> list[str]:
        """What the ledger says of a version in a role."""
        return [
            entry.event
            for entry in self.entries(name)
            if entry.after is not None and entry.after.version == version and entry.role == role
        ]

    def is_settled(self, name: str) -> bool:
        """Whether no release of it is open."""
        from components.release import history

        return not any(history.unfinished(self.entries(name), role) for role in ("champion", "challenger"))

    def wait_for(self, name: str, version: str, event: str, role: str = "champion", since: int = 0) -> Entry:
        """The entry that says so, not among the first `since`."""

        def found() -> Entry | None:
            return next(
                (
                    entry
                    for entry in reversed(self.entries(name)[since:])
                    if entry.event == event and entry.role == role and entry.after and entry.after.version == version
                ),
                None,
            )

        return eventually(found, f"{name} {version}: {event}")

    def worker(self, name: str) -> int | None:
        """The process that releases it now."""
        return observation.worker(self.house.project, name)

    def kill_worker(self, name: str) -> bool:
        """Kill the process that releases it now; returns whether there was one."""
        worker = self.worker(name)
        if worker is None:
            return False
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True
