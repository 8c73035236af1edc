"""Examples in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from components.contracts.errors import CorruptArtifactError, InferenceError, NotFiniteError, SampleError
from components.contracts.package import Package
from components.preprocessing.image import ImageProcessor

Pixels = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """One answer: the likeliest class and the probability of each."""

    label: str
    probabilities: dict[str, float]


class Predictor:
    """A package loaded for answering. Safe to call from several threads.

    Args:
        package: an opened package; its bytes are trusted from here on.
        threads: threads of one call; 1 is best for small graphs under load.
        max_pixels: images with more are refused before they are decoded.
    """

    def __init__(self, package: Package, *, threads: int = 1, max_pixels: int = 25_000_000) -> None:
        self.package = package
        self.signature = package.signature()
        self.max_pixels = max_pixels
        self._processor = ImageProcessor.model_validate_json(package.processor.read_bytes())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(package.onnx), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen classes of its own, without a common base
            raise CorruptArtifactError("the graph does not load", where=str(package.onnx), got=error) from error
        found = [(node.name, node.type) for node in (*self._session.get_inputs(), *self._session.get_outputs())]
        said = [
            (self.signature.input_name, f"tensor({self.signature.input_type})"),
            (self.signature.output_name, "tensor(float)"),
        ]
        if found != said:
            raise CorruptArtifactError(
                "the graph does not fit its signature", where=str(package.onnx), got=found, expected=said
            )

    def decode(self, contents: Sequence[bytes]) -> Pixels:
        """Encoded images to pixels: (N, H, W, C) uint8.

        Raises:
            SampleError: one is no image of the accepted kinds, or too large; `where` says which.
        """
        return self._processor.batch(contents, max_pixels=self.max_pixels)

    def check(self, pixels: Pixels) -> None:
        """Refuse pixels of the wrong shape.

        Raises:
            SampleError: not (N, H, W, C) as the signature has it.
        """
        expected = tuple(self.signature.input_shape[1:])
        if pixels.ndim != len(expected) + 1 or pixels.shape[1:] != expected:
            raise SampleError(
                "pixels of the wrong shape", got=list(pixels.shape), expected=f"(N, {', '.join(map(str, expected))})"
            )

    def probabilities(self, pixels: Pixels) -> Probabilities:
        """(N, H, W, C) uint8 to (N, classes) float32, finite or not.

        Raises:
            InferenceError: the graph failed.
        """
        feed: dict[str, Any] = {self.signature.input_name: pixels}
        try:
            result: Probabilities = self._session.run([self.signature.output_name], feed)[0]
        except Exception as error:  # as above: no common base
            raise InferenceError("the graph failed", where=str(self.package.onnx), got=error) from error
        return result

    def answer(self, pixels: Pixels) -> list[Prediction]:
        """Predictions for checked pixels.

        Raises:
            InferenceError: the graph failed.
            NotFiniteError: NaN or infinity among the probabilities; such an answer is none.
        """
        classes = self.signature.classes
        probabilities = self.probabilities(pixels)
        finite = np.isfinite(probabilities)
        if not finite.all():
            raise NotFiniteError(
                "the model's answer is not finite",
                where=f"image {int(np.argmin(finite.all(axis=1)))}",
                got=str(probabilities[~finite][0]),
            )
        return [
            Prediction(classes[int(row.argmax())], dict(zip(classes, row.tolist(), strict=True)))
            for row in probabilities
        ]

    def predict(self, contents: Sequence[bytes]) -> list[Prediction]:
        """`decode`, then `answer`."""
        return self.answer(self.decode(contents))
