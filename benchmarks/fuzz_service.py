"""Ask services of five tasks 100,000 bad requests over HTTP: none is to end in a 5xx, a hang or a crash.

    python -m benchmarks.fuzz_service [--inputs 100000] [--seed 0] [--tasks image,sound,text,table,series] [--json]

Each service is a process of its own with a small package, as a bundle serves it, without BentoML around it. Every
request has a connection of its own, one in eight of which is half closed after the request, cut within it, or reset;
beside them, connections send a byte now and then for as long as the service lets them (slowloris). After each 500
requests a good one must get the answer that it got at the beginning. Memory is read when 2,000 requests were asked and
at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks import fuzz_corpus
from benchmarks.fuzz_corpus import Target
from components.inference.difference import difference

TASKS = ("image", "sound", "text", "table", "series")
CONNECTIONS = 16
SLOW = 50  # connections that trickle
SECONDS = 20.0  # for an answer
GOOD_EVERY = 500
TOLERANCE = 1e-5  # of the good answer: a batch may add in another order
WARM = 2_000  # requests before memory is read for the first time
SERVE = """
import sys
from pathlib import Path
import uvicorn
from serving import connection_limits
from serving.api_keys import KeyedApplication
from serving.app import ModelApp
from serving.worker import Worker
app = ModelApp()
app.serve(Worker(Path(sys.argv[1]), None, threads=1))
connection_limits.install()
uvicorn.run(KeyedApplication(app, "sample", None, exposed=lambda: None), port=int(sys.argv[2]), log_level="error")
"""


@dataclass
class Fuzzed:
    """What came of the requests of a task.

    Args:
        statuses: of the answers; 0: the connection was closed without one.
        failures: requests that ended in a 5xx or in nothing within `SECONDS`.
        megabytes: of the process, when warm and at the end.
    """

    task: str
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    good: int = 0
    megabytes: list[float] = field(default_factory=list)
    seconds: float = 0.0
    crashed: bool = False


def build(task: str, folder: Path) -> Target:
    """A small bundle of a task, and what is good for it."""
    from tests import small_package
    from tests.serving import packages

    if task == "image":
        import base64

        small_package.bundle(folder, "7")
        file = small_package.image(0)
        return Target(task, "image", "images", (file, "image/png"), base64.b64encode(file).decode())
    if task == "sound":
        import base64

        packages.sound(folder)
        return Target(task, "sound", "sounds", (packages.wav(), "audio/wav"), base64.b64encode(packages.wav()).decode())
    if task == "text":
        packages.language_model(folder)
        names = ("max_tokens", "temperature", "top_k", "top_p", "seed", "stop")
        return Target(task, "prompt", "prompts", (b"one two", "text/plain"), "one two", names)
    if task == "table":
        packages.table(folder)
        row = packages.ROWS[0]
        return Target(task, "row", "rows", (json.dumps({"row": row}).encode(), "application/json"), row)
    packages.series(folder)
    values = packages.SERIES[0].tolist()
    lines = "\n".join(",".join(map(str, row)) for row in values).encode()
    return Target(task, "values", "series", (lines, "text/csv"), values)


async def exchange(port: int, content: bytes, manner: int, dice: random.Random) -> int:
    """Send a request; the status of the answer, 0 where the connection is closed without one.

    Args:
        manner: 0, half closed after the request; 1, cut within it; 2, reset within it; else as it should be.

    Raises:
        TimeoutError: nothing comes.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        if manner in (1, 2):
            content = content[: dice.randrange(len(content) + 1)]
        if manner == 2:
            writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        with contextlib.suppress(ConnectionError):
            writer.write(content)
            await writer.drain()
            if manner in (0, 1):
                writer.write_eof()
        if manner == 2:
            return 0
        try:
            line = await asyncio.wait_for(reader.readline(), SECONDS)
            if line.startswith(b"HTTP/1.1 100"):
                await reader.readline()
                line = await asyncio.wait_for(reader.readline(), SECONDS)
        except ConnectionError:
            return 0
        return int(line[9:12]) if line[:9] == b"HTTP/1.1 " else 0
    finally:
        writer.transport.abort() if manner == 2 else writer.close()


async def trickle(port: int, end: asyncio.Event, dice: random.Random) -> None:
    """Connections that send a byte now and then, one after the other."""
    text = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n" + bytes(1000)
    while not end.is_set():
        with contextlib.suppress(ConnectionError, OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            for letter in text:
                writer.write(bytes([letter]))
                await writer.drain()
                await asyncio.sleep(dice.uniform(0.1, 3))
                if end.is_set() or writer.transport.is_closing():
                    break
            writer.close()
        await asyncio.sleep(0.1)


async def ask_good(port: int, target: Target) -> Any:
    """The predictions of the good request."""
    import httpx

    content, media = target.good
    async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
        response = await client.post(
            f"http://127.0.0.1:{port}/predict", content=content, headers={"content-type": media}
        )
    response.raise_for_status()
    return response.json()["predictions"]


async def attack(target: Target, port: int, process: subprocess.Popen[bytes], count: int, seed: int) -> Fuzzed:
    """Ask a service `count` bad requests."""
    found, dice = Fuzzed(target.kind), random.Random(seed)
    expected = await ask_good(port, target)
    drawn = itertools.islice(fuzz_corpus.requests(target, seed), count)
    end, asked = asyncio.Event(), itertools.count()
    slow = [asyncio.create_task(trickle(port, end, dice)) for _ in range(SLOW)]
    begin = time.monotonic()

    async def run() -> None:
        for content in drawn:
            number = next(asked)
            manner = dice.randrange(24)
            try:
                status = await exchange(port, content, manner, dice)
            except TimeoutError:
                status = -1
            except OSError:
                status = 0
            found.statuses[status] += 1
            if status >= 500 or status < 0:
                found.failures.append(f"{status} {content[:2000]!r}")
            if number == WARM:
                found.megabytes.append(memory(process))
            if number % GOOD_EVERY == 0:
                if difference(expected, await ask_good(port, target)) <= TOLERANCE:
                    found.good += 1
                else:
                    found.failures.append(f"another answer after {number} requests")

    await asyncio.gather(*(run() for _ in range(CONNECTIONS)))
    end.set()
    await asyncio.gather(*slow, return_exceptions=True)
    if not difference(expected, await ask_good(port, target)) <= TOLERANCE:
        found.failures.append("another answer at the end")
    found.megabytes.append(memory(process))
    found.seconds = time.monotonic() - begin
    found.crashed = process.poll() is not None
    return found


def memory(process: subprocess.Popen[bytes]) -> float:
    """Resident megabytes of a process."""
    return float(psutil.Process(process.pid).memory_info().rss) / 1e6


def fuzz(task: str, count: int, seed: int) -> Fuzzed:
    """Start a service of a task and attack it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = build(task, folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, name, str(port)], env={**os.environ, "PYTHONWARNINGS": "ignore"}
        )
        try:
            until = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                if time.monotonic() > until or process.poll() is not None:
                    raise SystemExit("the service does not start")
                time.sleep(0.1)
            return asyncio.run(attack(target, port, process, count, seed))
        finally:
            process.terminate()
            process.wait()


def main() -> int:
    """Attack each task in turn and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tasks = options.tasks.split(",")
    failed = 0
    for task in tasks:
        found = fuzz(task, options.inputs // len(tasks), options.seed)
        failed += len(found.failures) + found.crashed
        statuses = dict(sorted(found.statuses.items()))
        if options.json:
            print(json.dumps({**vars(found), "statuses": statuses}), flush=True)
            continue
        sizes = " -> ".join(f"{size:.0f}" for size in found.megabytes)
        print(
            f"{task}: {sum(statuses.values())} in {found.seconds:.0f} s, by status {statuses}, {found.good} good ones "
            f"between, {sizes} MB, {len(found.failures)} failures{', CRASHED' if found.crashed else ''}",
            flush=True,
        )
        for failure in found.failures[:20]:
            print("  ", failure[:1500], flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
