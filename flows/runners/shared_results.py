"""Results of stages that a team shares: what a colleague or CI has trained from equal inputs is taken from the store.

A result is found by its request: the stage, its document (with the fingerprint of data, settings and code), its inputs
and outputs. The store has the artifacts by digest, and an entry that names them, with the events of the stage, so that
curves, durations and energy are those of the run that was.
"""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from pydantic import Field

from components.contracts.stage_request import PlacedArtifact, StageHandle, StageRequest, StageResult
from components.core.errors import CorruptArtifactError, ModelyardError, NotFoundError, StackError
from components.core.log import Log
from components.core.project import Project
from components.core.strict import Strict
from components.identity import digest
from components.identity.artifact_store import ArtifactStore
from flows.runners.stage_runner import LineSink, StageRunner

_HOW = ("forced", "profile")  # of a document: how a training was asked for, not what it makes
_TAKEN = "store-"  # begins the handle of a result that is taken


class SharedResult(Strict):
    """An entry of the store.

    Args:
        by: who made it.
        at: seconds since 1970.
        artifacts: what the stage left; folders of kind `report` among them.
        events: the stage's standard output.
    """

    stage: str
    by: str
    at: float
    artifacts: tuple[PlacedArtifact, ...]
    events: list[str] = Field(default=[])

    def text(self) -> str:
        """Who made it, and when."""
        return f"{self.by} on {time.strftime('%Y-%m-%d %H:%M', time.localtime(self.at))}"


class _Running(NamedTuple):
    key: str
    events: list[str]
    shared: SharedResult | None  # what is taken, or what the store has beside a training that was forced
    damaged: bool = False  # the store has it, and not as it was sealed


class SharingRunner:
    """A `StageRunner` that takes results from the store, and else lets another runner work and stores what it made.

    Args:
        inner: runs the stages whose results are not in the store.
        project: where artifacts are placed.
        by: who runs here, for others.
        log: called with each message for the user.
    """

    def __init__(self, inner: StageRunner, project: Project, store: ArtifactStore, by: str, log: Log) -> None:
        self._inner, self._project, self._store, self._by, self._log = inner, project, store, by, log
        self._running: dict[str, _Running] = {}

    def submit(self, request: StageRequest) -> StageHandle:
        """As `StageRunner.submit`; a stage that was asked for although its result is known runs."""
        key = key_of(request)
        shared = self._shared(key)
        is_wanted = shared is not None and not request.discard
        is_taken = is_wanted and shared is not None and self._place(shared)
        if is_taken and shared is not None:
            handle = StageHandle(stage=request.stage, id=f"{_TAKEN}{key}")
            self._log(f"{request.stage}: done by {shared.text()}, taken from the store")
        else:
            handle = self._inner.submit(request)
        self._running[handle.id] = _Running(key, [], shared, is_wanted and not is_taken)
        return handle

    def follow(self, handle: StageHandle, on_event: LineSink, on_log: LineSink) -> None:
        """As `StageRunner.follow`; the events of a result that is taken are those of its stage."""
        running = self._running[handle.id]
        if handle.id.startswith(_TAKEN) and running.shared is not None:
            for line in running.shared.events:
                on_event(line)
            return

        def record(line: str) -> None:
            running.events.append(line)
            on_event(line)

        self._inner.follow(handle, record, on_log)

    def cancel(self, handle: StageHandle, *, grace_seconds: float) -> ModelyardError | None:
        """As `StageRunner.cancel`."""
        if handle.id.startswith(_TAKEN):
            return None
        return self._inner.cancel(handle, grace_seconds=grace_seconds)

    def collect(self, handle: StageHandle, request: StageRequest) -> StageResult:
        """As `StageRunner.collect`; then the result is in the store."""
        running = self._running.pop(handle.id)
        if handle.id.startswith(_TAKEN) and running.shared is not None:
            return StageResult(artifacts=running.shared.artifacts)
        result = self._inner.collect(handle, request)
        try:
            self._keep(running, request, result)
        except (OSError, StackError) as error:  # the store is full, or away: the result is here all the same
            self._log(f"the result of {request.stage} is not in the store: {error}")
        return result

    def _place(self, shared: SharedResult) -> bool:
        """Copy a result from the store; returns whether it is whole."""
        try:
            for artifact in shared.artifacts:
                self._store.get(artifact.digest, self._project.root / artifact.path)
        except (OSError, NotFoundError, CorruptArtifactError, StackError) as error:
            self._log(f"{shared.stage}: what {shared.text()} made cannot be taken from the store: {error}")
            return False
        return True

    def _keep(self, running: _Running, request: StageRequest, result: StageResult) -> None:
        if running.shared is not None and not running.damaged:  # the first result stays: others may have built on it
            made, there = _sealed(result.artifacts), _sealed(running.shared.artifacts)
            if made != there:
                who = running.shared.text()
                self._log(f"{request.stage} made something else than {who} of equal inputs; the store keeps the first")
            return
        for artifact in result.artifacts:
            if running.damaged or not self._store.has(artifact.digest):
                self._store.put(self._project.root / artifact.path, artifact.kind, anew=running.damaged)
        entry = SharedResult(
            stage=request.stage, by=self._by, at=time.time(), artifacts=result.artifacts, events=running.events
        )
        self._store.write_entry(running.key, entry.model_dump(mode="json"))
        if running.damaged:
            self._log(f"what was damaged in the store is replaced by this result of {request.stage}")

    def _shared(self, key: str) -> SharedResult | None:
        """The result of a request, if the store has all of it."""
        try:
            document = self._store.read_entry(key)
            found = None if document is None else SharedResult.model_validate_json(json.dumps(document))
            is_whole = found is not None and all(self._store.has(one.digest) for one in found.artifacts)
        except (OSError, ValueError, StackError) as error:  # pydantic's error is a ValueError
            self._log(f"an entry of the store cannot be read: {error}")
            return None
        return found if is_whole else None


def key_of(request: StageRequest) -> str:
    """The key of a request's result."""
    document: dict[str, Any] = json.loads(request.document)
    what = request.model_dump(mode="json", include={"stage", "outputs", "request_file"})
    what["inputs"] = [one.model_dump(mode="json") for one in request.inputs if one.kind != "report"]  # no checkpoints
    return digest.of_value([what, {name: value for name, value in document.items() if name not in _HOW}])


def _sealed(artifacts: tuple[PlacedArtifact, ...]) -> dict[str, str]:
    return {artifact.path: artifact.digest for artifact in artifacts if artifact.kind != "report"}
