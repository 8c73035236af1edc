"""The supervisor, the guardian, leftovers and services, with small programs instead of the servers: seconds."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from components.access import project_door
from components.access.secret import Credentials
from components.core.errors import StackError
from components.core.project import Project
from components.registry import people as users
from components.registry.api import Api
from flows.platform import (
    current_programs,
    health,
    lifecycle,
    orphans,
    people,
    people_check,
    ports,
    readiness,
    services,
    stack_status,
    state,
    supervisor,
)
from flows.platform.programs import Program, of_stack
from flows.platform.state import StackState
from tests.platform.conftest import start_small
from tests.processes import is_gone

START = Path(__file__).resolve().parents[2] / "serving" / "start.py"

WORKER_THAT_OUTLIVES = """
import os, socket, subprocess, sys, time
if len(sys.argv) == 2:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    os.set_inheritable(listener.fileno(), True)
    subprocess.Popen([sys.executable, __file__, "worker", str(listener.fileno())],
                     close_fds=False, start_new_session=True)
time.sleep(1000)
"""

IDENTITY = """
from urllib.parse import parse_qs, urlsplit
from components.access import challenge, secret
def identity(request):
    nonce = parse_qs(urlsplit(request.path).query)["nonce"][0]
    return challenge.answer(secret.read(pathlib.Path(sys.argv[2])), nonce, int(sys.argv[1])).encode()
"""

SERVER = (
    f"""
import http.server, pathlib, sys, time
{IDENTITY}"""
    + """
from datetime import UTC, datetime
time.sleep(0.7)  # as imports take
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        now = datetime.now(UTC).isoformat()
        body = b'[{"status": "ONLINE", "last_heartbeat_time": "%s"}]' % now.encode()
        if self.path.startswith(challenge.PATH):
            body = identity(self)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
)

CONTROLLER = """
import pathlib, sys, time
while True:
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(0.2)
"""

SERVICE = (
    f"""
import http.server, os, pathlib, sys, time
{IDENTITY}"""
    + """
time.sleep(float(os.environ.get("DELAY", "0")))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path.startswith(challenge.PATH)
        self.send_response(200 if known or self.path == "/readyz" else 404)
        self.send_header("X-Version", os.environ["VERSION"])
        self.end_headers()
        if known:
            self.wfile.write(identity(self))
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
)

HANDS_OVER = """
import runpy, socket, subprocess
start = runpy.run_path(sys.argv[3])
place = pathlib.Path("handover")
taken = start["take"](place)
listening = socket.socket(fileno=taken) if taken else socket.create_server(("127.0.0.1", int(sys.argv[1])))
start["offer"](place, listening.fileno())
if os.environ.get("BREAKS"):
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
    sys.exit("it breaks")
time.sleep(0.5)  # as loading takes
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
pathlib.Path("workers").mkdir(exist_ok=True)
pathlib.Path(f"workers/{worker.pid}.json").write_text("{}")
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer, bind_and_activate=False)
server.socket.close()
server.socket = listening
server.daemon_threads = False  # what was asked is answered before the process ends
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
worker.terminate()
"""

pytestmark = pytest.mark.slow


def eventually(check: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.05)


def running(project: Project, name: str) -> int:
    process = (supervisor.processes(project) or {}).get(name)
    return process.pid if process is not None and process.state == "RUNNING" else 0


def guardian(project: Project) -> Program:
    return next(program for program in of_stack(project, StackState("root", ports={"prefect": 1, "mlflow": 2})))


def secret_file(project: Project) -> str:
    return str(project_door.secret_file(project))


def sleeper(name: str = "sleeper") -> Program:
    return Program(name, [sys.executable, "-c", "import time; time.sleep(1000)"])


def test_a_killed_program_is_started_again_and_its_orphans_make_room(project: Project) -> None:
    script = project.root / "worker.py"
    script.write_text(WORKER_THAT_OUTLIVES)
    port = ports.choose(23000, ())
    start_small(project, Program("server", [sys.executable, str(script), str(port)]))
    eventually(lambda: running(project, "server") and not ports.is_free(port))
    first = running(project, "server")
    eventually(lambda: psutil.Process(first).children())
    orphan = psutil.Process(first).children()[0]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: running(project, "server") not in (0, first))
    assert is_gone(orphan.pid)
    assert "ended 1 process" in supervisor.tail(state.folder(project) / "logs" / "server.log")


def test_a_killed_supervisor_comes_back_and_its_programs_have_gone_on(project: Project) -> None:
    start_small(project, guardian(project), sleeper())
    eventually(lambda: running(project, "sleeper") and running(project, "guardian"))
    before, program = supervisor.pid(project), running(project, "sleeper")
    assert before is not None
    os.kill(before, signal.SIGKILL)
    eventually(lambda: supervisor.pid(project) not in (None, before), 20)
    eventually(lambda: running(project, "sleeper"))
    assert running(project, "sleeper") == program
    assert len([p for p in orphans.find(str(project.root)) if "shim" in " ".join(p.cmdline())]) == 1
    assert "adopted process" in supervisor.tail(state.folder(project) / "logs" / "sleeper.log")
    os.kill(program, signal.SIGKILL)  # the new supervisor keeps it running, too
    eventually(lambda: running(project, "sleeper") not in (0, program))


def test_a_program_whose_file_has_changed_is_not_adopted(project: Project) -> None:
    start_small(project, sleeper())
    eventually(lambda: running(project, "sleeper"))
    program, before = running(project, "sleeper"), supervisor.pid(project)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    supervisor.write_configuration(project, (replace(sleeper(), environment={"CHANGED": "1"}),))
    supervisor.start(project)
    eventually(lambda: running(project, "sleeper") not in (0, program))
    assert is_gone(program)


def test_a_killed_shim_leaves_its_program_to_the_next_one(project: Project) -> None:
    start_small(project, sleeper())
    eventually(lambda: running(project, "sleeper"))
    program = running(project, "sleeper")
    (shim,) = [p for p in orphans.find(str(project.root)) if "flows.platform.shim" in p.cmdline()]
    shim.kill()
    eventually(lambda: "adopted process" in supervisor.tail(state.folder(project) / "logs" / "sleeper.log"))
    eventually(lambda: running(project, "sleeper") == program)


def test_programs_are_restarted_one_after_the_other_and_the_rest_goes_on(project: Project) -> None:
    names = ("first", "second")
    start_small(project, sleeper("other"), *map(sleeper, names))
    eventually(lambda: all(running(project, name) for name in (*names, "other")))
    before = {name: running(project, name) for name in (*names, "other")}
    completed = threading.Event()
    watched = watch(
        lambda: any(psutil.pid_exists(before[name]) or running(project, name) for name in names), completed.is_set
    )
    supervisor.restart(project, names)
    eventually(lambda: all(running(project, name) not in (0, before[name]) for name in names))
    completed.set()
    assert watched.result(10)  # at no moment are both away
    assert running(project, "other") == before["other"]


def test_the_supervisor_rests_while_a_program_ends(project: Project) -> None:
    slow = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), exit())); time.sleep(1000)"
    start_small(project, Program("slow", [sys.executable, "-c", slow]))
    eventually(lambda: running(project, "slow"))
    time.sleep(0.2)  # its handler is there
    process = psutil.Process(supervisor.pid(project))
    before, started_at = process.cpu_times(), time.monotonic()
    supervisor.stop(project, ["slow", "another"], 10)
    assert time.monotonic() - started_at > 0.9
    assert sum(process.cpu_times()[:2]) - sum(before[:2]) < 0.3
    assert running(project, "slow") == 0


def test_a_killed_guardian_comes_back(project: Project) -> None:
    start_small(project, guardian(project))
    eventually(lambda: running(project, "guardian"))
    first = running(project, "guardian")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: running(project, "guardian") not in (0, first))


def test_down_leaves_nothing_not_even_what_hangs(project: Project) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"
    start_small(
        project, guardian(project), Program("stubborn", [sys.executable, "-c", stubborn], stop_seconds=1), sleeper()
    )
    eventually(lambda: running(project, "stubborn") and running(project, "sleeper"))
    os.kill(running(project, "sleeper"), signal.SIGSTOP)
    assert len(orphans.find(str(project.root))) == 6  # supervisor, guardian, two programs, their shims
    assert lifecycle.down(project) is True
    assert orphans.find(str(project.root)) == []
    assert lifecycle.down(project) is False


def test_down_ends_a_supervisor_that_hangs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "TIMEOUT_SECONDS", 1)
    start_small(project, guardian(project), sleeper())
    eventually(lambda: running(project, "sleeper"))
    process = supervisor.pid(project)
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    messages: list[str] = []
    lifecycle.down(project, log=messages.append)
    assert orphans.find(str(project.root)) == []


def test_stale_pid_file_and_socket_are_no_obstacle(project: Project) -> None:
    home = state.folder(project)
    home.mkdir(parents=True)
    (home / "supervisor.pid").write_text(str(os.getpid()))
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(state.socket_path(project)))
    start_small(project, sleeper())
    eventually(lambda: running(project, "sleeper"))


def test_a_long_project_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / ("deep" * 20) / "with space 100%"
    root.mkdir(parents=True)
    project = Project(root)
    try:
        start_small(project, sleeper())
        eventually(lambda: running(project, "sleeper"))
        place = state.socket_path(project)
        assert len(str(place)) < 100
        assert place.parent.stat().st_mode & 0o077 == 0
    finally:
        lifecycle.down(project)


def test_a_service_is_served_replaced_and_stopped(project: Project) -> None:
    script = project.root / "service.py"
    script.write_text(SERVICE)
    command = [sys.executable, str(script), "{port}", secret_file(project)]
    start_small(project, sleeper())
    url = services.serve(project, "digits", command, {"VERSION": "1"})
    port = int(url.rpartition(":")[2])
    first = running(project, "serve-digits") or (supervisor.processes(project) or {})["serve-digits"].pid
    assert services.serve(project, "digits", command, {"VERSION": "1"}) == url
    assert (supervisor.processes(project) or {})["serve-digits"].pid == first  # the same: left alone
    assert services.serve(project, "digits", command, {"VERSION": "2"}) == url
    assert (supervisor.processes(project) or {})["serve-digits"].pid != first
    service = next(row for row in stack_status.status(project) if row.name == "serve-digits")
    assert (service.state, service.url) == ("ready", url)

    lifecycle.down(project)
    supervisor.start(project)  # as `up` does: the service comes back with the stack, at its place
    eventually(lambda: health.is_ready(port, "/readyz"))

    assert services.stop_serving(project, "digits") is True
    assert "serve-digits" not in (supervisor.processes(project) or {})
    assert ports.is_free(port)
    assert services.stop_serving(project, "digits") is False
    # A balancer may still ask `digits` there.
    assert services.serve(project, "other", command, {"VERSION": "1"}) != url


def test_a_service_that_hands_over_is_replaced_without_a_refused_request(project: Project) -> None:
    script = project.root / "service.py"
    head = SERVICE.partition("http.server.ThreadingHTTPServer")[0]
    script.write_text(f"import signal, threading\n{head}{HANDS_OVER}")
    command = [sys.executable, str(script), "{port}", secret_file(project), str(START)]
    start_small(project, sleeper())
    url = services.serve(project, "digits", command, {"VERSION": "1"}, hands_over_to="workers")
    port = int(url.rpartition(":")[2])
    end, versions, refused = threading.Event(), list[str](), list[str]()

    def ask() -> None:
        while not end.is_set():
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                    connection.request("GET", "/readyz")
                    versions.append(connection.getresponse().headers["X-Version"])
            except (OSError, http.client.HTTPException) as error:
                refused.append(repr(error))
            end.wait(0.005)

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        eventually(lambda: running(project, "serve-digits"))
        first = running(project, "serve-digits")
        (worker,) = psutil.Process(first).children()
        watched = watch(lambda: worker.is_running(), is_over=lambda: "2" in versions)
        assert services.serve(project, "digits", command, {"VERSION": "2"}, hands_over_to="workers") == url
        eventually(lambda: versions[-1] == "2")
        assert watched.result(10)  # the workers of the earlier process go on until the later one answers
        eventually(lambda: is_gone(first))
        eventually(lambda: is_gone(worker.pid))
        broken = {"VERSION": "3", "BREAKS": "1"}
        with pytest.raises(StackError, match="it breaks"):
            services.serve(project, "digits", command, broken, hands_over_to="workers", timeout_seconds=60)
        eventually(lambda: running(project, "serve-digits"))
        before = running(project, "serve-digits")
        assert of_service(project) == {before, *(child.pid for child in psutil.Process(before).children())}
        assert services.serve(project, "digits", command, {"VERSION": "4"}, hands_over_to="workers") == url
        eventually(lambda: versions[-1] == "4")  # taken over from the one that had gone on
        eventually(lambda: is_gone(before))  # it answers what it accepted first
    finally:
        end.set()
        for client in clients:
            client.join()
    assert refused == []
    assert set(versions) == {"1", "2", "4"}


def watch(condition: Callable[[], bool], is_over: Callable[[], bool]) -> Future[bool]:
    """Whether `condition` is true until `is_over` is."""
    result: Future[bool] = Future()

    def poll() -> None:
        has_held = True
        while not is_over() and has_held:
            has_held = condition()
            time.sleep(0.01)
        result.set_result(has_held)

    threading.Thread(target=poll, daemon=True).start()
    return result


def of_service(project: Project) -> set[int]:
    """The processes of the service, without its shim."""
    processes = orphans.find(str(project.root), "serve-digits")
    return {process.pid for process in processes if "flows.platform.shim" not in process.cmdline()}


def small_servers(project: Project, stack_state: StackState) -> tuple[Program, ...]:
    """As `of_stack`, with servers of a few lines."""
    servers = [
        Program(name, [sys.executable, "-c", SERVER, str(stack_state.ports[name]), secret_file(project)])
        for name in ("prefect", "mlflow", "console")
    ]
    sign = str(readiness.controller_heartbeat(project))
    controller = Program("controller", [sys.executable, "-c", CONTROLLER, sign])
    return guardian(project), *servers, sleeper("runner"), controller


def test_a_port_that_another_took_before_the_server_listened(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stacks that are started at the same moment find the same ports free."""
    monkeypatch.setattr(lifecycle, "of_stack", small_servers)
    first = ports.choose(27000, ())
    mlflow = ports.choose(first + 1, ())
    chosen_ports = {"prefect": first, "mlflow": mlflow, "console": ports.choose(mlflow + 1, ())}
    state.save(project, StackState(str(project.root), ports=chosen_ports))
    messages: list[str] = []
    with ExitStack() as others:

        def log(line: str) -> None:
            messages.append(line)
            if line.startswith("starting Prefect") and len(messages) == 1:  # the ports are chosen, nobody listens yet
                others.enter_context(socket.create_server(("127.0.0.1", chosen_ports["mlflow"])))

        found = lifecycle.up(project, log=log, timeout_seconds=30)
        again = lifecycle.up(project, log=messages.append)
    assert again == found
    assert found.prefect_ui.endswith(str(chosen_ports["prefect"]))
    assert not found.mlflow.endswith(str(chosen_ports["mlflow"]))
    assert "mlflow was started, but its port went to another process" in messages
    assert any(
        f"port {chosen_ports['mlflow']} is taken by" in line and f"(pid {os.getpid()})" in line for line in messages
    )


def test_a_servers_port_that_was_lost_is_given_up_by_the_next_up(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "of_stack", small_servers)
    first = ports.choose(27050, ())
    mlflow = ports.choose(first + 1, ())
    chosen_ports = {"prefect": first, "mlflow": mlflow, "console": ports.choose(mlflow + 1, ())}
    messages: list[str] = []
    with socket.create_server(("127.0.0.1", chosen_ports["mlflow"])):
        state.save(project, StackState(str(project.root), wanted=True, ports=chosen_ports))
        stack_state, _ = state.claim(project)
        supervisor.write_configuration(project, small_servers(project, stack_state))
        supervisor.start(project)  # its MLflow ends and is started again, without end
        found = lifecycle.up(project, log=messages.append, timeout_seconds=30, tells_ports=False)
    assert "restarting mlflow" in " ".join(messages)
    assert not any("is taken by" in line for line in messages), "a command that asks is not about ports"
    assert not found.mlflow.endswith(str(chosen_ports["mlflow"]))


def test_an_up_that_was_cut_off_before_it_restarted_a_program_is_made_good_by_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = {"MODELYARD_SERVER_DATABASE": "before"}

    def pid(name: str) -> int:
        return (supervisor.processes(project) or {})[name].pid

    def servers(project: Project, stack_state: StackState) -> tuple[Program, ...]:
        programs = small_servers(project, stack_state)
        return tuple(replace(one, environment=dict(database)) if one.name == "mlflow" else one for one in programs)

    for module in (lifecycle, current_programs):
        monkeypatch.setattr(module, "of_stack", servers)
    first = ports.choose(27100, ())
    mlflow = ports.choose(first + 1, ())
    chosen_ports = {"prefect": first, "mlflow": mlflow, "console": ports.choose(mlflow + 1, ())}
    state.save(project, StackState(str(project.root), ports=chosen_ports))
    url = lifecycle.up(project, log=lambda _: None, timeout_seconds=30).mlflow
    current_programs.require_mlflow(project, url)
    before, prefect = pid("mlflow"), pid("prefect")
    database["MODELYARD_SERVER_DATABASE"] = "now"
    with pytest.raises(StackError, match="not the one that the settings name"):
        current_programs.require_mlflow(project, url)
    with monkeypatch.context() as cut:
        cut.setattr(lifecycle.supervisor, "restart", interrupt)
        with pytest.raises(KeyboardInterrupt):
            lifecycle.up(project, log=lambda _: None)
    assert pid("mlflow") == before
    with pytest.raises(StackError, match="not the one that the settings name") as caught:
        current_programs.require_mlflow(project, url)
    assert "the same command again" in str(caught.value.next_step)
    messages: list[str] = []
    lifecycle.up(project, log=messages.append, timeout_seconds=30)
    assert "restarting mlflow; the other programs keep running" in messages
    current_programs.require_mlflow(project, url)
    assert pid("mlflow") not in (0, before)
    assert pid("prefect") == prefect
    with pytest.raises(StackError, match="not the one that the settings name"):
        current_programs.require_mlflow(project, "http://127.0.0.1:1")


def test_up_makes_the_account_of_the_platform_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a real MLflow, from which somebody has removed the account."""
    for name in (people.USER, people.PASSWORD):
        monkeypatch.delenv(name, raising=False)

    def servers(project: Project, stack_state: StackState) -> tuple[Program, ...]:
        real = next(one for one in of_stack(project, stack_state) if one.name == "mlflow")
        return tuple(real if one.name == "mlflow" else one for one in small_servers(project, stack_state))

    monkeypatch.setattr(lifecycle, "of_stack", servers)
    (project.root / "modelyard.toml").write_text("[people]\nenabled = true\n")
    first = ports.choose(27200, ())
    mlflow = ports.choose(first + 1, ())
    chosen_ports = {"prefect": first, "mlflow": mlflow, "console": ports.choose(mlflow + 1, ())}
    state.save(project, StackState(str(project.root), ports=chosen_ports))
    url = lifecycle.up(project, log=lambda _: None, timeout_seconds=60).mlflow
    own = people.account(project)
    assert own is not None
    with Api(url, own) as api:
        users.add(api, "root", "a password of root")
        users.set_admin(api, "root", True)
    with Api(url, Credentials("root", "a password of root")) as api:
        users.remove(api, own.user)
    assert people_check.gone_account(project) == own.user
    messages: list[str] = []
    lifecycle.up(project, log=messages.append, timeout_seconds=60)
    assert f"MLflow does not know {own.user}, the platform's own account, which was removed" in messages[0]
    assert messages[1] == "restarting mlflow; the other programs keep running"
    assert people_check.of(project) == ("ok", "on: 1 users; root may promote", "")
    messages.clear()
    lifecycle.up(project, log=messages.append)
    assert messages == []


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_service_whose_port_another_took_before_it_listened(project: Project) -> None:
    script = project.root / "service.py"
    script.write_text(SERVICE)
    stack_state = start_small(project, sleeper())
    port = stack_state.ports["serve-digits"]
    with ExitStack() as others:

        def take() -> None:
            eventually(lambda: (state.folder(project) / "serving.d" / "serve-digits.conf").exists())
            others.enter_context(socket.create_server(("127.0.0.1", port)))

        taking = threading.Thread(target=take)
        taking.start()
        command = [sys.executable, str(script), "{port}", secret_file(project)]
        url = services.serve(project, "digits", command, {"VERSION": "1", "DELAY": "1"}, timeout_seconds=30)
        taking.join()
    assert url != f"http://127.0.0.1:{port}"
    assert health.is_ready(int(url.rpartition(":")[2]), "/readyz")


def test_a_service_that_ends_at_once_is_an_error_with_its_last_words(project: Project) -> None:
    start_small(project, sleeper())
    with pytest.raises(StackError, match="no such model") as caught:
        services.serve(
            project, "bad", [sys.executable, "-c", "raise SystemExit('no such model')"], {}, timeout_seconds=3
        )
    assert "serve-bad" in caught.value.what


def test_serving_needs_the_stack_and_a_free_port(project: Project) -> None:
    with pytest.raises(StackError, match="not running"):
        services.serve(project, "digits", ["true"], {})
    start_small(project, sleeper())
    with socket.create_server(("127.0.0.1", 0)) as foreign, pytest.raises(StackError, match="taken") as caught:
        services.serve(project, "digits", ["true"], {}, port=foreign.getsockname()[1])
    assert f"(pid {os.getpid()})" in str(caught.value)
