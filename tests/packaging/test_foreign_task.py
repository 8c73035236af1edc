"""A task from outside travels with its package: its module, and what that imports of ours, answer elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.identity import user_source
from components.packaging import bundle_inputs
from tests import echo_task

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """\
import sys
from pathlib import Path
from components.identity.package import Package
from components.inference import body
from components.inference.difference import difference
from components.inference.predictor import Predictor
package = Package.open(Path(sys.argv[1]))
predictor = Predictor(package)
for example in package.golden():
    content = (package.folder / "golden" / example.file).read_bytes()
    asked = body.read(predictor.processor, predictor.endpoint, content, example.media)
    assert difference(example.answer, predictor.predict(asked.items, asked.parameters)[0]) < 1e-5
print(sys.modules["tests.echo_task"].__file__)
print(sys.modules["components.tasks.task"].__file__)
"""


@pytest.mark.slow
def test_it_answers_from_its_copy_alone(tmp_path: Path) -> None:
    package = echo_task.build(tmp_path / "package")
    code = tmp_path / "code"
    user_source.copy(bundle_inputs.entries(package.facts.task), ROOT, code)
    held = {path.relative_to(code).as_posix() for path in code.rglob("*.py")}
    assert {"tests/echo_task.py", "serving/service.py", "components/preprocessing/batch.py"} <= held
    assert not any(name.startswith(("components/training", "components/tasks/image", "tests/small")) for name in held)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(package.folder)],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(line.startswith(str(code)) for line in done.stdout.splitlines())


def test_its_functions_are_part_of_a_bundles_identity() -> None:
    plain, echo = (bundle_inputs.code(ROOT, task) for task in ("image-classification", echo_task.NAME))
    assert "tests.echo_task:Processor.answer" in echo.functions
    assert not any(name.startswith("tests") for name in plain.functions)
    assert "components.tasks.image_classification:ImageClassificationProcessor.answer" in plain.functions


def test_a_task_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nobody"):
        user_source.copy(bundle_inputs.entries("nobody.nowhere:TASK"), ROOT, tmp_path)
