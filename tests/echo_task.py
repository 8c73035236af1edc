"""A task from outside: a text -> the same text, so many times, with the share of its letters that its network counts.

It is found by its module and name (`tests.echo_task:TASK`), as anyone's task is. Legend: N samples, T characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import InputSpec, OutputSpec, TextOutput, TokensInput
from components.core import atomic
from components.core.errors import SampleError
from components.core.strict import Strict
from components.identity import manifest
from components.identity.package import GoldenExample, GraphSpec, Package, Signature, TensorSpec
from components.preprocessing.batch import collate
from components.tasks.processor import BaseProcessor
from components.tasks.task import EndpointSchema, Example, FieldKind, Metric, Prediction, RawSample, Values

if TYPE_CHECKING:
    from components.tasks.task import Arrays, RunGraph

NAME = "tests.echo_task:TASK"


class Settings(Strict):
    """None."""


class Parameters(Strict):
    """What a request may set."""

    times: int = Field(default=1, ge=1, le=9, examples=[2])


class Processor(BaseProcessor):
    """Characters as their numbers."""

    max_length: int = 100

    def input_spec(self) -> TokensInput:
        return TokensInput(vocabulary=0x110000, max_length=self.max_length)

    def output_spec(self) -> OutputSpec:
        return TextOutput(vocabulary=0x110000, max_length=self.max_length, begin=0, end=0)

    def arrays(self) -> tuple[ArraySpec, ...]:
        return (ArraySpec(name="characters", type="int64", shape=(), layout="ragged"),)

    def inputs(self) -> tuple[str, ...]:
        return "characters", "characters_lengths"

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        return [self.read(raw.values["text"], max_pixels=0) for raw in samples]

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        text = item.decode("utf-8", "replace") if isinstance(item, bytes) else item
        if not isinstance(text, str):
            raise SampleError("a text is expected", code="type", got=type(text).__name__)
        if not text or "\ufffd" in text:
            raise SampleError("no text", got=repr(text))
        return {"characters": np.array([ord(letter) for letter in text], np.int64)}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = document["texts"] if "texts" in document else [document["text"]]
        return found

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        times = parameters.times if isinstance(parameters, Parameters) else Parameters().times
        means = run("count", collate(self.arrays(), samples))["mean"]  # (N,)
        texts = ["".join(map(chr, sample["characters"].tolist())) for sample in samples]
        return [{"text": text * times, "mean": float(mean)} for text, mean in zip(texts, means, strict=True)]

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        return EndpointSchema(
            item="text",
            items="texts",
            media=("text/plain",),
            schema={"type": "string"},
            prediction={"type": "object", "properties": {"text": {"type": "string"}, "mean": {"type": "number"}}},
            form="text",
            summary="Echo <texts>",
            parameters=Parameters,
        )


class Echo:
    """The half without state."""

    name: ClassVar[str] = NAME
    fields: ClassVar[dict[str, FieldKind]] = {"text": "text"}
    payload_field: ClassVar[str] = ""
    settings: ClassVar[type[Strict]] = Settings
    input_type: ClassVar[type[InputSpec]] = TokensInput
    output_type: ClassVar[type[OutputSpec]] = TextOutput
    objective: ClassVar[str] = "nobody:Nothing"
    scorer: ClassVar[str] = "nobody:NOTHING"
    metrics: ClassVar[dict[str, Metric]] = {"sameness": Metric(True, "share of letters that come back")}
    libraries: ClassVar[tuple[str, ...]] = ()
    raw_columns: ClassVar[tuple[str, ...]] = ()
    prepared_columns: ClassVar[tuple[str, ...]] = ()

    def content(self, values: Values) -> bytes:
        return str(values["text"]).encode()

    def labels(self, values: Values) -> list[str]:
        return []

    def strata(self, values: Values) -> list[str]:
        return []

    def describe(self, values: Values) -> dict[str, object]:
        return {}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        return {}

    def preview(self, values: Values) -> bytes | str:
        return str(values["text"])

    def decode(self, values: Values, settings: Any) -> Arrays:
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        return self.content(values)

    def fit(self, settings: Any, train: Iterator[RawSample], classes: Sequence[str]) -> Processor:
        return Processor()

    def example(self, values: Values) -> Example:
        return Example(values["text"].encode(), "text/plain", ".txt", values["text"])

    def load(self, folder: Path) -> Processor:
        return Processor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        return bool(ours["text"] == theirs["text"])


TASK = Echo()


def build(folder: Path) -> Package:
    """A sealed package of this task: its graph is the mean of the characters, padding left out."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceSum", ["characters", "last"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["real sum"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["characters_lengths"], ["real lengths"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["real sum", "real lengths"], ["mean"]),
    ]
    graph = helper.make_graph(
        nodes,
        "count",
        [
            helper.make_tensor_value_info("characters", TensorProto.INT64, ["batch", "length"]),
            helper.make_tensor_value_info("characters_lengths", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor("last", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    takes = [
        TensorSpec(name="characters", type="int64", shape=["batch", "length"]),
        TensorSpec(name="characters_lengths", type="int64", shape=["batch"]),
    ]
    spec = GraphSpec(inputs=takes, outputs=[TensorSpec(name="mean", type="float32", shape=["batch"])])
    with atomic.folder(folder) as fresh:
        (fresh / "count.onnx").write_bytes(model.SerializeToString())
        Processor().save(fresh)
        (fresh / "signature.json").write_text(Signature(graphs={"count": spec}, classes=[]).model_dump_json())
        (fresh / "golden").mkdir()
        examples = []
        for number, text in enumerate(("one", "zwölf", "a text that is longer")):
            (fresh / "golden" / f"{number:03}.txt").write_text(text, encoding="utf-8")
            answer = {"text": text, "mean": sum(map(ord, text)) / len(text)}
            examples.append(GoldenExample(file=f"{number:03}.txt", media="text/plain", truth=text, answer=answer))
        golden = {"classes": [], "examples": [example.model_dump() for example in examples]}
        manifest.write_json(fresh / "golden" / "outputs.json", golden)
        manifest.write_json(fresh / "metrics.json", {"split": "test", "samples": 3, "overall": {"sameness": 1.0}})
        (fresh / "README.md").write_text("# echo\n")
        facts: dict[str, Any] = {
            "pipeline": "echo",
            "task": NAME,
            "train_fingerprint": "a" * 64,
            "data_digest": "d" * 64,
        }
        manifest.seal(fresh, "package", {**facts, "lineage": {"raw_digest": "e" * 64}})
    return Package.open(folder)
