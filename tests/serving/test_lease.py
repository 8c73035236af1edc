"""A service whose lease has run out is not ready and refuses requests, and answers again when it is renewed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.contracts import serving_lease
from components.contracts.serving_lease import LEASE_FILE, Lease
from serving.app import ModelApp
from tests import small_package
from tests.serving import service as services
from tests.serving.service import Service, eventually


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The machine's clock, in seconds, as its first element."""
    now = [1000.0]
    monkeypatch.setattr(serving_lease, "clock_seconds", lambda: now[0])
    return now


def lease(since: float, **more: Any) -> Lease:
    return Lease.model_validate({"boot": serving_lease.boot_id(), "since": since, "seconds": 60.0, **more})


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    small_package.bundle(folder, "7")
    return folder


def _running(bundle: Path, tmp_path: Path) -> Any:
    return services.running(bundle, tmp_path / "service")


def test_a_lease_that_has_run_out_refuses_and_a_renewal_answers_at_once(
    bundle: Path, tmp_path: Path, clock: list[float]
) -> None:
    with _running(bundle, tmp_path) as service:
        assert service.statement().lease_seconds is None
        assert service.ask().status_code == 200
        lease(1000.0).write(service.folder)
        eventually(lambda: service.statement().lease_seconds == 60)
        clock[0] = 1059.9
        assert service.ask().status_code == 200
        clock[0] = 1060.0
        _refuses(service)
        assert service.ask(want="7").status_code == 200, "who names a version does not ask for the one in force"
        eventually(lambda: service.statement().lease_is_over)
        lease(1059.0).write(service.folder)
        eventually(lambda: service.ask().status_code == 200)
        assert service.client.get("/readyz").status_code == 200
        assert not service.statement().lease_is_over


def _refuses(service: Service) -> None:
    for response in (service.ask(), service.client.get("/readyz")):
        assert response.status_code == 503
        assert response.json()["code"] == "lease_over"
        assert "60 s" in response.json()["detail"]
        assert response.headers["retry-after"] == "1"
    assert service.client.get("/v2/health/ready").status_code == 503
    assert service.client.get("/ping").status_code == 503
    assert service.client.post("/v2/models/sample/infer", json={}).status_code == 503
    assert service.client.post("/explain", content=services.IMAGE).status_code == 503


def test_the_milder_lease_is_not_ready_and_answers(bundle: Path, tmp_path: Path, clock: list[float]) -> None:
    lease(1000.0, refuses=False).write(tmp_path / "service")
    with _running(bundle, tmp_path) as service:
        clock[0] = 1100.0
        assert service.client.get("/readyz").status_code == 503
        assert service.ask().status_code == 200


@pytest.mark.parametrize(
    "content",
    ["{", lease(1000.0, boot="another start").model_dump_json(), lease(1001.0).model_dump_json()],
    ids=["unreadable", "of another start", "of a later time"],
)
def test_what_is_no_lease_of_this_start_of_the_machine_has_run_out(
    bundle: Path, tmp_path: Path, clock: list[float], content: str
) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / LEASE_FILE).write_text(content)
    with _running(bundle, tmp_path) as service:
        assert service.ask().status_code == 503


def test_a_service_without_a_lease_leaves_readiness_to_bentoml(
    bundle: Path, tmp_path: Path, clock: list[float]
) -> None:
    with _running(bundle, tmp_path) as service:
        app = service.client.app
        assert isinstance(app, ModelApp)
        assert not app.has("/readyz")
        lease(900.0).write(service.folder)
        eventually(lambda: app.has("/readyz"))
