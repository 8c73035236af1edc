"""The key of evidence: equal for the same question, another for any other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts.gate_request import Candidate, GateRequest
from components.contracts.pipeline import GatesSpec, ParitySpec
from components.gates import evidence
from components.identity import source_code
from tests.gates.small_release import SmallRelease


@pytest.fixture
def request_(release: SmallRelease) -> GateRequest:
    return release.request(release.bundle("two"), release.bundle("one", "1", train_fingerprint="9" * 64))


def test_neither_the_folder_nor_the_place_of_the_bundle_matters(request_: GateRequest) -> None:
    moved = request_.candidate.model_copy(update={"bundle": "elsewhere"})
    other = request_.model_copy(update={"folder": "elsewhere", "candidate": moved})
    assert evidence.key(other) == evidence.key(request_)


def test_paths_can_be_relative_to_another_folder(request_: GateRequest, release: SmallRelease) -> None:
    assert evidence.key(request_.model_copy(update={"dataset": "data"}), release.folder) == evidence.key(request_)


OTHERS: dict[str, dict[str, Any]] = {
    "role": {"role": "challenger"},
    "no champion": {"champion": None},
    "fewer gates": {"asked": ["integrity"]},
    "another limit": {"gates": GatesSpec(parity=ParitySpec(tolerance=0.5))},
    "no data": {"dataset": "nowhere"},
    "another bundle": {
        "candidate": Candidate(name="sample", version="2", package_digest="f" * 64, bundle="", bundle_key="0" * 64)
    },
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_question_has_another_key(request_: GateRequest, what: str) -> None:
    assert evidence.key(request_.model_copy(update=OTHERS[what])) != evidence.key(request_)


def test_other_data_has_another_key(request_: GateRequest, release: SmallRelease) -> None:
    before = evidence.key(request_)
    np.save(release.dataset / "prepared" / "test" / "labels.npy", np.zeros(3, np.int64))
    release.prepare()
    assert evidence.key(request_) != before


@pytest.mark.slow
def test_a_light_process_can_compute_it(request_: GateRequest, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(request_.model_dump_json())
    code = """
import sys, json
from pathlib import Path
from components.contracts.gate_request import GateRequest
from components.gates import evidence
from components.identity import source_code
key = evidence.key(GateRequest.model_validate_json(Path(sys.argv[1]).read_bytes()))
print(json.dumps([key, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    words = [sys.executable, "-c", code, str(tmp_path / "request.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    key, modules = json.loads(done.stdout)
    assert key == evidence.key(request_)
    assert not {"numpy", "scipy", "onnxruntime", "matplotlib"} & set(modules)


def test_the_looks_of_the_report_do_not_count() -> None:
    code = source_code.identity([evidence.ENTRY], Path(__file__).resolve().parents[2])
    assert "components.gates.report:render" in code.functions
    assert not [name for name in code.functions if "html_page" in name or "report.html.j2" in name or "css" in name]
    assert "jinja2" not in code.libraries
