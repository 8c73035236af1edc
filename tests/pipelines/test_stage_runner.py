"""Calling a stage's process: its own errors come back as they were raised."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.errors import UsageError
from flows.pipelines import stage_runner

ROOT = Path(__file__).resolve().parents[2]


def test_a_stages_error_comes_back_whole(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(UsageError) as caught:
        stage_runner.call(
            "evaluation",
            "{}",
            folder=ROOT,
            request_file=tmp_path / "request.json",
            on_line=said.append,
            on_words=said.append,
        )
    assert "request" in caught.value.what
    assert not any("Traceback" in line for line in said)


_CHATTY = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a stage that keeps its work first
for number in range(20_000):
    print(f"line {number} of many", file=getattr(sys, sys.argv[1].rpartition("/")[2].removesuffix(".json")))
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_taker_that_fails_leaves_no_stage_hanging(tmp_path: Path, stream: str) -> None:
    folder = tmp_path / "components" / "chatty"
    folder.mkdir(parents=True)
    (tmp_path / "components" / "__init__.py").touch()
    (folder / "__main__.py").write_text(_CHATTY)

    def broken(_line: str) -> None:
        raise BrokenPipeError("head has read its line")

    with pytest.raises(BrokenPipeError, match="head has read"):
        stage_runner.call(
            "chatty", "{}", folder=tmp_path, request_file=tmp_path / f"{stream}.json", on_line=broken, on_words=broken
        )
