"""The answer to one sample in parts, while it is computed: in the slot's threads, one part at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator

from components.core.errors import InferenceError
from components.inference.predictor import Arrays
from components.tasks.task import StreamedPart
from serving.answering import Answerer, Context
from serving.input_contract import Judgement
from serving.problem import RefusedRequest
from serving.request import PredictionRequest
from serving.slots import ModelSlot, failure

_END = None


async def parts(
    answerer: Answerer, slot: ModelSlot, parsed: PredictionRequest, context: Context
) -> AsyncGenerator[StreamedPart, None]:
    """The parts of the answer to the one sample of a request; it has a place in the slot's queue until the last part.

    A task that has no answers in parts gives its whole answer as one part. A closed iterator computes nothing more.

    Raises:
        SampleError: the item is not what the task takes.
        InferenceError: the model failed.
        RefusedRequest: the queue is full, or the request was not begun in time.
    """
    with answerer.queued(slot):
        begin = time.perf_counter()
        loop = asyncio.get_running_loop()
        samples: list[Arrays] = []
        judgements: list[Judgement | None] = []
        work = _parts(slot, parsed, context, samples, judgements)
        step: asyncio.Future[StreamedPart | None] | None = None
        try:
            while True:
                step = loop.run_in_executor(slot.threads, next, work, _END)
                part = await asyncio.shield(step)
                if part is _END:
                    return
                if part.prediction is not None:
                    seconds = time.perf_counter() - begin
                    slot.count([part.prediction], seconds, None)
                    if answerer.log is not None:
                        answerer.log.offer(
                            slot, context.id, parsed.items, samples, [part.prediction], seconds, size=parsed.size,
                            judgement=judgements[0],
                        )  # fmt: skip
                yield part
        except InferenceError as error:
            slot.fail(failure(error))
            raise
        finally:
            if step is None or step.done():
                work.close()
            else:  # a thread computes the next part: a generator cannot be closed meanwhile
                step.add_done_callback(lambda done: _close(done, work))


def _parts(
    slot: ModelSlot, parsed: PredictionRequest, context: Context, samples: list[Arrays],
    judgements: list[Judgement | None],
) -> Generator[StreamedPart, None, None]:  # fmt: skip
    if time.monotonic() > context.until:
        raise RefusedRequest(504, "deadline", "the request waited too long")
    predictor = slot.loaded.predictor
    (sample,), judgement = slot.accept(parsed)
    context.note(judgement)
    samples.append(sample)
    judgements.append(judgement)
    found = predictor.stream(sample, parsed.parameters)
    if found is None:
        (prediction,) = predictor.answer([sample], parsed.parameters)
        text = str(prediction.get("text", ""))
        yield StreamedPart(text, int(prediction.get("tokens", 0)), count_tokens(slot, parsed), prediction)
    else:
        yield from found


def _close(done: asyncio.Future[StreamedPart | None], work: Generator[StreamedPart, None, None]) -> None:
    if not done.cancelled():
        done.exception()  # nobody waits for it any more
    work.close()


def count_tokens(slot: ModelSlot, parsed: PredictionRequest) -> int:
    """Number of tokens of a request's samples; where the task does not count them, of the values of their arrays."""
    count = getattr(slot.loaded.predictor.processor, "count_tokens", None)
    samples = slot.read(parsed)
    if count is not None:
        return sum(count(sample) for sample in samples)
    return sum(max((len(values) for values in sample.values() if values.ndim), default=0) for sample in samples)
