"""Runs the container of a pod of `fake_cluster` as a process of this machine. No image, no isolation, no scheduler."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

Report = Callable[[dict[str, Any]], None]  # called with each status of the pod


class PodProcess:
    """The process of a pod's only container.

    Args:
        pod: its manifest.
        home: the pod's own folder on this machine: its log, and one folder a volume of type emptyDir. A claim's volume
            has the same path here as in the pod.
        secrets: of the namespace.
        images: that can be pulled.
    """

    def __init__(
        self,
        pod: dict[str, Any],
        home: Path,
        secrets: Mapping[str, Mapping[str, str]],
        images: set[str],
        report: Report,
    ) -> None:
        self._spec, self._home, self._secrets, self._report = pod["spec"], home, secrets, report
        (self._container,) = self._spec["containers"]
        self.log = home / "log"
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._evicted = False
        home.mkdir(parents=True)
        if self._container["image"] not in images:
            self._wait("ErrImagePull", f"{self._container['image']}: not found")
        elif absent := [name for name in self._named_secrets() if name not in secrets]:
            self._wait("CreateContainerConfigError", f'secret "{absent[0]}" not found')
        else:
            self._start()

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM to the first process, and SIGKILL to all of them when the time is over."""
        if self._process is None:
            return
        everyone = self._everyone()
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_seconds)
        _kill(everyone)

    def evict(self) -> None:
        """As the kubelet does when its node lacks disk or memory."""
        self._evicted = True
        self.stop(self._spec["terminationGracePeriodSeconds"])

    def kill(self) -> None:
        """SIGKILL to all processes, as when the container is out of memory."""
        _kill(self._everyone())

    def join(self) -> None:
        """Wait until nothing runs."""
        if self._process is not None:
            self._process.wait()

    def _start(self) -> None:
        self.environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **self._asked_environment()}
        command = [*self._container.get("command", []), *self._container.get("args", [])]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._home, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self._report({"phase": "Running", **self._status({"running": {}}, ready=True)})
        threading.Thread(target=self._await_end, daemon=True).start()

    def _await_end(self) -> None:
        assert self._process is not None
        code = self._process.wait()
        reason = "Completed" if code == 0 else "OOMKilled" if code == -signal.SIGKILL and not self._evicted else "Error"
        ended = {"exitCode": code if code >= 0 else 128 - code, "reason": reason}
        status = {"phase": "Succeeded" if code == 0 else "Failed", **self._status({"terminated": ended})}
        self._report({**status, **({"reason": "Evicted", "message": "low on disk"} if self._evicted else {})})

    def _wait(self, reason: str, message: str) -> None:
        self._report({"phase": "Pending", **self._status({"waiting": {"reason": reason, "message": message}})})

    def _status(self, state: dict[str, Any], *, ready: bool = False) -> dict[str, Any]:
        one = {
            "name": self._container["name"], "image": self._container["image"], "imageID": "", "ready": ready,
            "restartCount": 0, "state": state,
        }  # fmt: skip
        return {"containerStatuses": [one]}

    def _named_secrets(self) -> list[str]:
        return [one["secretRef"]["name"] for one in self._container.get("envFrom") or []]

    def _asked_environment(self) -> dict[str, str]:
        """Of the secrets, then of the manifest, which wins; paths in the pod's volumes are those of this machine."""
        found: dict[str, str] = {}
        for name in self._named_secrets():
            found |= {key: base64.b64decode(value).decode() for key, value in self._secrets[name].items()}
        return found | {one["name"]: self._here(one.get("value") or "") for one in self._container.get("env") or []}

    def _here(self, value: str) -> str:
        mounts = sorted(self._container["volumeMounts"], key=lambda one: -len(one["mountPath"]))
        for mount in mounts:
            path = str(mount["mountPath"])
            if value == path or value.startswith(f"{path}/"):
                (volume,) = (one for one in self._spec["volumes"] if one["name"] == mount["name"])
                if "emptyDir" not in volume:
                    return value
                folder = self._home / volume["name"]
                folder.mkdir(exist_ok=True)
                return str(folder) + value.removeprefix(path)
        return value

    def _everyone(self) -> list[int]:
        if self._process is None or self._process.poll() is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._process.pid)
            return [first.pid, *(one.pid for one in first.children(recursive=True))]
        return []


def _kill(processes: list[int]) -> None:
    for number in processes:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
