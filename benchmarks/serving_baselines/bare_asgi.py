"""The limit: one ASGI function on the same ONNX file under uvicorn; it reads, computes and answers, nothing else.

No validation, limits, metrics, batching, versions or second model; JSON by orjson, one onnxruntime thread.

    python -m benchmarks.serving_baselines.bare_asgi BUNDLE_SOURCE PORT image|pixels|text|series
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson
import uvicorn
from PIL import Image
from tokenizers import Tokenizer

Read = Callable[[bytes], dict[str, Any]]


def session(package: Path) -> onnxruntime.InferenceSession:
    """The graph, with the options that are best for one request at a time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(package / "model.onnx"), options, providers=["CPUExecutionProvider"])


def reader(kind: str, package: Path) -> Read:
    """From a body to the graph's inputs."""
    processor = json.loads((package / "processor.json").read_text())
    if kind == "pixels":
        return lambda body: {"images": np.asarray(orjson.loads(body)["pixels"], np.uint8)}
    if kind == "image":
        size, mode = (processor["width"], processor["height"]), "L" if processor["channels"] == 1 else "RGB"

        def image(body: bytes) -> dict[str, Any]:
            with Image.open(io.BytesIO(body)) as opened:
                found = opened.convert(mode)
                pixels = np.asarray(found if found.size == size else found.resize(size, Image.Resampling.BILINEAR))
            return {"images": pixels.reshape(1, size[1], size[0], -1)}

        return image
    if kind == "series":
        mean, std = (np.asarray(processor[name], np.float32) for name in ("mean", "std"))
        return lambda body: {"past": (np.asarray([orjson.loads(body)["values"]], np.float32) - mean) / std}
    tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))

    def text(body: bytes) -> dict[str, Any]:
        tokens = tokenizer.encode(orjson.loads(body)["text"]).ids[: processor["max_length"]]
        return {"tokens": np.asarray([tokens], np.int64), "tokens_lengths": np.asarray([len(tokens)], np.int64)}

    return text


def main(source: Path, port: int, kind: str) -> None:
    """Serve until terminated."""
    package = source / "package"
    graph, read = session(package), reader(kind, package)
    classes = json.loads((package / "signature.json").read_text())["classes"]
    names = [node.name for node in graph.get_inputs()]

    def answer(values: Any) -> Any:
        if not classes:
            return values.tolist()
        return {
            "label": classes[int(values.argmax())],
            "probabilities": dict(zip(classes, values.tolist(), strict=True)),
        }

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        feed = read(body)
        (values, *_) = graph.run(None, {name: feed[name] for name in names})
        content = orjson.dumps({"predictions": [answer(one) for one in values]})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    uvicorn.run(application, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
