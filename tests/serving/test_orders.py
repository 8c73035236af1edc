"""A worker follows its order: what it holds, who answers, and what it says of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from components.contracts.serving_spec import (
    FORMER_VERSION_HEADER,
    SPEC_FILE,
    SPEC_FORMAT,
    ServingSpec,
    SlotSpec,
    UnreadableSpecError,
    set_aside,
)
from serving import loaded
from tests import small_package
from tests.serving.service import Service, challenger, eventually, running


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SlotSpec]:
    """Versions 1 to 4, each another package."""
    folder = tmp_path_factory.mktemp("bundles")
    return {str(number): small_package.bundle(folder / str(number), str(number), seed=number) for number in range(1, 5)}


@pytest.fixture
def service(slots: dict[str, SlotSpec], tmp_path: Path) -> Iterator[Service]:
    with running(Path(slots["1"].bundle), tmp_path / "service") as service:
        yield service


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the service logs; BentoML, once imported, keeps it from the root logger."""
    logger = logging.getLogger("bentoml.modelyard")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def broken(slot: SlotSpec, folder: Path, file: str = "model.onnx") -> SlotSpec:
    """A copy of a bundle with one byte of its package changed."""

    shutil.copytree(slot.bundle, folder)
    path = folder / "package" / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    return slot.model_copy(update={"bundle": str(folder)})


def test_without_an_order_it_serves_its_own_package(service: Service, slots: dict[str, SlotSpec]) -> None:
    assert service.answered_by() == "1"
    statement = service.statement()
    assert (statement.generation, statement.previous, statement.staged, statement.challenger) == (0, None, None, None)
    assert statement.champion
    assert statement.champion.package_digest == slots["1"].package_digest


def test_without_a_service_folder_no_orders_are_taken(slots: dict[str, SlotSpec]) -> None:
    with running(Path(slots["1"].bundle), None) as service:
        document = service.client.get("/status").json()
        assert document["expected"] == len(document["workers"]) == 1
        assert document["workers"][0]["champion"]["version"] == "1"
        assert not list(Path(slots["1"].bundle).glob("workers*"))


def test_a_switch_and_everything_that_follows_the_champion(service: Service, slots: dict[str, SlotSpec]) -> None:
    before = service.ask().json()
    service.order(champion=slots["2"], previous=slots["1"])
    response = service.ask()
    assert response.headers["x-modelyard-version"] == response.json()["model"]["version"] == "2"
    assert response.headers["x-modelyard-package"] == slots["2"].package_digest
    assert response.headers["x-modelyard-role"] == "champion"
    assert response.json()["predictions"] != before["predictions"]
    assert service.client.get("/model").json()["version"] == "2"
    assert service.client.get("/openapi.json").json()["info"]["version"] == "2"
    assert slots["2"].package_digest in service.client.get("/").text


def test_what_is_held_already_is_not_loaded_again(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], staged=slots["2"])
    staged = service.worker.slot_manager.current.staged
    assert staged
    service.order(champion=slots["2"], previous=slots["1"])
    now = service.worker.slot_manager.current
    assert now.champion
    assert now.champion.loaded is staged.loaded
    service.order(champion=slots["1"], previous=slots["2"])  # rollback
    now = service.worker.slot_manager.current
    assert now.previous
    assert now.previous.loaded is staged.loaded
    assert service.answered_by() == "1"


def test_the_champion_keeps_its_tally_while_others_come_and_go(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"])
    since = service.statement().champion
    service.ask()
    service.order(champion=slots["1"], staged=slots["2"])
    service.ask()
    statement = service.statement()
    assert statement.champion == since
    assert statement.champion_stats.requests == 2
    assert statement.champion_stats.p50_ms


def test_a_request_names_the_version_by_number_and_under_the_former_header(
    service: Service, slots: dict[str, SlotSpec]
) -> None:
    service.order(champion=slots["2"], previous=slots["1"])
    assert [service.answered_by(want=version) for version in ("1", "2")] == ["1", "2"]
    former = {"content-type": "image/png", FORMER_VERSION_HEADER: slots["1"].package_digest}
    answer = service.client.post("/predict", content=small_package.image(0), headers=former)
    assert answer.headers["x-modelyard-version"] == "1"
    assert service.ask(want="7").status_code == 409


def test_a_request_names_the_package_that_shall_answer(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], staged=slots["2"], previous=slots["3"])
    for version, role in (("1", "champion"), ("2", "staged"), ("3", "previous")):
        response = service.ask(want=slots[version].package_digest)
        assert response.headers["x-modelyard-version"] == version
        assert response.headers["x-modelyard-role"] == role
    response = service.ask(want=slots["4"].package_digest)
    assert (response.status_code, response.json()["code"]) == (409, "not_held")
    assert service.answered_by() == "1"


def test_a_staged_package_that_does_not_load_changes_nothing(
    service: Service, slots: dict[str, SlotSpec], tmp_path: Path
) -> None:
    statement = service.order(champion=slots["1"], staged=broken(slots["2"], tmp_path / "bad"))
    assert statement.staged
    assert statement.staged.state == "failed"
    assert "model.onnx" in (statement.staged.reason or "")
    assert service.answered_by() == "1"
    refused = service.ask(want=slots["2"].package_digest)
    assert refused.status_code == 409
    assert "model.onnx" in refused.json()["reason"]
    assert service.order(champion=slots["1"], staged=slots["2"]).staged != statement.staged
    assert service.answered_by(want=slots["2"].package_digest) == "2"


@pytest.mark.parametrize("kind", ["byte", "digest", "version", "nothing there", "no golden answer"])
def test_a_champion_that_does_not_load_leaves_the_present_one(
    kind: str, service: Service, slots: dict[str, SlotSpec], tmp_path: Path
) -> None:
    two = slots["2"]
    bad = {
        "byte": lambda: broken(two, tmp_path / "bad"),
        "digest": lambda: two.model_copy(update={"package_digest": slots["3"].package_digest}),
        "version": lambda: two.model_copy(update={"version": "9"}),
        "nothing there": lambda: two.model_copy(update={"bundle": str(tmp_path / "none")}),
        "no golden answer": lambda: small_package.bundle(tmp_path / "nan", "2", nan_above=0.0),
    }[kind]()
    statement = service.order(champion=bad, previous=slots["1"])
    assert statement.champion
    assert statement.champion_failed
    assert (statement.champion.version, statement.champion.state) == ("1", "ready")
    assert (statement.champion_failed.version, statement.champion_failed.state) == (bad.version, "failed")
    assert statement.champion_failed.reason
    assert service.answered_by() == "1"
    assert service.order(champion=two).champion_failed is None
    assert service.answered_by() == "2"


def test_an_order_without_champion_answers_only_who_names_a_package(
    service: Service, slots: dict[str, SlotSpec]
) -> None:
    service.order(champion=None, previous=slots["1"])
    response = service.ask()
    assert (response.status_code, response.json()["code"]) == (503, "nothing_released")
    assert "retry-after" in response.headers
    assert [service.client.get(path).status_code for path in ("/", "/model", "/openapi.json")] == [503] * 3
    assert service.answered_by(want=slots["1"].package_digest) == "1"


@pytest.mark.parametrize("content", ["{", '{"generation": "two"}', "{}"])
def test_an_order_that_cannot_be_read_changes_nothing(
    content: str, service: Service, slots: dict[str, SlotSpec], log: pytest.LogCaptureFixture
) -> None:
    before = service.order(champion=slots["2"], previous=slots["1"])
    (service.folder / SPEC_FILE).write_text(content)
    eventually(lambda: "cannot be read" in log.text)
    assert service.statement() == before
    assert service.answered_by() == "2"
    with pytest.raises(UnreadableSpecError, match="cannot be read"):
        service.order(champion=slots["2"], previous=slots["3"])
    assert (service.folder / SPEC_FILE).read_text() == content
    assert set_aside(service.folder)
    after = service.order(champion=slots["2"], previous=slots["3"])
    assert after.champion == before.champion
    (service.folder / SPEC_FILE).unlink()
    eventually(lambda: "is gone" in log.text)
    assert service.answered_by() == "2"


def test_an_order_that_could_not_be_read_for_a_moment_is_carried_out(
    service: Service, slots: dict[str, SlotSpec], log: pytest.LogCaptureFixture
) -> None:
    service.order(champion=slots["1"])
    order = ServingSpec(generation=service.generation + 1, champion=slots["2"])
    fresh = service.folder / "fresh"
    fresh.write_text(order.model_dump_json())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # this process can open no file any more
    try:
        fresh.rename(service.folder / SPEC_FILE)
        eventually(lambda: "cannot be read now" in log.text)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: service.statement().generation == order.generation)
    assert service.answered_by() == "2"


@pytest.mark.parametrize("content", ["{", '{"generation": "two"}'])
def test_a_worker_that_cannot_read_its_spec_does_not_start(
    content: str, slots: dict[str, SlotSpec], tmp_path: Path
) -> None:
    (tmp_path / SPEC_FILE).write_text(content)
    with pytest.raises(UnreadableSpecError), running(Path(slots["1"].bundle), tmp_path):
        pass


def test_a_worker_says_what_it_was_started_from(service: Service, slots: dict[str, SlotSpec]) -> None:
    manifest = json.loads((Path(slots["1"].bundle) / "manifest.json").read_text())
    status = service.statement()
    assert (status.bundle_digest, status.spec_format) == (manifest["digest"], SPEC_FORMAT)
    ServingSpec.apply(service.folder, {"champion": slots["2"]}, decision=12)
    eventually(lambda: service.statement().decision == 12)
    assert service.answered_by() == "2"
    assert service.client.get("/release").json() == service.client.get("/status").json()


def test_it_starts_with_its_order(slots: dict[str, SlotSpec], tmp_path: Path) -> None:
    ServingSpec(generation=7, champion=slots["2"], previous=slots["3"], staged=slots["4"]).write(tmp_path)
    with running(Path(slots["1"].bundle), tmp_path) as service:
        statement = service.statement()
        assert statement.generation == 7
        assert service.answered_by() == "2"
        assert [held.version for held in (statement.previous, statement.staged) if held] == ["3", "4"]


def test_it_starts_with_the_previous_one_if_the_champion_does_not_load(
    slots: dict[str, SlotSpec], tmp_path: Path
) -> None:
    bad = broken(slots["2"], tmp_path / "bad")
    ServingSpec(generation=7, champion=bad, previous=slots["3"]).write(tmp_path)
    with running(Path(slots["1"].bundle), tmp_path) as service:
        statement = service.statement()
        assert statement.champion
        assert statement.champion_failed
        assert (statement.champion.version, statement.champion_failed.version) == ("3", "2")
        assert service.answered_by() == "3"


def test_it_is_up_if_nothing_loads(slots: dict[str, SlotSpec], tmp_path: Path) -> None:
    ServingSpec(generation=7, champion=broken(slots["2"], tmp_path / "bad")).write(tmp_path)
    with running(Path(slots["1"].bundle), tmp_path) as service:
        response = service.ask()
        assert response.status_code == 503
        assert "model.onnx" in response.json()["reason"]
        assert service.statement().champion is None
        service.order(champion=slots["4"])
        assert service.answered_by() == "4"


def test_what_failed_has_failed_until_it_is_loaded(
    slots: dict[str, SlotSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = broken(slots["2"], tmp_path / "bad")
    ServingSpec(generation=7, champion=bad).write(tmp_path)
    meanwhile: list[tuple[int, str]] = []
    real = loaded.load

    def load(spec: SlotSpec, model: str) -> Any:
        answer = service.ask()
        meanwhile.append((answer.status_code, answer.json().get("reason", "")))
        return real(spec, model)

    with running(Path(slots["1"].bundle), tmp_path) as service:
        monkeypatch.setattr("serving.slot_manager.load", load)
        assert service.order(champion=bad).champion_failed
        ((status, reason),) = meanwhile
        assert (status, "model.onnx" in reason) == (503, True)
        (tmp_path / "bad/package/model.onnx").write_bytes((Path(slots["2"].bundle) / "package/model.onnx").read_bytes())
        statement = service.order(champion=bad)
        assert (statement.champion and statement.champion.version, statement.champion_failed) == ("2", None)


def test_a_request_in_flight_keeps_whom_it_began_with(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["2"])

    async def body() -> AsyncIterator[bytes]:
        content = small_package.image(0)
        yield content[:20]
        await asyncio.to_thread(service.order, champion=slots["3"])
        yield content[20:]

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=service.client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.post("/predict", content=body(), headers={"content-type": "image/png"})

    response = asyncio.run(ask())
    assert (response.status_code, response.json()["model"]["version"]) == (200, "2")
    assert service.answered_by() == "3"


def test_another_worker_is_heard_until_it_ends(service: Service, slots: dict[str, SlotSpec], tmp_path: Path) -> None:

    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    statement = service.statement().model_copy(update={"worker": sleeper.pid})
    path = service.folder / "workers" / f"{sleeper.pid}.json"
    path.write_text(statement.model_dump_json())
    os.utime(path, (time.monotonic(), time.monotonic()))  # as a worker touches its file

    def workers() -> set[int]:
        return {worker["worker"] for worker in service.client.get("/status").json()["workers"]}

    assert workers() == {os.getpid(), sleeper.pid}
    sleeper.communicate(b"\n")  # it has ended and was waited for
    assert workers() == {os.getpid()}
    with running(Path(slots["1"].bundle), service.folder):  # the next to start clears away what it left
        assert not path.exists()


def test_statements_are_on_disk_as_over_http(service: Service, slots: dict[str, SlotSpec]) -> None:

    service.order(champion=slots["2"])
    path = service.folder / "workers" / f"{os.getpid()}.json"
    eventually(lambda: json.loads(path.read_text())["generation"] == service.generation)
    assert json.loads(path.read_text())["champion"]["version"] == "2"


def test_a_held_package_is_a_figure(service: Service, slots: dict[str, SlotSpec]) -> None:
    def figure(version: str) -> float | None:
        labels = {"model": "sample", "version": version, "role": "champion", "package": slots[version].package_digest}
        return REGISTRY.get_sample_value("modelyard_held", labels)

    service.order(champion=slots["2"], challenger=challenger(slots["3"], 0))
    assert figure("2") == 1
    service.order(champion=slots["1"])
    assert (figure("1"), figure("2")) == (1, 0)
