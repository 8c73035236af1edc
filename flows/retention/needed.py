"""The roots of gc: all references to artifacts, from registry, ledger, services, open runs and pipelines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx

from components import versioning
from components.contracts.pipeline import PipelineSpec
from components.contracts.serving_spec import SPEC_FILE, ServingSpec
from components.contracts.settings import RetentionSettings
from components.core import located_yaml
from components.core.errors import ModelyardError, NotFoundError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api
from components.release import history, production
from components.release import ledger as ledgers
from components.release.ledger import Entry, Role
from components.retention.item import Kind
from components.retention.reachability import Needed, Roots
from flows.pipelines import fingerprints, plan, pretrained
from flows.platform import connections, services, state
from flows.platform.lifecycle import Endpoints
from flows.platform.process_identity import Identity
from flows.platform.programs import SERVICE_PREFIX

REGISTRY_UNAVAILABLE = "the registry does not run: only it knows what aliases and pipelines need"
_ROLES: tuple[Role, ...] = ("champion", "challenger")
_BUNDLE = re.compile(r"bentos/([a-z][A-Za-z0-9_-]*)/([0-9a-f]{12})(?:[/\"]|$)")


class RootCollector:
    """Collects the roots of a project."""

    def __init__(self, project: Project, settings: RetentionSettings) -> None:
        self._project, self._settings = project, settings
        self.versions: list[Needed] = []
        self.names: dict[tuple[Kind, str], str] = {}
        self.open_models: dict[str, str] = {}
        self.all_open: str | None = None

    def collect(self, api: Api | None, endpoints: Endpoints | None, own_run: str | None) -> Roots:
        """Collect the current roots.

        Args:
            api: the registry's API; None if the registry does not run: artifacts that need it are not judged.
            endpoints: Prefect's endpoint, from which the pipeline of an open run is read.
            own_run: the id of the flow run of this gc, which is no root.

        Raises:
            RegistryError: the registry does not answer any more.
        """
        self._releases()
        self._services()
        self._open_runs(endpoints, own_run)
        for path in (self._project.root / "data").glob("*/dataset.yaml"):
            self.names["report", path.parent.name] = "its dataset is here"
        if api is not None:
            self._aliases(api)
            self._pipelines(api)
        return Roots(
            versions=tuple(self.versions),
            names=self.names,
            open_models=self.open_models,
            all_open=self.all_open,
            judged=api is not None,
            not_judged=None if api is not None else REGISTRY_UNAVAILABLE,
        )

    def _releases(self) -> None:
        """Roots from the ledger: pinned production, rollback targets and open releases."""
        for name in ledgers.models(self._project):
            try:
                entries = ledgers.of(self._project, name).entries()
                pins = production.decided(entries).production.pins
                pins_by_digest = production.pins(entries)
            except ModelyardError as error:
                self.open_models[name] = f"not judged: its ledger cannot be read ({error.what})"
                continue
            self.versions += [Needed(pin.package_digest, pin.bundle, f"{name} serves it") for pin in pins]
            for side in history.served_well(entries)[-self._settings.rollback_targets - 1 :]:
                if side.package_digest is not None:
                    pin = pins_by_digest.get(side.package_digest)
                    why = f"a rollback of {name} can go to version {side.version}"
                    self.versions.append(Needed(side.package_digest, pin.bundle if pin else None, why))
            for role in _ROLES:
                if (release := history.unfinished(entries, role)) is not None:
                    self.open_models[name] = f"the release {release.id} of {name} is open"
            self._evidence(name, entries)

    def _evidence(self, name: str, entries: list[Entry]) -> None:
        """Roots for the gate reports of versions that are in production or are rollback targets."""
        digests = {version.package_digest for version in self.versions}
        for entry in entries:
            key = entry.facts.get("evidence")
            if entry.after is not None and entry.after.package_digest in digests and isinstance(key, str):
                self.names["evidence", f"{name}/{Path(key).name[:16]}"] = f"version {entry.after.version} rests on it"

    def _services(self) -> None:
        """Roots from the services: the bundles in their specs, and the bundles that their processes run from."""
        for folder in (self._project.service("any").parent).glob("*/"):
            name = folder.name
            if services.service_url(self._project, name) is not None:
                self.names["service", name] = "the service runs"
            try:
                spec = ServingSpec.read(folder)
            except (ValueError, OSError):
                self.open_models[name] = f"not judged: {SPEC_FILE} of its service cannot be read"
                self.names["service", name] = "its spec cannot be read"
                continue
            for former in folder.glob("order.json"):  # of a service that an earlier Modelyard started
                self.names.setdefault(("service", name), "its spec is there")
                self._bundles_in(former.read_text(errors="replace"), f"the former spec of the service {name} names it")
            if spec is not None:
                self.names.setdefault(("service", name), "its spec is there")
                for slot in (spec.champion, spec.challenger, spec.previous, spec.staged):
                    if slot is not None:
                        self._bundles_in(f"{slot.bundle}/", f"the spec of the service {name} names it")
        for path in (state.folder(self._project) / "programs").glob(f"{SERVICE_PREFIX}*.json"):
            name = path.stem.removeprefix(SERVICE_PREFIX)
            self.names["service", name] = "the service runs"
            self._bundles_in(path.read_text(errors="replace"), f"the service {name} runs from it")

    def _bundles_in(self, text: str, why: str) -> None:
        for model, digits in _BUNDLE.findall(text):
            self.names["bundle", f"{model}:{digits}"] = why

    def _open_runs(self, endpoints: Endpoints | None, own_run: str | None) -> None:
        for path in sorted((self._project.state / "flows").glob("*.json")):
            if path.stem == own_run or not _is_alive(path):
                continue
            name = _pipeline_of_run(endpoints, path.stem)
            if name is None:
                self.all_open = "a run is open, of an unknown pipeline"
            else:
                self.open_models[name] = f"a run of {name} is open"

    def _aliases(self, api: Api) -> None:
        for name, aliases in versions.aliases(api).items():
            for alias, number in aliases.items():
                digest = versions.by_number(api, name, number).package_digest
                if digest is not None:
                    self.versions.append(Needed(digest, None, f"it is {alias} of {name}"))

    def _pipelines(self, api: Api) -> None:
        """Roots from the pipeline files: the products that `modelyard run` would reuse."""
        for path in sorted(self._project.pipelines.glob("*.yaml")):
            name = path.stem
            why = f"`modelyard run {name}` uses it"
            try:
                spec = located_yaml.read(path, PipelineSpec)
                data_digest = _data_digest(self._project, spec)
                if data_digest is None:  # never prepared: there is nothing to reuse
                    continue
                pretrained_digest = pretrained.digest(api, spec)
                pipeline_fingerprints = fingerprints.of(spec, data_digest, self._project.source_root, pretrained_digest)
                planned = plan.after_data(self._project, spec, api, frozenset(), pipeline_fingerprints)
            except ModelyardError as error:
                self.open_models[name] = f"not judged: {error.what}"
                continue
            self.names["run", self._project.run_folder(pipeline_fingerprints.train.digest).name] = why
            self.names["package", self._project.package(pipeline_fingerprints.package.digest).name] = why
            if planned.bundle is not None:
                self.names["bundle", planned.bundle.bundle.tag] = why


def gather(
    project: Project,
    settings: RetentionSettings,
    api: Api | None,
    endpoints: Endpoints | None,
    own_run: str | None = None,
) -> Roots:
    """The roots of a project; arguments are those of `RootCollector.collect`."""
    return RootCollector(project, settings).collect(api, endpoints, own_run)


def change_token(project: Project, api: Api | None) -> tuple[object, ...]:
    """A value that changes when the roots may have changed; cheap enough to compute before each removal."""
    paths = [
        *project.service("any").parent.glob(f"*/{SPEC_FILE}"),
        *(state.folder(project) / "programs").glob("*.json"),
        *(project.state / "flows").glob("*.json"),
        *project.pipelines.glob("*.yaml"),
        *project.ledger.glob("*.head"),
        *project.ledger.glob("*.jsonl"),
    ]
    files = tuple(sorted((str(path), version) for path in paths if (version := _file_version(path))))
    aliases = json.dumps(versions.aliases(api), sort_keys=True) if api is not None else None
    return (files, aliases)


def _data_digest(project: Project, spec: PipelineSpec) -> str | None:
    try:
        return versioning.data_digest(project, spec.dataset)
    except NotFoundError:
        return None


def _file_version(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def _is_alive(path: Path) -> bool:
    try:
        return Identity.from_json(json.loads(path.read_text())).is_alive()
    except (FileNotFoundError, ValueError):
        return False


def _pipeline_of_run(endpoints: Endpoints | None, flow_run: str) -> str | None:
    """The pipeline of an open run; None if Prefect does not answer."""
    if endpoints is None:
        return None
    try:
        with connections.client(endpoints.prefect_credentials, endpoints.prefect_api, timeout=10) as client:
            answer: Any = client.get(f"/flow_runs/{flow_run}").raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    name = answer.get("parameters", {}).get("name")
    return name if isinstance(name, str) else None
