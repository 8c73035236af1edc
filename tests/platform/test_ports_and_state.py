from __future__ import annotations

import http.server
import os
import shutil
import socket
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from components.access import challenge, project_door
from components.access import secret as secrets
from components.core.errors import StackError
from components.core.project import Project
from flows.platform import health, lifecycle, ports, state
from flows.platform.state import StackState


def test_a_taken_port_is_seen_and_its_holder_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert f"(pid {os.getpid()})" in ports.holder(port)
        assert ports.choose(port, ()) > port
    assert ports.is_free(port)


def test_a_port_taken_on_all_interfaces_is_taken() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104  # that is what is tested
        assert not ports.is_free(server.getsockname()[1])


def test_no_free_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(StackError, match="no free port"):
        ports.choose(server.getsockname()[1], (), count=1)


def test_ports_are_remembered_and_a_broken_state_is_made_anew(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert state.load(project) is None
    stack_state = state.load_or_new(project).with_port("mlflow", 5007)
    state.save(project, stack_state)
    assert state.load(project) == stack_state
    (state.folder(project) / "state.json").write_text("{")
    assert state.load(project) is None
    assert state.load_or_new(project) == StackState(str(tmp_path))


def test_a_foreign_server_is_never_taken_for_ours_and_never_sees_the_secret(tmp_path: Path) -> None:
    seen: list[str] = []
    project = Project(tmp_path)
    secret = secrets.create(project_door.secret_file(project))

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonce = parse_qs(urlsplit(self.path).query).get("nonce", [""])[0]
            knows = {"own": secret, "other": "another secret"}[self.server.knows]  # type: ignore[attr-defined]
            body = challenge.answer(knows, nonce, self.server.server_address[1]).encode()  # type: ignore[misc]
            seen.append(f"{self.path} {self.headers}")
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        state.save(project, StackState(str(tmp_path), wanted=True, ports={"prefect": port, "mlflow": port}))
        server.knows = "own"  # type: ignore[attr-defined]
        assert health.is_ours(project, port)
        assert lifecycle.endpoints(project) is not None
        server.knows = "other"  # type: ignore[attr-defined]
        assert health.is_ready(port, "/health")
        assert not health.is_ours(project, port)
        assert lifecycle.endpoints(project) is None
        server.shutdown()
    assert not health.is_ready(port, "/health")
    assert not any(secret in line or "authorization" in line.lower() for line in seen)


def stack_of(root: Path) -> Project:
    (root / "pipelines").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    project = Project(root)
    stack_state, _ = state.claim(project)
    state.save(project, stack_state.with_port("prefect", 4321).with_port("serve-digits", 3456))
    for name in ("serving.d", "running"):
        (state.folder(project) / name).mkdir()
        (state.folder(project) / name / "serve-digits.conf").write_text("of the original")
    return project


def test_a_copied_project_knows_nothing_of_what_the_original_runs(tmp_path: Path) -> None:
    original = stack_of(tmp_path / "original")
    copy = Project(tmp_path / "copy")
    shutil.copytree(original.root, copy.root)
    assert state.load(copy) is None
    assert lifecycle.endpoints(copy) is None
    stack_state, came_from = state.claim(copy)
    assert came_from == str(original.root)
    assert stack_state == StackState(str(copy.root))
    assert project_door.secret_of(copy) not in (None, project_door.secret_of(original))
    assert not (state.folder(copy) / "serving.d").exists()
    assert not (state.folder(copy) / "running").exists()
    assert state.claim(copy) == (stack_state, None)
    assert state.load(original) is not None  # the original's stands as it was


def test_a_moved_project_keeps_its_ports_its_secret_and_its_services(tmp_path: Path) -> None:
    original = stack_of(tmp_path / "original")
    secret = project_door.secret_of(original)
    moved = Project(original.root.rename(tmp_path / "moved"))
    stack_state, came_from = state.claim(moved)
    assert came_from == str(original.root)
    assert stack_state == StackState(str(moved.root), ports={"prefect": 4321, "serve-digits": 3456})
    assert project_door.secret_of(moved) == secret
    assert (state.folder(moved) / "serving.d" / "serve-digits.conf").exists()


def test_what_the_project_keeps_is_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    project = Project.find(tmp_path)
    assert project.state.stat().st_mode & 0o777 == 0o700
    project.state.chmod(0o755)  # of an older release
    state.claim(Project.find(tmp_path))
    assert project.state.stat().st_mode & 0o777 == 0o700
    assert project_door.secret_file(project).stat().st_mode & 0o777 == 0o600


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secrets.create(path)
    path.chmod(0o640)
    with pytest.raises(StackError, match="others can read") as caught:
        secrets.read(path)
    assert "mode 640" in str(caught.value)
