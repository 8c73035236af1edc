"""A copy of the project's files in another folder, as a git repository of its own, with its own stack."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from components.core import stage_process
from flows.pipelines import prewarm
from flows.platform import state
from flows.platform.programs import FIRST_PORT
from flows.platform.state import StackState
from tests import team_servers
from tests.house import House

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("validation", "training")


def copy_project(root: Path) -> None:
    """Copy what git knows, and what is new and not ignored, and commit it there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as tested"]):
        subprocess.run([*git, *words], cwd=root, check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})


@contextmanager
def running_copy(root: Path, change: Callable[[Path], None] = lambda _: None) -> Iterator[House]:
    """A copy in `root` with its stack up; down again at the end.

    Args:
        change: changes the copy before anything of it is started.
    """
    copy_project(root)
    team_servers.settle(root)
    change(root)
    with ExitStack() as running:

        def hosts() -> dict[str, str]:
            running.enter_context(prewarm.prewarmed(HOSTS, root))
            # The house's commands alone shall know them, not all that this process starts.
            return {name: os.environ.pop(name) for name in map(stage_process.host_variable, HOSTS)}

        yield from _with_stack(House(root, hosts))


def _with_stack(house: House) -> Iterator[House]:
    # Ports of its own: other tests start servers at the same time, and look for a free port from the usual one on.
    first = 26000 + 200 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    wanted = {name: first + place for place, name in enumerate(FIRST_PORT)}
    state.save(house.project, StackState(str(house.root), ports=wanted))
    try:
        house.run("up", timeout=400)
        yield house
    finally:
        house.run("down", check=False)
