"""A base image made of Debian's packages, and containers of an image, run as a cluster would run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from components.packaging import container_tool
from components.packaging.container_tool import ContainerTool
from flows.platform import ports

BASE = "localhost/modelyard-base:bookworm"
ASKED_FOR = "MODELYARD_CONTAINERS"  # `make containers` sets it
# What Docker sets by itself, and podman needs where limits of the machine are low.
LIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4000:4000")


def missing() -> str | None:
    """Why no image is built here; None: one is."""
    if os.environ.get(ASKED_FOR) != "1":
        return "takes minutes: `make containers` runs it"
    for name in ("podman", *(() if os.environ.get("MODELYARD_BASE_IMAGE") else ("mmdebstrap",))):
        if shutil.which(name) is None:
            return f"{name} is not installed"
    return None


def tool() -> ContainerTool:
    """podman, with the options that MODELYARD_CONTAINER_ARGS names."""
    return container_tool.find("podman", None)


def base(folder: Path) -> str:
    """The image that MODELYARD_BASE_IMAGE names, else Debian's minimal system with Python, made once."""
    if named := os.environ.get("MODELYARD_BASE_IMAGE"):
        return named
    if tool().image_id(BASE) is None:
        file = folder / "base.tar"
        words = ["mmdebstrap", "--variant=minbase", "--include=python3,python3-venv", "bookworm", str(file)]
        subprocess.run(words, check=True, capture_output=True)
        subprocess.run(["podman", "import", "--quiet", str(file), BASE], check=True, capture_output=True)
        file.unlink()
    return BASE


@contextmanager
def running(image: str, *more: str) -> Iterator[tuple[str, httpx.Client]]:
    """A container on a read-only root without capabilities; its id, and a client once it is ready."""
    port = ports.choose(26980, set())
    program = tool()
    started = program.run(
        "run", "--detach", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", *LIMITS, "--publish", f"127.0.0.1:{port}:3000",
        "--env", "MODELYARD_API_KEYS=none", *more, image,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    container = started.stdout.strip()
    # A connection a request: one that is kept open may be closed by the service in the moment in which it is used.
    once = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=30, limits=once)
    try:
        until = time.monotonic() + 90
        while True:
            try:
                if client.get("/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < until, program.run("logs", container).stderr[-3000:]
            time.sleep(0.05)
        yield container, client
    finally:
        program.run("rm", "--force", "--time", "0", container)
        client.close()
