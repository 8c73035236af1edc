"""The API keys of a model in a cluster: those of clients, which pods mount, and Modelyard's own, which none mounts."""

from __future__ import annotations

import base64
import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass

from components.access import api_keys, project_door
from components.access.api_keys import ApiKey
from components.core.errors import CorruptArtifactError
from components.core.project import Project
from components.deployment import release_objects as objects
from components.deployment.container import API_KEYS_NAME
from flows.serving_targets.cluster_api import ClusterAbsentError, ClusterApi, ConflictError, Document

CONTROLLER = "controller"  # the name of the key by which Modelyard asks pods
ATTEMPTS = 5  # to make a Secret that others make, change or remove at the same time


@dataclass(frozen=True)
class ClusterKeys:
    """The Secrets of one model. Only `put_keys` makes them, when something is placed; asking makes nothing."""

    api: ClusterApi
    project: Project
    model: str

    @property
    def controller_key(self) -> str | None:
        """The key by which pods are asked, from a Secret that no pod mounts; None: nothing was placed, or it is lost.

        Raises:
            CorruptArtifactError: the Secret of this name is somebody else's.
        """
        return self._key_of(self._controller_secret())

    def _controller_secret(self) -> Document | None:
        return self.api.get("Secret", objects.controller_secret(self.model))

    def _key_of(self, found: Document | None) -> str | None:
        if found is None:
            return None
        with suppress(KeyError, ValueError, TypeError):
            if key := base64.b64decode((found.get("data") or {})[CONTROLLER], validate=True).decode("ascii"):
                return key
        labels = {objects.MODEL_LABEL: self.model, objects.MANAGED_LABEL: "modelyard"}
        if labels.items() <= (found["metadata"].get("labels") or {}).items():
            return None
        name = objects.controller_secret(self.model)
        raise CorruptArtifactError(
            f"the name {name} is taken: the Secret of this name was not written by Modelyard",
            where=f"Secret {name}, {self.api.place}",
            got=f"the entries {', '.join(sorted(found.get('data') or {})) or 'none'}",
            expected=f"the entry {CONTROLLER}",
            next_step="rename the pipeline, or name another namespace in [kubernetes]; or whoever made the Secret "
            "removes it",
        )

    def _put_controller_key(self) -> str:
        """The key by which pods are asked; it is made once."""
        for _ in range(ATTEMPTS):
            found = self._controller_secret()
            if (key := self._key_of(found)) is not None:
                return key
            key, name = api_keys.PREFIX + secrets.token_urlsafe(api_keys.BYTES), objects.controller_secret(self.model)
            with suppress(ConflictError):  # another process makes it as well, and was first
                if found is None:
                    self.api.create(objects.secret(name, self.model, {CONTROLLER: key}, {}))
                    return key
                version = {"resourceVersion": found["metadata"]["resourceVersion"]}
                if self.api.patch("Secret", name, {"metadata": version, "stringData": {CONTROLLER: key}}) is not None:
                    return key
        raise ClusterAbsentError(
            "the key by which pods are asked could not be kept",
            where=f"Secret {objects.controller_secret(self.model)}, {self.api.place}",
            got=f"{ATTEMPTS} times it was changed meanwhile",
            next_step="the controller tries again",
        )

    def _file(self, key: str) -> str:
        """The file of keys for pods: the project's for this model, and the controller's."""
        path = project_door.api_keys_file(self.project, self.model)
        own = path.read_text() if path.exists() else ""
        line = ApiKey(name=f"modelyard.{CONTROLLER}", scope="admin", sha256=api_keys.digest(key))
        return f"{own.rstrip()}\n{line.model_dump_json()}\n".lstrip()

    def has_present_keys(self) -> bool:
        """Whether the Secret holds the present API keys."""
        key = self.controller_key
        return key is not None and self._holds(_digest(self._file(key)))

    def _holds(self, digest: str) -> bool:
        found = self.api.get("Secret", objects.keys_secret(self.model))
        return found is not None and (found["metadata"].get("annotations") or {}).get(objects.KEYS) == digest

    def put_keys(self) -> None:
        """Write the API keys where they differ; pods read them within the minute that the kubelet takes.

        Raises:
            CorruptArtifactError: a Secret of this name is somebody else's.
            ClusterAbsentError, ServingError: the API server does not answer, or refuses.
        """
        keys, name = self._file(self._put_controller_key()), objects.keys_secret(self.model)
        if self._holds(_digest(keys)):
            return
        document = objects.secret(name, self.model, {API_KEYS_NAME: keys}, {objects.KEYS: _digest(keys)})
        change = {"metadata": document["metadata"], "stringData": document["stringData"]}
        if self.api.patch("Secret", name, change) is None:
            self.api.create(document)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
