"""A task from outside that also offers embeddings: the echo, with the mean of a text's characters and its length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from components.identity import manifest
from components.identity.package import Package
from components.preprocessing.batch import collate
from tests import echo_task

if TYPE_CHECKING:
    from components.tasks.task import Arrays, RunGraph

NAME = "tests.embedding_task:TASK"


class EmbeddingProcessor(echo_task.Processor):
    """The echo's, with embeddings (N, 2)."""

    def embed(self, run: RunGraph, samples: Sequence[Arrays]) -> NDArray[np.float32]:
        means = run("count", collate(self.arrays(), samples))["mean"]
        lengths = [len(sample["characters"]) for sample in samples]
        return np.stack([means, np.array(lengths, np.float32)], axis=1)


class EmbeddingEcho(echo_task.Echo):
    """The half without state."""

    name: ClassVar[str] = NAME

    def load(self, folder: Path) -> EmbeddingProcessor:
        return EmbeddingProcessor.load(folder)


TASK = EmbeddingEcho()


def bundle(folder: Path) -> None:
    """A bundle of this task, as the service reads it."""
    package = echo_task.build(folder / "package")
    facts: dict[str, Any] = {**package.manifest.facts, "task": NAME}
    (package.folder / "manifest.json").unlink()
    manifest.seal(package.folder, "package", facts)
    Package.open(package.folder)
    settings = {"model": "sample", "version": "1", "max_batch_size": 4, "max_request_bytes": 10_000,
                "max_image_pixels": 1, "workers": 1}  # fmt: skip
    manifest.write_json(folder / "serving.json", settings)
    manifest.seal(folder, "bundle", {"code": "c" * 64})
