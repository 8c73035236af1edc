"""The energy of a training in watt-hours: from counters where they can be read, else estimated.

rapl        the processor packages' counters of Linux's powercap (and their memory's, where it is counted apart): of the
            whole machine, other programs included.
nvml        the GPU's counter (`nvmlDeviceGetTotalEnergyConsumption`): of the whole card.
estimated   where no RAPL counter can be read: processor seconds of this process times `WATTS_PER_CORE`.

A RAPL counter counts microjoules and starts again at 0 after `max_energy_range_uj`, which is some minutes to an hour
under load; it is read every `PERIOD_SECONDS`, so that no turn is missed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

POWERCAP = Path("/sys/class/powercap")
PERIOD_SECONDS = 30.0
WATTS_PER_CORE = 10.0  # the thermal design power of server processors, 150 to 350 W for 16 to 32 cores, by core
JOULES_PER_WH = 3600.0


class RaplCounter(NamedTuple):
    """One counter.

    Args:
        path: the file `energy_uj`.
        turn: value in microjoules after which it starts again at 0.
    """

    path: Path
    turn: int

    def read(self) -> int | None:
        """The counter in microjoules; None if it cannot be read any more."""
        return _number(self.path)

    def joules(self, before: int, after: int) -> float:
        """The energy between two readings, at most one turn apart."""
        return ((after - before) % (self.turn + 1)) / 1e6


def rapl_counters(folder: Path = POWERCAP) -> list[RaplCounter]:
    """The readable counters of all processor packages, and of memory; [] without them.

    A package's cores and graphics are parts of it, and `psys` is the whole platform: they are not counted again.
    """
    counters = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        is_package = zone.name.count(":") == 1
        try:
            name = (zone / "name").read_text().strip()
        except OSError:
            continue
        if not ((is_package and name.startswith("package")) or name == "dram"):
            continue
        turn = _number(zone / "max_energy_range_uj")
        if turn and _number(zone / "energy_uj") is not None:  # since 2020 only root may read it by default
            counters.append(RaplCounter(zone / "energy_uj", turn))
    return counters


class EnergyMeter:
    """Measures the energy within a `with` block.

    Args:
        gpu: reads the GPU's counter in joules; None: no GPU is used.
        folder: of Linux's powercap.
    """

    def __init__(self, gpu: Callable[[], float] | None = None, folder: Path = POWERCAP) -> None:
        self._counters = rapl_counters(folder)
        self._gpu = gpu
        self._joules = 0.0
        self._readings: list[int | None] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="energy", daemon=True)

    def __enter__(self) -> Self:
        self._readings = [counter.read() for counter in self._counters]
        self._processor_begin = time.process_time()
        self._gpu_begin = None if self._gpu is None else self._gpu()
        if self._counters:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._counters:
            self._thread.join()

    def watt_hours(self) -> dict[str, float]:
        """The energy since the block began, by source: `rapl` or `estimated`, and `nvml`."""
        found = {}
        if self._counters:
            self._advance()
            found["rapl"] = self._joules / JOULES_PER_WH
        else:
            seconds = time.process_time() - self._processor_begin
            found["estimated"] = seconds * WATTS_PER_CORE / JOULES_PER_WH
        if self._gpu is not None and self._gpu_begin is not None:
            found["nvml"] = (self._gpu() - self._gpu_begin) / JOULES_PER_WH
        return found

    def _work(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            self._advance()

    def _advance(self) -> None:
        with self._lock:
            for place, counter in enumerate(self._counters):
                before, after = self._readings[place], counter.read()
                if before is not None and after is not None:
                    self._joules += counter.joules(before, after)
                self._readings[place] = after


def gpu_counter(uuid: str) -> Callable[[], float] | None:
    """A reader of a GPU's energy counter in joules since its driver was loaded; None if it has none.

    Args:
        uuid: of the GPU, as NVML has it.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:  # no driver, or a card from before Volta
        return None

    def joules() -> float:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000

    return joules


def text(watt_hours: dict[str, float]) -> str:
    """The energy for people, with its sources."""
    names = {
        "rapl": "processor counters, of the whole machine",
        "nvml": "GPU counter",
        "estimated": f"estimated: {WATTS_PER_CORE:g} W for each busy core",
    }
    parts = ", ".join(f"{value:.3g} Wh ({names[name]})" for name, value in watt_hours.items())
    return parts if len(watt_hours) == 1 else f"{sum(watt_hours.values()):.3g} Wh: {parts}"


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
