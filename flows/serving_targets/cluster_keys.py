"""The API keys of a model in a cluster: those of clients, which pods mount, and Modelyard's own, which none mounts."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from functools import cached_property

from components.access import api_keys, project_door
from components.access.api_keys import ApiKey
from components.core.project import Project
from components.deployment import release_objects as objects
from components.deployment.container import API_KEYS_NAME
from flows.serving_targets.cluster_api import ClusterApi, ConflictError

CONTROLLER = "controller"  # the name of the key by which Modelyard asks pods


@dataclass(frozen=True)
class ClusterKeys:
    """The Secrets of one model."""

    api: ClusterApi
    project: Project
    model: str

    @cached_property
    def controller_key(self) -> str:
        """The key by which pods are asked; it is made once, and kept in a Secret that no pod mounts."""
        name = objects.controller_secret(self.model)
        found = self.api.get("Secret", name)
        if found is None:
            key = api_keys.PREFIX + secrets.token_urlsafe(api_keys.BYTES)
            try:
                self.api.create(objects.secret(name, self.model, {CONTROLLER: key}, {}))
            except ConflictError:
                found = self.api.get("Secret", name)
            else:
                return key
        return base64.b64decode((found or {})["data"][CONTROLLER]).decode()

    def _file(self) -> str:
        """The file of keys for pods: the project's for this model, and the controller's."""
        path = project_door.api_keys_file(self.project, self.model)
        own = path.read_text() if path.exists() else ""
        line = ApiKey(name=f"modelyard.{CONTROLLER}", scope="admin", sha256=api_keys.digest(self.controller_key))
        return f"{own.rstrip()}\n{line.model_dump_json()}\n".lstrip()

    def has_present_keys(self) -> bool:
        """Whether the Secret holds the present API keys."""
        found = self.api.get("Secret", objects.keys_secret(self.model))
        return found is not None and (found["metadata"].get("annotations") or {}).get(objects.KEYS) == _digest(
            self._file()
        )

    def put_keys(self) -> None:
        """Write the API keys where they differ; pods read them within the minute that the kubelet takes."""
        if self.has_present_keys():
            return
        keys, name = self._file(), objects.keys_secret(self.model)
        document = objects.secret(name, self.model, {API_KEYS_NAME: keys}, {objects.KEYS: _digest(keys)})
        change = {"metadata": document["metadata"], "stringData": document["stringData"]}
        if self.api.patch("Secret", name, change) is None:
            self.api.create(document)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
