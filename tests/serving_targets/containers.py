"""The containers of a node: processes of a bundle's own service, with the environment and mounts that a pod names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from components.packaging.bundle import START, Bundle
from flows.platform.environment import QUIET


def start(
    bundle: Bundle,
    pod: dict[str, Any],
    home: Path,
    address: tuple[str, int],
    secret: Callable[[str], Mapping[str, bytes]],
) -> subprocess.Popen[bytes]:
    """Start the process of a pod's container, as the entry point of its image does.

    Args:
        home: takes the place of the container's file system.
        address: on which it listens.
        secret: reads the files of a Secret by its name.
    """
    [container] = pod["spec"]["containers"]
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    places = {"/tmp": home / "tmp"}
    for volume in pod["spec"]["volumes"]:
        if "secret" in volume:
            [mount] = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == volume["name"]]
            places[mount] = home / "secret"
            places[mount].mkdir(exist_ok=True)
            for file, value in secret(volume["secret"]["secretName"]).items():
                (places[mount] / file).write_bytes(value)
    own = {one["name"]: _placed(one["value"], places) for one in container["env"]}
    image = {"HOME": home / "tmp", "TMPDIR": home / "tmp", "BENTOML_HOME": home / "tmp" / "bentoml"}
    entry = bundle.source.joinpath(*START.split(".")).with_suffix(".py")
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", str(entry), str(bundle.folder), "--host", address[0], "--port", str(address[1])],
            env={**QUIET, "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
                 **{key: str(value) for key, value in image.items()}, **own},
            cwd=home, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill every process of a container: its workers have sessions of their own, and outlive their manager."""
    for one in _tree(process):
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()


def _tree(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    if process.poll() is not None:
        return []
    try:
        manager = psutil.Process(process.pid)
        return [manager, *manager.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _placed(value: str, places: Mapping[str, Path]) -> str:
    for mount, place in places.items():
        if value.startswith(f"{mount}/"):
            return f"{place}{value.removeprefix(mount)}"
    return value
