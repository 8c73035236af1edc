"""One split of a prepared dataset, memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec, lengths
from components.preprocessing.batch import Arrays, padded


class StoredSplit:
    """The arrays of one split, as listed in `arrays` of the prepared manifest.

    Args:
        folder: folder of the split in a prepared dataset.
        specs: how the arrays are stored.
    """

    def __init__(self, folder: Path, specs: Sequence[ArraySpec]) -> None:
        self.specs = tuple(specs)
        self._values: dict[str, NDArray[Any]] = {}
        self._offsets: dict[str, NDArray[np.int64]] = {}
        for spec in specs:
            stored = spec.of or spec.name
            if stored not in self._values:
                self._values[stored] = np.load(folder / f"{stored}.npy", mmap_mode="r", allow_pickle=False)
            if spec.layout == "ragged":
                self._offsets[spec.name] = np.load(folder / f"{spec.name}.offsets.npy", allow_pickle=False)

    def __len__(self) -> int:
        spec = self.specs[0]
        if spec.layout == "ragged":
            return len(self._offsets[spec.name]) - 1
        rows = len(self._values[spec.of or spec.name])
        if spec.layout == "window":
            return max(0, rows - max(other.stop for other in self.specs if other.of == spec.of) + 1)
        return rows

    def sample(self, row: int) -> Arrays:
        """The arrays of one sample, not padded."""
        found: Arrays = {}
        for spec in self.specs:
            values = self._values[spec.of or spec.name]
            if spec.layout == "ragged":
                begin, end = self._offsets[spec.name][row : row + 2]
                found[spec.name] = values[begin:end]
            elif spec.layout == "window":
                found[spec.name] = values[row + spec.start : row + spec.stop]
            else:
                found[spec.name] = values[row]
        return found

    def all(self, name: str) -> NDArray[Any]:
        """A fixed array of all samples (N, *shape)."""
        return self._values[name]

    def lengths(self, name: str) -> NDArray[np.int64]:
        """The lengths of a ragged array, (N,)."""
        return np.diff(self._offsets[name])

    def batch(self, index: NDArray[np.int64], names: Sequence[str] | None = None) -> Arrays:
        """Samples by their numbers (n,): each array (n, ...); ragged arrays are padded, with their lengths.

        Args:
            names: names of the arrays; default: all but those on request.
        """
        found: Arrays = {}
        for spec in self.specs:
            if spec.on_request if names is None else spec.name not in names:
                continue
            values = self._values[spec.of or spec.name]
            if spec.layout == "fixed":
                found[spec.name] = values[index]
            elif spec.layout == "ragged":
                offsets = self._offsets[spec.name]
                found[spec.name], found[lengths(spec.name)] = padded(values, offsets, index, spec.pad)
            else:
                rows = index[:, None] + np.arange(spec.start, spec.stop)  # (n, stop - start)
                found[spec.name] = values[rows]
        return found


def digests_of(batch: Arrays, inputs: Sequence[str]) -> list[str]:
    """`digest_of` each sample of a batch of fixed arrays; arguments as of `digest_bytes_of`."""
    text, size = digest_bytes_of(batch, inputs).hex(), 2 * hashlib.sha256().digest_size
    return [text[start : start + size] for start in range(0, len(text), size)]


def digest_bytes_of(batch: Arrays, inputs: Sequence[str]) -> bytes:
    """`digest_of` each sample of a batch of fixed arrays, one after the other as bytes.

    Args:
        batch: all arrays of n samples, (n, ...), in their order.
    """
    names = [name for name in batch if name in inputs] or list(batch)
    count = len(batch[names[0]])
    parts: list[NDArray[np.uint8]] = []
    for name in names:
        array = np.ascontiguousarray(batch[name])
        parts.append(array.reshape(count, -1).view(np.uint8).reshape(count, -1))
        if len(names) > 1:
            shape = np.frombuffer(repr(array.shape[1:] or (1,)).encode(), np.uint8)
            parts.append(np.broadcast_to(shape, (count, len(shape))))
    whole = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
    content, size, sha256 = whole.tobytes(), whole.shape[1], hashlib.sha256
    return b"".join([sha256(content[start : start + size]).digest() for start in range(0, count * size, size)])


def digest_of(sample: Arrays, inputs: Sequence[str]) -> str:
    """The digest of a sample: of its input arrays, or of all its arrays if no input is stored.

    Args:
        sample: arrays, not padded.
        inputs: names of the inputs, as of `Processor.inputs`.
    """
    names = [name for name in sample if name in inputs] or list(sample)
    hasher = hashlib.sha256()
    for name in names:
        array = np.ascontiguousarray(sample[name])
        hasher.update(array.tobytes())
        if len(names) > 1:
            hasher.update(repr(array.shape).encode())
    return hasher.hexdigest()
