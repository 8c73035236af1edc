"""The HTTP face of packaged models: one ASGI application, before or within the BentoML service."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from prometheus_client import Counter

from components.access.door import Receive, Scope, Send
from components.contracts.serving_spec import WORKER_HEADER
from serving import metrics, page
from serving.answering import Answerer
from serving.exchange import Answer, HttpRequest, Reply, StreamedReply, encoded, json_reply
from serving.native import Native
from serving.openapi import document
from serving.problem import PROBLEM_TYPE, RefusedRequest
from serving.worker import Worker

Handler = Callable[[HttpRequest], Awaitable[Answer]]

LOG = logging.getLogger("bentoml.modelyard")

_HTML = b"text/html; charset=utf-8"


class ModelApp:
    """Answers requests from the slots of a worker; `serve` is called once before the first request."""

    def __init__(self) -> None:
        self._routes: dict[str, Mapping[str, Handler]] = {}
        self._counters: dict[tuple[str, int], Counter] = {}

    @property
    def asgi(self) -> ModelApp:
        """This application."""
        return self

    def serve(self, worker: Worker) -> None:
        """Set the worker whose slots answer."""
        self._worker = worker
        self._slot_manager = worker.slot_manager
        answerer = Answerer(worker.slot_manager)
        native = Native(answerer)

        async def predict(request: HttpRequest) -> Answer:
            return await native.predict(request, worker.settings)

        self._routes = {
            "/predict": {"POST": predict},
            "/model": {"GET": self.model},
            "/status": {"GET": self.status},
            "/release": {"GET": self.status},  # as clients of earlier versions ask
            "/": {"GET": self.page},  # BentoML's own page loads scripts from the network
            "/openapi.json": {"GET": self.openapi},
            "/docs.json": {"GET": self.openapi},
        }

    def has(self, path: str) -> bool:
        """Whether this application answers a path, with whatever status."""
        return path in self._routes

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
            answer: Answer = await self._handler(scope)(request)
        except RefusedRequest as refusal:
            answer = self._refused(refusal)
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            answer = self._refused(RefusedRequest(500, "internal", "the service failed; its log says why"))
        self._count(scope["path"], answer.status)
        if isinstance(answer, StreamedReply):
            await answer.send(send, receive)
        else:
            await answer.send(send)

    def _count(self, path: str, status: int) -> None:
        path = path if path in self._routes else "other"  # whatever clients make up is no series
        counter = self._counters.get((path, status))
        if counter is None:
            counter = self._counters[path, status] = metrics.REQUESTS.labels(path, str(status))
        counter.inc()

    def _handler(self, scope: Scope) -> Handler:
        methods = self._routes.get(scope["path"])
        if methods is None:
            raise RefusedRequest(404, "path", "there is nothing at this path", got=scope["path"])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        handler = methods.get(method)
        if handler is None:
            allowed = ", ".join(methods)
            raise RefusedRequest(405, "method", "this path has no such method", got=method, expected=allowed)
        return handler

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
        return json_reply(document(slot.loaded.settings, slot.loaded.predictor.endpoint))

    def _refused(self, refusal: RefusedRequest) -> Reply:
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
        if refusal.status == 405:
            headers.append((b"allow", str(refusal.facts["expected"]).encode()))
        return Reply(refusal.content(), refusal.status, PROBLEM_TYPE, headers)


def _nothing() -> RefusedRequest:
    return RefusedRequest(503, "nothing_released", "no version is released")


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
        await asyncio.sleep(0)
