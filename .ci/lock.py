"""`make lock`: resolve pyproject.toml for torch's CPU build and for its CUDA build, and write both into one lock file.

Every requirement has the sha256 digests of its files. Torch has those of both builds. Packages that only the CUDA build
needs follow the line `GPU_ONLY`; `make install` leaves them out where there is no NVIDIA GPU. Versions that the present
lock file names are kept where pyproject.toml allows them; `--upgrade` takes the newest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HEADER = (
    "# Written by `make lock` from pyproject.toml: do not edit. Torch has the digests of its CPU and its CUDA build."
)
GPU_ONLY = "# GPU only: what follows is needed by torch's CUDA build alone."
COMPILE = [
    *("pip", "compile", "-q", "pyproject.toml", "--extra", "dev", "--python-version", "3.11"),
    *("--no-annotate", "--no-header", "--generate-hashes"),
]
REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def main() -> None:
    """Resolve twice and write requirements.lock."""
    uv, upgrade = sys.argv[1], ["--upgrade"] if "--upgrade" in sys.argv[2:] else []
    lock = Path("requirements.lock")
    present = lock.read_text() if lock.is_file() else ""
    folders = os.environ.get("UV_FIND_LINKS", "")
    has_cpu_wheel = any(next(Path(folder).glob("torch-*+cpu-*.whl"), None) for folder in folders.split(",") if folder)
    cuda = resolve([uv, *COMPILE, *upgrade], present, UV_FIND_LINKS="")
    # The CUDA resolution is the second one's preference, so that both agree in every other version and its hashes.
    version = public_version(requirements(cuda)["torch"])
    cpu_torch = cuda.replace(requirements(cuda)["torch"], f"torch=={version}+cpu")  # uv takes hashes from a preference
    backend = [] if has_cpu_wheel else ["--torch-backend", "cpu"]
    cpu = resolve([uv, *COMPILE, *backend], cpu_torch)
    lock.write_text(merge(requirements(cpu), requirements(cuda)))


def resolve(command: list[str], preferences: str, **environment: str) -> str:
    """The pins that uv finds, with their hashes; versions in `preferences` are kept where they fit."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "requirements.txt"
        out.write_text(preferences)
        subprocess.run([*command, "-o", str(out)], env={**os.environ, **environment}, check=True)
        return out.read_text()


def requirements(text: str) -> dict[str, str]:
    """Name -> requirement with its hashes."""
    blocks = re.split(r"\n(?=\S)", text.strip())
    found = [(REQUIREMENT.match(block), block) for block in blocks]
    return {match["name"]: block for match, block in found if match is not None}


def merge(cpu: dict[str, str], cuda: dict[str, str]) -> str:
    """One lock file of two resolutions.

    Raises:
        SystemExit: they disagree in more than torch's build, or a package is needed by the CPU build alone.
    """
    if extra := sorted(cpu.keys() - cuda.keys()):
        raise SystemExit(f"only torch's CPU build needs {', '.join(extra)}: the lock file has no place for that")
    for name in sorted(cpu.keys() - {"torch"}):
        if cpu[name] != cuda[name]:
            raise SystemExit(f"the two resolutions differ in {name}:\n{cpu[name]}\n{cuda[name]}")
    hashes = sorted(set(HASH.findall(cpu["torch"] + cuda["torch"])))
    version = public_version(cuda["torch"])
    if public_version(cpu["torch"]) != version:
        raise SystemExit(f"torch's CPU build is {public_version(cpu['torch'])}, its CUDA build is {version}")
    cuda = {**cuda, "torch": " \\\n    ".join([f"torch=={version}", *hashes])}
    everywhere = [cuda[name] for name in sorted(cpu)]
    gpu_only = [cuda[name] for name in sorted(cuda.keys() - cpu.keys())]
    return "\n".join([HEADER, *everywhere, GPU_ONLY, *gpu_only]) + "\n"


def public_version(requirement: str) -> str:
    """A pin's version without the name of the build: 2.13.0 of torch==2.13.0+cpu."""
    return requirement.split()[0].partition("==")[2].partition("+")[0]


if __name__ == "__main__":
    main()
