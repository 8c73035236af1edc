"""Where the parts saturate on one machine: Prefect, MLflow, the ledger, DVC, each as the platform runs it, on SQLite.

With `--postgresql` Prefect, MLflow and the ledger are on a PostgreSQL server of this machine, which is started for it.

- Prefect: flow runs a second that the server takes (created, then pending, running, completed: four calls each).
- MLflow: model versions a second that the server registers.
- Ledger: signed appends a second, each on the disk, of one process and of several with a model each.
- DVC: `dvc add` and `dvc status` of many small files, and of one file with the same bytes.

    python -m benchmarks.saturation [prefect] [mlflow] [ledger] [dvc] [--seconds 10] [--files 10000 100000]
        [--postgresql]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx

from benchmarks import figure
from benchmarks.console import _server
from benchmarks.figure import Figure
from components.access import project_door, secret
from components.core.errors import UsageError
from components.core.project import Project
from components.registry.api import Api
from components.release import ledger as ledgers
from flows.platform import connections, ports, programs, state
from flows.platform.state import StackState
from tests import postgres_server, team_servers

NAME = "saturation"
CLIENTS = 4
FILE_BYTES = 200
PARTS = ("prefect", "mlflow", "ledger", "dvc")


def measure(
    parts: list[str], seconds: float = 10.0, files: list[int] | None = None, postgresql: bool = False
) -> list[Figure]:
    """The figures of the parts that are named.

    Raises:
        StackError: a server does not start.
        UsageError: there is no PostgreSQL here.
    """
    if postgresql:
        if (why := postgres_server.missing()) is not None:
            raise UsageError(why, where="--postgresql")
        with postgres_server.running() as server:
            os.environ |= {team_servers.URL: server.url, team_servers.LOGIN: server.credentials}
            return measure(parts or [part for part in PARTS if part != "dvc"], seconds, files)
    found: list[Figure] = []
    for part in parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="modelyard-", dir=Path.cwd()) as folder:
            if part == "prefect":
                found += _prefect(Path(folder), seconds)
            elif part == "mlflow":
                found += _mlflow(Path(folder), seconds)
            elif part == "ledger":
                found += _ledger(Path(folder), seconds)
            else:
                for count in files or [10_000, 100_000]:
                    found += _dvc(Path(folder) / str(count), count)
    return found


def _project(folder: Path) -> tuple[Project, StackState]:
    project = Project(folder)
    project.pipelines.mkdir()
    (folder / "dvc.yaml").write_text("stages: {}\n")
    project.state.mkdir(mode=0o700)
    team_servers.settle(folder)
    secret.create_once(project_door.secret_file(project))
    stack = StackState(str(folder), wanted=True, ports={"prefect": ports.choose(24500, ())})
    stack.ports["mlflow"] = ports.choose(24600, stack.ports.values())
    state.save(project, stack)
    return project, stack


def _database() -> str:
    return "PostgreSQL" if team_servers.URL in os.environ else "SQLite"


def _prefect(folder: Path, seconds: float) -> list[Figure]:
    project, stack = _project(folder)
    (project.state / "prefect").mkdir()
    port = stack.ports["prefect"]
    with ExitStack() as during:
        during.enter_context(_server(project, programs._prefect(project, stack), port))
        credentials = connections.credentials(project)
        url = f"http://{ports.LOOPBACK}:{port}/api"
        client = httpx.Client(
            base_url=url, headers=credentials.headers if credentials else {}, timeout=10, verify=False, trust_env=False
        )
        during.enter_context(client)
        flow = client.post("/flows/", json={"name": "empty"}).raise_for_status().json()["id"]

        unanswered = []

        def run(_: int) -> bool:
            try:
                made = client.post("/flow_runs/", json={"flow_id": flow, "state": {"type": "PENDING"}})
                path = f"/flow_runs/{made.raise_for_status().json()['id']}"
                for kind in ("RUNNING", "COMPLETED"):
                    client.post(f"{path}/set_state", json={"state": {"type": kind}}).raise_for_status()
                client.get(path).raise_for_status()
            except httpx.HTTPError as error:
                unanswered.append(error)
                return False
            return True

        one, many = _rate(run, 1, seconds), _rate(run, CLIENTS, seconds)
    return [
        Figure(NAME, f"Prefect on {_database()}: flow runs a second (four calls each), one client", one, "/s"),
        Figure(NAME, f"... {CLIENTS} clients", many, "/s"),
        Figure(NAME, "... runs beside them that failed, or had a call without an answer within 10 s", len(unanswered)),
    ]


def _mlflow(folder: Path, seconds: float) -> list[Figure]:
    project, stack = _project(folder)
    with ExitStack() as during:
        during.enter_context(_server(project, programs._mlflow(project, stack), stack.ports["mlflow"]))
        url = f"http://{ports.LOOPBACK}:{stack.ports['mlflow']}"
        api = during.enter_context(Api(url, connections.credentials(project)))
        run = api.post("runs/create", {"experiment_id": "0"})["run"]["info"]
        for client in range(CLIENTS):
            api.post("registered-models/create", {"name": f"model-{client}"})

        def register(client: int) -> None:
            source = f"{run['artifact_uri']}/package"
            api.post("model-versions/create", {"name": f"model-{client}", "run_id": run["run_id"], "source": source})

        def promote(client: int) -> None:
            api.post("registered-models/alias", {"name": f"model-{client}", "alias": "champion", "version": "1"})

        rates = [_rate(call, clients, seconds) for call in (register, promote) for clients in (1, CLIENTS)]
    return [
        Figure(NAME, f"MLflow on {_database()}: model versions registered a second, one client", rates[0], "/s"),
        Figure(NAME, f"... {CLIENTS} clients", rates[1], "/s"),
        Figure(NAME, "... aliases set a second, one client", rates[2], "/s"),
        Figure(NAME, f"... {CLIENTS} clients", rates[3], "/s"),
    ]


def _ledger(folder: Path, seconds: float) -> list[Figure]:
    _project(folder)
    _append(folder, "first", 0.0)  # makes the database and the key
    rates = []
    for processes in (1, CLIENTS):
        words = [sys.executable, "-m", "benchmarks.saturation", "--append", str(folder), str(seconds)]
        running = [
            subprocess.Popen([*words, f"m{place}"], stdout=subprocess.PIPE, text=True) for place in range(processes)
        ]
        rates.append(round(sum(int(one.communicate()[0]) for one in running) / seconds, 1))
    return [
        Figure(NAME, f"ledger in one database of {_database()}: signed appends a second, one process", rates[0], "/s"),
        Figure(NAME, f"... {CLIENTS} processes, a model each", rates[1], "/s"),
    ]


def _append(folder: Path, model: str, seconds: float) -> int:
    """Append for so long, once at least; returns how many entries."""
    ledger, count, end = ledgers.of(Project(folder), model), 0, time.monotonic() + seconds
    while count == 0 or time.monotonic() < end:
        ledger.append("compared", release="0" * 12, role="champion", before=None, after=None, asked_by="ann")
        count += 1
    return count


def _dvc(folder: Path, count: int) -> list[Figure]:
    """Many small files in folders of a thousand, and one file with the same bytes."""
    for place in range(-(-count // 1000)):
        (folder / "many" / f"{place:05}").mkdir(parents=True)
    with (folder / "one.bin").open("wb") as whole:
        for place in range(count):
            content = f"{place:012}".encode() * (FILE_BYTES // 12)
            (folder / "many" / f"{place // 1000:05}" / f"{place:012}").write_bytes(content)
            whole.write(content)
    _seconds(folder, "init", "--no-scm", "-q")
    figure.tell(f"{count:,} files are there")
    found = []
    for what, target in (
        (f"DVC, {count:,} files of {FILE_BYTES} bytes", "many"),
        ("... one file of these bytes", "one.bin"),
    ):
        added = _seconds(folder, "add", "-q", target)
        nothing = _seconds(folder, "status", "-q", f"{target}.dvc")
        if target == "many":
            (folder / "many" / "00000" / "more").write_bytes(b"one more")
        else:
            with (folder / target).open("ab") as whole:
                whole.write(b"one more")
        again = _seconds(folder, "add", "-q", target)
        for name, value in (("add", added), ("status, nothing changed", nothing), ("add, one file more", again)):
            found.append(Figure(NAME, f"{what}: {name}", round(value, 2), "s"))
            figure.tell(f"{found[-1].measured}: {value:.2f} s")
    return found


def _seconds(folder: Path, *words: str) -> float:
    variables = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, env=variables, check=True)
    return time.perf_counter() - begin


def _rate(call: Callable[[int], object], clients: int, seconds: float) -> float:
    """Calls a second of some clients together; one that returns False was not done."""
    call(0)  # the first one pays for what is made once
    end = time.monotonic() + seconds

    def ask(client: int) -> int:
        count = 0
        while time.monotonic() < end:
            count += call(client) is not False
        return count

    with ThreadPoolExecutor(clients) as threads:
        begin = time.monotonic()
        count = sum(threads.map(ask, range(clients)))
        return round(count / (time.monotonic() - begin), 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--append"]:
        print(_append(Path(sys.argv[2]), sys.argv[4], float(sys.argv[3])))
        sys.exit()
    options = figure.parser(__doc__)
    options.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: all)")
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--postgresql", action="store_true", help="on PostgreSQL in place of SQLite")
    options.add_argument("--files", type=int, nargs="+", help="how many small files (default: 10000 100000)")
    sys.exit(figure.command(measure, options))
