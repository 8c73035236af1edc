"""One garbage collection: judges every artifact, and removes those that can be removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.access import server_database
from components.contracts import settings as settings_file
from components.contracts.settings import RetentionSettings
from components.core.errors import ModelyardError
from components.core.log import Log
from components.core.project import Project
from components.registry import deleted_runs
from components.registry.api import Api
from components.retention import reachability
from components.retention.item import Item, Kind
from components.retention.reachability import RetentionDecision
from components.versioning import unused_cache
from flows.platform import connections, environment
from flows.platform.lifecycle import Endpoints
from flows.retention import inventory, job_folders, needed, removal
from flows.retention.removal import Removal


@dataclass(frozen=True)
class Collected:
    """The result of a gc.

    Args:
        kept_after_all: artifacts that were needed again before their removal, with the reason.
        failed: artifacts that could not be removed, with the error.
    """

    removed: tuple[Removal, ...]
    kept_after_all: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]

    @property
    def bytes(self) -> int:
        """Total size of the removed artifacts in bytes."""
        return sum(removed.item.bytes for removed in self.removed)


@dataclass(frozen=True)
class Collection:
    """One gc of a project.

    Args:
        api: the registry's API; None if the registry does not run: artifacts that only the registry can judge are kept.
        log: called with one message for each artifact.
        own_run: the id of the flow run of this gc, or None.
    """

    project: Project
    settings: RetentionSettings
    api: Api | None
    endpoints: Endpoints | None
    log: Log
    own_run: str | None = None

    def judge_all(self) -> list[RetentionDecision]:
        """A verdict on every removable kind of artifact. Nothing is changed."""
        items = inventory.on_disk(self.project)
        items += self._owned("DVC's cache", self._cache)
        items += self._owned("deleted runs in MLflow", self._mlflow)
        items += self._owned("jobs on other machines", lambda: job_folders.find(self.project, self.log))
        return self._judge(items)

    def collect(self, verdicts: Sequence[RetentionDecision]) -> Collected:
        """Remove the removable artifacts, except those that are needed by now. The caller holds `removal.lock`."""
        chosen_keys = {(verdict.item.kind, verdict.item.name) for verdict in verdicts if verdict.removable}
        owned_items = [verdict.item for verdict in verdicts if verdict.removable and verdict.item.path is None]
        change_token = needed.change_token(self.project, self.api)
        judged_verdicts = self._judge_again(owned_items, chosen_keys)
        kept = {_name(verdict.item): verdict.why for verdict in judged_verdicts if not verdict.removable}
        removals = removal.plan(self.project, judged_verdicts)
        removed: list[Removal] = []
        failed: list[tuple[str, str]] = []
        for number, entry in enumerate(removals, 1):
            current_token = needed.change_token(self.project, self.api)
            if current_token != change_token:  # references may have changed: judge the remaining artifacts again
                change_token = current_token
                remaining_keys = {(other.item.kind, other.item.name) for other in removals[number - 1 :]}
                kept |= {
                    _name(verdict.item): verdict.why
                    for verdict in self._judge_again(owned_items, remaining_keys)
                    if not verdict.removable
                }
            name = _name(entry.item)
            if name in kept:
                continue
            try:
                why = self._remove(entry)
            except (ModelyardError, OSError) as error:
                failed.append((name, str(error)))
                self.log(f"[{number}/{len(removals)}] {name} is not removed: {error}")
                continue
            if why is not None:
                kept[name] = why
                continue
            removed.append(entry)
            self.log(f"[{number}/{len(removals)}] {name}, {entry.item.bytes / 1e6:,.1f} MB")
        removal.clear_plan(self.project)
        return Collected(tuple(removed), tuple(kept.items()), tuple(failed))

    def _judge(self, items: list[Item]) -> list[RetentionDecision]:
        roots = needed.gather(self.project, self.settings, self.api, self.endpoints, self.own_run)
        return reachability.judge(items, roots, self.settings, time.time())

    def _judge_again(self, owned: list[Item], chosen: set[tuple[Kind, str]]) -> list[RetentionDecision]:
        """New verdicts on the chosen artifacts, from the current state of the disk and of the references."""
        verdicts = self._judge([*inventory.on_disk(self.project), *owned])
        return [verdict for verdict in verdicts if (verdict.item.kind, verdict.item.name) in chosen]

    def _remove(self, entry: Removal) -> str | None:
        """Remove one artifact; returns None, or the reason why it is kept."""
        if entry.item.kind == "data":
            unused = unused_cache.unused(self.project, self.settings.data_cache, self.log)
            if time.time() - unused.youngest < self.settings.min_age_minutes * 60:
                return "written meanwhile"
            unused_cache.collect(self.project, self.settings.data_cache, self.log)
        elif entry.item.kind == "job":
            if (why := job_folders.remove(self.project, entry.item.name, self.log)) is not None:
                return why
        elif entry.item.kind == "mlflow-run":
            if self.api is None:
                return needed.REGISTRY_UNAVAILABLE
            deleted = {run.id: run for run in deleted_runs.find(self.project, self.api).runs}
            if entry.item.name not in deleted or deleted[entry.item.name].needed_by is not None:
                return "it was restored, or a version rests on it"
            variables = {**environment.QUIET, **connections.variables(self.project.root)}
            deleted_runs.remove(self.project, self.api, [entry.item.name], variables)
        else:
            if (why := inventory.in_use(self.project, entry.item)) is not None:
                return why
            return None if removal.remove(self.project, entry) else "it is gone"
        removal.record(self.project, entry)
        return None

    def _cache(self) -> list[Item]:
        if not (self.project.root / ".dvc" / "cache").is_dir():
            return []
        return inventory.of_cache(unused_cache.unused(self.project, self.settings.data_cache, self.log))

    def _mlflow(self) -> list[Item]:
        was_started = (
            server_database.is_named(self.project, "mlflow") or (self.project.state / "mlflow" / "mlflow.db").is_file()
        )
        if self.api is None or not was_started:
            return []
        if not connections.of(self.project).mlflow.is_own:  # a shared registry has an owner of its own
            return []
        return inventory.of_mlflow(deleted_runs.find(self.project, self.api))

    def _owned(self, owner: str, find: Callable[[], list[Item]]) -> list[Item]:
        """The items that another system (DVC, MLflow) owns; if it fails, the error is logged and there are none."""
        try:
            return find()
        except ModelyardError as error:
            self.log(f"{owner}: not judged: {error.what}" + (f" ({error.got})" if error.got else ""))
            return []


def _name(item: Item) -> str:
    return f"{item.kind} {item.name}"


def settings_of(project: Project, keep: int | None = None) -> RetentionSettings:
    """The section `[retention]` of `modelyard.toml`.

    Args:
        keep: number of rollback targets; overrides the file.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    settings = settings_file.read(project.root).retention
    return settings if keep is None else settings.model_copy(update={"rollback_targets": keep})
