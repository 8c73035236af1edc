"""Two controllers of two machines, two hosts that serve, and kills with -9 at random moments of releases.

The ledger is on a real PostgreSQL; registry and flow runs are a whole project's own; each host is a folder with an
agent and services of its own. In each round an alias is set to another version, and after a random time one of these is
killed: the controller that leads, the other one, the process that carries the release out, a host's agent. All come
back by themselves or are started again, as a supervisor does. The round is over when every host serves the version that
the registry names, and the ledger has an end for it. Requests go to both hosts all the time.

    python -m benchmarks.controller_kills [--kills 40] [--seed 0]
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.access import project_door
from components.core.project import Project
from components.release.ledger import CLOSING, Entry
from flows.platform import connections, environment, lifecycle, programs, running, state
from flows.releases import observation
from flows.serving_targets import host_connections
from flows.serving_targets.hosts_target import HostsServingTarget
from flows.serving_targets.serving_target import target_of
from tests import postgres_server, small_package
from tests.endtoend.releases import Releases
from tests.postgres_server import PostgresServer
from tests.project_copy import running_copy

NAME = "controller_kills"
ROOT = Path(__file__).resolve().parents[1]
CODE = ("components", "flows", "serving", "dvc.yaml", "requirements.lock")
VICTIMS = ("leader", "other", "worker", "agent")
VERSIONS = 4
LONGEST_SECONDS, ROUND_SECONDS = 6.0, 120.0
LOGIN = "LEDGER_LOGIN"


@dataclass
class Second:
    """The second machine: a folder with a controller, which is started again whenever it ends."""

    project: Project
    variables: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def keep_running(self) -> None:
        """Until `ended`."""
        words = [sys.executable, "-m", "flows.releases.controller", str(self.project.root)]
        while not self.ended.is_set():
            with (self.project.root / "controller.log").open("ab") as log:
                self.process = subprocess.Popen(
                    words, cwd=self.project.root, env=self.variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            while self.process.poll() is None and not self.ended.wait(0.2):
                pass
        if self.process is not None:
            with suppress(psutil.Error, OSError):
                for one in psutil.Process(self.process.pid).children(recursive=True):
                    one.kill()
            self.process.kill()
            self.process.wait()

    @property
    def leads(self) -> bool:
        """Whether it was the last to say that it leads."""
        lines = (self.project.root / "controller.log").read_text().splitlines()
        said = [line for line in lines if "leads" in line]
        return bool(said) and said[-1] == "this controller leads"


@dataclass
class Team:
    """Everything."""

    releases: Releases
    second: Second
    folders: list[Path]
    model: str = ""

    @property
    def first(self) -> Project:
        """The first machine's project."""
        return self.releases.house.project

    def first_controller(self) -> int | None:
        """Its process."""
        record = running.read(state.folder(self.first), "controller")
        return record.identity.pid if record is not None and record.identity.is_alive() else None

    def kill(self, victim: str, rng: random.Random) -> bool:
        """Kill one; returns whether it was there."""
        controllers = [self.first_controller(), self.second.process.pid if self.second.process else None]
        leader, other = reversed(controllers) if self.second.leads else controllers
        pid = {"leader": leader, "other": other}.get(victim)
        if victim == "worker":
            pid = observation.worker(self.first, self.model) or observation.worker(self.second.project, self.model)
        if victim == "agent":
            agents = [
                process.pid
                for process in psutil.process_iter(["cmdline"])
                if "flows.serving_targets.host_agent" in (process.info["cmdline"] or ())
                and {str(folder) for folder in self.folders} & set(process.info["cmdline"])
            ]
            pid = rng.choice(agents) if agents else None
        if pid is None:
            return False
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            return False
        return True


def main() -> int:
    """0: the targets are met; 1: not; 2: there is no PostgreSQL here."""
    parser = figure.parser(__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    if (why := postgres_server.missing()) is not None:
        print(why, file=sys.stderr)
        return 2
    return figure.command(measure, parser)


def measure(kills: int = 40, seed: int = 0) -> list[Figure]:
    """What became of so many rounds."""
    with tempfile.TemporaryDirectory(prefix="modelyard-kills-") as folder, _team(Path(folder)) as team:
        return _rounds(team, kills, random.Random(seed))


def _rounds(team: Team, kills: int, rng: random.Random) -> list[Figure]:
    seconds: list[float] = []
    killed: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    lost, present = 0, "1"
    with _traffic(team, answers):
        for number in range(kills):
            victim = VICTIMS[number % len(VICTIMS)]
            version = rng.choice([str(one) for one in range(1, VERSIONS + 1) if str(one) != present])
            if victim == "worker" or number % 8 == 0:  # one that never served goes through the gates, in a process
                version = team.releases.register(team.model, seed=100 + number)
            team.releases.set(team.model, version)
            time.sleep(rng.uniform(0, LONGEST_SECONDS))
            for _ in range(50):  # a release has no worker before it begins, and none after its end
                if team.kill(victim, rng):
                    killed[victim] += 1
                    break
                time.sleep(0.1)
            begun = time.monotonic()
            while not _has_converged(team, version):
                if time.monotonic() > begun + ROUND_SECONDS:
                    lost += 1
                    tell(f"round {number}: {victim} killed, version {version} is not served everywhere")
                    break
                time.sleep(0.2)
            seconds.append(time.monotonic() - begun)
            tell(f"round {number + 1}: {victim}, version {version} everywhere after {seconds[-1]:.1f} s")
            present = version
    entries = team.releases.entries(team.model)
    failed = sum(count for kind, count in answers.items() if kind != "200")
    tell(f"answers: {dict(answers)}; killed: {dict(killed)}")
    twice = _done_twice(entries)
    return [
        Figure(NAME, "kills of controllers, workers and agents", sum(killed.values())),
        Figure(NAME, "rounds that did not come to the version asked for", lost, at_most=0),
        Figure(NAME, "releases with two ends, or two switches", twice, at_most=0),
        Figure(NAME, f"failed requests of {sum(answers.values()):,}", failed, at_most=0),
        Figure(NAME, "from the kill until every host serves it: median", sorted(seconds)[len(seconds) // 2], "s"),
        Figure(NAME, "the longest", max(seconds), "s", at_most=ROUND_SECONDS),
    ]


def _has_converged(team: Team, version: str) -> bool:
    if not team.releases.is_settled(team.model):
        return False
    status = _target(team).status()
    return (
        status is not None
        and status.hosts == len(team.folders)
        and all(worker.champion is not None and worker.champion.version == version for worker in status.workers)
    )


def _target(team: Team) -> HostsServingTarget:
    target = target_of(team.first, team.model)
    assert isinstance(target, HostsServingTarget)
    return target


def _done_twice(entries: list[Entry]) -> int:
    """Releases with more than one end, or more than one `switched`."""
    counts = Counter((entry.release, entry.event) for entry in entries)
    ends = Counter(entry.release for entry in entries if entry.event in CLOSING)
    return sum(count > 1 for (_, event), count in counts.items() if event == "switched") + sum(
        count > 1 for count in ends.values()
    )


@contextmanager
def _traffic(team: Team, answers: Counter[str]) -> Iterator[None]:
    """Requests to each host, without a pause longer than 20 ms."""
    done = threading.Event()
    urls = [host.url(look.port) for host, look in _target(team)._present().items() if look.port is not None]

    def ask(url: str) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not done.wait(0.02):
                media = {"content-type": "application/octet-stream"}
                try:
                    response = client.post(f"{url}/predict", content=small_package.image(0), headers=media)
                    answers[str(response.status_code)] += 1
                except httpx.HTTPError as error:
                    answers[type(error).__name__] += 1

    threads = [threading.Thread(target=ask, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


@contextmanager
def _team(base: Path) -> Iterator[Team]:
    with ExitStack() as during:
        database = during.enter_context(postgres_server.running())
        os.environ[LOGIN] = database.credentials
        folders = [base / "host-one", base / "host-two"]
        for folder in (*folders, base / "second"):
            folder.mkdir()
            for name in CODE:
                (folder / name).symlink_to(ROOT / name)
        for folder in folders:
            (folder / "pipelines").mkdir()
            during.callback(lifecycle.down, Project(folder))
        during.callback(host_connections.close_all)
        text = _settings(database, folders)

        def settle(root: Path) -> None:
            (root / "modelyard.toml").write_text(text)

        house = during.enter_context(running_copy(base / "first", settle))
        releases = during.enter_context(_released(Releases(house)))
        second = Second(Project(base / "second"), {})
        team = Team(releases, second, folders, "team")
        releases.pipeline(team.model)
        for seed in range(VERSIONS):
            releases.register(team.model, seed=seed + 1)
        releases.set(team.model, "1")
        deadline = time.monotonic() + 180
        while not _has_converged(team, "1"):
            if time.monotonic() > deadline:
                raise TimeoutError("version 1 is not served by the hosts")
            time.sleep(0.3)
        second.variables |= _joined(second.project, house.project, text)  # the ledger has a key by now
        watchdog = threading.Thread(target=second.keep_running)
        watchdog.start()
        during.callback(watchdog.join)
        during.callback(second.ended.set)
        yield team


@contextmanager
def _released(releases: Releases) -> Iterator[Releases]:
    with releases.api:
        yield releases


def _settings(database: PostgresServer, folders: list[Path]) -> str:
    hosts = [f'[hosts.{one.name}]\nfolder = "{one}"\npython = "{sys.executable}"\n' for one in folders]
    ledger = f'[connections]\nledger = "{database.url}"\nledger_credentials = {{env = "{LOGIN}"}}\n'
    return "\n".join([*hosts, ledger])


def _joined(project: Project, first: Project, text: str) -> dict[str, str]:
    """Give a machine the pipelines, the keys and the servers of the first; the variables of its controller."""
    root = project.root
    (root / "pipelines").symlink_to(first.pipelines)
    (root / "data").symlink_to(first.root / "data")
    known = connections.configured(first)
    assert known.credentials is not None
    login = root / "login"
    login.write_text(f"{known.credentials.user}:{known.credentials.secret}")
    login.chmod(0o600)
    servers = "".join(
        f'{name} = "{url}"\n{name}_credentials = {{file = "{login}"}}\n'
        for name, url in (("mlflow", known.mlflow), ("prefect", known.prefect_api))
    )
    (root / "modelyard.toml").write_text(text + servers)
    for path in (project_door.secret_file(project), project.ledger / "key"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(first.root / path.relative_to(root), path)
    stack_state, _ = state.claim(project)
    program = programs._controller(project, stack_state)
    variables = {**os.environ, **environment.of_project(project), **connections.variables(root), **program.environment}
    return {**variables, "MODELYARD_PROJECT": str(root)}


if __name__ == "__main__":
    sys.exit(main())
