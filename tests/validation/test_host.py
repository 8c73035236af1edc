"""Both calls of the validation run in a waiting host, with the same result and exit code as without."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.identity import manifest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "host.sock"
    command = [sys.executable, "-m", "components.core.stage_process", str(place), "great_expectations", "pandas"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        while not place.exists():
            assert process.poll() is None
            time.sleep(0.05)
        yield place
        process.kill()


@pytest.mark.slow
def test_raw_and_prepared_through_the_host(tmp_path: Path, host: Path) -> None:
    project = tmp_path / "project"
    dataset = project / "data" / "digits"
    dataset.mkdir(parents=True)
    for name in ("dataset.yaml", "expectations.json"):
        (dataset / name).write_text((ROOT / "data/digits" / name).read_text())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MODELYARD_HOST_VALIDATION": str(host)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)

    for words in (
        ("components.ingestion", "data/digits"),
        ("components.validation", "raw", "data/digits"),
        ("components.preparation", "data/digits"),
        ("components.validation", "prepared", "data/digits"),
        ("components.preparation", "data/digits", "--accept"),
    ):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    assert manifest.verify(dataset / "prepared", "prepared").facts["counts"]["test"] == 359
    begun = time.monotonic()
    assert run("components.validation", "raw", "data/digits").returncode == 0
    assert time.monotonic() - begun < 10  # no import of Great Expectations in it

    text = (dataset / "expectations.json").read_text().replace('"value": 1797', '"value": 1798')
    (dataset / "expectations.json").write_text(text)
    done = run("components.validation", "raw", "data/digits")
    assert done.returncode == 3
    assert "1 of 13 expectations" in done.stderr
