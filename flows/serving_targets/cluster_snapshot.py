"""One look at a cluster: each object and list is read once while a block lasts, by the thread that looks.

So all that is concluded from a look is of one moment, and a look at many models needs few requests.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Labels = Mapping[str, str]
Documents = list[dict[str, Any]]
_present = threading.local()


@dataclass(frozen=True)
class ClusterSnapshot:
    """What was read so far.

    Args:
        wide: a list of objects that have these labels and more is taken from the list of all that have these.
    """

    wide: Labels
    found: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def document(self, key: tuple[str, ...], read: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
        """An object; None: there is none."""
        if key not in self.found:
            self.found[key] = read()
        found: dict[str, Any] | None = copy.deepcopy(self.found[key])
        return found

    def documents(self, key: tuple[str, ...], labels: Labels, read: Callable[[Labels], Documents]) -> Documents:
        """The objects with these labels."""
        asked = self.wide if self.wide and self.wide.items() <= labels.items() else labels
        full_key = (*key, *(f"{name}={value}" for name, value in sorted(asked.items())))
        if full_key not in self.found:
            self.found[full_key] = read(asked)
        return [
            copy.deepcopy(one)
            for one in self.found[full_key]
            if asked is labels or labels.items() <= (one["metadata"].get("labels") or {}).items()
        ]


@contextmanager
def taken(wide: Labels | None = None) -> Iterator[None]:
    """Read each object and list once while the block lasts; a block within another one adds nothing.

    Args:
        wide: as of `ClusterSnapshot`; for a look at several models.
    """
    if present() is not None:
        yield
        return
    _present.snapshot = ClusterSnapshot(dict(wide or {}))
    try:
        yield
    finally:
        _present.snapshot = None


def present() -> ClusterSnapshot | None:
    """The snapshot of this thread; None: each read is a request."""
    found: ClusterSnapshot | None = getattr(_present, "snapshot", None)
    return found


def forget() -> None:
    """Read anew from now on: something was changed."""
    if (snapshot := present()) is not None:
        snapshot.found.clear()
