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
from serving.request import Found, RefusedRequest
from serving.slots import ModelSlot, failure
from serving.worker import Worker

# A challenger that has not answered after that, or after so many times its latency limit, is answered for.
PATIENCE_SECONDS, PATIENCE_RATIO = 2.0, 4


class ModelApp:
    """Answers `POST /predict` with what a worker holds; `serve` is called once before the first request."""

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
        """Answer for a worker."""
        self._worker = worker
        self._holding = worker.holding

    async def predict(self, request: Request) -> Response:
        """Samples to answers. What was held when the request came answers it, whatever is swapped meanwhile."""
        seats = self._holding.now
        wanted, key = requests.named_version(request), request.headers.get(KEY_HEADER)
        try:
            seat = choose(seats, wanted, key)
        except RefusedRequest as refusal:
            return self._refuse(refusal, None)
        try:
            with self._place(seat.loaded.settings.max_queue):  # before the body is read: bodies that wait count too
                loaded = seat.loaded
                found = await requests.read(request, loaded.settings, loaded.predictor, self._large_bodies)
                file = requests.wanted_file(request, loaded.predictor.endpoint, found)
                outcome: list[Prediction] | str
                if seat.role == "challenger" and wanted is None and seats.champion:
                    challenger, outcome = seat, await self._try(seat, seats.champion, seats.policy, found)
                    if isinstance(outcome, str):  # the champion answers; what it refuses as well is nobody's failure
                        seat, code = seats.champion, outcome
                        outcome = await self._answer(seat, found)
                        challenger.fail(code)
                    self._holding.judge(challenger)
                else:
                    outcome = await self._answer(seat, found)
        except RefusedRequest as refusal:
            return self._refuse(refusal, seat)
        except SampleError as error:
            return self._refuse(RefusedRequest.of(error, seat.loaded.predictor.endpoint.item), seat)
        except InferenceError as error:
            return self._refuse(RefusedRequest(500, failure(error), error.what, where=error.where, got=error.got), seat)
        body = {"predictions": outcome, "model": seat.about}
        after, beside = None, seats.challenger
        if beside and not seats.canary_percent and wanted is None:
            if beside.background.is_full():  # at full load nearly always
                beside.drop()
            else:
                after = BackgroundTask(self._shadow, beside, found, outcome)
        if file:
            content = base64.b64decode(outcome[0][file.field])
            return Response(content, media_type=file.media, headers=seat.headers, background=after)
        return JSONResponse(body, headers=seat.headers, background=after)

    async def model(self, _: Request) -> Response:
        """What this process serves."""
        seat = self._holding.now.champion
        if seat is None:
            return self._refuse(_NOTHING, None)
        predictor = seat.loaded.predictor
        wire, facts = predictor.endpoint, predictor.package.facts
        about: dict[str, Any] = {
            **seat.about,
            "task": facts.task,
            "data": facts.data_digest,
            "takes": {"item": wire.item, "items": wire.items, "media": wire.media, "form": wire.form},
            **predictor.signature.model_dump(),
        }
        return JSONResponse(about, headers=seat.headers)

    async def status(self, _: Request) -> Response:
        """What each worker of the service holds."""
        return Response(self._worker.service_statement().model_dump_json(), media_type="application/json")

    async def page(self, _: Request) -> Response:
        """A page for people."""
        seat = self._holding.now.champion
        if seat is None:
            return HTMLResponse(page.nothing(self._worker.settings.model), 503)
        return HTMLResponse(page.render(seat.about, seat.loaded.predictor.endpoint), headers=seat.headers)

    async def openapi(self, _: Request) -> Response:
        """The OpenAPI document."""
        seat = self._holding.now.champion
        if seat is None:
            return self._refuse(_NOTHING, None)
        return JSONResponse(document(seat.loaded.settings, seat.loaded.predictor.endpoint))

    @contextmanager
    def _place(self, most: int) -> Iterator[None]:
        if self._waiting >= most:
            raise RefusedRequest(503, "busy", "too many requests are waiting", got=self._waiting)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def _answer(self, seat: ModelSlot, found: Found) -> list[Prediction]:
        try:
            return await self._run(seat, found)
        except InferenceError as error:
            seat.fail(failure(error))
            raise
        finally:
            if seat.role == "challenger":
                self._holding.judge(seat)

    async def _try(
        self, challenger: ModelSlot, champion: ModelSlot, policy: RolloutPolicy | None, found: Found
    ) -> list[Prediction] | str:
        """The challenger's answer, or why it gave none in time."""
        ratio = policy.limits.max_latency_ratio if policy else 1.0
        patience = max(PATIENCE_SECONDS, PATIENCE_RATIO * ratio * champion.record.medians()[0])
        try:
            return await asyncio.wait_for(self._run(challenger, found), patience)
        except TimeoutError:
            return "late"
        except (InferenceError, SampleError) as error:
            return failure(error)

    async def _run(self, seat: ModelSlot, found: Found) -> list[Prediction]:
        return await asyncio.get_running_loop().run_in_executor(seat.threads, seat.answer, found)

    async def _shadow(self, seat: ModelSlot, found: Found, answer: list[Prediction]) -> None:
        shadow.offer(self._holding, seat, found, answer, lambda: self._waiting > 0)

    def _refuse(self, refusal: RefusedRequest, seat: ModelSlot | None) -> Response:
        settings = self._worker.settings
        model, version, role = seat.labels if seat else (settings.model, "", "")
        if refusal.status != 500:  # counted as its version's failure
            metrics.REFUSALS.labels(model, version, role, str(refusal.body["error"]["code"])).inc()
        headers = dict(seat.headers) if seat else {"X-Modelyard-Model": model, WORKER_HEADER: str(os.getpid())}
        if refusal.status == 503:
            headers |= {"Retry-After": "1"}
        return JSONResponse(refusal.body, refusal.status, headers=headers)


_NOTHING = RefusedRequest(503, "nothing_released", "no version is released")
