"""int8 graphs: static quantization by onnxruntime, calibrated on recorded feeds.

Static only. Dynamic quantization takes the scale of an activation from the whole batch, so an answer would depend on
what else is in the batch (measured: probabilities of MiniLM differ by 6e-3); the service promises that it does not.
Weights have 7 bits of the 8 (`reduce_range`): with 8, processors without VNNI instructions saturate sums of two
products, and answers would depend on the processor.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from components.core.errors import InferenceError
from components.inference import runtime  # noqa: F401  # before onnxruntime: it turns telemetry off

# Operators that hold weights; and those between them, through which integers can go on in a convolutional network.
LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather")
BETWEEN = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Add", "Concat", "Resize")
RECIPES: Mapping[str, tuple[str, ...]] = {"whole": LAYERS + BETWEEN, "layers": LAYERS}

Feed = dict[str, NDArray[Any]]


def write(source: Path, target: Path, feeds: Sequence[Feed], recipe: str) -> None:
    """Write the int8 graph of a float graph: QDQ format, weights int8 per channel, activations uint8.

    Args:
        feeds: inputs of calls of the float graph, by name; they give each activation its range.
        recipe: of `RECIPES`: the operators that are quantized.

    Raises:
        InferenceError: onnxruntime cannot quantize this graph.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder, _quiet():
            simplified = Path(folder) / "simplified.onnx"
            quant_pre_process(str(source), str(simplified), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(simplified),
                str(target),
                _reader(quantization.CalibrationDataReader, feeds),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(RECIPES[recipe]),
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                extra_options={"MatMulConstBOnly": True},
            )
    except Exception as error:  # onnxruntime's tools raise whatever Python does, without a common base
        raise InferenceError("the graph cannot be quantized", where=source.name, got=repr(error)) from error


def _reader(base: Any, feeds: Sequence[Feed]) -> Any:
    """The feeds as onnxruntime reads them."""

    class Recorded(base):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self._feeds = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self._feeds, None)

    return Recorded()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without advice of the tools on the root logger, which is for people who call them by hand."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
