"""Where the time of a training goes: `modelyard run PIPELINE --profile`.

The first steps warm up, the next ones are recorded by torch's profiler, and further ones are timed by section without
it, as it takes time itself. The training is the same, and goes on after that. `profile/` of the run folder then has:

trace.json.gz   for Perfetto (ui.perfetto.dev) and chrome://tracing; TensorBoard's profiler plug-in finds its copy.
operators.txt   torch's table of operators.
sections.json, sections.md   time by section.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from components.core import atomic
from components.training.batches import Batch
from components.training.messages import log

FOLDER = "profile"
WARM_UP_STEPS = 5
TRACED_STEPS = 5
TIMED_STEPS = 20
WAIT = "waiting for data"
EVALUATION = "evaluation"
_OPERATORS = 30  # rows of the table
_NOTHING: AbstractContextManager[None] = nullcontext()


class LoopProfile(Protocol):
    """Receives where the loop is."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """The context of a part of a step."""

    def received(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """The batches; waiting for the next one is a section."""

    def step(self) -> None:
        """An optimizer step has ended."""


class NoProfile:
    """Of a training that is not profiled."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """Nothing."""
        return _NOTHING

    def received(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """The batches."""
        return batches

    def step(self) -> None:
        """Nothing."""


class SectionTime(NamedTuple):
    """A row of the table.

    Args:
        ms_per_step: milliseconds; of the evaluation, spread over the steps of an epoch.
        share: of the time of an epoch; None: in another thread, beside the training.
    """

    section: str
    ms_per_step: float
    share: float | None

    def step_text(self) -> str:
        """The time of a step."""
        return f"{self.ms_per_step:.2f}"

    def share_text(self) -> str:
        """The share."""
        return "beside the training" if self.share is None else f"{self.share:.1%}"


class StepProfile:
    """The profile of a training.

    Args:
        folder: the run folder.
        steps_per_epoch, total_steps: of the training.
    """

    def __init__(self, folder: Path, device: torch.device, steps_per_epoch: int, total_steps: int) -> None:
        self._folder, self._device = folder, device
        self._steps_per_epoch = steps_per_epoch
        self._trace_at = min(WARM_UP_STEPS, total_steps // 4)
        self._time_at = self._trace_at + max(1, min(TRACED_STEPS, total_steps // 4))
        self._end_at = self._time_at + TIMED_STEPS
        self._done = 0  # steps
        self._seconds: dict[str, float] = defaultdict(
            float
        )  # by section of the training's own thread, without inner ones
        self._beside: dict[str, float] = defaultdict(float)  # by section of other threads
        self._wall, self._timed = 0.0, 0
        self._evaluation = 0.0
        self._last = time.perf_counter()
        self._inner = [0.0]  # seconds of the sections within each open section
        self._thread = threading.get_ident()
        self._profiler: profile | None = None
        if self._trace_at == 0:
            self._start_trace()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Label a part of a step in the trace, and time it."""
        if threading.get_ident() != self._thread:
            begin = time.perf_counter()
            yield
            self._beside[name] += (time.perf_counter() - begin) * self._is_timed
            return
        self._synchronise()
        begin = time.perf_counter()
        self._inner.append(0.0)
        with record_function(name):
            yield
        self._synchronise()
        seconds = time.perf_counter() - begin
        own = seconds - self._inner.pop()
        self._inner[-1] += seconds
        if name == EVALUATION:
            self._evaluation = self._evaluation or seconds
            self._last = time.perf_counter()
        elif self._is_timed:
            self._seconds[name] += own

    def received(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches; waiting for the next one is a section."""
        iterator = iter(batches)
        while True:
            with self.section(WAIT):
                batch = next(iterator, None)
            if batch is None:
                return
            yield batch

    def step(self) -> None:
        """Count a step; start and end the trace and the timing."""
        now = time.perf_counter()
        if self._is_timed:
            self._wall += now - self._last
            self._timed += 1
        self._last = now
        self._done += 1
        if self._done == self._trace_at:
            self._start_trace()
        elif self._done == self._time_at:
            self._end_trace()
            self._last = time.perf_counter()

    def close(self) -> None:
        """Write the files, and log the times by section."""
        self._end_trace()
        if not self._timed:
            log("the training ended before a step was timed: there is no profile of it")
            return
        rows = self._rows()
        document = {
            "steps": self._timed,
            "steps_per_epoch": self._steps_per_epoch,
            "seconds_per_step": self._wall / self._timed,
            "sections": [row._asdict() for row in rows],
        }
        atomic.write_text(self._folder / FOLDER / "sections.json", json.dumps(document, indent=1) + "\n")
        table = ["| section | ms a step | share of an epoch |", "|---|---|---|"]
        table += [f"| {row.section} | {row.step_text()} | {row.share_text()} |" for row in rows]
        atomic.write_text(self._folder / FOLDER / "sections.md", "\n".join(table) + "\n")
        log(f"where the time goes ({self._timed} steps; trace and operators in {self._folder / FOLDER}):")
        for row in rows:
            log(f"  {row.section:<18}{row.step_text():>10} ms  {row.share_text()}")

    @property
    def _is_timed(self) -> bool:
        return self._time_at <= self._done < self._end_at

    def _rows(self) -> list[SectionTime]:
        """Sections of a step, the rest of it, the evaluation after an epoch, and work in other threads."""
        steps, per_epoch = self._timed, self._steps_per_epoch
        epoch = self._wall / steps * per_epoch + self._evaluation
        times = {**self._seconds, "other": max(0.0, self._wall - sum(self._seconds.values()))}
        rows = [
            SectionTime(name, 1e3 * seconds / steps, seconds / steps * per_epoch / epoch)
            for name, seconds in times.items()
        ]
        evaluation = SectionTime(EVALUATION, 1e3 * self._evaluation / per_epoch, self._evaluation / epoch)
        beside = [SectionTime(name, 1e3 * seconds / steps, None) for name, seconds in self._beside.items()]
        return [*rows, evaluation, *beside]

    def _synchronise(self) -> None:
        if self._is_timed and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _start_trace(self) -> None:
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._device.type == "cuda" else [])]
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else its own messages are among those of the training
        self._profiler = profile(activities=activities)
        self._profiler.start()

    def _end_trace(self) -> None:
        if self._profiler is None:
            return
        profiler, self._profiler = self._profiler, None
        profiler.stop()
        folder = self._folder / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(folder / "trace.json.gz"))
        (self._folder / "tensorboard").mkdir(exist_ok=True)
        shutil.copyfile(folder / "trace.json.gz", self._folder / "tensorboard" / "training.1.pt.trace.json.gz")
        order = "self_cuda_time_total" if self._device.type == "cuda" else "self_cpu_time_total"
        atomic.write_text(
            folder / "operators.txt", profiler.key_averages().table(sort_by=order, row_limit=_OPERATORS) + "\n"
        )
