"""Everything that the pages read, each source with its own pace."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from components.contracts import settings
from components.core.project import Project
from flows.console import prefect_view, registry_view
from flows.console.actions import Actions
from flows.console.reader_process import ReaderProcess
from flows.console.refreshed import Refreshed, RefreshedByKey
from flows.console.release_index import ReleaseIndex
from flows.console.traffic import TrafficSampler

REGISTRY_SECONDS, PREFECT_SECONDS, PLAN_SECONDS, SLOW_SECONDS = 2.0, 3.0, 120.0, 300.0

Document = dict[str, Any]


class Sources:
    """The sources of a project's console. Made once; threads share it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.releases = ReleaseIndex(project)
        self.traffic = TrafficSampler(project)
        self.actions = Actions()
        self.aliases = Refreshed(lambda: registry_view.aliases(project), REGISTRY_SECONDS)
        self.versions: RefreshedByKey[str, list[Document]] = RefreshedByKey(
            lambda name: registry_view.versions_of(project, name), REGISTRY_SECONDS
        )
        self.runs = Refreshed(lambda: prefect_view.runs(project), PREFECT_SECONDS)
        self.deployments = Refreshed(lambda: prefect_view.deployments(project), PREFECT_SECONDS)
        # Several readers, so that nothing waits for plans of many pipelines, or for what takes minutes.
        self._planner, self._quick, self._slow = (ReaderProcess(project) for _ in range(3))
        self.plans: RefreshedByKey[str, Document] = RefreshedByKey(
            lambda name: self._planner.ask("plan", name), PLAN_SECONDS
        )
        self.quality: RefreshedByKey[str, Document] = RefreshedByKey(
            lambda name: self._quick.ask("quality", name), 60.0
        )
        self.predictions: RefreshedByKey[str, Document] = RefreshedByKey(
            lambda identity: self._quick.ask("prediction", identity), 10.0
        )
        self.revisions: RefreshedByKey[str, Document] = RefreshedByKey(
            lambda dataset: self._quick.ask("revisions", dataset), 30.0
        )
        self.differences: RefreshedByKey[tuple[str, str, str], Document] = RefreshedByKey(
            lambda key: self._slow.ask("difference", *key), SLOW_SECONDS
        )
        self.chains: RefreshedByKey[tuple[str, str], Document] = RefreshedByKey(
            lambda key: self._slow.ask("chain", *key), SLOW_SECONDS
        )
        self.disk: Refreshed[Document] = Refreshed(lambda: self._slow.ask("disk"), SLOW_SECONDS)

    def start(self) -> None:
        """Start looking in the background."""
        self.releases.start()
        self.traffic.start()
        self.aliases.get()

    def close(self) -> None:
        """End what was started."""
        for reader in (self._planner, self._quick, self._slow):
            reader.close()

    @cached_property
    def has_buttons(self) -> bool:
        """Whether the pages have buttons that change something (`[console] buttons` of modelyard.toml)."""
        return settings.read(self.project.root).console.buttons
