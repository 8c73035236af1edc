"""Read requirements.lock: one pin a package, with the digests of its files; some only torch's CUDA build needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# The line that `make lock` writes between what every installation has and what only torch's CUDA build needs.
GPU_ONLY = "# GPU only"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)\s*(?:;(?P<condition>[^\\]*))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class LockedPackage:
    """One package of the lock file.

    Args:
        condition: an environment marker (PEP 508); empty where there is none.
        hashes: sha256 of each file that may be installed, for all platforms and both builds of torch.
        gpu_only: needed by torch's CUDA build alone.
    """

    name: str
    version: str
    condition: str = ""
    hashes: frozenset[str] = frozenset()
    gpu_only: bool = False


def read(path: Path) -> tuple[LockedPackage, ...]:
    """The pins in the order of the file."""
    everywhere, _, gpu_only = path.read_text().partition(f"\n{GPU_ONLY}")
    return (*_pins(everywhere, False), *_pins(gpu_only, True))


def _pins(text: str, gpu_only: bool) -> list[LockedPackage]:
    found = []
    for block in re.split(r"\n(?=\S)", text):
        if match := _PIN.match(block):
            condition = (match["condition"] or "").strip()
            found.append(
                LockedPackage(match["name"], match["version"], condition, frozenset(_HASH.findall(block)), gpu_only)
            )
    return found
