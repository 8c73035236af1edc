"""Preparation by partitions, in one process and on Dask clusters: the same bytes, whatever is cut or killed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.cluster import dask_cluster, prestart
from components.contracts.dask_variable import VARIABLE
from components.core.errors import SampleError, StackError, UsageError
from components.identity import manifest
from components.ingestion import columns, sample_file
from components.ingestion import stage as ingestion
from components.preparation import column_file, partitions, stage
from components.preparation.partition_runner import HereRunner
from components.preprocessing import number_statistics
from flows.runners import source_archive
from tests.preparation.test_rows_by_column import CLASSES, TARGETS, contents, dataset

ROOT = Path(__file__).resolve().parents[2]
UNGROUPED = CLASSES.replace("split: {group: group}\n", "").replace(", group: g}", "}")
LABELLED = UNGROUPED.replace(", split: s", "")


def prepared(tmp_path: Path) -> dict[str, bytes]:
    stage.main(["data/rows"])
    return contents(tmp_path / ".modelyard/staging/rows/prepared")


def on_dask(**cluster: Any) -> str:
    code = cluster.pop("code", None)
    return json.dumps({"cluster": {"runner": "dask", **cluster}, "code": code})


@pytest.mark.parametrize("text", [LABELLED, UNGROUPED, TARGETS], ids=["drawn", "given", "targets"])
def test_partitions_and_statistics_from_files_change_nothing(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset(tmp_path, monkeypatch, text, rows=2500)
    whole = prepared(tmp_path)
    monkeypatch.setattr(HereRunner, "partition_rows", 1024)
    assert len(partitions.of(Path("data/rows/raw/samples.parquet"), 1024)) == 3
    monkeypatch.setattr(number_statistics, "_BLOCK", 128)
    monkeypatch.setattr(number_statistics.of_blocks, "__kwdefaults__", {"in_memory": 0})
    assert prepared(tmp_path) == whole
    for place in ("machine", "elsewhere"):  # the files in which samples come from other processes
        monkeypatch.setattr(HereRunner, "place", place)
        assert prepared(tmp_path) == whole


def test_partitions_have_all_rows_once_and_no_more_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    groups = [3, 5, 20, 1, 1, 7]
    with pq.ParquetWriter(path, pa.schema([("id", pa.int64())])) as writer:
        start = 0
        for rows in groups:
            ids = columns.integers(np.arange(start, start + rows))
            writer.write_table(pa.Table.from_arrays([ids], names=["id"]))
            start += rows
    for rows, least, expected in ((8, 1, [8, 7, 7, 6, 2, 7]), (37, 1, [37]), (37, 3, [8, 10, 10, 9]), (1, 1, [1] * 37)):
        found = partitions.of(path, rows, least)
        assert [one.rows for one in found] == expected
        read = [table["id"].to_pylist() for one in found for table in sample_file.batch_tables(path, ["id"], one.part)]
        assert [row for ids in read for row in ids] == list(range(37))
        assert [one.start for one in found] == [sum(expected[:number]) for number in range(len(expected))]
    assert partitions.of(path, 8)[0].part.row_groups == range(2)


@pytest.mark.long
def test_three_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dataset(tmp_path, monkeypatch, LABELLED, rows=5000)
    here = prepared(tmp_path)
    monkeypatch.setenv(VARIABLE, on_dask(workers=3, partition_rows=2048))  # two, and one: the next tests
    assert prepared(tmp_path) == here
    # Multiprocessing's own two processes, which end with this one; the workers were forked from the second.
    assert all("main(" in child.cmdline()[-1] and not child.children() for child in psutil.Process().children())

    text = (folder / "dataset.yaml").read_text().replace("input: {may_be_missing: [x]}\n", "")
    (folder / "dataset.yaml").write_text(text.replace("split: s", "split: s").replace("[x, n]", "[x, n, t]"))
    with pytest.raises(UsageError, match="not prepared by partitions"):  # rows of other columns
        prepared(tmp_path)


@pytest.mark.slow
def test_a_killed_worker_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(tmp_path, monkeypatch, LABELLED, rows=8000)
    here = prepared(tmp_path)
    staging = tmp_path / ".modelyard/staging/rows"
    with _stage(tmp_path, workers=2) as process:
        _workers_at_work(process, staging)[0].kill()
        _, said = process.communicate(timeout=100)
        assert process.returncode == 0, said
        assert "a Dask worker ended: its tasks are repeated" in said
        assert contents(staging / "prepared") == here


@pytest.mark.slow
def test_ctrl_c_ends_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(tmp_path, monkeypatch, LABELLED, rows=8000)
    staging = tmp_path / ".modelyard/staging/rows"
    with _stage(tmp_path, workers=1) as process:
        workers = _workers_at_work(process, staging)
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to all of them
        _, said = process.communicate(timeout=100)
        assert (process.returncode, said.splitlines()[-1]) == (130, "stopped")
        assert "Traceback" not in said
        psutil.wait_procs(workers, timeout=10)
        assert not [worker for worker in workers if worker.is_running()]
        assert not list(staging.iterdir())


@pytest.mark.long
def test_an_existing_scheduler_gets_our_code_and_reports_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset(tmp_path, monkeypatch, UNGROUPED, rows=3000)
    here = prepared(tmp_path)
    code = source_archive.ensure(tmp_path / ".modelyard" / "dask", ROOT, [])
    with scheduler(tmp_path) as url:
        monkeypatch.setenv(VARIABLE, on_dask(scheduler=url, partition_rows=1024, code=str(code)))
        assert prepared(tmp_path) == here
        (folder / "dataset.yaml").write_text(UNGROUPED.replace("input: {may_be_missing: [x]}\n", ""))
        text = (folder / "table.csv").read_text().replace("\n,", "\n7,")
        (folder / "table.csv").write_text(f"{text}\n,1,a,u,test,other,1\n")
        _ingested(folder)
        with pytest.raises(SampleError, match="no value in the column x") as caught:
            prepared(tmp_path)
        assert caught.value.where == "table/003035"
    monkeypatch.setattr(dask_cluster, "_WAIT_SECONDS", 0.5)
    with pytest.raises(StackError, match="cannot be reached"):
        prepared(tmp_path)


def test_other_versions_are_named() -> None:
    with pytest.raises(StackError, match="another version of numpy") as caught:
        dask_cluster._check_versions({"tcp://a:1": {"python": "", "numpy": "1.26.4"}}, "tcp://b:2")
    assert (caught.value.got, caught.value.where) == ("1.26.4", "tcp://a:1 of tcp://b:2")
    with pytest.raises(StackError, match="another version of python"):
        dask_cluster._check_versions({"tcp://a:1": {"python": "3.12.1.final.0"}}, "tcp://b:2")


def test_what_runs_here_needs_no_dask() -> None:
    names = "components.preparation.prepare, components.preparation.stage, flows.pipelines.plan"
    found = f"import sys, {names}; print([name for name in ('dask', 'distributed') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", found], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _ingested(folder: Path) -> None:
    ingestion.main(["data/rows"])
    raw = manifest.load(folder / "raw", "raw")
    manifest.seal(folder / "validated", "validated", {"raw_digest": raw.digest, "success": True})


@contextmanager
def _stage(tmp_path: Path, workers: int) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: on_dask(workers=workers, partition_rows=1024)}
    process = subprocess.Popen(
        [sys.executable, "-m", "components.preparation", "data/rows"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _workers_at_work(process: subprocess.Popen[str], staging: Path) -> list[psutil.Process]:
    """The workers, once the first partition is decoded."""
    until = time.monotonic() + 60
    while not list(staging.glob(".prepared.*.tmp/scratch/*.columns")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)
    (server,) = [one for one in psutil.Process(process.pid).children() if "forkserver" in " ".join(one.cmdline())]
    return server.children()


@contextmanager
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A scheduler and a worker of two threads in a folder of their own."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    place = folder / "scheduler.json"
    file = ["--scheduler-file", str(place), "--no-dashboard", "--host", "127.0.0.1"]
    commands = [
        ["distributed.cli.dask_scheduler", *file, "--port", "0"],
        ["distributed.cli.dask_worker", *file, "--nthreads", "2", "--no-nanny"],
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for words in commands
    ]  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not (place.is_file() and place.read_text().rstrip().endswith("}")):  # the scheduler writes it in pieces
            assert time.monotonic() < until
            time.sleep(0.05)
        yield json.loads(place.read_text())["address"]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_what_workers_import_ahead_is_there() -> None:
    for name in {*prestart.PREPARE, *prestart.SCORE}:  # the server of forks passes over what it cannot import
        assert importlib.util.find_spec(name), name


def test_one_thread_reads_columns_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "0.columns"
    column_file.save(path, {"keys": np.arange(4)})
    with ThreadPoolExecutor(1) as pool:
        with column_file.opened(path) as arrays:  # its header may be parsed now
            other = pool.submit(column_file.ColumnFile(path, [], []).array, "keys")
            with pytest.raises(TimeoutError):
                other.result(0.05)
            assert arrays["keys"].tolist() == [0, 1, 2, 3]
        assert other.result(10).tolist() == [0, 1, 2, 3]
