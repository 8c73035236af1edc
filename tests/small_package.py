"""A real, small model package: one linear layer over 8x8 grey pixels, exported as ONNX, sealed like any other."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from PIL import Image

from components.contracts.serving_spec import SlotSpec
from components.core import atomic
from components.identity import manifest
from components.identity.package import GoldenExample, GraphSpec, Package, Signature, TensorSpec
from components.tasks import classification
from components.tasks.image_classification import ImageClassificationProcessor

CLASSES = ["dark", "light", "left"]
TASK = "image-classification"
LIBRARIES = ("pillow",)  # what its bundles need beside those of every bundle


def image(seed: int) -> bytes:
    """A PNG of 8x8 grey pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def white() -> bytes:
    """A PNG of 8x8 white pixels, which a package built with `nan_above` cannot answer."""
    stream = io.BytesIO()
    Image.new("L", (8, 8), 255).save(stream, "PNG")
    return stream.getvalue()


def build(
    folder: Path,
    *,
    pipeline: str = "sample",
    train_fingerprint: str = "a" * 64,
    seed: int = 0,
    nan_above: float | None = None,
    slow: int = 0,
    embeds: bool = False,
    graph_scale: float = 1 / 255,
    signature_classes: list[str] | None = None,
    figures: dict[str, float] | None = None,
    metrics: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
) -> Package:
    """Seal a package in `folder`.

    Args:
        graph_scale: what the graph multiplies pixels with; the golden outputs are always of 1/255.
        signature_classes: the order that the signature names; the golden outputs are always in that of `CLASSES`.
        figures: what metrics.json says.
        metrics: further keys of metrics.json.
        facts: of the manifest, other than these.
        nan_above: images of a higher mean brightness (0 to 1) are answered with NaN; the golden ones have about 0.5.
        slow: multiplications of 512x512 for nothing in each answer, a fraction of a millisecond each.
        embeds: the graph gives the scaled pixels (64) as its embedding.
    """
    random = np.random.default_rng(seed)
    odd, constants = _odd(nan_above, slow)
    weights = random.normal(size=(64, len(CLASSES))).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["real", "scale"], ["scaled"]),
            helper.make_node("Flatten", ["scaled"], ["embedding"]),
            helper.make_node("MatMul", ["embedding", "weights"], ["plain"]),
            *odd,
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
        ],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 8, 8, 1])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(CLASSES)]),
            *([helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 64])] if embeds else []),
        ],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array(graph_scale, np.float32), "scale"),
            *constants,
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    processor = ImageClassificationProcessor(height=8, width=8, channels=1, mean=[0.5], std=[0.25], classes=CLASSES)
    with atomic.folder(folder) as fresh:
        (fresh / "model.onnx").write_bytes(model.SerializeToString())
        onnx.checker.check_model(model)
        processor.save(fresh)
        takes = TensorSpec(name="images", type="uint8", shape=["batch", 8, 8, 1])
        gives = TensorSpec(name="probabilities", type="float32", shape=["batch", len(CLASSES)])
        extra = [TensorSpec(name="embedding", type="float32", shape=["batch", 64])] if embeds else []
        on_request = [one.name for one in extra]
        graphs = {"model": GraphSpec(inputs=[takes], outputs=[gives, *extra], on_request=on_request)}
        signature = Signature(graphs=graphs, classes=signature_classes or CLASSES)
        (fresh / "signature.json").write_text(signature.model_dump_json())
        (fresh / "golden").mkdir()
        examples = []
        for index in range(3):
            content = image(index)
            (fresh / "golden" / f"{index:03}.png").write_bytes(content)
            pixels = processor.read(content, max_pixels=100)["images"]  # (8, 8, 1)
            logits = (pixels.astype(np.float32) / 255).reshape(1, 64) @ weights
            odds = np.exp(logits - logits.max())
            (answer,) = classification.predictions(odds / odds.sum(), CLASSES)
            example = GoldenExample(file=f"{index:03}.png", media="image/png", truth=CLASSES[index], answer=answer)
            examples.append(example.model_dump())
        (fresh / "golden" / "outputs.json").write_text(json.dumps({"classes": CLASSES, "examples": examples}))
        overall = figures or {"accuracy": 0.75, "macro_f1": 0.7}
        rows = [{"class": name} for name in CLASSES]
        document = {"split": "test", "samples": 3, "overall": overall, "per_class": rows, **(metrics or {})}
        (fresh / "metrics.json").write_text(json.dumps(document))
        (fresh / "README.md").write_text("# sample\n")
        sealed = {
            "pipeline": pipeline,
            "task": TASK,
            "train_fingerprint": train_fingerprint,
            "data_digest": "d" * 64,
            "lineage": {"raw_digest": "e" * 64},
            **(facts or {}),
        }
        manifest.seal(fresh, "package", sealed)
    return Package.open(folder)


def bundle(folder: Path, version: str, **options: Any) -> SlotSpec:
    """The source folder of a bundle as the service reads it (package, settings, manifest), without code in it."""
    package = build(folder / "package", **options)
    settings = {
        "model": "sample",
        "version": version,
        "max_batch_size": 4,
        "max_request_bytes": 100_000,
        "max_image_pixels": 1_000_000,
        "workers": 1,
    }
    manifest.write_json(folder / "serving.json", settings)
    manifest.seal(folder, "bundle", {"code": "c" * 64})
    return SlotSpec(version=version, package_digest=package.digest, bundle=str(folder))


def _odd(nan_above: float | None, slow: int) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes and constants from `plain` to `logits`: the same, plus zero times something."""
    nodes: list[NodeProto] = []
    constants: dict[str, NDArray[np.float32]] = {}
    last = "plain"
    if nan_above is not None:  # the root of a negative number is NaN
        constants["limit"] = np.array(nan_above, np.float32)
        nodes += [
            helper.make_node("ReduceMean", ["embedding"], ["mean"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["limit", "mean"], ["room"]),
            helper.make_node("Sqrt", ["room"], ["root"]),
            helper.make_node("Mul", ["root", "zero"], ["nothing"]),
            helper.make_node("Add", [last, "nothing"], ["checked"]),
        ]
        last = "checked"
    if slow:
        constants |= {"wide": np.full((64, 512), 1e-3, np.float32), "square": np.full((512, 512), 1e-3, np.float32)}
        nodes.append(helper.make_node("MatMul", ["embedding", "wide"], ["wide 0"]))
        nodes += [helper.make_node("MatMul", [f"wide {i}", "square"], [f"wide {i + 1}"]) for i in range(slow)]
        nodes += [
            helper.make_node("ReduceMean", [f"wide {slow}"], ["work"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["work", "zero"], ["no work"]),
            helper.make_node("Add", [last, "no work"], ["slowed"]),
        ]
        last = "slowed"
    if nodes:
        constants["zero"] = np.array(0, np.float32)
    nodes.append(helper.make_node("Identity", [last], ["logits"]))
    return nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()]
