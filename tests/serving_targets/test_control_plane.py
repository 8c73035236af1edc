"""Releases against a real control plane of Kubernetes, where its programs are at hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from tests.serving_targets import control_plane

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("control_plane_cases", "control_plane_settings_cases", "control_plane_rules_cases")
CASES = [f"tests/serving_targets/{name}.py" for name in MODULES]
PLUGIN = ["-p", "tests.serving_targets.real_cluster"]


@pytest.mark.long
def test_releases_by_a_real_control_plane() -> None:
    problem = control_plane.missing()
    if problem is not None:
        pytest.skip(f"{problem}: docs/kubernetes.md says how to get them")
    words = [sys.executable, "-m", "tests.serving_targets.control_plane", sys.executable, "-m", "pytest"]
    done = subprocess.run(
        [*words, "-n0", "-x", *PLUGIN, *CASES], cwd=ROOT, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
