"""The HTTP face of a packaged model: one ASGI application, mounted into the BentoML service."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from components.contracts.errors import SampleError
from components.inference.predictor import Prediction, Predictor
from serving import page
from serving import request as requests
from serving.openapi import document
from serving.settings import ServingSettings

PREDICTIONS = Counter("modelyard_predictions", "Images answered", ["model", "version", "label"])
REFUSALS = Counter("modelyard_refusals", "Requests refused", ["model", "version", "code"])
SECONDS = Histogram(
    "modelyard_inference_seconds",
    "Decoding and inference of one request",
    ["model", "version"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)


class ModelApp:
    """Answers `POST /predict` with one predictor; `load` is called once before the first request."""

    def __init__(self) -> None:
        self.asgi = Starlette(
            routes=[
                Route("/predict", self.predict, methods=["POST"]),
                Route("/model", self.model, methods=["GET"]),
                Route("/", self.page, methods=["GET"]),  # BentoML's own page loads scripts from the network
                Route("/openapi.json", self.openapi, methods=["GET"]),
                Route("/docs.json", self.openapi, methods=["GET"]),
            ]
        )
        self._waiting = 0

    def load(self, predictor: Predictor, settings: ServingSettings, threads: int) -> None:
        """Take a warm predictor into service."""
        self.predictor = predictor
        self.settings = settings
        self._threads = ThreadPoolExecutor(threads, "predict")  # a third of what anyio's hop to a thread costs
        digest = predictor.package.digest
        self._about = {"name": settings.model, "version": settings.version, "package": digest}
        self._headers = {
            "X-Modelyard-Model": settings.model,
            "X-Modelyard-Version": settings.version,
            "X-Modelyard-Package": digest,
        }
        self._seconds = SECONDS.labels(settings.model, settings.version)

    async def predict(self, request: Request) -> Response:
        """Images or pixels to labels."""
        try:
            found = await requests.read(request, self.settings)
            predictions = await self._answer(found)
        except requests.RefusedRequest as refusal:
            return self._refuse(refusal)
        except SampleError as error:
            return self._refuse(
                requests.RefusedRequest(
                    422, "image", error.what, where=error.where, got=error.got, expected=error.expected
                )
            )
        for prediction in predictions:
            PREDICTIONS.labels(self.settings.model, self.settings.version, prediction.label).inc()
        body = {"predictions": [vars(prediction) for prediction in predictions], "model": self._about}
        return JSONResponse(body, headers=self._headers)

    async def model(self, _: Request) -> Response:
        """What this process serves."""
        about: dict[str, Any] = {
            **self._about,
            "data": self.predictor.package.facts.data_digest,
            "classes": self.predictor.signature.classes,
            "input": self.predictor.signature.input_shape,
        }
        return JSONResponse(about, headers=self._headers)

    async def page(self, _: Request) -> Response:
        """A page for people."""
        about, shape = self._about, self.predictor.signature.input_shape[1:]
        return HTMLResponse(
            page.render(about["name"], about["version"], about["package"], shape), headers=self._headers
        )

    async def openapi(self, _: Request) -> Response:
        """The OpenAPI document."""
        return JSONResponse(document(self.settings, self.predictor.signature))

    async def _answer(self, found: requests.Images | requests.Pixels) -> list[Prediction]:
        if self._waiting >= self.settings.max_queue:
            raise requests.RefusedRequest(503, "busy", "too many requests are waiting", got=self._waiting)
        if not isinstance(found, list):
            self.predictor.check(found)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, found)
        finally:
            self._waiting -= 1

    def _work(self, found: requests.Images | requests.Pixels) -> list[Prediction]:
        with self._seconds.time():
            if isinstance(found, list):
                return self.predictor.predict(found)
            return self.predictor.answer(found)

    def _refuse(self, refusal: requests.RefusedRequest) -> Response:
        code = str(refusal.body["error"]["code"])
        REFUSALS.labels(self.settings.model, self.settings.version, code).inc()
        headers = {**self._headers, "Retry-After": "1"} if refusal.status == 503 else self._headers
        return JSONResponse(refusal.body, refusal.status, headers=headers)
