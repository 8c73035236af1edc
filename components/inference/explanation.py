"""Why a package answers as it does: how far a score moves when a part of the sample is occluded.

Occlusion needs answers alone, so it holds for every network (Zeiler and Fergus 2014, arXiv:1311.2901, section 4.1):

    effect of a part = score of the sample - score of the sample with the part replaced

The score is the probability of a label, or the number of a regression. A part is a patch of an image or of a
spectrogram or steps of a series, replaced by the mean of train in each channel; a word of a text, left out (Li, Monroe
and Jurafsky 2016, arXiv:1612.08220); or a column of a row, replaced by train's median or by its commonest category.

Legend: H height, W width, C channels, T steps, R by S cells of a grid.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from components.contracts.shapes import ImageInput, SeriesInput, SpectrogramInput, TableInput, TokensInput
from components.core.errors import SampleError
from components.core.strict import Strict
from components.inference.predictor import Arrays, Predictor
from components.tasks.task import Prediction

SIDE = 14  # cells of an image in each direction, at most
STEPS, BANDS, CHANNELS = 32, 8, 8  # cells of a spectrogram or series
MOST_WORDS = 200  # of a text; a longer one is explained by groups of words
BATCH = 16
_REACH = 1  # cells beside its own that an occlusion of an image or spectrogram covers: smaller holes hardly matter
_WORD = re.compile(r"\S+")

Facts = dict[str, Any]
T = TypeVar("T")


class Occluded(NamedTuple):
    """A sample to be explained: facts for the answer, and the sample with each part replaced, in order."""

    facts: Facts
    variants: Iterator[Arrays | None]  # None: without this part it is no sample


def seen(predictor: Predictor, item: Any) -> Facts:
    """What the network sees of an item, without effects: `kind`, and `input` or `parts`.

    Raises:
        SampleError: the item is none of the task, or samples of its kind are not shown.
    """
    (sample,) = predictor.read([item])
    facts = dict(_occluded(predictor, item, sample).facts)
    facts.pop("columns", None)
    return facts


def explaining(
    predictor: Predictor, item: Any, parameters: Strict | None = None, label: str | None = None
) -> Generator[None, None, Facts]:
    """The effect of each part of a sample on a score of its answer, computed in steps of milliseconds.

    Args:
        item: of a request, as `Predictor.read` takes it.
        label: whose score is followed; None: the answer's own, or the likeliest one.

    Returns:
        method, kind, label, score; what the network sees (`input`) or the parts by name (`parts`); `effects`: one for
        each part, or R rows of S; None where the sample without the part is none.

    Raises:
        SampleError: the item is none of the task, answers of the task have no score, or there is no such label.
    """
    (sample,) = predictor.read([item])
    (answer,) = predictor.answer([sample], parameters)
    label, score = _score(answer, label)
    occluded = _occluded(predictor, item, sample)
    effects: list[float | None] = []
    for chunk in _chunks(occluded.variants, BATCH):
        answers = iter(predictor.answer([one for one in chunk if one is not None], parameters))
        effects += [None if one is None else score - _score(next(answers), label)[1] for one in chunk]
        yield
    facts = dict(occluded.facts)
    columns = facts.pop("columns", None)
    shaped = effects if columns is None else list(_chunks(effects, columns))
    return {"method": "occlusion", "label": label, "score": score, **facts, "effects": shaped}


def _score(answer: Prediction, label: str | None) -> tuple[str | None, float]:
    """The label whose score is followed and the score; no label for a number."""
    odds = answer.get("probabilities", answer.get("scores"))
    if isinstance(odds, Mapping) and odds:
        chosen = label or answer.get("label") or max(odds, key=odds.__getitem__)
        if chosen not in odds:
            raise SampleError("there is no such label", code="label", got=chosen, expected=", ".join(odds))
        return chosen, float(odds[chosen])
    if isinstance(answer.get("value"), float) and label is None:
        return None, float(answer["value"])
    raise SampleError(
        "such an answer has no score to explain",
        code="explanation",
        got=", ".join(answer) if label is None else label,
        expected="a task that answers with the probability of a label, or with one number",
    )


def _occluded(predictor: Predictor, item: Any, sample: Arrays) -> Occluded:
    spec, name = predictor.processor.input_spec(), predictor.processor.inputs()[0]
    match spec:
        case ImageInput():
            return _of_image(sample, name, spec)
        case SeriesInput():
            return _of_series(sample, name, spec)
        case TableInput() if isinstance(item, Mapping):
            return _of_row(predictor, item)
        case TokensInput() if isinstance(item, str | bytes):
            return _of_text(predictor, item if isinstance(item, str) else item.decode())
    raise SampleError("samples of this kind are not explained", code="explanation", got=spec.kind)


def _of_image(sample: Arrays, name: str, spec: ImageInput) -> Occluded:
    """An image (H, W, C), by patches; `name` is that of its array."""
    image = sample[name]
    rows, columns = _edges(image.shape[0], SIDE), _edges(image.shape[1], SIDE)
    mean = np.rint(np.asarray(spec.mean) * 255).astype(np.uint8)
    facts = {"kind": "image", "input": _pixels(image), "columns": len(columns) - 1}
    return Occluded(facts, ({**sample, name: one} for one in _patches(image, rows, columns, mean)))


def _of_series(sample: Arrays, name: str, spec: SeriesInput) -> Occluded:
    """A series (T, C), by steps and channels: R rows of channels, or of bands with the highest above."""
    series = sample[name]
    if not isinstance(spec, SpectrogramInput) or series.shape[1] == 1:  # one band: a waveform
        steps, channels = _edges(len(series), STEPS), _edges(series.shape[1], CHANNELS)
        mean = np.asarray(spec.mean, series.dtype)[:, None]  # (C, 1)
        facts = {"kind": "series", "input": {"values": series.astype(float).tolist()}, "columns": len(steps) - 1}
        patches = _patches(series.T, channels, steps, mean, reach=0)
        return Occluded(facts, ({**sample, name: np.ascontiguousarray(one.T)} for one in patches))
    picture = series.T[::-1]  # (B, T), the lowest band below
    steps, bands = _edges(len(series), STEPS), _edges(series.shape[1], BANDS)
    patches = _patches(picture, bands, steps, np.asarray(spec.mean, series.dtype)[::-1, None])
    facts = {"kind": "spectrogram", "input": _pixels(_levels(picture)), "columns": len(steps) - 1}
    return Occluded(facts, ({**sample, name: np.ascontiguousarray(one[::-1].T)} for one in patches))


def _of_row(predictor: Predictor, row: Mapping[str, Any]) -> Occluded:
    """A row, column by column."""
    schema = predictor.endpoint.schema["properties"]
    usual = {name: schema[name]["examples"][0] if schema[name].get("examples") else None for name in row}
    parts = [{"column": name, "value": value, "replaced_by": usual[name]} for name, value in row.items()]
    return Occluded({"kind": "row", "parts": parts}, (_read(predictor, {**row, name: usual[name]}) for name in row))


def _of_text(predictor: Predictor, text: str) -> Occluded:
    """A text, word by word; a single word by its characters. Positions count code points."""
    spans = [found.span() for found in _WORD.finditer(text)]
    if len(spans) == 1:
        begin, end = spans[0]
        spans = [(at, at + 1) for at in range(begin, end)]
    size = -(-len(spans) // MOST_WORDS) or 1
    groups = [(group[0][0], group[-1][1]) for group in _chunks(spans, size)]
    parts = [{"start": begin, "end": end, "text": text[begin:end]} for begin, end in groups]
    without = (text[:begin] + text[end:] for begin, end in groups)
    return Occluded({"kind": "text", "parts": parts}, (_read(predictor, one) for one in without))


def _read(predictor: Predictor, item: Any) -> Arrays | None:
    try:
        return predictor.read([item])[0]
    except SampleError:  # such as a text without a word
        return None


def _chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many at a time, in order."""
    following = iter(values)
    while chunk := list(islice(following, size)):
        yield chunk


def _edges(size: int, most: int) -> list[int]:
    """Where cells begin and end along an axis: at most so many, of about the same size."""
    return [int(edge) for edge in np.linspace(0, size, min(size, most) + 1).round()]


def _patches(
    image: NDArray[Any], rows: Sequence[int], columns: Sequence[int], mean: NDArray[Any], reach: int = _REACH
) -> Iterator[NDArray[Any]]:
    """The image (H, W, ...) with each cell of the grid, and what is around it, replaced."""

    def around(edges: Sequence[int], size: int) -> Iterator[slice]:
        for place, _ in enumerate(pairwise(edges)):
            yield slice(edges[max(0, place - reach)], edges[min(len(edges) - 1, place + 1 + reach)])

    for high in around(rows, image.shape[0]):
        for wide in around(columns, image.shape[1]):
            changed = image.copy()
            changed[high, wide] = mean[high] if mean.ndim == image.ndim else mean
            yield changed


def _levels(spectrogram: NDArray[Any]) -> NDArray[np.uint8]:
    """A spectrogram (B, T) as levels (B, T, 1), the least of it black."""
    low, high = float(spectrogram.min()), float(spectrogram.max())
    return np.rint(255 * (spectrogram[..., None] - low) / ((high - low) or 1.0)).astype(np.uint8)


def _pixels(image: NDArray[np.uint8]) -> Facts:
    """An image (H, W, C) for JSON: its bytes row by row."""
    height, width, channels = image.shape
    content = base64.b64encode(np.ascontiguousarray(image, np.uint8).tobytes()).decode()
    return {"height": height, "width": width, "channels": channels, "pixels": content}
