"""Rollovers of a service's processes under load: other serving code, another number of workers, no failed request.

A real service under the platform's supervisor goes from one bundle to the next: two versions of the serving code, with
two and with three workers. 32 clients ask meanwhile, half of them without a pause and half with pauses of up to 3 s; in
a second round each request has a connection of its own. A request fails that gets no answer or another status than 200.

    python -m benchmarks.rollover [--rollovers 20]
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.access import project_door
from components.access.secret import SECRET_FILE
from components.contracts.pipeline import ServingOptions
from components.contracts.serving_spec import SERVICE_FOLDER
from components.core.project import Project
from components.identity import manifest
from components.packaging import requirements
from components.packaging.bundle import Bundle
from components.packaging.bundle_request import BundleRequest
from flows.platform import lifecycle, ports, services, state, supervisor
from flows.platform.environment import QUIET
from flows.platform.state import StackState
from serving.settings import ServingSettings
from tests import small_package

ROOT = Path(__file__).resolve().parents[1]
NAME = "rollover"
CLIENTS = 32
LONGEST_PAUSE_SECONDS = 3.0
STEADY_SECONDS = 4.0


@dataclass
class Answers:
    """What the clients got: when each answer came and how long it took, and each failure."""

    ends: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def p99_ms(self, windows: list[tuple[float, float]]) -> float:
        """Of the requests answered within windows of time."""
        inside = sorted(
            seconds
            for end, seconds in zip(self.ends, self.seconds, strict=True)
            if any(begin <= end <= stop for begin, stop in windows)
        )
        return 1000 * inside[len(inside) * 99 // 100] if inside else 0.0


@contextmanager
def clients(port: int, *, keep_alive: bool | None, pause: float = 0.0) -> Iterator[Answers]:
    """Clients that ask while the block lasts; with `keep_alive=None`, half of them keep their connections.

    Args:
        pause: seconds between the answer and the next request of every other client; the rest pause at random, for
            `LONGEST_PAUSE_SECONDS` at most.
    """
    answers, end = Answers(), threading.Event()

    async def run() -> None:
        await asyncio.gather(
            *(
                _client(port, number, answers, end, number // 2 % 2 == 0 if keep_alive is None else keep_alive, pause)
                for number in range(CLIENTS)
            )
        )

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        yield answers
    finally:
        end.set()
        thread.join()


async def _client(
    port: int, number: int, answers: Answers, end: threading.Event, keep_alive: bool, pause: float
) -> None:
    content = small_package.image(0)
    head = f"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: image/png\r\ncontent-length: {len(content)}\r\n"
    request = f"{head}\r\n".encode() + content
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    rng = random.Random(number)
    while not end.is_set():
        await asyncio.sleep(rng.uniform(0, LONGEST_PAUSE_SECONDS) if number % 2 else pause)
        begin = time.perf_counter()
        try:
            streams = streams or await asyncio.open_connection("127.0.0.1", port)
            streams[1].write(request)
            closes = await asyncio.wait_for(_answer(streams[0]), 60)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            answers.failures.append(repr(error))
            closes = True
        else:
            answers.ends.append(time.perf_counter())
            answers.seconds.append(answers.ends[-1] - begin)
        if streams and (closes or not keep_alive):
            streams[1].close()
            streams = None
    if streams:
        streams[1].close()


async def _answer(reader: asyncio.StreamReader) -> bool:
    """Read an answer; returns whether the server closes the connection after it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if not head.startswith("http/1.1 200 "):
        raise ValueError(head.partition("\r\n")[0])
    length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
    await reader.readexactly(int(length.partition(":")[2]))
    return "\r\nconnection: close\r\n" in head


def bundles(folder: Path) -> list[Bundle]:
    """Code 1 with two workers, code 2 with two, code 1 with three, code 2 with three."""
    return [
        bundle
        for number, workers in enumerate((2, 3))
        for plain in (_build(folder, f"{number}" * 64, workers),)
        for bundle in (plain, _with_other_code(plain, f"{number + 5}" * 64))
    ]


def _build(folder: Path, key: str, workers: int) -> Bundle:
    package = small_package.build(folder / "package", seed=1)
    request = BundleRequest(
        model="sample",
        version="1",
        key=key,
        package=str(package.folder),
        home=str(folder / "home"),
        source_root=str(ROOT),
        requirements=requirements.pinned(ROOT / "requirements.lock", small_package.LIBRARIES),
        serving=ServingOptions(workers=workers),
    )
    (folder / "request.json").write_text(request.model_dump_json())
    words = [sys.executable, "-m", "components.packaging", str(folder / "request.json")]
    subprocess.run(words, cwd=ROOT, env={**os.environ, **QUIET}, check=True, stdout=sys.stderr)
    return Bundle(folder / "home", "sample", key)


def _with_other_code(bundle: Bundle, key: str) -> Bundle:
    other = copy(bundle, key)
    with (other.source / "serving" / "canary.py").open("a") as stream:
        stream.write("\nOTHER = True\n")
    seal(other)
    return other


def copy(bundle: Bundle, key: str) -> Bundle:
    """The same bundle under another key, to be changed and sealed."""
    other = Bundle(bundle.home, bundle.model, key)
    shutil.copytree(bundle.folder, other.folder, ignore=shutil.ignore_patterns("bentofile.yaml", "__pycache__"))
    return other


def seal(bundle: Bundle) -> None:
    """Seal a changed bundle; its key stands for its code."""
    facts = {**manifest.load(bundle.source, "bundle").facts, "code": bundle.key}
    (bundle.folder / manifest.FILE_NAME).unlink()
    manifest.seal(bundle.source, "bundle", facts)
    manifest.seal(bundle.folder, "bento", {})


@contextmanager
def platform(folder: Path) -> Iterator[Project]:
    """A project with a supervisor and nothing else."""
    (folder / "pipelines").mkdir(parents=True)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    project = Project(folder)
    port = ports.choose(24500, ())
    state.save(project, StackState(str(folder), wanted=True, ports={"serve-sample": port}))
    state.claim(project)
    supervisor.write_configuration(project, ())
    supervisor.start(project)
    try:
        yield project
    finally:
        lifecycle.down(project)


def serve(project: Project, bundle: Bundle) -> str:
    """Have the service run from a bundle, as a release does."""
    service = project.service("sample")
    service.mkdir(parents=True, exist_ok=True)
    inside = service.relative_to(project.root)
    variables = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "BENTOML_HOME": str(service / "bentoml"),
        SERVICE_FOLDER: str(service),
        "MODELYARD_HANDOVER": str(inside / "handover"),
        SECRET_FILE: str(project_door.secret_file(project)),
        **QUIET,
    }
    start = str(ROOT / "serving" / "start.py")
    words = [sys.executable, "-P", start, str(bundle.folder), "--host", "127.0.0.1", "--port", "{port}"]
    workers = ServingSettings.load(bundle.source).workers
    return services.serve(project, "sample", words, variables, hands_over_to=str(inside / "workers"), workers=workers)


def roll(
    project: Project,
    among: list[Bundle],
    rollovers: int,
    *,
    keep_alive: bool | None,
    steady_seconds: float = STEADY_SECONDS,
    pause: float = 0.0,
) -> tuple[Answers, list[Figure]]:
    """Serve one bundle after the other under load; `pause` as of `clients`."""
    port = int(serve(project, among[0]).rpartition(":")[2])
    rolling, steady = list[tuple[float, float]](), list[tuple[float, float]]()
    with clients(port, keep_alive=keep_alive, pause=pause) as answers:
        for number in range(1, rollovers + 1):
            begin = time.perf_counter()
            time.sleep(steady_seconds)
            steady.append((begin + 1, time.perf_counter()))
            begin = time.perf_counter()
            serve(project, among[number % len(among)])
            rolling.append((begin, time.perf_counter()))
            tell(f"rollover {number}: {rolling[-1][1] - begin:.1f} s, {len(answers.failures)} failures so far")
        time.sleep(steady_seconds)
    kind = "keep-alive connections" if keep_alive else "a connection for each request"
    calm, busy = answers.p99_ms(steady), answers.p99_ms(rolling)
    for failure in sorted(set(answers.failures)):
        tell(f"{answers.failures.count(failure)} x {failure}")
    return answers, [
        Figure(NAME, f"{kind}: failed requests, {rollovers} rollovers", len(answers.failures), at_most=0),
        Figure(NAME, "... requests", len(answers.ends)),
        Figure(NAME, "... p99 between rollovers", round(calm, 1), "ms"),
        Figure(NAME, "... p99 during rollovers, with two groups starting and serving", round(busy, 1), "ms"),
    ]


def measure(rollovers: int = 20) -> list[Figure]:
    """Failed requests and latencies, with kept connections and with new ones."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as name:
        folder = Path(name)
        tell("building bundles")
        among = bundles(folder)
        with platform(folder / "project") as project:
            return [
                result
                for keep_alive in (True, False)
                for result in roll(project, among, rollovers, keep_alive=keep_alive)[1]
            ]


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--rollovers", type=int, default=20)
    sys.exit(figure.command(measure, options))
