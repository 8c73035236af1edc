"""One gc from beginning to end: look, plan, and, if asked, remove."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.contracts import settings as settings_file
from components.contracts.settings import RetentionSettings
from components.core.errors import ModelyardError
from components.core.project import Project
from components.registry import deleted_runs
from components.registry.api import Api
from components.retention import reachability
from components.retention.item import Item, Kind
from components.retention.reachability import Verdict
from components.versioning import unused_cache
from flows.platform import connections, environment
from flows.platform.lifecycle import Endpoints
from flows.retention import inventory, needed, removal
from flows.retention.removal import Removal

Log = Callable[[str], None]


@dataclass(frozen=True)
class Collected:
    """What was removed.

    Args:
        kept_after_all: what something needed by the time that it was to be removed, and why.
        failed: what could not be removed, and why.
    """

    removed: tuple[Removal, ...]
    kept_after_all: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]

    @property
    def bytes(self) -> int:
        """Of all that was removed."""
        return sum(one.item.bytes for one in self.removed)


@dataclass(frozen=True)
class Collection:
    """One gc of a project.

    Args:
        api: the registry; None: it is away, and what needs it stays.
        own_run: the flow run that this gc is, if it is one.
    """

    project: Project
    settings: RetentionSettings
    api: Api | None
    endpoints: Endpoints | None
    log: Log
    own_run: str | None = None

    def look(self) -> list[Verdict]:
        """A verdict on everything that may go. Nothing is changed."""
        items = inventory.on_disk(self.project)
        items += self._owned("DVC's cache", self._cache)
        items += self._owned("deleted runs in MLflow", self._mlflow)
        return self._judge(items)

    def collect(self, verdicts: Sequence[Verdict]) -> Collected:
        """Remove what can go; what something needs by now stays. Called within `removal.alone`."""
        chosen = {(one.item.kind, one.item.name) for one in verdicts if one.removable}
        owned = [one.item for one in verdicts if one.removable and one.item.path is None]
        known = needed.stamp(self.project, self.api)
        judged = self._judge_again(owned, chosen)
        kept = {_name(one.item): one.why for one in judged if not one.removable}
        removals = removal.plan(self.project, judged)
        removed: list[Removal] = []
        failed: list[tuple[str, str]] = []
        for number, one in enumerate(removals, 1):
            now = needed.stamp(self.project, self.api)
            if now != known:  # something else may be needed by now: all that is left is judged anew
                known = now
                left = {(other.item.kind, other.item.name) for other in removals[number - 1 :]}
                kept |= {_name(seen.item): seen.why for seen in self._judge_again(owned, left) if not seen.removable}
            name = _name(one.item)
            if name in kept:
                continue
            try:
                why = self._remove(one)
            except (ModelyardError, OSError) as error:
                failed.append((name, str(error)))
                self.log(f"[{number}/{len(removals)}] {name} is not removed: {error}")
                continue
            if why is not None:
                kept[name] = why
                continue
            removed.append(one)
            self.log(f"[{number}/{len(removals)}] {name}, {one.item.bytes / 1e6:,.1f} MB")
        removal.done(self.project)
        return Collected(tuple(removed), tuple(kept.items()), tuple(failed))

    def _judge(self, items: list[Item]) -> list[Verdict]:
        roots = needed.gather(self.project, self.settings, self.api, self.endpoints, self.own_run)
        return reachability.judge(items, roots, self.settings, time.time())

    def _judge_again(self, owned: list[Item], chosen: set[tuple[Kind, str]]) -> list[Verdict]:
        """Verdicts on some things, as all that is on disk by now and all that is needed by now decide."""
        verdicts = self._judge([*inventory.on_disk(self.project), *owned])
        return [one for one in verdicts if (one.item.kind, one.item.name) in chosen]

    def _remove(self, one: Removal) -> str | None:
        """Remove one thing; returns why it stays after all."""
        if one.item.kind == "data":
            found = unused_cache.unused(self.project, self.settings.data_cache)
            if time.time() - found.youngest < self.settings.min_age_minutes * 60:
                return "written meanwhile"
            unused_cache.collect(self.project, self.settings.data_cache, self.log)
        elif one.item.kind == "mlflow-run":
            if self.api is None:
                return needed.AWAY
            now = {run.id: run for run in deleted_runs.find(self.project, self.api).runs}
            if one.item.name not in now or now[one.item.name].needed_by is not None:
                return "it was restored, or a version rests on it"
            variables = {**environment.QUIET, **connections.variables(self.project.root)}
            deleted_runs.remove(self.project, self.api, [one.item.name], variables)
        else:
            if (why := inventory.in_use(self.project, one.item)) is not None:
                return why
            return None if removal.remove(self.project, one) else "it is gone"
        removal.record(self.project, one)
        return None

    def _cache(self) -> list[Item]:
        if not (self.project.root / ".dvc" / "cache").is_dir():
            return []
        return inventory.of_cache(unused_cache.unused(self.project, self.settings.data_cache))

    def _mlflow(self) -> list[Item]:
        if self.api is None or not (self.project.state / "mlflow" / "mlflow.db").is_file():
            return []
        if not connections.of(self.project).mlflow.is_own:  # a shared registry has an owner of its own
            return []
        return inventory.of_mlflow(deleted_runs.find(self.project, self.api))

    def _owned(self, what: str, find: Callable[[], list[Item]]) -> list[Item]:
        """What another one owns; where that one cannot say, nothing of it goes, and why is said."""
        try:
            return find()
        except ModelyardError as error:
            self.log(f"{what}: not judged: {error.what}" + (f" ({error.got})" if error.got else ""))
            return []


def _name(item: Item) -> str:
    return f"{item.kind} {item.name}"


def settings_of(project: Project, keep: int | None = None) -> RetentionSettings:
    """The section `[retention]` of `modelyard.toml`.

    Args:
        keep: rollback targets, in place of the file's.

    Raises:
        SpecError: the file is wrong.
    """
    found = settings_file.read(project.root).retention
    return found if keep is None else found.model_copy(update={"rollback_targets": keep})
