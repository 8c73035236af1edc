"""A project with one thing of every kind that something needs, and one that nothing needs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.contracts.serving_spec import ServingSpec, SlotSpec
from components.core.project import Project
from components.identity import manifest
from components.registry.api import Api, MissingError
from components.release import ledger as ledgers
from components.release.ledger import VersionRef
from components.release.production import Pin, Production
from flows.platform import process_identity

HOUR = 3600.0


class FakeRegistry(Api):
    """A registry as gc asks for it: models with versions and aliases, in memory."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.digests: dict[tuple[str, str], str] = {}
        self.aliases: dict[str, dict[str, str]] = {}

    def pages(self, method: str, path: str, key: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if path != "registered-models/search":
            return
        for name, named in self.aliases.items():
            yield {"name": name, "aliases": [{"alias": alias, "version": number} for alias, number in named.items()]}

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        found = self.digests.get((parameters.get("name", ""), parameters.get("version", "")))
        if found is None:
            raise MissingError("there is none", where=path)
        tags = [{"key": "modelyard.package_digest", "value": found}]
        return {"model_version": {"name": parameters["name"], "version": parameters["version"], "tags": tags}}


def digits(number: int) -> str:
    """A digest that stands for a thing."""
    return f"{number:02x}" * 32


def make(root: Path) -> Project:
    """An empty project."""
    (root / "pipelines").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    project = Project(root)
    project.state.mkdir(mode=0o700)
    return project


def bundle(project: Project, number: int, package_digest: str, version: str, model: str = "sample") -> str:
    """A bundle as it lies on disk; returns its tag."""
    name = digits(number)[:12]
    source = project.bundles / "bentos" / model / name / "src"
    source.mkdir(parents=True)
    (source / "serving.json").write_text("{}")
    (source / "model.onnx").write_bytes(bytes([number]) * 1000)
    manifest.seal(source, "bundle", {"model": model, "version": version, "package_digest": package_digest})
    (source.parent / "bento.yaml").write_text("name: sample\n")
    (source.parent.parent / "latest").write_text(name)
    return f"{model}:{name}"


def package(project: Project, number: int, model: str = "sample") -> str:
    """A package as it lies on disk; returns its digest."""
    folder = project.package(digits(number))
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(bytes([number]) * 1000)
    return manifest.seal(folder, "package", {"pipeline": model}).digest


def run(project: Project, number: int, model: str = "sample") -> Path:
    """A run folder with a checkpoint."""
    folder = project.run_folder(digits(number))
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "state").write_bytes(bytes([number]) * 1000)
    (folder / "request.json").write_text(json.dumps({"pipeline": model}))
    (folder / "lock").touch()
    return folder


def evidence(project: Project, number: int, model: str = "sample") -> str:
    """What the gates left; returns its key."""
    folder = project.gates(model, digits(number))
    folder.mkdir(parents=True)
    (folder / "evidence.json").write_text("{}")
    return digits(number)


def reference(project: Project, place: str, package_digest: str) -> str:
    """What windows of a package are compared with; returns the folder's name."""
    folder = project.state / place / package_digest[:16]
    file(folder / "rows.parquet")
    manifest.seal(folder, "reference", {"package_digest": package_digest, "data_digest": digits(1)})
    return folder.name


def file(path: Path, text: str = "words\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def pin(version: str, package_digest: str, tag: str) -> Pin:
    return Pin(version=version, package_digest=package_digest, bundle=tag, bundle_digest=None)


def serve(project: Project, model: str, pinned: Pin, key: str | None = None, previous: Pin | None = None) -> None:
    """A release that ended well, in the ledger."""
    ledger = ledgers.of(project, model)
    release = f"{model}-{pinned.version}-{len(ledger.entries())}"
    side = VersionRef(version=pinned.version, package_digest=pinned.package_digest)
    production = Production(champion=pinned, previous=previous).model_dump(mode="json")

    def write(event: Any, **facts: Any) -> None:
        ledger.append(event, release=release, role="champion", before=None, after=side, asked_by="ann", facts=facts)

    write("asked")
    if key is not None:
        write("gated", evidence=key)
    write("switching", production=production)
    write("served")


def write_spec(project: Project, model: str, pinned: Pin) -> Path:
    """The spec that a service follows."""
    folder = project.service(model)
    folder.mkdir(parents=True, exist_ok=True)
    place = project.bundles / "bentos" / model / pinned.bundle.partition(":")[2] / "src"
    slot = SlotSpec(version=pinned.version, package_digest=pinned.package_digest, bundle=os.path.relpath(place, folder))
    ServingSpec(generation=1, champion=slot).write(folder)
    return folder


def open_run(project: Project, name: str = "a-run") -> Path:
    """A flow run that this very process works on."""
    return file(project.state / "flows" / f"{name}.json", json.dumps(process_identity.own().to_json()))


def make_old(project: Project, hours: float = 24 * 60) -> None:
    """Everything was written long ago."""
    then = time.time() - hours * HOUR
    for path in sorted(project.state.rglob("*"), reverse=True):
        if "ledger" not in path.relative_to(project.state).parts:
            os.utime(path, (then, then), follow_symlinks=False)


def tree(project: Project) -> dict[str, bytes]:
    """All files but those of gc itself, of locks and of the ledger."""
    spared = ("retention", "locks", "ledger")
    return {
        str(path.relative_to(project.state)): path.read_bytes()
        for path in sorted(project.state.rglob("*"))
        if path.is_file() and path.relative_to(project.state).parts[0] not in spared
    }


class Planted:
    """One of each kind that is needed, one that is not.

    Attributes:
        needed: what must stay, by kind and name.
        useless: what must go.
    """

    def __init__(self, root: Path) -> None:
        self.project = project = make(root)
        self.registry = FakeRegistry()
        self.needed: set[tuple[str, str]] = set()
        self.useless: set[tuple[str, str]] = set()
        # Versions 1 to 6 have served in this order; 6 serves, 5, 4 and 3 are the rollback targets.
        pins = []
        for number in range(1, 7):
            digest = package(project, number)
            tag = bundle(project, number, digest, str(number))
            key = evidence(project, number)
            pins.append(pin(str(number), digest, tag))
            serve(project, "sample", pins[-1], key, pins[-2] if number > 1 else None)
            self._note(number > 2, ("bundle", tag), ("package", digits(number)[:16]))
            self._note(number > 2, ("evidence", f"sample/{key[:16]}"))
        # The same package in a bundle of other serving code: not the one that is pinned.
        self._note(False, ("bundle", bundle(project, 0x16, pins[5].package_digest, "6")))
        write_spec(project, "sample", pins[5])
        self._note(True, ("service", "sample"))
        # A version that an alias names and that never served.
        aliased = package(project, 0x21)
        self.registry.digests["sample", "9"] = aliased
        self.registry.aliases["sample"] = {"champion": "6", "favourite": "9"}
        self.registry.digests["sample", "6"] = pins[5].package_digest
        self._note(True, ("package", digits(0x21)[:16]), ("bundle", bundle(project, 0x21, aliased, "9")))
        # A version that nobody names, a bundle that was never finished, a model that is gone.
        forgotten = package(project, 0x22)
        self._note(False, ("package", digits(0x22)[:16]), ("bundle", bundle(project, 0x22, forgotten, "8")))
        half = project.bundles / "bentos" / "gone" / digits(0x23)[:12]
        file(half / "src" / "model.onnx")
        self._note(False, ("bundle", f"gone:{digits(0x23)[:12]}"))
        run(project, 0x31)
        self._note(False, ("run", digits(0x31)[:16]))
        # What a service's process runs from, and services that are gone.
        started = bundle(project, 0x24, digits(0x24), "1", model="other")
        source = project.bundles / "bentos" / "other" / digits(0x24)[:12] / "src"
        launch = {"command": ["python", f"{source}/serving/start.py"], "folder": str(root)}
        file(project.state / "stack" / "programs" / "serve-other.json", json.dumps(launch))
        file(project.service("other") / "bentoml" / "prometheus" / "counter_1.db")
        self._note(True, ("bundle", started), ("service", "other"))
        file(project.service("ended") / "bentoml" / "prometheus" / "counter_1.db")
        self._note(False, ("service", "ended"))
        logs = project.state / "stack" / "logs"
        file(logs / "serve-other.log"), file(logs / "mlflow.log")
        file(logs / "serve-ended.log"), file(logs / "mlflow.log.3")
        self._note(False, ("log", "serve-ended.log"), ("log", "mlflow.log.3"))
        file(project.state / "requests" / "gates-1.json")
        self._note(False, ("request", "gates-1.json"))
        file(root / "data" / "things" / "dataset.yaml")
        file(project.reports("things") / "raw.json"), file(project.reports("gone") / "report.html")
        self._note(True, ("report", "things"))
        self._note(False, ("report", "gone"))
        file(project.last_run("sample"))
        self._note(True, ("reference", reference(project, "references", pins[5].package_digest)))
        self._note(False, ("reference", reference(project, "references", forgotten)))
        self._note(False, ("reference", reference(project, "rehearsals/rows", forgotten)))
        file(project.state / "rehearsals" / "sample" / "report.html")
        self._note(False, ("rehearsal", "sample"))
        file(project.monitoring("sample") / "2026-01-02T03" / "verdict.json")
        file(project.monitoring("sample") / "live.json")
        self._note(True, ("window", "sample/2026-01-02T03"))  # predictions_days is not set
        make_old(project)

    def _note(self, needed: bool, *names: tuple[str, str]) -> None:
        (self.needed if needed else self.useless).update(names)
