"""Real, small bundles of more tasks: a table, series and a language model, whose graphs are one product each."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from components.contracts.serving_spec import SlotSpec
from components.core import atomic
from components.identity import manifest
from components.identity.package import GoldenExample, GraphSpec, Package, Signature, TensorSpec
from components.inference import body
from components.inference.predictor import Predictor
from components.preprocessing.text import BEGIN, END, UNKNOWN, Tokenizer
from components.preprocessing.tokenizer_spec import WordLevel
from components.tasks.series_classification import SeriesClassificationProcessor
from components.tasks.sound_classification import SoundClassificationProcessor
from components.tasks.table_columns import CategoryColumn, NumberColumn
from components.tasks.tabular_classification import TabularClassificationProcessor
from components.tasks.task import EMBEDDING
from components.tasks.text_generation import TextGenerationProcessor

CLASSES = ["no", "yes"]
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
ROWS = [
    {"age": 30, "height": 1.7, "town": "Ulm"},
    {"age": 51.5, "height": None, "town": "Bonn"},
    {"age": 42, "height": 1.85, "town": None},
]
SERIES = np.random.default_rng(0).normal(size=(3, 4, 2)).round(3)  # N, T, C

_TYPES = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT}


def table(folder: Path) -> SlotSpec:
    """Two columns of numbers, one of them may be missing; one of categories, which may be missing; an embedding (2)."""
    random = np.random.default_rng(0)
    columns: list[tuple[str, NDArray[Any]]] = [
        ("age", np.array([20.0, 40.0, 60.0])), ("height", np.array([1.6, 1.8, np.nan])),
    ]  # fmt: skip
    processor = TabularClassificationProcessor(
        scaling="standard",
        numbers=[NumberColumn.fit(name, values, "standard", may_be_missing=False) for name, values in columns],
        categories=[CategoryColumn.fit("town", Counter(["Bonn", "Ulm", None]), 1, may_be_missing=False)],
        classes=CLASSES,
    )
    nodes = [
        helper.make_node("MatMul", ["numbers", "weights"], ["a"]),
        helper.make_node("Cast", ["categories"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["real", "others"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
        helper.make_node("Identity", ["logits"], [EMBEDDING]),
    ]
    constants = {"weights": random.normal(size=(2, 2)), "others": random.normal(size=(2, 2))}
    takes = [_tensor("numbers", "float32", 2), _tensor("categories", "int64", 2)]
    gives = [_tensor("probabilities", "float32", 2), _tensor(EMBEDDING, "float32", 2)]
    model = _model(nodes, constants, takes, gives)
    return _sealed(folder, "tabular-classification", processor, model, takes, gives, CLASSES, (b'{"row": %s}', ROWS[0]))


def series(folder: Path) -> SlotSpec:
    """Four steps of two channels."""
    processor = SeriesClassificationProcessor(
        max_length=4, channels=2, fixed=True, mean=[0.0, 0.0], std=[1.0, 1.0], classes=CLASSES
    )
    nodes = [
        helper.make_node("ReduceMean", ["series"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    constants = {"weights": np.random.default_rng(0).normal(size=(2, 2))}
    takes = [_tensor("series", "float32", "length", 2), _tensor("series_lengths", "int64")]
    gives = [_tensor("probabilities", "float32", 2)]
    model = _model(nodes, constants, takes, gives)
    return _sealed(folder, "series-classification", processor, model, takes, gives, CLASSES,
                   (b'{"values": %s}', SERIES[0].tolist()))  # fmt: skip


def sound(folder: Path) -> SlotSpec:
    """Half a second at 8 kHz, as frames of 16 bands."""
    processor = SoundClassificationProcessor(
        rate=8000, bands=16, max_seconds=0.5, resampler="soxr", mean=[0.0] * 16, std=[1.0] * 16, classes=CLASSES
    )
    nodes = [
        helper.make_node("ReduceSum", ["series", "time"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["series_lengths"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "time"], ["lengths"]),
        helper.make_node("Div", ["sum", "lengths"], ["mean"]),  # padding is zero, and does not count
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    takes = [_tensor("series", "float32", "length", 16), _tensor("series_lengths", "int64")]
    gives = [_tensor("probabilities", "float32", 2)]
    constants = {"weights": np.random.default_rng(0).normal(size=(16, 2)), "time": np.array([1])}
    model = _model(nodes, constants, takes, gives)
    return _sealed(folder, "sound-classification", processor, model, takes, gives, CLASSES, wav())


def wav() -> bytes:
    """A WAV file of a tone, 16 bits, one channel, 8 kHz."""
    samples = (np.sin(np.arange(2000) * 0.4) * 16_000).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16_000, 2, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def language_model(folder: Path, *, endless: bool = False, fails: bool = False, version: str = "1") -> SlotSpec:
    """After "one" comes "two", and so on; "eight" is the end, or, if `endless`, "one" follows it.

    Args:
        fails: after an unknown word comes NaN.
    """
    tokenizer = Tokenizer.fit(WordLevel(min_frequency=1), iter([" ".join(WORDS)]))
    processor = TextGenerationProcessor.of(tokenizer, max_length=8)
    order = [int(tokens[-1]) for tokens in tokenizer.encode(WORDS, 1)]
    follows = {BEGIN: order[0], **dict(zip(order, [*order[1:], order[0] if endless else END], strict=True))}
    logits = np.zeros((tokenizer.vocabulary, tokenizer.vocabulary), np.float32)
    for token, after in follows.items():
        logits[token, after] = 9
    if fails:
        logits[UNKNOWN] = np.nan
    takes = [_tensor("tokens", "int64", "length"), _tensor("tokens_lengths", "int64")]
    gives = [_tensor("logits", "float32", "length", tokenizer.vocabulary)]
    model = _model([helper.make_node("Gather", ["table", "tokens"], ["logits"])], {"table": logits}, takes, gives)
    return _sealed(folder, "text-generation", processor, model, takes, gives, [], b"one two", version)


def _tensor(name: str, kind: Any, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, type=kind, shape=["batch", *shape])


def _model(
    nodes: list[Any], constants: Mapping[str, NDArray[Any]], takes: list[TensorSpec], gives: list[TensorSpec]
) -> bytes:
    described = [
        [helper.make_tensor_value_info(one.name, _TYPES[one.type], one.shape) for one in side]
        for side in (takes, gives)
    ]
    values = [
        numpy_helper.from_array(value if value.dtype.kind == "i" else value.astype(np.float32), name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(nodes, "small", *described, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _sealed(
    folder: Path,
    task: str,
    processor: Any,
    model: bytes,
    takes: list[TensorSpec],
    gives: list[TensorSpec],
    classes: list[str],
    golden: Any,
    version: str = "1",
) -> SlotSpec:
    content, media = golden, "audio/wav" if golden[:4] == b"RIFF" else "text/plain"
    if isinstance(golden, tuple):
        content, media = golden[0] % json.dumps(golden[1]).encode(), "application/json"
    with atomic.folder(folder / "package") as fresh:
        (fresh / "model.onnx").write_bytes(model)
        processor.save(fresh)
        on_request = [one.name for one in gives if one.name == EMBEDDING]
        graphs = {"model": GraphSpec(inputs=takes, outputs=gives, on_request=on_request)}
        (fresh / "signature.json").write_text(Signature(graphs=graphs, classes=classes).model_dump_json())
        (fresh / "golden").mkdir()
        (fresh / "golden" / "000").write_bytes(content)
        facts = {"pipeline": "sample", "task": task, "train_fingerprint": "a" * 64, "data_digest": "d" * 64}
        manifest.write_json(fresh / "golden" / "outputs.json", {"classes": classes, "examples": []})
        manifest.write_json(fresh / "metrics.json", {"split": "test", "samples": 3, "overall": {"accuracy": 0.5}})
        manifest.seal(fresh, "package", {**facts, "lineage": {}})
        predictor = Predictor(Package.open(fresh))
        parsed = body.read(predictor.processor, predictor.endpoint, content, media)
        (answer,) = predictor.predict(parsed.items)
        example = GoldenExample(file="000", media=media, truth="", answer=answer)
        manifest.write_json(fresh / "golden" / "outputs.json", {"classes": classes, "examples": [example.model_dump()]})
        (fresh / "manifest.json").unlink()
        manifest.seal(fresh, "package", {**facts, "lineage": {}})
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
    package = Package.open(folder / "package")
    return SlotSpec(version=version, package_digest=package.digest, bundle=str(folder))
