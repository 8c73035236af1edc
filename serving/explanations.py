"""POST /explain: what an answer depends on; and the golden examples, to try the service with.

An explanation costs up to two hundred answers, so a worker computes one at a time, in batches between which other
requests are answered. Neither is logged as a prediction.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import parse_qs

from components.core.errors import InferenceError, SampleError
from components.inference import explanation
from serving import request as requests
from serving.canary import choose
from serving.exchange import Answer, HttpRequest, Reply, json_reply
from serving.problem import RefusedRequest
from serving.router import Routes
from serving.slots import ModelSlot, failure
from serving.worker import Worker

MOST_EXAMPLES = 12
BEGIN = 40  # characters of a text that is an example


class Explanations:
    """Answers /explain and /examples for a worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._is_busy = False

    def routes(self) -> Routes:
        """The paths of this module."""
        return {
            "/explain": {"POST": self.explain},
            "/examples": {"GET": self.examples},
            "/examples/{name}": {"GET": self.example},
        }

    async def explain(self, request: HttpRequest) -> Answer:
        """The effect of each part of a sample on the score of a label (`?label=`), or on the number of the answer.

        With `?effects=none`, what the network sees of the sample alone.

        Raises:
            RefusedRequest: as of a prediction; 422, several samples, or answers without a score; 429, another
                explanation is being computed.
        """
        slot = self._slot(requests.named_version(request))
        query = parse_qs(request.scope.get("query_string", b"").decode("latin-1"))
        label, is_seen_alone = query.get("label", [None])[0], query.get("effects") == ["none"]
        if self._is_busy:
            raise RefusedRequest(429, "busy", "another explanation is being computed", retry_seconds=5)
        self._is_busy = True
        try:
            parsed = await requests.read(request, slot.loaded.settings, slot.loaded.predictor, slot.threads)
            if len(parsed.items) != 1:
                expected = f"one {slot.loaded.predictor.endpoint.item}"
                raise RefusedRequest(422, "too_many", "one sample is explained at a time", got=len(parsed.items),
                                     expected=expected)  # fmt: skip
            found = await self._explained(request, slot, parsed, label, is_seen_alone=is_seen_alone)
            return json_reply({**found, "model": slot.about}, headers=slot.encoded_headers)
        finally:
            self._is_busy = False

    async def _explained(
        self,
        request: HttpRequest,
        slot: ModelSlot,
        parsed: requests.PredictionRequest,
        label: str | None,
        *,
        is_seen_alone: bool,
    ) -> dict[str, Any]:
        predictor, until = slot.loaded.predictor, time.monotonic() + slot.loaded.settings.timeout_seconds
        steps = explanation.explaining(predictor, parsed.items[0], parsed.parameters, label)

        def step() -> dict[str, Any] | None:
            if is_seen_alone:
                return explanation.seen(predictor, parsed.items[0])
            try:
                next(steps)
            except StopIteration as end:
                found: dict[str, Any] = end.value
                return found
            return None

        try:
            while (found := await asyncio.get_running_loop().run_in_executor(slot.threads, step)) is None:
                if request.is_gone():
                    raise RefusedRequest(499, "disconnected", "the client went away")
                if time.monotonic() > until:
                    raise RefusedRequest(504, "deadline", "the explanation took too long")
        except SampleError as error:
            raise RefusedRequest.of(error, predictor.endpoint.item) from error
        except InferenceError as error:
            raise RefusedRequest(500, failure(error), error.what, where=error.where, got=error.got) from error
        return found

    async def examples(self, request: HttpRequest) -> Answer:
        """The names, media types and truths of the first golden examples, and how texts begin."""
        slot = self._slot(requests.named_version(request))
        package = slot.loaded.predictor.package
        listed = []
        for one in package.golden()[:MOST_EXAMPLES]:
            listed.append(one.model_dump(include={"file", "media", "truth"}))
            if one.media.startswith("text/"):
                text = (package.folder / "golden" / one.file).read_text(encoding="utf-8")
                listed[-1]["begins"] = text if len(text) <= BEGIN else f"{text[:BEGIN].rstrip()}…"
        return json_reply({"examples": listed}, headers=slot.encoded_headers)

    async def example(self, request: HttpRequest) -> Answer:
        """The body of a golden example."""
        slot, name = self._slot(requests.named_version(request)), request.scope["path_params"]["name"]
        package = slot.loaded.predictor.package
        found = next((one for one in package.golden()[:MOST_EXAMPLES] if one.file == name), None)
        if found is None:
            raise RefusedRequest(404, "path", "there is no such example", got=name)
        content = (package.folder / "golden" / found.file).read_bytes()
        return Reply(
            content, 200, found.media.encode(), [*slot.encoded_headers, (b"x-content-type-options", b"nosniff")]
        )

    def _slot(self, version: str | None) -> ModelSlot:
        if version is None:
            self._worker.lease.require()
        slots = self._worker.slot_manager.current
        return slots.champion if version is None and slots.champion is not None else choose(slots, version, None)
