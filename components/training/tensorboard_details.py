"""What TensorBoard gets besides curves: hyper-parameters, histograms, images of the input, texts.

The summaries are made by torch's own `torch.utils.tensorboard`. Legend: N images, H height, W width, C channels.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.contracts.shapes import ImageInput
from components.contracts.training_request import Event, Finished, Metrics, TrainRequest
from components.identity.package import GoldenExample
from components.training.batches import derive_seed, on_device
from components.training.loop import TrainingContext
from components.training.prepared import Prepared
from components.training.sinks import TensorBoardLog

LARGEST_SHARE = 0.01  # of the training's time that histograms may take
MAX_VALUES, MAX_TENSORS, BINS = 20_000, 64, 30  # values of one histogram, histograms, bins
IMAGES = 16
MAX_TEXT = 400  # characters of an answer


class TrainingDetails:
    """A `MetricSink` that writes histograms of weights and gradients at the end of epochs, and hyper-parameters.

    The gradients are those of the epoch's last batch. An epoch has no histograms if they would take more than
    `LARGEST_SHARE` of the time; the first and the last one have them in any case.

    Args:
        board: where TensorBoard's events go; the curves are there already.
        network: whose weights and gradients are shown.
    """

    def __init__(self, board: TensorBoardLog, network: nn.Module, request: TrainRequest) -> None:
        self._board, self._network, self._epochs = board, network, request.train.epochs
        self._hyperparameters = flat(_settings(request))
        self._begin, self._spent = time.monotonic(), 0.0
        self._metrics: dict[str, float] | None = None

    def emit(self, event: Event) -> None:
        """Hyper-parameters with the first figures of an epoch, histograms with those of every due one."""
        if isinstance(event, Finished) and self._metrics is not None:
            self._board.add(_summaries().hparams({}, self._metrics)[2], event.epochs)  # the end of the session
        if not isinstance(event, Metrics) or not any(name.startswith("validation/") for name in event.values):
            return
        if self._metrics is None:
            start, session, _ = _summaries().hparams(self._hyperparameters, event.values)
            self._board.add(start, 0)
            self._board.add(session, 0)
        first, self._metrics = self._metrics is None, dict(event.values)
        now = time.monotonic()
        due = self._spent <= LARGEST_SHARE * (now - self._begin)
        if first or due or event.epoch >= self._epochs:
            self._histograms(event.step)
            self._spent += time.monotonic() - now

    def close(self) -> None:
        """Nothing to flush: the log has its own `close`."""

    def _histograms(self, step: int) -> None:
        for name, parameter in list(self._network.named_parameters())[:MAX_TENSORS]:
            for kind, values in (("weights", parameter.detach()), ("gradients", parameter.grad)):
                if values is not None and (drawn := _drawn(values)).size:
                    self._board.add(_summaries().histogram(f"{kind}/{name}", drawn, BINS), step)


def add_inputs(board: TensorBoardLog, setting: TrainingContext, prepared: Prepared, step: int) -> None:
    """The first images of the first batch, as the network gets them in training: augmented, if the pipeline says so."""
    if not isinstance(prepared.processor.input_spec(), ImageInput) or "images" not in prepared.processor.inputs():
        return
    spec = setting.spec
    index = setting.epoch_batches(0).batch(0)[:IMAGES]
    batch = on_device(setting.train.batch(index), torch.device("cpu"))
    images: Tensor = batch["images"]
    board.add(_summaries().image("input/images", _grid(images.numpy()), dataformats="HWC"), step)
    if spec.augment.active:
        generator = torch.Generator().manual_seed(derive_seed(spec.seed, "augment", 0))
        augmented = setting.objective.augment(batch, spec.augment, generator)["images"]
        board.add(_summaries().image("input/augmented", _grid(augmented.numpy()), dataformats="HWC"), step)


def add_request(board: TensorBoardLog, request: TrainRequest) -> None:
    """The model and the settings of the training as text."""
    board.add(_summaries().text("settings", f"```\n{json.dumps(_settings(request), indent=1)}\n```"), 0)


def add_answers(board: TensorBoardLog, examples: Sequence[GoldenExample], step: int) -> None:
    """The answers of the trained network to the golden examples, as a table of text beside the truth."""
    rows = ["| example | truth | answer |", "|---|---|---|"]
    for one in examples:
        rows.append(f"| {one.file} | {_cell(one.truth)} | {_cell(_answer_text(one))} |")
    board.add(_summaries().text("answers/golden", "\n".join(rows)), step)


def _summaries() -> Any:
    """torch's functions that make summaries, which have no types; imported with the first event."""
    from torch.utils.tensorboard import summary

    return summary


def _settings(request: TrainRequest) -> dict[str, Any]:
    return {"model": request.model.model_dump(mode="json"), "train": request.train.model_dump(mode="json")}


def flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings as one level: `train.augment.flip`; lists and null as text."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{name}.")
        else:
            found[before + name] = value if isinstance(value, bool | int | float | str) else json.dumps(value)
    return found


def _answer_text(example: GoldenExample) -> str:
    answer = example.answer
    if "label" in answer and "probabilities" in answer:
        return f"{answer['label']} ({answer['probabilities'][answer['label']]:.3f})"
    return json.dumps(answer, ensure_ascii=False)


def _cell(value: str) -> str:
    """A text within one cell of a Markdown table."""
    short = value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}..."
    return short.replace("|", "\\|").replace("\n", " ")


def _drawn(values: Tensor) -> NDArray[np.float32]:
    """At most `MAX_VALUES` finite values of a tensor, evenly spaced."""
    whole = values.flatten()
    every = max(1, whole.numel() // MAX_VALUES)
    some: NDArray[np.float32] = whole[::every].float().cpu().numpy()
    return some[np.isfinite(some)]


def _grid(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Images (N, H, W, C) side by side, four in a row, uint8 RGB."""
    levels = np.clip(images, 0, 255).astype(np.uint8)
    if levels.shape[-1] != 3:
        levels = np.repeat(levels[..., :1], 3, axis=-1)
    columns = 4
    blank = np.zeros((-len(levels) % columns, *levels.shape[1:]), np.uint8)
    whole = np.concatenate([levels, blank])
    rows = [np.concatenate(list(whole[at : at + columns]), axis=1) for at in range(0, len(whole), columns)]
    return np.concatenate(rows, axis=0)
