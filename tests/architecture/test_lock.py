"""requirements.lock: complete, with digests, and of use with and without an NVIDIA GPU."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.identity import lock_file
from flows.platform import diagnostics

ROOT = Path(__file__).resolve().parents[2]
PINS = lock_file.read(ROOT / "requirements.lock")
# pynvml, 1 MB of Python: BentoML names it as a requirement of its own, with and without a GPU.
OF_BENTOML = {"nvidia-ml-py"}


def test_every_line_has_a_digest() -> None:
    assert len(PINS) > 200
    assert [pin.name for pin in PINS if not pin.hashes] == []
    text = (ROOT / "requirements.lock").read_text()
    assert len(re.findall(r"^[^\s#]", text, flags=re.MULTILINE)) == len(PINS)


def test_what_only_cuda_needs_is_marked() -> None:
    def is_of_a_gpu(name: str) -> bool:
        return name.startswith(("nvidia-", "cuda-")) or name == "triton"

    assert {pin.name for pin in PINS if is_of_a_gpu(pin.name) and not pin.gpu_only} == OF_BENTOML
    assert {"triton", "nvidia-cudnn-cu13"} <= {pin.name for pin in PINS if pin.gpu_only}


def test_what_the_project_needs_is_locked_in_a_version_that_it_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = {canonicalize_name(pin.name): pin.version for pin in PINS}
    for requirement in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]]):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement.name


def _install_list(gpu: int) -> str:
    """What `make install` hands to uv, made by the Makefile's own lines."""
    commands = subprocess.run(
        ["make", "-n", "install", f"GPU={gpu}", "-B"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    seds = re.findall(r"^\s*(sed .*requirements\.lock) >\.venv/requirements\.txt", commands, flags=re.MULTILINE)
    with_cuda, without = seds
    words = with_cuda if gpu else without
    return subprocess.run(["sh", "-c", words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("options", ["", "--copies --prompt=yard "])
@pytest.mark.parametrize("place", ["here", "of before"])
def test_an_environment_of_a_folder_that_was_moved_is_made_anew(place: str, options: str, tmp_path: Path) -> None:
    folder = tmp_path / "the project"
    (folder / ".venv").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    made = folder if place == "here" else tmp_path / "before"
    (folder / ".venv/pyvenv.cfg").write_text(f"version = 3.11.7\ncommand = python3.11 -m venv {options}{made}/.venv\n")
    (folder / ".venv/.installed").write_text("0")
    words = ["make", "--dry-run", "install"]
    planned = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert ("rm -rf .venv\n" in planned) == (place == "of before")


@pytest.mark.parametrize("gpu", [0, 1])
def test_an_installation_takes_the_packages_of_its_build(gpu: int) -> None:
    names = {line.split("==")[0] for line in _install_list(gpu).splitlines() if re.match(r"[a-z]", line)}
    assert names == {pin.name for pin in PINS if gpu or not pin.gpu_only}
    torch = next(line for line in _install_list(gpu).splitlines() if line.startswith("torch="))
    assert re.fullmatch(r"torch===[0-9.]+ \\" if gpu else r"torch==[0-9.]+\+cpu \\", torch)


def test_doctor_misses_cuda_only_beside_torchs_cuda_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"no-such-package==1.0 \\\n    --hash=sha256:{'0' * 64}\n{lock_file.GPU_ONLY}\nno-such-cuda==2.0\n")
    monkeypatch.setattr(diagnostics, "_has_cuda_build", lambda: False)
    assert diagnostics.different_packages(lock) == ["no-such-package: not installed, locked 1.0"]
    monkeypatch.setattr(diagnostics, "_has_cuda_build", lambda: True)
    assert diagnostics.different_packages(lock)[1] == "no-such-cuda: not installed, locked 2.0"


def test_doctor_finds_this_environment_as_locked() -> None:
    assert diagnostics.different_packages(ROOT / "requirements.lock") == []
