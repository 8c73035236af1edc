"""The HTTP face of packaged models: one ASGI application, before or within the BentoML service."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from prometheus_client import Counter

from components.access.door import Receive, Scope, Send
from components.contracts.prediction_log import PREDICTION_HEADER
from components.contracts.row_expectations import FLAGS_HEADER
from components.contracts.serving_spec import WORKER_HEADER
from components.inference import told_truth
from components.inference.predictor import Predictor
from serving import bento_api, docs_page, feedback, input_contract, metrics, page
from serving.answering import Answerer
from serving.connection_limits import MAX_HEADERS
from serving.exchange import Answer, HttpRequest, Reply, StreamedReply, encoded, json_reply
from serving.explanations import Explanations
from serving.lease import READY_PATH
from serving.native import Native
from serving.openapi import document, examples
from serving.prediction_log import PredictionLog
from serving.problem import RefusedRequest
from serving.protocols import error_format
from serving.protocols.mlflow_scoring import MlflowScoring
from serving.protocols.open_inference import OpenInference
from serving.protocols.openai_api import OpenAI
from serving.protocols.openai_embeddings import embeds_texts
from serving.router import Handler, Router
from serving.worker import Worker

LOG = logging.getLogger("bentoml.modelyard")

PROTOCOL_PATHS = ("/v1/", "/v2/")  # below them, a refusal has the form of its protocol

_PREDICTION = PREDICTION_HEADER.lower().encode()
_FLAGS = FLAGS_HEADER.lower().encode()
_HTML = b"text/html; charset=utf-8"


class ModelApp:
    """Answers requests from the slots of a worker; `serve` is called once before the first request."""

    def __init__(self) -> None:
        self._router = Router({})
        self._counters: dict[tuple[str, int], Counter] = {}
        self._documents: WeakKeyDictionary[Predictor, bytes] = WeakKeyDictionary()

    @property
    def asgi(self) -> ModelApp:
        """This application."""
        return self

    def serve(self, worker: Worker) -> None:
        """Set the worker whose slots answer."""
        # Broken forms are told to their senders; a line each would let anybody fill the log.
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
        self._worker = worker
        self._slot_manager = worker.slot_manager
        answerer = Answerer(worker.slot_manager, worker.lease)
        answerer.log = worker.log = PredictionLog.of_process(worker.settings.log, lambda: answerer.waiting > 1)
        native = Native(answerer)

        async def predict(request: HttpRequest) -> Answer:
            return await native.predict(request, worker.settings)

        async def take_feedback(request: HttpRequest) -> Answer:
            slot = self._slot_manager.current.champion
            known = None if slot is None else told_truth.of_schema(slot.loaded.predictor.endpoint.prediction)
            return await feedback.take(request, answerer.log, known)

        routes: dict[str, Mapping[str, Handler]] = {
            "/predict": {"POST": predict},
            "/feedback": {"POST": take_feedback},
            "/model": {"GET": self.model},
            "/status": {"GET": self.status},
            READY_PATH: {"GET": self.ready},
            "/release": {"GET": self.status},  # as clients of earlier versions ask
            "/": {"GET": self.page},  # BentoML's own page loads scripts from the network
            "/openapi.json": {"GET": self.openapi},
            "/docs.json": {"GET": self.openapi},
            "/schema.json": {"GET": self.bento_schema},
        }
        for protocol in (OpenInference, MlflowScoring, OpenAI):
            routes |= protocol(answerer, worker).routes()
        routes |= Explanations(worker).routes()
        routes |= docs_page.routes()
        self._router = Router(routes)

    def has(self, path: str) -> bool:
        """Whether this application answers a path, with whatever status."""
        if path == READY_PATH:  # BentoML's own, but where a lease has run out
            return self._router.route(path) is not None and self._worker.lease.is_over
        return self._router.route(path) is not None or path.startswith(PROTOCOL_PATHS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        request = HttpRequest(scope, receive)
        try:
            if len(scope["headers"]) > MAX_HEADERS:
                raise RefusedRequest(
                    431, "headers", "too many headers", got=len(scope["headers"]), expected=MAX_HEADERS
                )
            answer: Answer = await self._router.handler(scope)(request)
        except RefusedRequest as refusal:
            answer = self._refused(refusal, scope["path"])
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            failed = RefusedRequest(500, "internal", "the service failed; its log says why")
            answer = self._refused(failed, scope["path"])
        if request.prediction_id is not None and answer.status == 200:
            answer.headers = [*answer.headers, (_PREDICTION, request.prediction_id.encode())]
            if request.missed:
                answer.headers.append((_FLAGS, input_contract.header(request.missed)))
        self._count(scope["path"], answer.status)
        if isinstance(answer, StreamedReply):
            await answer.send(send, receive)
        else:
            await answer.send(send)

    def _count(self, path: str, status: int) -> None:
        counter = self._counters.get((path, status))
        if counter is None:
            route = self._router.route(path) or "other"  # whatever clients make up is no series
            counter = metrics.REQUESTS.labels(route, str(status))
            if route == path:
                self._counters[path, status] = counter
        counter.inc()

    async def model(self, _: HttpRequest) -> Answer:
        """Describe the champion."""
        slot = self._slot_manager.current.champion
        if slot is None:
            raise _nothing()
        predictor = slot.loaded.predictor
        wire, facts = predictor.endpoint, predictor.package.facts
        about: dict[str, Any] = {
            **slot.about,
            "task": facts.task,
            "data": facts.data_digest,
            "device": predictor.device,
            "graphs_are_int8": facts.quantization is not None and facts.quantization.kept,
            "takes": {"item": wire.item, "items": wire.items, "media": wire.media, "form": wire.form},
            **predictor.signature.model_dump(),
        }
        return json_reply(about, headers=slot.encoded_headers)

    async def status(self, _: HttpRequest) -> Answer:
        """The status of each worker of the service."""
        return Reply(self._worker.service_status().model_dump_json().encode())

    async def ready(self, _: HttpRequest) -> Answer:
        """Whether the service's lease has not run out."""
        if self._worker.lease.is_over:
            raise self._worker.lease.refusal()
        return Reply(b"\n", 200, b"text/plain; charset=utf-8")

    async def page(self, _: HttpRequest) -> Answer:
        """The HTML page."""
        slot = self._slot_manager.current.champion
        if slot is None:
            return Reply(page.nothing(self._worker.settings.model).encode(), 503, _HTML)
        content = page.render(slot.about, slot.loaded.predictor.endpoint).encode()
        return Reply(content, 200, _HTML, slot.encoded_headers)

    async def openapi(self, _: HttpRequest) -> Answer:
        """The OpenAPI document."""
        slot = self._slot_manager.current.champion
        if slot is None:
            raise _nothing()
        predictor = slot.loaded.predictor
        content = self._documents.get(predictor)
        if content is None:
            shown = examples(predictor.package, predictor.endpoint)
            max_length = getattr(predictor.processor, "max_length", None)
            found = document(
                slot.loaded.settings, predictor.endpoint, shown, max_length, embeds=embeds_texts(predictor)
            )
            content = self._documents[predictor] = orjson.dumps(found)
        return Reply(content)

    async def bento_schema(self, _: HttpRequest) -> Answer:
        """The methods of this service for BentoML's client."""
        slot = self._slot_manager.current.champion
        if slot is None:
            raise _nothing()
        return json_reply(bento_api.schema(self._worker.settings.model, slot.loaded.predictor.endpoint))

    def _refused(self, refusal: RefusedRequest, path: str) -> Reply:
        slot, settings = refusal.slot, self._worker.settings
        model, version, role = slot.labels if slot else (settings.model, "", "")
        if refusal.status != 500:  # a 500 is counted as a failure of its version
            metrics.REFUSALS.labels(model, version, role, refusal.code).inc()
        if slot:
            headers = list(slot.encoded_headers)
        else:
            headers = encoded([("X-Modelyard-Model", model), (WORKER_HEADER, str(os.getpid()))])
        seconds = refusal.retry_seconds or (1 if refusal.status == 503 else None)
        if seconds is not None:
            headers.append((b"retry-after", b"%d" % seconds))
        if refusal.status == 408:  # what is left of the body is not waited for
            headers.append((b"connection", b"close"))
        if refusal.status == 405:
            headers.append((b"allow", str(refusal.facts["expected"]).encode()))
        status, content, media = error_format.refused(path, refusal)
        return Reply(content, status, media, headers)


def _nothing() -> RefusedRequest:
    return RefusedRequest(503, "nothing_released", "no version is released")


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
        await asyncio.sleep(0)
