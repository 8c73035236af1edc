"""From a parsed request to its predictions, whatever protocol it came by: slot, queue, deadline, canary, shadow."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from components.contracts.serving_spec import RolloutPolicy
from components.core.errors import InferenceError, SampleError
from components.inference.row_judge import Missed
from components.tasks.task import Prediction
from serving import json_text, shadow
from serving.canary import choose
from serving.input_contract import Judgement
from serving.lease import FollowedLease
from serving.prediction_log import PredictionLog
from serving.problem import RefusedRequest
from serving.request import PredictionRequest
from serving.slot_manager import SlotManager
from serving.slots import ModelSlot, SlotAnswer, failure

# A challenger gets 2 s, or four times its latency limit if that is longer; then the champion answers instead.
ANSWER_SECONDS, ANSWER_RATIO = 2.0, 4

# What is longer is read in a thread: a compressed picture of so many bytes takes 50 ms at most, numbers 1 ms.
INLINE_BYTES, INLINE_NUMBERS_BYTES = 16_384, 65_536
MOST_RETRY_SECONDS = 60


class Answered(NamedTuple):
    """The predictions of a request.

    Args:
        slot: that made them.
        after: what is to be done when they have been sent.
        encoded: the predictions as JSON, where they were logged.
    """

    slot: ModelSlot
    predictions: list[Prediction]
    after: Callable[[], None] | None
    encoded: bytes | None


class Context(NamedTuple):
    """What a request says beside its samples.

    Args:
        version: the version that must answer; None: the service chooses.
        key: requests of equal keys are answered by the same side of a canary.
        until: of the monotonic clock: a request that is not begun by then is not computed.
        is_gone: whether the client has gone.
        id: of the prediction.
        missed: what the samples miss of the expectations of the training data, once they are read.
    """

    version: str | None
    key: str | None
    until: float
    is_gone: Callable[[], bool]
    id: str
    missed: list[Missed]

    def note(self, judgement: Judgement | None) -> None:
        """Keep what the samples miss for the answer."""
        if judgement is not None and judgement.missed:
            self.missed.extend(judgement.missed)


class Answerer:
    """Answers parsed requests from the slots of a worker.

    Attributes:
        log: what is answered goes there, if anywhere.
    """

    def __init__(self, slot_manager: SlotManager, lease: FollowedLease | None = None) -> None:
        self._slot_manager = slot_manager
        self._lease = lease or FollowedLease(None)
        self.log: PredictionLog | None = None
        self.waiting = 0
        self._seconds = 0.0  # of a request, from its queue to its answer, smoothed

    def choose(self, context: Context) -> ModelSlot:
        """The slot that answers a request; it stays the same while the request is read and answered.

        Raises:
            RefusedRequest: 409, no slot has the version that the request names; 503, there is no champion, or the
                service's lease has run out.
        """
        if context.version is None:
            self._lease.require()
        return choose(self._slot_manager.current, context.version, context.key)

    @contextmanager
    def queued(self, slot: ModelSlot) -> Iterator[None]:
        """A place in the queue; it is taken before the body is read, so that reading counts.

        Raises:
            RefusedRequest: 429, the queue is full.
        """
        if self.waiting >= slot.loaded.settings.max_queue:
            seconds = min(MOST_RETRY_SECONDS, max(1, math.ceil(self._seconds)))
            raise RefusedRequest(429, "busy", "too many requests are waiting", got=self.waiting, retry_seconds=seconds)
        self.waiting += 1
        begin = time.monotonic()
        try:
            yield
        finally:
            self.waiting -= 1
            self._seconds += 0.05 * (time.monotonic() - begin - self._seconds)

    async def answer(self, slot: ModelSlot, parsed: PredictionRequest, context: Context) -> Answered:
        """The predictions of a request by a slot, or by the champion where the challenger fails.

        Raises:
            RefusedRequest: a sample is not what the task takes, the model failed, or time is up.
        """
        slots = self._slot_manager.current
        begin = time.perf_counter()
        try:
            if slot.role == "challenger" and context.version is None and slots.champion:
                challenger, found = slot, await self._try(slot, slots.champion, slots.policy, parsed)
                if isinstance(found, str):  # a sample that the champion rejects too is no failure
                    slot, code = slots.champion, found
                    found = await self._answer(slot, parsed, context)
                    challenger.fail(code)
                self._slot_manager.judge(challenger)
            else:
                found = await self._answer(slot, parsed, context)
        except SampleError as error:
            raise RefusedRequest.of(error, slot.loaded.predictor.endpoint.item) from error
        except InferenceError as error:
            raise RefusedRequest(500, failure(error), error.what, where=error.where, got=error.got) from error
        context.note(found.judgement)
        encoded = None
        if self.log is not None and slot.role != "staged":  # what asks a staged version is a check of its release
            encoded = json_text.dumps(found.predictions)
            self.log.offer(
                slot, context.id, parsed.items, found.samples, found.predictions, time.perf_counter() - begin,
                size=parsed.size, encoded=encoded, judgement=found.judgement, embeddings=found.embeddings,
            )  # fmt: skip
        return Answered(slot, found.predictions, self._shadow(parsed, found.predictions, context), encoded)

    def _shadow(
        self, parsed: PredictionRequest, found: list[Prediction], context: Context
    ) -> Callable[[], None] | None:
        slots = self._slot_manager.current
        beside = slots.challenger
        if beside is None or slots.canary_percent or context.version is not None:
            return None
        if beside.background.is_full():  # nearly always so at full load
            beside.drop()
            return None
        log, begin = self.log, time.perf_counter()

        def answered(computed: SlotAnswer) -> None:
            if log is not None:
                log.offer(
                    beside, context.id, parsed.items, computed.samples, computed.predictions,
                    time.perf_counter() - begin, role="shadow", size=parsed.size, judgement=computed.judgement,
                    embeddings=computed.embeddings,
                )  # fmt: skip

        def embeds() -> bool:
            return log is not None and beside.is_described

        return lambda: shadow.offer(
            self._slot_manager, beside, parsed, found, lambda: self.waiting > 0, answered, embeds
        )

    async def _answer(self, slot: ModelSlot, parsed: PredictionRequest, context: Context) -> SlotAnswer:
        try:
            if slot.batcher is None:
                return await self._alone(slot, parsed, context)
            begin = time.perf_counter()
            if parsed.size <= (INLINE_BYTES if isinstance(parsed.items[0], bytes | str) else INLINE_NUMBERS_BYTES):
                samples, judgement = slot.accept(parsed)
            else:
                loop = asyncio.get_running_loop()
                samples, judgement = await loop.run_in_executor(slot.threads, slot.accept, parsed)
            reading = time.perf_counter() - begin
            compared = self._slot_manager.current.challenger is not None
            embeds = self.log is not None and (slot.is_described or judgement is not None)
            done = await slot.batcher.answer(samples, context.until, context.is_gone, compared=compared, embeds=embeds)
            alone = None if done.alone_seconds is None else reading + done.alone_seconds
            predictions, embeddings = done.answers
            slot.count(predictions, time.perf_counter() - begin, alone)
            return SlotAnswer(predictions, samples, judgement, embeddings)
        except InferenceError as error:
            slot.fail(failure(error))
            raise
        finally:
            if slot.role == "challenger":
                self._slot_manager.judge(slot)

    async def _alone(self, slot: ModelSlot, parsed: PredictionRequest, context: Context) -> SlotAnswer:
        def check() -> None:  # also between the steps of a text or a drawing
            if context.is_gone():
                raise RefusedRequest(499, "disconnected", "the client went away")

        def compute() -> SlotAnswer:
            check()
            if time.monotonic() > context.until:
                raise RefusedRequest(504, "deadline", "the request waited too long")
            return slot.answer(parsed, check, embeds=self.log is not None and slot.is_described)

        return await asyncio.get_running_loop().run_in_executor(slot.threads, compute)

    async def _try(
        self, challenger: ModelSlot, champion: ModelSlot, policy: RolloutPolicy | None, parsed: PredictionRequest
    ) -> SlotAnswer | str:
        """The challenger's answer, or the code of its failure."""
        ratio = policy.limits.max_latency_ratio if policy else 1.0
        timeout = max(ANSWER_SECONDS, ANSWER_RATIO * ratio * champion.recorder.medians()[0])
        embeds = self.log is not None and challenger.is_described
        work = partial(challenger.answer, parsed, embeds=embeds)
        answer = asyncio.get_running_loop().run_in_executor(challenger.threads, work)
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            return "late"
        except (InferenceError, SampleError) as error:
            return failure(error)
