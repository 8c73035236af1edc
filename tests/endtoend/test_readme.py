"""The commands of README and CONTRIBUTING do what these say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.house import House

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for line in re.findall(r"^\$ (.+)$", block, re.MULTILINE)
]
CONTRIBUTING = re.findall(r"`(make [^`]+)`|^\$ (make \S+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
MAKE = {line for line in COMMANDS if line.startswith("make ")} | {a or b for a, b in CONTRIBUTING}
OURS = [line.split()[1:] for line in COMMANDS if line.startswith("modelyard ")]


def test_the_readme_names_commands() -> None:
    assert len(OURS) >= 10
    assert {"make demo", "make test"} <= set(COMMANDS)


@pytest.mark.parametrize("line", sorted(MAKE))
def test_its_targets_are_in_the_makefile(line: str) -> None:
    done = subprocess.run(["make", "--dry-run", *line.split()[1:]], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_its_pictures_and_links_are_there(page: str) -> None:
    for place in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text()):
        assert (ROOT / place).is_file(), place


@pytest.mark.slow
def test_its_commands_run_in_their_order(house: House) -> None:
    house.run("demo", timeout=600)
    (example, *_) = sorted((house.project.state / "packages").glob("*/golden/*.png"))
    (house.root / "seven.png").write_bytes(example.read_bytes())
    for number, picture in enumerate(sorted((house.project.state / "packages").glob("*/golden/*.png"))):
        kind = house.root / "photos" / ("even" if number % 2 == 0 else "odd")
        kind.mkdir(parents=True, exist_ok=True)
        (kind / picture.name).write_bytes(picture.read_bytes())
    for words in OURS:
        # The session's other tests need the servers; comparisons train for minutes and have tests of their own, and the
        # tutorial's test deploys.
        if words[0] not in ("down", "compare", "try", "tune", "advise", "deploy"):
            house.run(*words)
