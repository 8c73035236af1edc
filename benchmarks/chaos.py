"""Production under seeded accidents: aliases set, doubled and reordered, rollbacks, while everything is killed.

A copy of the project with its whole stack; one pipeline with four good versions, one whose graph normalises otherwise,
and a service of two workers. Each sequence does two to five things at random moments, then is left alone: production
must come to what the alias last asked for or, where that is refused, back to the last good version with the alias; the
ledger must be whole and closed, and what serves must be what it pins. All the time a client asks: without a canary, two
versions may answer side by side only while the workers are switching. Controller, releases, rollbacks, servers and
workers are killed, releases also right behind a decision; the serving code of the tree is broken, a person's approval
is asked for and never given, and, where this process may mount a small filesystem, the disk is full.

    python -m benchmarks.chaos [--sequences 200] [--first 0]
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.core.errors import ModelyardError
from components.release import production as productions
from components.release.ledger import CLOSING, Entry
from flows.platform import orphans
from tests import small_disk, small_package
from tests.endtoend.releases import Releases
from tests.project_copy import running_copy
from tests.waiting import eventually

NAME = "chaos"
MODEL = "chaos"
GOOD = ("1", "2", "3", "4")
BAD = "5"
DISK_MEGABYTES = 1500
CONVERGE_SECONDS = 180.0
CONVERGE_SLACK_SECONDS = 1.0  # within which all workers are to have followed an order


@dataclass
class Client:
    """Asks production all the time and remembers who answered."""

    releases: Releases
    answers: list[tuple[float, str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stop`; a connection of its own for each request, so that every worker is asked."""
        content, headers = small_package.image(0), {"content-type": "application/octet-stream"}
        while not self._stop.wait(0.1):
            url = self.releases.service(MODEL).url
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.post(
                    f"{url}/predict", content=content, headers=headers, trust_env=False, verify=False, timeout=5
                )
                if answer.status_code == 200:
                    self.answers.append((time.time(), answer.headers["X-Modelyard-Version"]))

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()


def strays(answers: list[tuple[float, str]], entries: list[Entry]) -> list[tuple[float, str]]:
    """Answers by a version that was not in force: neither switched to last, nor about to be switched to."""
    moments = [(datetime.fromisoformat(entry.time).timestamp(), entry) for entry in entries if entry.role == "champion"]
    found = []
    for moment, version in answers:
        allowed, opened = set[str | None](), dict[str, str | None]()
        for at, entry in moments:
            target = entry.after.version if entry.after else None
            if at > moment + CONVERGE_SLACK_SECONDS:
                break
            if entry.event in CLOSING and at < moment - CONVERGE_SLACK_SECONDS:
                opened.pop(entry.release, None)
            else:
                opened[entry.release] = target
            if entry.event == "switched":
                allowed = {target} if at < moment - CONVERGE_SLACK_SECONDS else allowed | {target}
        if version not in allowed | set(opened.values()):
            found.append((moment, version))
    return found


class Accidents:
    """What can happen."""

    def __init__(self, releases: Releases, rng: random.Random, disk: Path | None) -> None:
        self.releases, self.rng, self.disk = releases, rng, disk
        self._mended: list[Callable[[], None]] = []
        self.asked_approval = False

    def mend(self) -> None:
        """Undo what does not pass by itself: production is to come to rest now."""
        for undo in reversed(self._mended):
            undo()
        self._mended.clear()

    def draw(self) -> tuple[str, Callable[[], None]]:
        """One of them, and its name."""
        weighted: list[tuple[int, str, Callable[[], None]]] = [
            (6, "set champion", self.set_champion),
            (2, "set champion twice", self.set_twice),
            (2, "set three champions at once", self.set_reordered),
            (2, "set a bad champion", self.set_bad),
            (3, "set challenger", self.set_challenger),
            (2, "clear challenger", self.clear_challenger),
            (3, "kill controller", self.kill_controller),
            (5, "kill release", self.kill_release),
            (2, "kill a serving worker", self.kill_serving_worker),
            (1, "kill the service", self.kill_service),
            (2, "registry hangs", self.hang_registry),
            (1, "registry restarts", self.kill_registry),
            (4, "roll back", self.roll_back),
            (3, "kill a rollback", self.kill_rollback),
            (3, "kill a release behind its decision", self.kill_behind_decision),
            (2, "break the serving code", self.break_code),
            (2, "ask for an approval", self.ask_for_approval),
            *([(2, "fill the disk", self.fill_disk)] if self.disk is not None else []),
        ]
        _, name, action = self.rng.choices(weighted, [weight for weight, _, _ in weighted])[0]
        return name, action

    def set_champion(self) -> None:
        self.is_set(self.rng.choice(GOOD))

    def set_twice(self) -> None:
        version = self.rng.choice(GOOD)
        self.is_set(version)
        self.is_set(version)

    def set_reordered(self) -> None:
        chosen = self.rng.sample(GOOD, 3)
        threads = [threading.Thread(target=self.is_set, args=(version,)) for version in chosen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def set_bad(self) -> None:
        self.is_set(BAD)

    def set_challenger(self) -> None:
        self.is_set(self.rng.choice(GOOD), "challenger")

    def clear_challenger(self) -> None:
        with contextlib.suppress(ModelyardError):
            self.releases.clear(MODEL, "challenger")

    def kill_controller(self) -> None:
        self._kill_program("controller")

    def kill_registry(self) -> None:
        self._kill_program("mlflow")

    def kill_service(self) -> None:
        self._kill_program(f"serve-{MODEL}")

    def kill_release(self) -> None:
        self.releases.kill_worker(MODEL)

    def roll_back(self) -> None:
        self.releases.house.run("rollback", MODEL, check=False)

    def kill_rollback(self) -> None:
        command = self.releases.house.start("rollback", MODEL)
        time.sleep(self.rng.uniform(0.3, 1.5))
        command.kill()
        command.communicate()

    def kill_behind_decision(self) -> None:
        """Set an alias, and kill the release as soon as the ledger has a decision of it."""
        since = len(self.releases.entries(MODEL))
        self.is_set(self.rng.choice([*GOOD, BAD]))
        deadline = time.monotonic() + 20
        decisions = {"switching", "refusing", "removing"}
        while time.monotonic() < deadline:
            if decisions & {entry.event for entry in self.releases.entries(MODEL)[since:]}:
                self.kill_release()
                return
            time.sleep(0.005)

    def break_code(self) -> None:
        path = self.releases.house.root / "serving" / "canary.py"
        content = path.read_text()
        path.write_text(content + "\ndef (\n")
        self._mended.append(lambda: _write(path, content))

    def ask_for_approval(self) -> None:
        path = self.releases.house.project.pipeline_file(MODEL)
        content = path.read_text()
        document = yaml.safe_load(content)
        path.write_text(yaml.safe_dump({**document, "gates": {**document["gates"], "manual": {"timeout_minutes": 60}}}))
        self._mended.append(lambda: _write(path, content))
        self.asked_approval = True
        with contextlib.suppress(ModelyardError):
            self.is_set(self.releases.register(MODEL, seed=self.rng.randrange(100, 10_000)))

    def fill_disk(self) -> None:
        assert self.disk is not None
        path = small_disk.fill(self.disk)
        time.sleep(self.rng.uniform(0.5, 2))
        path.unlink()

    def kill_serving_worker(self) -> None:
        said = self.releases.says(MODEL)
        if said is not None and said.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(said.workers).worker, signal.SIGKILL)

    def hang_registry(self) -> None:
        for process in self._program("mlflow"):
            process.suspend()
            time.sleep(self.rng.uniform(0.5, 3))
            process.resume()

    def is_set(self, version: str, alias: str = "champion") -> bool:
        """Whether the alias could be set: the registry may be away just now, which a person would see."""
        try:
            self.releases.set(MODEL, version, alias)
        except ModelyardError:
            return False
        return True

    def _program(self, name: str) -> list[psutil.Process]:
        return orphans.find(str(self.releases.house.root), name)

    def _kill_program(self, name: str) -> None:
        """The program that the supervisor started; what it started itself is for the stack to clear away."""
        for process in self._program(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "flows.releases.worker" not in " ".join(process.cmdline()):
                    process.kill()


@contextlib.contextmanager
def _place() -> Iterator[tuple[Path, Path | None]]:
    """Where the copy is made, and the small filesystem that it is on, if one can be mounted here."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as name, contextlib.ExitStack() as during:
        folder = Path(name) / "disk"
        try:
            disk = during.enter_context(small_disk.mounted(folder, DISK_MEGABYTES))
        except pytest.skip.Exception as reason:
            tell(f"no disk is filled: {reason}")
            folder.mkdir(exist_ok=True)
            yield folder, None
        else:
            yield folder, disk


def measure(sequences: int = 200, first: int = 0) -> list[Figure]:
    """How many sequences converged, and what was wrong with the others."""
    with _place() as (folder, disk), running_copy(folder / "project") as house:
        releases = Releases(house)
        _prepare(releases)
        client = Client(releases)
        thread = threading.Thread(target=client.run)
        thread.start()
        try:
            wrong = [text for number in range(first, first + sequences) if (text := _sequence(releases, number, disk))]
        finally:
            client.stop()
            thread.join()
        entries = releases.entries(MODEL)  # the chain is checked
        found = strays(client.answers, entries)
        ends = [entry.event for entry in entries if entry.event in CLOSING]
    for text in wrong:
        tell(text)
    return [
        Figure(NAME, "sequences", sequences),
        Figure(NAME, "did not converge, or were otherwise wrong", len(wrong), at_most=0),
        Figure(NAME, "answers that a client got meanwhile", len(client.answers)),
        Figure(NAME, "of them by a version that was not in force", len(found), at_most=0),
        Figure(NAME, "releases that ended well", ends.count("served")),
        Figure(NAME, "releases overtaken by another order", ends.count("superseded")),
        Figure(NAME, "releases refused", ends.count("refused") + ends.count("returned")),
        Figure(NAME, "entries of the ledger, its chain whole", len(entries)),
    ]


def _prepare(releases: Releases) -> None:
    """Every good version has served once, so that what follows is about following and not about building."""
    releases.pipeline(MODEL, grace_seconds=5.0)
    path = releases.house.project.pipeline_file(MODEL)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "serving": {"workers": 2}}))
    for seed in range(len(GOOD)):
        releases.register(MODEL, seed=seed)
    releases.register(MODEL, seed=9, graph_scale=1 / 64)
    for version in GOOD:
        releases.set(MODEL, version)
        releases.wait_until_serves(MODEL, version)
        tell(f"version {version} has served")


def _sequence(releases: Releases, number: int, disk: Path | None) -> str | None:
    """One sequence; what was wrong with it."""
    rng = random.Random(number)
    accidents = Accidents(releases, rng, disk)
    begun, done = time.monotonic(), []
    for _ in range(rng.randint(2, 5)):
        name, action = accidents.draw()
        done.append(name)
        tell(f"  {number}: {name}")
        action()
        time.sleep(rng.uniform(0, 1.5))
    accidents.mend()
    try:
        if accidents.asked_approval:  # nobody gives it: a person sets another alias
            eventually(lambda: accidents.is_set(rng.choice(GOOD)), "the registry answers")
        return _converged(releases, number, done, begun)
    except ModelyardError as error:
        return f"sequence {number} ({', '.join(done)}): {error}"


def _converged(releases: Releases, number: int, done: list[str], begun: float) -> str | None:
    deadline = time.monotonic() + CONVERGE_SECONDS
    rest = time.monotonic()
    while time.monotonic() - rest < 1.5:  # it must stay so, not only pass through
        problem = _problem(releases)
        if problem is not None:
            rest = time.monotonic()
            if time.monotonic() > deadline:
                return f"sequence {number} ({', '.join(done)}): {problem}"
        time.sleep(0.1)
    tell(f"{number}: {', '.join(done)}: at rest after {time.monotonic() - begun:.1f} s")
    return None


def _write(path: Path, content: str) -> None:
    path.write_text(content)


def _problem(releases: Releases) -> str | None:
    """What is not yet as it should be; None: production is what the registry asks for, and that is good."""
    try:
        champion = releases.alias(MODEL)
        challenger = releases.alias(MODEL, "challenger")
    except ModelyardError as error:
        return f"the registry: {error.what}"
    if champion is None or champion == BAD:
        return f"champion is {champion}"
    said = releases.says(MODEL)
    if said is None or len(said.workers) < said.expected:
        return "the service does not answer in full"
    held = {worker.champion.version if worker.champion else None for worker in said.workers}
    beside = {worker.challenger.version if worker.challenger else None for worker in said.workers}
    if held != {champion}:
        return f"champion is {champion}, the workers hold {held}"
    if beside != {None if challenger == champion else challenger}:
        return f"challenger is {challenger}, the workers hold {beside}"
    if not releases.is_settled(MODEL):
        return "a release is open"
    pinned = productions.decided(releases.entries(MODEL)).production
    if not releases.service(MODEL).is_applied(pinned) or (pinned.champion and pinned.champion.version) != champion:
        return "what serves is not what the ledger pins"
    return None


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--sequences", type=int, default=200, help="how many (default: %(default)s)")
    options.add_argument("--first", type=int, default=0, help="the first one's seed (default: %(default)s)")
    sys.exit(figure.command(measure, options))
