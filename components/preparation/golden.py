"""Golden examples: a few raw files of the test split that travel with the model, from file to probabilities."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.contracts import atomic
from components.ingestion import sample_file
from components.preprocessing import splits

LIMIT = 16
_SUFFIXES = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"BM", ".bmp"), (b"GIF8", ".gif"), (b"RIFF", ".webp"))


def write(
    table: Path, folder: Path, assigned: NDArray[np.uint8], labels: NDArray[np.uint16], classes: list[str]
) -> None:
    """Copy up to `LIMIT` raw files of the test split and write `index.json`, in the order of the raw rows.

    Args:
        assigned, labels: (N,) of each raw row: its split's number, its class's number.
    """
    chosen = choose(np.flatnonzero(assigned == splits.TEST), labels)
    folder.mkdir()
    entries: list[dict[str, str]] = []
    for row, identity, content in sample_file.pick(table, chosen.tolist()):
        name = f"{len(entries):03d}{_suffix(content)}"
        (folder / name).write_bytes(content)
        entries.append({"file": name, "id": identity, "label": classes[labels[row]]})
    atomic.write_text(folder / "index.json", json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def choose(rows: NDArray[np.intp], labels: NDArray[np.uint16]) -> NDArray[np.intp]:
    """Up to `LIMIT` of the rows: the first of each class in turn, then the second of each, and so on; sorted."""
    queues = [list(rows[labels[rows] == label][:LIMIT]) for label in np.unique(labels[rows])]
    chosen: list[int] = []
    for turn in range(LIMIT):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return np.sort(np.array(chosen[:LIMIT], np.intp))


def _suffix(content: bytes) -> str:
    return next((suffix for start, suffix in _SUFFIXES if content.startswith(start)), ".img")
