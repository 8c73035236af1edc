"""Where an exported graph lies: in one file, or, if its weights are too large for that, in two.

An ONNX file is one message of protobuf, which ends at 2 GB. Larger weights lie beside it in `<name>.onnx.data`, ONNX's
external data: https://onnx.ai/onnx/repo-docs/ExternalData.html. onnxruntime finds them by the name in the graph.
"""

from __future__ import annotations

from pathlib import Path

from components.identity.package import EXTERNAL_DATA

LIMIT = 1_900_000_000  # bytes of a graph in one file: less than protobuf's 2**31 - 1
SMALLEST = 1024  # bytes of a tensor that lies outside


def place(exported: Path, target: Path) -> None:
    """Move a graph that the exporter wrote, alone in its folder but for its weights, to its place.

    The exporter itself writes each tensor of a graph beyond 2 GB into a file of its own.
    """
    others = [path for path in exported.parent.iterdir() if path != exported]
    if not others and exported.stat().st_size <= LIMIT:
        exported.replace(target)
        return
    import onnx

    data = Path(f"{target}{EXTERNAL_DATA}")
    data.unlink(missing_ok=True)  # ONNX appends to a file that is there
    model = onnx.load(str(exported))
    onnx.save_model(
        model, str(target), save_as_external_data=True, all_tensors_to_one_file=True, location=data.name,
        size_threshold=SMALLEST,
    )  # fmt: skip
