"""A package of image generation whose network finds half of every level to be noise: its drawings are only noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from components.core import atomic
from components.identity import manifest
from components.identity.package import GoldenExample, GraphSpec, Package, Signature, TensorSpec
from components.tasks.image_generation import ImageGenerationProcessor

CLASSES = ["base", "top"]
HEIGHT, WIDTH = 6, 8


def processor() -> ImageGenerationProcessor:
    """Of grey pictures, six high and eight wide."""
    return ImageGenerationProcessor(
        height=HEIGHT, width=WIDTH, channels=1, noise_steps=100, default_steps=4, classes=CLASSES
    )


def build(folder: Path) -> Package:
    """A sealed package."""
    from onnx import TensorProto, helper

    noisy = ["batch", 1, HEIGHT, WIDTH]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["noisy", "half"], ["noise"])],
        "model",
        [
            helper.make_tensor_value_info("noisy", TensorProto.FLOAT, noisy),
            helper.make_tensor_value_info("step", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("noise", TensorProto.FLOAT, noisy)],
        [helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    spec = GraphSpec(
        inputs=[
            TensorSpec(name="noisy", type="float32", shape=[*noisy]),
            TensorSpec(name="step", type="int64", shape=["batch"]),
            TensorSpec(name="label", type="int64", shape=["batch"]),
        ],
        outputs=[TensorSpec(name="noise", type="float32", shape=[*noisy])],
    )
    made = processor()
    sample = made.read({"label": "top", "seed": 3}, max_pixels=0)
    (answer,) = made.answer(lambda _, feed: {"noise": feed["noisy"] * np.float32(0.5)}, [sample], CLASSES, None)
    with atomic.folder(folder) as fresh:
        (fresh / "model.onnx").write_bytes(model.SerializeToString())
        made.save(fresh)
        (fresh / "signature.json").write_text(Signature(graphs={"model": spec}, classes=CLASSES).model_dump_json())
        (fresh / "golden").mkdir()
        manifest.write_json(fresh / "golden" / "000.json", {"sample": {"label": "top", "seed": 3}})
        example = GoldenExample(file="000.json", media="application/json", truth="top", answer=answer)
        manifest.write_json(fresh / "golden" / "outputs.json", {"classes": CLASSES, "examples": [example.model_dump()]})
        manifest.write_json(fresh / "metrics.json", {"split": "test", "samples": 1, "overall": {"noise_mse": 0.5}})
        (fresh / "README.md").write_text("# drawer\n")
        facts: dict[str, Any] = {"pipeline": "drawer", "task": "image-generation", "train_fingerprint": "a" * 64}
        facts |= {"data_digest": "d" * 64, "lineage": {"raw_digest": "e" * 64}}
        manifest.seal(fresh, "package", facts)
    return Package.open(folder)
