"""Near-duplicates of a dataset: pairs of samples that are nearly equal, and the groups that the pairs make.

While samples are decoded, their signatures go to one scratch file. Then pairs are proposed (candidates.py) and checked
by the similarity of their kind. Samples of equal keys (copies) are compared once: only the first of them. Groups are
the connected components of the pairs and the copies.

Legend: N samples, P pairs, W width of a signature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from components.preparation import candidates, connected, picture_hash, shingles, signal_shape
from components.tasks.appearance import Appearance, Kind

_ROWS = 1 << 12  # signatures that are read at once


class SimilarityMeasure(NamedTuple):
    """How samples of a kind are compared.

    Args:
        name: the measure of similarity, in words.
        threshold: least similarity of near-duplicates.
        signatures: signatures (n, W) of n samples.
        parts: what candidates are proposed from, (n,) or (n, B), of signatures.
        propose: pairs of all parts.
        similarity: (n,) of pairs of signatures.
    """

    name: str
    threshold: float
    signatures: Callable[[Sequence[Any]], NDArray[Any]]
    parts: Callable[[NDArray[Any]], NDArray[Any]]
    propose: Callable[[NDArray[Any]], candidates.Proposed]
    similarity: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


METHODS: dict[Kind, SimilarityMeasure] = {
    "picture": SimilarityMeasure(
        picture_hash.NAME,
        picture_hash.THRESHOLD,
        picture_hash.signatures,
        picture_hash.hashes,
        lambda hashes: candidates.of_hashes(hashes, picture_hash.MAX_DISTANCE),
        picture_hash.similarity,
    ),
    "text": SimilarityMeasure(
        shingles.NAME,
        shingles.THRESHOLD,
        shingles.signatures,
        shingles.bands,
        candidates.of_bands,
        shingles.similarity,
    ),
    "series": SimilarityMeasure(
        signal_shape.NAME,
        signal_shape.THRESHOLD,
        signal_shape.signatures,
        signal_shape.hashes,
        lambda hashes: candidates.of_hashes(hashes, signal_shape.MAX_DISTANCE),
        signal_shape.similarity,
    ),
    "sound": SimilarityMeasure(
        signal_shape.NAME,
        signal_shape.SOUND_THRESHOLD,
        signal_shape.signatures,
        signal_shape.hashes,
        lambda hashes: candidates.of_hashes(hashes, signal_shape.MAX_DISTANCE),
        signal_shape.similarity,
    ),
}


class NearDuplicates(NamedTuple):
    """What was found among N samples.

    Args:
        pairs: (P, 2) numbers of samples; of copies, the first stands for all.
        similarity: (P,) of the pairs.
        keys: (N,) equal for the samples of a group; of a sample without near-duplicates, its own key.
        complete: whether all proposed pairs were compared; False where too many samples are alike.
    """

    kind: Kind
    method: str
    threshold: float
    pairs: candidates.Pairs
    similarity: NDArray[np.float64]
    keys: NDArray[np.uint64]
    complete: bool


def signatures(appearances: Sequence[Appearance | None]) -> NDArray[Any] | None:
    """Signatures (n, W) of samples of one kind; None if they have no comparison."""
    first = appearances[0] if appearances else None
    if first is None:
        return None
    values = [one.value for one in appearances if one is not None and one.kind == first.kind]
    return METHODS[first.kind].signatures(values) if len(values) == len(appearances) else None


class SignatureFile:
    """A temporary file of the signatures of all samples, in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = path.open("wb")
        self._width, self._type = 0, np.dtype(np.uint8)
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._path.unlink()

    def append(self, found: NDArray[Any]) -> None:
        """Write signatures (n, W)."""
        self._width, self._type = found.shape[1], found.dtype
        self._stream.write(np.ascontiguousarray(found).data)
        self.rows += len(found)

    def find(self, kind: Kind, keys: NDArray[np.uint64]) -> NearDuplicates:
        """The near-duplicates among all samples.

        Args:
            keys: (N,) of the samples; equal for copies.
        """
        self._stream.flush()
        method = METHODS[kind]
        _, rows = np.unique(keys, return_index=True)
        rows.sort()  # the first of each sample's copies
        parts = [method.parts(found[chosen]) for _, found, chosen in self._pieces(rows)]
        pairs, complete = method.propose(np.concatenate(parts))
        proposed = rows[pairs]
        needed = np.unique(proposed)
        read = [found[chosen] for _, found, chosen in self._pieces(needed)]
        known = np.concatenate(read) if read else np.empty((0, self._width), self._type)
        similarity = np.empty(len(proposed))
        for start in range(0, len(proposed), _ROWS):
            places = np.searchsorted(needed, proposed[start : start + _ROWS])
            similarity[start : start + _ROWS] = method.similarity(known[places[:, 0]], known[places[:, 1]])
        similar = similarity >= method.threshold
        pairs = proposed[similar]
        return NearDuplicates(
            kind,
            method.name,
            method.threshold,
            pairs,
            np.round(similarity[similar], 4),
            connected.joined(keys, pairs),
            complete,
        )

    def _pieces(self, rows: NDArray[np.int64]) -> Any:
        """For each piece of the file with some of the rows (sorted): its first row, its signatures, which of them."""
        with self._path.open("rb") as stream:
            for start in range(0, self.rows, _ROWS):
                count = min(_ROWS, self.rows - start)
                begin, end = np.searchsorted(rows, [start, start + count])
                if begin == end:
                    continue
                stream.seek(start * self._width * self._type.itemsize)
                found = np.fromfile(stream, self._type, count * self._width).reshape(count, self._width)
                yield start, found, rows[begin:end] - start
