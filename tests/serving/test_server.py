"""A real BentoML service of two workers: it switches under load, its workers agree, and what is bad does no harm."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from components.contracts.pipeline import PipelineSpec, ServingOptions
from components.contracts.serving_spec import (
    ROLE_HEADER,
    SERVICE_FOLDER,
    VERSION_HEADER,
    ServiceStatus,
    ServingSpec,
    SlotSpec,
    SlotStatus,
)
from components.core import located_yaml
from components.core.errors import CorruptArtifactError, StackError
from components.core.project import Project
from components.identity.package import Package
from components.packaging import bundle_inputs, requirements
from components.packaging.bundle import Bundle
from components.packaging.bundle_request import BundleRequest
from components.registry.api import Api
from components.registry.versions import Version
from components.release.production import Pin
from flows.pipelines.stages import RunContext
from flows.platform.environment import QUIET
from flows.releases import steps
from flows.releases.rollout import Refused, Rollout, VerifiedVersion
from flows.serving_targets.local_target import HANDOVER, LocalServingTarget, command
from tests import small_package
from tests.serving.service import challenger, eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
HEADERS = {"content-type": "image/png"}


def built(folder: Path, workers: int) -> Bundle:
    """A real bundle: version 1 of `sample`."""
    package = small_package.build(folder / "package", seed=1)
    pinned = requirements.pinned(ROOT / "requirements.lock", small_package.LIBRARIES)
    request = BundleRequest(
        model="sample",
        version="1",
        key="0" * 64,
        package=str(package.folder),
        home=str(folder / "home"),
        source_root=str(ROOT),
        requirements=pinned,
        serving=ServingOptions(workers=workers),
    )
    (folder / "request.json").write_text(request.model_dump_json())
    words = [sys.executable, "-m", "components.packaging", str(folder / "request.json")]
    subprocess.run(words, cwd=ROOT, env={**os.environ, **QUIET}, check=True)
    return Bundle(folder / "home", "sample", request.key)


@dataclass
class Server:
    """A running service, and how to ask and order it."""

    url: str
    folder: Path
    slots: dict[str, SlotSpec]
    bundle: Bundle
    process: subprocess.Popen[bytes]
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, trust_env=False, verify=False, timeout=30)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])

    def order(self, **slots: SlotSpec | None) -> ServiceStatus:
        """Write an order, and wait until every worker has carried it out."""
        generation = max(worker.generation for worker in self.statement().workers) + 1
        ServingSpec.model_validate({"generation": generation, **slots}).write(self.folder)
        eventually(lambda: {worker.generation for worker in self.statement().workers} == {generation})
        return self.statement()

    def statement(self) -> ServiceStatus:
        """What its workers say; all of them."""
        found: list[ServiceStatus] = []

        def complete() -> bool:
            try:
                found.append(ServiceStatus.model_validate_json(self.client.get("/status").content))
            except httpx.TransportError:  # the worker of this connection was killed
                return False
            return len(found[-1].workers) == found[-1].expected

        eventually(complete)
        return found[-1]

    def held(self, role: str) -> list[SlotStatus | None]:
        """What each worker holds in a slot."""
        return [getattr(worker, role) for worker in self.statement().workers]

    def ask(self, content: bytes, **headers: str) -> httpx.Response:
        """One image over a connection of its own, so that any worker answers."""
        return httpx.post(
            f"{self.url}/predict", content=content, headers={**HEADERS, **headers}, trust_env=False, verify=False
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers with version 1; bundles of other versions beside it."""
    folder = tmp_path_factory.mktemp("server")
    bundle = built(folder, workers=2)
    own = Package.open(bundle.source / "package")
    slots = {"1": SlotSpec(version="1", package_digest=own.digest, bundle=str(bundle.source))}
    for version in ("2", "3"):
        slots[version] = small_package.bundle(folder / version, version, seed=int(version))
    slots["nan"] = small_package.bundle(folder / "4", "4", seed=1, nan_above=0.8)
    slots["broken"] = small_package.bundle(folder / "5", "5", seed=5)
    graph = folder / "5" / "package" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    with pytest.raises(CorruptArtifactError):
        Package.open(graph.parent)
    with serving(bundle, folder / "service") as (url, process):
        server = Server(url, folder / "service", slots, bundle, process)
        with server.client:
            yield server


@contextmanager
def serving(bundle: Bundle, folder: Path, port: int | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    folder.mkdir(exist_ok=True)
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    words = command(bundle, str(port))
    variables = {
        "BENTOML_HOME": str(folder),
        SERVICE_FOLDER: str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        HANDOVER: "h",
    }
    process = subprocess.Popen(words, env={**os.environ, **QUIET, **variables}, cwd=folder)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"{url}/readyz", trust_env=False, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(ready, 90)
        yield url, process
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def loaded(server: Server, content: bytes, connections: int = 8) -> Iterator[Callable[[], Counter[str]]]:
    """Connections that ask with hardly a pause; gives what they were answered: `version`, or `status text`."""
    ends, lock, answers = threading.Event(), threading.Lock(), Counter[str]()

    def ask() -> None:
        with httpx.Client(base_url=server.url, trust_env=False, verify=False, timeout=30) as client:
            while not ends.is_set():
                try:
                    answer = client.post("/predict", content=content, headers=HEADERS)
                    said = f"{answer.status_code} {answer.text}"
                    found = answer.headers["x-modelyard-version"] if answer.status_code == 200 else said
                except httpx.TransportError as error:
                    found = repr(error)
                with lock:
                    answers[found] += 1
                ends.wait(0.01)

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()

    def so_far() -> Counter[str]:
        with lock:
            return answers.copy()

    try:
        yield so_far
    finally:
        ends.set()
        for thread in threads:
            thread.join(30)


def test_it_says_which_code_it_runs(server: Server) -> None:
    """The release compares this with the code of the bundle it would switch to."""
    found = server.statement()
    pinned = requirements.pinned(ROOT / "requirements.lock", small_package.LIBRARIES)
    code = bundle_inputs.code_digest(bundle_inputs.code(ROOT, small_package.TASK), pinned)
    assert (found.model, {worker.code for worker in found.workers}) == ("sample", {code})


def test_switches_and_rollbacks_under_load_lose_no_request(server: Server) -> None:
    one, two, three = (server.slots[version] for version in "123")
    server.order(champion=one)
    with loaded(server, small_package.image(0)) as answers:
        eventually(lambda: answers()["1"] > 20)
        server.order(champion=one, staged=two)
        named = server.ask(small_package.image(0), **{VERSION_HEADER: two.package_digest})
        assert named.headers[ROLE_HEADER] == "staged"
        for new, old in ((two, one), (three, two), (two, three), (one, two), (two, one), (three, two)):
            server.order(champion=new, previous=old)
            seen = answers()[new.version]
            eventually(lambda version=new.version, before=seen: answers()[version] > before + 20)  # type: ignore[misc]
        before = answers()
        eventually(lambda: answers()["3"] > before["3"] + 50)
        assert (answers()["1"], answers()["2"]) == (before["1"], before["2"])  # nobody is answered by who has left
        failing = server.order(champion=server.slots["broken"], previous=three)
        eventually(lambda: answers()["3"] > before["3"] + 100)
    assert set(answers()) == {"1", "2", "3"}, answers()
    assert {worker.champion.version for worker in failing.workers if worker.champion} == {"3"}
    assert all(worker.champion_failed and "model.onnx" in (worker.champion_failed.reason or "")
               for worker in failing.workers)  # fmt: skip


@pytest.mark.parametrize("percent", [0.0, 50.0])
def test_a_challenger_with_nan_is_taken_out_of_both_workers(server: Server, percent: float) -> None:
    server.order(champion=server.slots["1"])
    server.order(champion=server.slots["1"], challenger=challenger(server.slots["nan"], percent))
    assert all(held and held.state == "ready" for held in server.held("challenger"))
    with loaded(server, small_package.white(), connections=2) as answers:
        eventually(lambda: all(held and held.state == "removed" for held in server.held("challenger")))
    assert set(answers()) == {"1"}, answers()
    assert all("not finite" in (held.reason or "") for held in server.held("challenger") if held)


def test_a_worker_that_was_killed_comes_back_with_the_order(server: Server) -> None:
    server.order(champion=server.slots["2"], previous=server.slots["1"])
    victim = server.statement().workers[0].worker
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: victim not in {worker.worker for worker in server.statement().workers}, 60)
    assert [held and held.version for held in server.held("champion")] == ["2", "2"]
    figures = server.client.get("/metrics").text
    assert f'package="{server.slots["2"].package_digest}",role="champion",version="2"}} 1.0' in figures


def test_series_of_versions_that_have_gone_are_not_shown(server: Server) -> None:
    def series(version: str) -> dict[str, float]:
        """Those of ours about a version, whichever worker tells them."""
        lines = [line for line in httpx.get(f"{server.url}/metrics", trust_env=False, verify=False).text.splitlines()
                 if line.startswith("modelyard_") and f'version="{version}"' in line]  # fmt: skip
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def answered() -> float:
        found = series("3")
        return sum(value for name, value in found.items() if name.startswith("modelyard_inference_seconds_count"))

    server.order(champion=server.slots["3"], previous=server.slots["2"])
    before = answered()
    server.ask(small_package.image(0)).raise_for_status()
    eventually(lambda: answered() == before + 1)
    server.order(champion=server.slots["2"], previous=server.slots["3"])
    assert all(series("3") and series("2") for _ in range(10))  # it is still there, and warm
    server.order(champion=server.slots["2"])
    eventually(lambda: not any(series("3") for _ in range(10)))
    assert series("2")
    assert "bentoml_service_request_total" in server.client.get("/metrics").text
    server.order(champion=server.slots["3"])
    eventually(lambda: answered() == before + 1)  # its counters go on


@dataclass(frozen=True)
class Released(LocalServingTarget):
    """A service that no stack runs."""

    served_at: str = ""

    @property
    def url(self) -> str:
        return self.served_at


def test_the_golden_examples_are_asked_of_every_worker(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.order(champion=server.slots["1"])
    server.order(champion=server.slots["2"])
    service = Released(Project(server.folder), "sample", served_at=server.url)
    package = Package.open(Path(server.slots["2"].bundle) / "package")
    for times in range(1, 6):  # whichever worker is quicker to take a connection
        assert service.check_golden_examples(package, 1e-4, workers=2) <= 1e-4
        least = times * len(package.golden())
        eventually(lambda least=least: all(w.champion_stats.requests >= least for w in server.statement().workers))  # type: ignore[misc]
    monkeypatch.setattr("flows.serving_targets.local_target.PROVE_SECONDS", 3.0)
    stopped = server.statement().workers[0].worker
    os.kill(stopped, signal.SIGSTOP)
    try:
        with pytest.raises(StackError, match="not every worker") as caught:
            service.check_golden_examples(package, 1e-4, workers=2)
        assert caught.value.got in (f"not reached: worker {stopped}", "not reached: 1 that cannot be seen at /status")
        with pytest.raises(StackError) as three:  # once the stopped one is not among the living any more
            service.check_golden_examples(package, 1e-4, workers=3)
        assert "that cannot be seen at /status" in str(three.value.got)
    finally:
        os.kill(stopped, signal.SIGCONT)
    eventually(lambda: len(server.statement().workers) == 2)
    assert service.check_golden_examples(package, 1e-4, workers=2) <= 1e-4


def _rollout(server: Server, slot: SlotSpec, folder: Path) -> tuple[Rollout, VerifiedVersion, Pin]:
    """A release of a version, whatever the gates said of it."""
    project = Project(folder)
    overrides = {"serving.workers": 2, "gates.parity.tolerance": 1e-4}
    spec = located_yaml.read(Project(ROOT).pipeline_file("digits"), PipelineSpec, overrides)
    service = Released(project, "sample", served_at=server.url)
    service.folder.parent.mkdir(parents=True)
    service.folder.symlink_to(server.folder)
    pin = Pin(version=slot.version, package_digest=slot.package_digest, bundle=f"sample:{'b' * 12}", bundle_digest=None)
    bundle = service.bundle(pin)
    bundle.folder.mkdir(parents=True)
    bundle.source.symlink_to(slot.bundle)
    version = Version("sample", slot.version, "", "", {}, (), 0)
    package = Package.open(Path(slot.bundle) / "package", verify=False)
    context = RunContext(project, spec, Api("http://127.0.0.1:9"), print)
    rollout = Rollout(context, service, "champion", "a-release", None, pin.side, "a test")
    return rollout, VerifiedVersion(version, package, bundle), pin


def test_a_refusal_by_the_service_names_the_limit_that_was_missed(server: Server, tmp_path: Path) -> None:
    server.order(champion=server.slots["1"])
    rollout, _, pin = _rollout(server, server.slots["broken"], tmp_path / "broken")
    with pytest.raises(Refused) as load:
        steps.stage(rollout, pin, "")
    assert [(result.gate, result.limit) for result in load.value.results] == [("load", "it loads in every worker")]
    other = small_package.bundle(tmp_path / "6", "6", seed=6, graph_scale=1 / 200)
    server.order(champion=server.slots["1"], staged=other.model_copy(update={"tolerance": 10.0}))
    rollout, candidate, _ = _rollout(server, other, tmp_path / "other")
    with pytest.raises(Refused, match="answers otherwise") as parity:
        steps.prove(rollout, candidate)
    limit = "each number within 0.0001 in every worker"
    assert [(result.gate, result.limit) for result in parity.value.results] == [("parity", limit)]


def test_a_service_opens_no_port_but_its_own(server: Server) -> None:
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    listening = {c.laddr for p in family for c in p.net_connections("inet") if c.status == "LISTEN"}
    assert {(address.ip, address.port) for address in listening} == {("127.0.0.1", server.port)}


@pytest.fixture(scope="module")
def successor(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """A second process on the port of the first, which is still there."""
    server.order(champion=server.slots["1"])
    with serving(server.bundle, server.folder, server.port) as (_, second):
        yield second


def test_a_second_process_takes_the_first_ones_place_without_a_refused_request(
    server: Server, request: pytest.FixtureRequest
) -> None:
    server.order(champion=server.slots["1"])
    with loaded(server, small_package.image(0)) as answers:
        second: subprocess.Popen[bytes] = request.getfixturevalue("successor")

        def has_taken_over() -> bool:
            workers = [psutil.Process(int(path.stem)) for path in (server.folder / "workers").glob("*.json")]
            return sum(worker.ppid() == second.pid for worker in workers) == 2

        eventually(has_taken_over, 90)
        server.process.terminate()
        assert server.process.wait(timeout=60) == 0
        time.sleep(1)
        counted = answers()
        assert psutil.Process(second.pid).is_running()
    assert set(counted) == {"1"}
    assert counted["1"] > 100


def test_a_service_that_is_stopped_answers_what_it_was_asked(
    server: Server, successor: subprocess.Popen[bytes]
) -> None:
    """The last test of these processes."""
    image = small_package.image(0)
    server.process.terminate()
    server.process.wait(timeout=60)
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: image/png\r\n"
        slow.sendall(f"{head}Content-Length: {len(image)}\r\nConnection: close\r\n\r\n".encode() + image[:10])
        time.sleep(0.5)  # the worker has taken the connection
        successor.terminate()
        time.sleep(2)
        with pytest.raises(ConnectionRefusedError):  # it would wait in the socket's queue, and be reset at the end
            socket.create_connection(("127.0.0.1", server.port), 1).close()
        time.sleep(5)  # longer than the five seconds after which it was killed once
        slow.sendall(image[10:])
        answer = b"".join(iter(lambda: slow.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200"), answer[:300]
    assert successor.wait(timeout=30) == 0
