"""The Open Inference Protocol V2 (KServe, Triton), with Triton's binary tensor data extension.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and Triton's protocol
extensions. The tensors of a task are those of `tensor_inputs` and `tensor_outputs`. What is not supported is refused:
shared memory, classification of outputs, sequences, priorities, compressed bodies.
"""

from __future__ import annotations

import time
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from components.inference.predictor import Predictor
from components.tasks.task import Prediction
from serving.answering import Answered, Answerer, Context
from serving.exchange import JSON_TYPE, Answer, HttpRequest, Reply, json_reply
from serving.native import context_of, refusing
from serving.problem import RefusedRequest
from serving.protocols import infer_request, tensor_codec
from serving.protocols.call import parsed_off_loop
from serving.protocols.infer_request import InferRequest
from serving.protocols.tensor_inputs import InputForm, forms
from serving.protocols.tensor_outputs import OutputTensor, outputs
from serving.request import PredictionRequest
from serving.router import Handler, Routes
from serving.slots import ModelSlot
from serving.worker import Worker

PLATFORM = "modelyard_onnx"
EXTENSIONS = ["binary_tensor_data"]
_HEADER_LENGTH = "Inference-Header-Content-Length"
_HEADER_LENGTH_KEY = _HEADER_LENGTH.lower().encode()
_BINARY_TYPE = b"application/octet-stream"


class OpenInference:
    """Answers the paths below /v2."""

    def __init__(self, answerer: Answerer, worker: Worker) -> None:
        self._answerer, self._worker = answerer, worker
        self._tensors: WeakKeyDictionary[Predictor, tuple[list[InputForm], list[OutputTensor]]] = WeakKeyDictionary()

    def routes(self) -> Routes:
        """The paths of this protocol; those of this model without a version are found without a pattern."""
        own = f"/v2/models/{self._worker.settings.model}"
        paths: dict[str, dict[str, Handler]] = {
            "/v2": {"GET": self.server_metadata},
            "/v2/": {"GET": self.server_metadata},
            "/v2/health/live": {"GET": self.live},
            "/v2/health/ready": {"GET": self.ready},
        }
        for model in (own, "/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            paths[model] = {"GET": self.model_metadata}
            paths[f"{model}/ready"] = {"GET": self.model_ready}
            paths[f"{model}/infer"] = {"POST": self.infer}
        return paths

    async def server_metadata(self, _: HttpRequest) -> Answer:
        """Name, version and extensions of the server; its version is that of the protocol."""
        return json_reply({"name": "modelyard", "version": "2", "extensions": EXTENSIONS})

    async def live(self, _: HttpRequest) -> Answer:
        """Whether the process answers."""
        return json_reply({"live": True})

    async def ready(self, _: HttpRequest) -> Answer:
        """Whether there is a champion, and the lease has not run out."""
        is_ready = self._worker.slot_manager.current.champion is not None and not self._worker.lease.is_over
        return json_reply({"ready": is_ready}, 200 if is_ready else 503)

    async def model_ready(self, request: HttpRequest) -> Answer:
        """Whether the model, or its named version, is ready."""
        slot = self._slot(request)
        return json_reply({"name": slot.about["name"], "ready": True}, headers=slot.encoded_headers)

    async def model_metadata(self, request: HttpRequest) -> Answer:
        """Versions and tensors of the model."""
        slot = self._slot(request)
        ways, answered = self._tensors_of(slot.loaded.predictor)
        ready = dict.fromkeys(one.loaded.spec.version for one in self._worker.slot_manager.current.all())
        document: dict[str, Any] = {
            "name": slot.about["name"],
            "versions": list(ready),
            "platform": PLATFORM,
            "inputs": [tensor.metadata() for tensor in ways[0].tensors],
            "outputs": [tensor.metadata() for tensor in answered],
        }
        if len(ways) > 1:
            document["parameters"] = {
                "other_inputs": [[tensor.metadata() for tensor in form.tensors] for form in ways[1:]]
            }
        return json_reply(document, headers=slot.encoded_headers)

    async def infer(self, request: HttpRequest) -> Answer:
        """Predict.

        Raises:
            RefusedRequest: with the slot that refused it, once there is one.
        """
        context = self._context(request)
        slot = self._answerer.choose(context)
        with refusing(slot), self._answerer.queued(slot):
            ways, answers = self._tensors_of(slot.loaded.predictor)
            content = await request.body(slot.loaded.settings.max_request_bytes)
            length = _header_length(request)
            infer, form = InferRequest(), ways[0]

            def parse(slot: ModelSlot, content: bytes) -> PredictionRequest:
                nonlocal infer, form
                infer, form = infer_request.parse(content, length, ways)
                return infer_request.prediction_request(slot, infer, form, len(content))

            parsed = await parsed_off_loop(slot, content, parse)
            wanted = _wanted(infer, answers)
            if infer.timeout_seconds is not None:
                context = context._replace(until=min(context.until, time.monotonic() + infer.timeout_seconds))
            answered = await self._answerer.answer(slot, parsed, context)
        return _reply(infer, wanted, answered)

    def _slot(self, request: HttpRequest) -> ModelSlot:
        return self._answerer.choose(self._context(request))

    def _context(self, request: HttpRequest) -> Context:
        """What the headers and the path say.

        Raises:
            RefusedRequest: 404, the path names another model.
        """
        context = context_of(request, self._worker.settings)
        named = request.scope.get("path_params", {})
        if (model := named.get("model")) is not None and model != self._worker.settings.model:
            expected = self._worker.settings.model
            raise RefusedRequest(404, "model", "this service has no such model", got=model, expected=expected)
        return context._replace(version=named.get("version", context.version))

    def _tensors_of(self, predictor: Predictor) -> tuple[list[InputForm], list[OutputTensor]]:
        found = self._tensors.get(predictor)
        if found is None:
            found = self._tensors[predictor] = forms(predictor), outputs(predictor.endpoint.prediction)
        return found


def _header_length(request: HttpRequest) -> int | None:
    text = request.header(_HEADER_LENGTH_KEY)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise RefusedRequest(400, "tensor", f"{_HEADER_LENGTH} is no number of bytes", got=text[:40])
    return int(text)


def _wanted(request: InferRequest, known: list[OutputTensor]) -> list[tuple[OutputTensor, bool]]:
    """The outputs of a response, and whether each is binary data."""
    if request.requested is None:
        return [(tensor, request.binary_by_default) for tensor in known]
    by_name = {tensor.name: tensor for tensor in known}
    if odd := [name for name in request.requested if name not in by_name]:
        message = "the model has no such output"
        raise RefusedRequest(400, "tensor", message, got=", ".join(odd), expected=", ".join(by_name))
    return [(by_name[name], binary) for name, binary in request.requested.items()]


def _reply(request: InferRequest, wanted: list[tuple[OutputTensor, bool]], answered: Answered) -> Reply:
    slot, predictions, after, _ = answered
    described, binary = list[dict[str, Any]](), list[bytes]()
    for tensor, is_binary in wanted:
        described.append(_tensor(tensor, predictions, binary if is_binary else None))
    document: dict[str, Any] = {"model_name": slot.about["name"], "model_version": slot.about["version"]}
    if request.id is not None:
        document["id"] = request.id
    head = orjson.dumps({**document, "outputs": described})
    if not binary:
        return Reply(head, 200, JSON_TYPE, slot.encoded_headers, after)
    headers = [*slot.encoded_headers, (_HEADER_LENGTH_KEY, b"%d" % len(head))]
    return Reply(b"".join([head, *binary]), 200, _BINARY_TYPE, headers, after)


def _tensor(tensor: OutputTensor, predictions: list[Prediction], binary: list[bytes] | None) -> dict[str, Any]:
    """One output of a response; as binary data, its bytes are appended to `binary`."""
    array = tensor.array(predictions)
    described: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(array.shape)}
    if binary is None:
        return {**described, "data": tensor_codec.to_json(array, base64_text=tensor.is_file)}
    content = tensor_codec.to_binary(array)
    binary.append(content)
    return {**described, "parameters": {"binary_data_size": len(content)}}
