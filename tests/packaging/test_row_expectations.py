"""A bundle has the expectations that its service enforces, and is as before where none is enforced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components import tasks
from components.contracts.pipeline import ServingOptions
from components.contracts.row_expectations import FILE_NAME, RowSuite
from components.core import located_yaml
from components.core.errors import SpecError
from components.identity.package import Package
from components.packaging import stage
from components.packaging.bundle_request import BundleRequest
from components.tasks import compatibility, row_suite
from serving.input_contract import InputContract
from tests.packaging import small_bundle
from tests.packaging.small_bundle import ROOT


def filled(folder: Path, spec: ServingOptions, suite: RowSuite | None) -> Path:
    folder.mkdir()
    small_bundle.request(folder, spec)
    request = BundleRequest.model_validate_json((folder / "request.json").read_bytes())
    context = folder / "context"
    context.mkdir()
    stage._fill(
        context, request.model_copy(update={"row_expectations": suite}), Package.open(Path(request.package))
    )  # fmt: skip
    return context


@pytest.mark.slow
def test_the_expectations_of_the_digits_are_in_the_bundle(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    suite = row_suite.read(ROOT / "data/digits", tasks.find("image-classification"))
    assert suite is not None
    assert {name for one in suite.expectations for name in one.columns} == {
        "raw.readable", "raw.width", "raw.height", "raw.channels", "raw.standard_deviation",
    }  # fmt: skip
    context = filled(tmp_path / "enforced", ServingOptions(enforce="reject"), suite)
    assert json.loads((context / "serving.json").read_text())["enforce"] == "reject"
    assert InputContract.load(context, "reject") is not None
    assert "5 of 25 expectations bound what the service accepts; left out: " in capfd.readouterr().err
    plain = filled(tmp_path / "plain", ServingOptions(), None)
    assert not (plain / FILE_NAME).exists()
    assert "enforce" not in json.loads((plain / "serving.json").read_text())


def test_a_pipeline_that_has_nothing_to_enforce_is_refused_before_any_work(tmp_path: Path) -> None:
    from components.contracts.pipeline import PipelineSpec

    file = tmp_path / "digits.yaml"
    file.write_text((ROOT / "pipelines/digits.yaml").read_text() + "\nserving: {enforce: flag}\n")
    spec = located_yaml.read(file, PipelineSpec)
    compatibility.check(spec, file, ROOT / "data/digits")
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / "dataset.yaml").write_text((ROOT / "data/digits/dataset.yaml").read_text())
    count = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 1797}}
    (folder / "expectations.json").write_text(json.dumps({"raw": [count], "prepared": [count]}))
    with pytest.raises(SpecError) as caught:
        compatibility.check(spec, file, folder)
    assert "no expectation of digits can be missed by one request" in "\n".join(caught.value.lines())
