"""The HTTP face of packaged models: one ASGI application, mounted into the BentoML service."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from components.contracts.serving_spec import KEY_HEADER, WORKER_HEADER, RolloutPolicy
from components.core.errors import InferenceError, SampleError
from components.tasks.task import Prediction
from serving import metrics, page, shadow
from serving import request as requests
from serving.canary import choose
from serving.openapi import document
from serving.request import PredictionRequest, RefusedRequest
from serving.slots import ModelSlot, failure
from serving.worker import Worker

# A challenger gets 2 s, or four times its latency limit if that is longer; then the champion answers instead.
ANSWER_SECONDS, ANSWER_RATIO = 2.0, 4


class ModelApp:
    """Answers requests from the slots of a worker; `serve` is called once before the first request."""

    def __init__(self) -> None:
        self.asgi = Starlette(
            routes=[
                Route("/predict", self.predict, methods=["POST"]),
                Route("/model", self.model, methods=["GET"]),
                Route("/status", self.status, methods=["GET"]),
                Route("/release", self.status, methods=["GET"]),  # as clients of earlier versions ask
                Route("/", self.page, methods=["GET"]),  # BentoML's own page loads scripts from the network
                Route("/openapi.json", self.openapi, methods=["GET"]),
                Route("/docs.json", self.openapi, methods=["GET"]),
            ]
        )
        self._waiting = 0
        self._large_bodies = ThreadPoolExecutor(1, "bodies")

    def serve(self, worker: Worker) -> None:
        """Set the worker whose slots answer."""
        self._worker = worker
        self._slot_manager = worker.slot_manager

    async def predict(self, request: Request) -> Response:
        """Predict. The slots as they are when the request arrives answer it, even if they are swapped meanwhile."""
        slots = self._slot_manager.current
        named_version, key = requests.named_version(request), request.headers.get(KEY_HEADER)
        try:
            slot = choose(slots, named_version, key)
        except RefusedRequest as refusal:
            return self._refuse(refusal, None)
        try:
            with self._queued(slot.loaded.settings.max_queue):  # before the body is read, so that reading counts
                loaded = slot.loaded
                parsed = await requests.read(request, loaded.settings, loaded.predictor, self._large_bodies)
                file = requests.requested_file(request, loaded.predictor.endpoint, parsed)
                answer: list[Prediction] | str
                if slot.role == "challenger" and named_version is None and slots.champion:
                    challenger, answer = slot, await self._try(slot, slots.champion, slots.policy, parsed)
                    if isinstance(answer, str):  # a sample that the champion rejects too is no failure
                        slot, code = slots.champion, answer
                        answer = await self._answer(slot, parsed)
                        challenger.fail(code)
                    self._slot_manager.judge(challenger)
                else:
                    answer = await self._answer(slot, parsed)
        except RefusedRequest as refusal:
            return self._refuse(refusal, slot)
        except SampleError as error:
            return self._refuse(RefusedRequest.of(error, slot.loaded.predictor.endpoint.item), slot)
        except InferenceError as error:
            return self._refuse(RefusedRequest(500, failure(error), error.what, where=error.where, got=error.got), slot)
        body = {"predictions": answer, "model": slot.about}
        after, beside = None, slots.challenger
        if beside and not slots.canary_percent and named_version is None:
            if beside.background.is_full():  # nearly always so at full load
                beside.drop()
            else:
                after = BackgroundTask(self._shadow, beside, parsed, answer)
        if file:
            content = base64.b64decode(answer[0][file.field])
            return Response(content, media_type=file.media, headers=slot.headers, background=after)
        return JSONResponse(body, headers=slot.headers, background=after)

    async def model(self, _: Request) -> Response:
        """Describe the champion."""
        slot = self._slot_manager.current.champion
        if slot is None:
            return self._refuse(_NOTHING, None)
        predictor = slot.loaded.predictor
        wire, facts = predictor.endpoint, predictor.package.facts
        about: dict[str, Any] = {
            **slot.about,
            "task": facts.task,
            "data": facts.data_digest,
            "takes": {"item": wire.item, "items": wire.items, "media": wire.media, "form": wire.form},
            **predictor.signature.model_dump(),
        }
        return JSONResponse(about, headers=slot.headers)

    async def status(self, _: Request) -> Response:
        """The status of each worker of the service."""
        return Response(self._worker.service_status().model_dump_json(), media_type="application/json")

    async def page(self, _: Request) -> Response:
        """The HTML page."""
        slot = self._slot_manager.current.champion
        if slot is None:
            return HTMLResponse(page.nothing(self._worker.settings.model), 503)
        return HTMLResponse(page.render(slot.about, slot.loaded.predictor.endpoint), headers=slot.headers)

    async def openapi(self, _: Request) -> Response:
        """The OpenAPI document."""
        slot = self._slot_manager.current.champion
        if slot is None:
            return self._refuse(_NOTHING, None)
        return JSONResponse(document(slot.loaded.settings, slot.loaded.predictor.endpoint))

    @contextmanager
    def _queued(self, max_queue: int) -> Iterator[None]:
        if self._waiting >= max_queue:
            raise RefusedRequest(503, "busy", "too many requests are waiting", got=self._waiting)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def _answer(self, slot: ModelSlot, parsed: PredictionRequest) -> list[Prediction]:
        try:
            return await self._run(slot, parsed)
        except InferenceError as error:
            slot.fail(failure(error))
            raise
        finally:
            if slot.role == "challenger":
                self._slot_manager.judge(slot)

    async def _try(
        self, challenger: ModelSlot, champion: ModelSlot, policy: RolloutPolicy | None, parsed: PredictionRequest
    ) -> list[Prediction] | str:
        """The challenger's answer, or the code of its failure."""
        ratio = policy.limits.max_latency_ratio if policy else 1.0
        timeout = max(ANSWER_SECONDS, ANSWER_RATIO * ratio * champion.recorder.medians()[0])
        try:
            return await asyncio.wait_for(self._run(challenger, parsed), timeout)
        except TimeoutError:
            return "late"
        except (InferenceError, SampleError) as error:
            return failure(error)

    async def _run(self, slot: ModelSlot, parsed: PredictionRequest) -> list[Prediction]:
        return await asyncio.get_running_loop().run_in_executor(slot.threads, slot.answer, parsed)

    async def _shadow(self, slot: ModelSlot, parsed: PredictionRequest, answer: list[Prediction]) -> None:
        shadow.offer(self._slot_manager, slot, parsed, answer, lambda: self._waiting > 0)

    def _refuse(self, refusal: RefusedRequest, slot: ModelSlot | None) -> Response:
        settings = self._worker.settings
        model, version, role = slot.labels if slot else (settings.model, "", "")
        if refusal.status != 500:  # a 500 is counted as a failure of its version
            metrics.REFUSALS.labels(model, version, role, str(refusal.body["error"]["code"])).inc()
        headers = dict(slot.headers) if slot else {"X-Modelyard-Model": model, WORKER_HEADER: str(os.getpid())}
        if refusal.status == 503:
            headers |= {"Retry-After": "1"}
        return JSONResponse(refusal.body, refusal.status, headers=headers)


_NOTHING = RefusedRequest(503, "nothing_released", "no version is released")
