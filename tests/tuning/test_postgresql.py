"""A study in a real PostgreSQL server: two connections see the same, and a killed connection loses nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.tuning.record import StudyRecord, Told, names, settings_of
from flows.platform import ports

pytestmark = pytest.mark.slow


def programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not here (Debian: apt-get install postgresql)")
    place = tmp_path_factory.mktemp("postgresql")
    own: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "postgres"
        own = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv here to run PostgreSQL as another user")
        shutil.chown(place, user, user)
        for parent in place.parents:
            if parent.stat().st_mode & 0o011 == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    data, port = place / "data", ports.choose(5600, set())
    subprocess.run(
        [*own, str(folder / "initdb"), "-D", str(data), "-A", "trust", "-U", "me", "--no-sync"],
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    options = f"-p {port} -k {place} -h 127.0.0.1 -F"
    start = [*own, str(folder / "pg_ctl"), "-D", str(data), "-w", "-l", str(place / "log"), "-o", options, "start"]
    subprocess.run(start, check=True, capture_output=True, cwd="/")
    try:
        yield f"postgresql+psycopg://me@127.0.0.1:{port}/postgres"
    finally:
        stop = [*own, str(folder / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]
        subprocess.run(stop, check=True, capture_output=True, cwd="/")


def test_a_study_is_kept_and_seen_by_another_connection(url: str) -> None:
    record = StudyRecord(url, "a-study", ["maximize"])
    record.note("identity", "x")
    record.begin(0, {"train.learning_rate": 0.1}, {}, {}, {})
    record.report(0, 1, 0.25)
    other = StudyRecord(url, "a-study")
    assert other.notes() == {"identity": "x"}
    (trial,) = other.trials()
    assert (trial.state.name, trial.intermediate_values) == ("RUNNING", {1: 0.25})
    record.tell(0, Told("complete", (0.5,), {"seconds": 1.5}))
    record.close()
    (trial,) = other.trials()
    assert (trial.state.name, trial.values, settings_of(trial)) == ("COMPLETE", [0.5], {"train.learning_rate": 0.1})
    assert names(url) == ["a-study"]
    other.close()
