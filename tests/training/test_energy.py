"""Energy counters: which are read, what happens at their end, and what is estimated without them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from components.contracts.training_request import Finished, Metrics
from components.training import energy
from components.training.energy import EnergyMeter
from flows.pipelines import training_duration


def zone(folder: Path, path: str, name: str, value: int, turn: int = 999_999_999) -> Path:
    place = folder / path
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "max_energy_range_uj").write_text(f"{turn}\n")
    (place / "energy_uj").write_text(f"{value}\n")
    return place / "energy_uj"


def test_packages_and_memory_are_counted_once_also_over_a_turn(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 900_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    memory = zone(tmp_path, "intel-rapl:0:2", "dram", 5_000_000)
    cores = zone(tmp_path, "intel-rapl:0:0", "core", 0)
    platform = zone(tmp_path, "intel-rapl:2", "psys", 0)
    assert [counter.path for counter in energy.rapl_counters(tmp_path)] == [first, memory, second]
    with EnergyMeter(folder=tmp_path) as meter:
        first.write_text("100000000")  # 100 J to the end of the counter, and 100 J after it
        second.write_text("3600000000000")  # more than its turn: never
        second.write_text("160000000")
        memory.write_text("5000000")
        cores.write_text("77")
        platform.write_text("77")
        assert meter.watt_hours() == {"rapl": pytest.approx(360 / 3600)}
        memory.write_text("unreadable")
        first.write_text("136000000")
        assert meter.watt_hours() == {"rapl": pytest.approx(396 / 3600)}


def test_without_counters_the_processor_time_is_multiplied(tmp_path: Path) -> None:
    joules = iter([50.0, 86.0])
    with EnergyMeter(gpu=lambda: next(joules), folder=tmp_path / "none") as meter:
        begin = time.process_time()
        while time.process_time() - begin < 0.05:
            pass
        found = meter.watt_hours()
    assert found["nvml"] == pytest.approx(0.01)
    assert found["estimated"] == pytest.approx(0.05 * energy.WATTS_PER_CORE / 3600, rel=0.5)
    assert "estimated: 10 W for each busy core" in energy.text(found)
    unreadable = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    unreadable.unlink()
    assert energy.rapl_counters(tmp_path) == []


def test_the_energy_of_a_training_is_stored_with_its_duration(tmp_path: Path) -> None:
    assert training_duration.energy_wh(tmp_path) == {}
    watch = training_duration.Stopwatch(tmp_path)
    watch.emit(Metrics(step=1, epoch=1, values={"energy_wh/rapl": 0.5, "energy_wh/nvml": 1.5, "peak_memory_mb": 300.0}))
    watch.emit(Metrics(step=1, epoch=1, values={"train/loss": 1.0}))
    watch.emit(Finished(epochs=1, kept_epoch=1, reason="epochs", seconds=9.0))
    assert training_duration.energy_wh(tmp_path) == {"rapl": 0.5, "nvml": 1.5}
    assert (training_duration.seconds(tmp_path), training_duration.peak_memory_mb(tmp_path)) == (9, 300)
