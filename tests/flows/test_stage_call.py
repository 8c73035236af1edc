"""Calling a stage's process: its own errors come back as they were raised."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.errors import UsageError
from flows import stage_call

ROOT = Path(__file__).resolve().parents[2]


def test_a_stages_error_comes_back_whole(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(UsageError) as caught:
        stage_call.call(
            "evaluation",
            "{}",
            folder=ROOT,
            request_file=tmp_path / "request.json",
            on_line=said.append,
            on_words=said.append,
        )
    assert "request" in caught.value.what
    assert not any("Traceback" in line for line in said)
