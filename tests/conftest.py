"""What the heavy tests share: one copy of the project with one stack, for the whole session."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import secrets
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from components.core import outward
from components.release import ledger_database
from flows.platform import orphans
from tests.house import House
from tests.processes import marked
from tests.project_copy import running_copy

SESSION = "MODELYARD_TEST_SESSION"
COMPILED = "MODELYARD_TESTS_COMPILED"
MOST_DESCRIPTORS = 1024  # Linux' default

# More workers than cores: threads that wait for one another's cores make a small training four times as slow.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # for tests that import onnxruntime themselves


_ENVIRONMENT = dict(os.environ)


@pytest.fixture(autouse=True)
def environment_of_the_session() -> Iterator[None]:
    """A command in this process sets proxies and certificates aside for good; the next test has them again."""
    yield
    for name in (*outward.NAMES, outward.VARIABLE):
        if name in _ENVIRONMENT:
            os.environ[name] = _ENVIRONMENT[name]
        else:
            os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def closed_ledgers() -> Iterator[None]:
    """Each test has ledgers of its own, whose connections a process keeps."""
    yield
    ledger_database.close_all()


HOUSE = pytest.StashKey[ExitStack]()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[House]:
    """A copy of the project in another folder, with its stack running; it ends with the last test that needs it."""
    with ExitStack() as running:
        request.config.stash[HOUSE] = running
        yield running.enter_context(running_copy(tmp_path_factory.mktemp("house") / "project"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """End the house before the tests that need none, which are the last: its servers would take processor time."""
    try:
        return (yield)
    finally:
        if HOUSE in item.config.stash and (nextitem is None or group_of(nextitem.path) is None):
            item.config.stash[HOUSE].close()


# Modules of a house of their own: the longest.
GROUPS = {
    **dict.fromkeys(("test_release.py", "test_rollback.py"), "releases"),
    **dict.fromkeys(("test_console.py", "test_monitor.py", "test_plain_commands.py", "test_score.py"), "watching"),
}


_HOUSE_FIXTURE = re.compile(r"\bhouse: House\b|\breleases: Releases[,)]")  # arguments of a test


class Sharing(LoadScopeScheduling):
    """How workers (`pytest -n 3`) share the tests out: what needs one stack stays together, else a module does.

    Four houses stand side by side: for whole releases, for watching what serves, for other tests of registry and
    service, and for pipelines.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(self.config.rootpath / nodeid.partition("::")[0]) or nodeid.partition("::")[0]


@cache
def group_of(module: Path) -> str | None:
    """The house that the tests of a module share; None for one that needs none."""
    text = module.read_text()
    if not _HOUSE_FIXTURE.search(text):
        return None
    return GROUPS.get(module.name, "registry" if "tests.endtoend.releases import" in text else "house")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """One worker imports all modules first, which compiles them: at once, every worker would compile every module."""
    if os.environ.get(COMPILED) or not hasattr(session.config, "workerinput"):
        return (yield)
    with Path(__file__).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: what is left at the end is short, and shared out evenly."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))

    def key(item: pytest.Item) -> tuple[bool, bool, int]:
        is_alone, is_part = group_of(item.path) is None, "endtoend" not in item.path.parts
        return is_alone, is_part, -slow[item.path] if is_part else 0  # the tests of a house keep their order

    items.sort(key=key)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    """Our own: xdist 3.8's groups by mark do not work under pytest 9.2."""
    config.option.loadscopereorder = False  # in the order of the items
    return Sharing(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Mark whatever this session starts; open no more files than a process may on most machines."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_DESCRIPTORS, hard))
    if not hasattr(config, "workerinput"):
        os.environ[SESSION] = secrets.token_hex(8)
        os.environ[COMPILED] = "yes" if any(Path(__file__).parent.glob("*/__pycache__/*.pyc")) else ""


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the session left running: a worker has ten seconds to stop its stack after Ctrl-C."""
    if not hasattr(config, "workerinput"):
        orphans.end(marked(SESSION, os.environ.pop(SESSION)))
