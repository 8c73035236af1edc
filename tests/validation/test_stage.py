"""Suites held against real tables: green and red, raw and prepared."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.core.errors import CorruptArtifactError, SpecError, ValidationRefused
from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion.sample import Sample

pytestmark = pytest.mark.filterwarnings(
    # of Great Expectations and what it imports, with pandas 3; nothing that we could do
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

COLUMN = "expect_column_values_to_be_in_set"


def expectation(column: str, type_: str = COLUMN, **kwargs: Any) -> dict[str, Any]:
    return {"type": type_, "kwargs": {"column": column, **kwargs}, "description": f"about {column}"}


ALL_TRUE = [expectation("readable", value_set=[True])]


def png(level: int, size: tuple[int, int] = (4, 4)) -> bytes:
    out = io.BytesIO()
    Image.new("L", size, level).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a dataset folder of samples and expectations in a project of its own."""
    monkeypatch.chdir(tmp_path)

    def make(samples: list[Sample], raw: list[Any] = ALL_TRUE, prepared: list[Any] = ALL_TRUE) -> Path:
        folder = Path("data/things")
        (folder / "raw").mkdir(parents=True, exist_ok=True)
        (folder / "dataset.yaml").write_text(
            "name: things\ntask: image-classification\nsource: {kind: folder, path: x}\n"
            "split: {test: 0.3}\ninput: {height: 4, width: 4, channels: 1}\n"
        )
        (folder / "expectations.json").write_text(json.dumps({"raw": raw, "prepared": prepared}))
        written = sample_file.write(
            samples, folder / "raw/samples.parquet", "writing", {"image": "binary", "label": "text"}
        )
        manifest.seal(folder / "raw", "raw", {"samples": written.samples, "labels": written.labels})
        return folder

    return make


def good() -> list[Sample]:
    return [Sample(str(number), None, {"image": png(number), "label": "ab"[number % 2]}) for number in range(30)]


def main(*arguments: str) -> None:
    from components.validation import stage

    stage.main(list(arguments))


def test_good_data_is_sealed_with_its_verdict(dataset: Callable[..., Path]) -> None:
    folder = dataset(good(), [*ALL_TRUE, expectation("mean", "expect_column_values_to_be_between", max_value=29)])
    main("raw", str(folder))
    sealed = manifest.verify(folder / "validated", "validated")
    assert sealed.facts["raw_digest"] == manifest.load(folder / "raw", "raw").digest
    assert sealed.facts["statistics"] == {"evaluated": 2, "met": 2}
    page = Path(".modelyard/reports/things/raw.html").read_text()
    assert "accepted" in page
    main("raw", str(folder))
    assert manifest.load(folder / "validated", "validated").digest == sealed.digest


def test_bad_data_is_refused_and_shown_and_the_last_good_stands(dataset: Callable[..., Path]) -> None:
    folder = dataset(good())
    main("raw", str(folder))
    before = manifest.verify(folder / "validated", "validated").digest
    bad = [
        *good(),
        Sample("broken<script>", "train", {"image": b"no image", "label": "a"}),
        Sample("twin", "train", {"image": png(200), "label": "a"}),
        Sample("its twin", "test", {"image": png(200), "label": "b"}),
    ]
    checks = [expectation(name, value_set=[False]) for name in ("in_other_split", "label_conflict")]
    dataset(bad, [*ALL_TRUE, *checks, expectation("bytes", "expect_column_values_to_be_between", min_value=1)])
    with pytest.raises(ValidationRefused) as caught:
        main("raw", str(folder))
    assert caught.value.exit_code == 3
    assert "3 of 4" in caught.value.what
    assert manifest.verify(folder / "validated", "validated").digest == before
    verdict = json.loads(Path(".modelyard/reports/things/raw.json").read_text())
    readable, split, label, width = verdict["results"]
    assert [row["id"] for row in readable["failing"]] == ["broken<script>"]
    assert [row["id"] for row in split["failing"]] == [row["id"] for row in label["failing"]] == ["twin", "its twin"]
    assert width["success"]
    page = Path(".modelyard/reports/things/raw.html").read_text()
    assert "refused" in page
    assert "broken&lt;script&gt;" in page
    assert "no picture" in page
    assert page.count("data:image/png;base64,") == 4
    for outside in ("<script", "http:", "https:", "<link", "@import"):
        assert outside not in page


def test_failing_texts_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/notes")
    (folder / "raw").mkdir(parents=True)
    (folder / "dataset.yaml").write_text(
        "name: notes\ntask: text-classification\nsource: {kind: csv, path: x.csv, text: t}\nsplit: {}\ninput: {}\n"
    )
    checks = [
        expectation("empty", value_set=[False]),
        expectation("words", "expect_column_values_to_be_between", max_value=3),
    ]
    (folder / "expectations.json").write_text(json.dumps({"raw": checks, "prepared": checks}))
    texts = ["fine", " ", "<b>one two three four</b>" + " and more" * 100]
    samples = [Sample(str(row), None, {"text": text, "label": "ab"[row % 2]}) for row, text in enumerate(texts)]
    sample_file.write(samples, folder / "raw/samples.parquet", "writing", {"text": "text", "label": "text"})
    manifest.seal(folder / "raw", "raw", {"samples": 3})
    with pytest.raises(ValidationRefused, match="2 of 2"):
        main("raw", str(folder))
    page = Path(".modelyard/reports/notes/raw.html").read_text()
    assert "<blockquote>&lt;b&gt;one two three four&lt;/b&gt; and more" in page
    assert page.count(" and more") < 40
    assert "<b>one" not in page


@pytest.mark.parametrize(
    ("suite", "messages"),
    [
        ("{", ["not JSON"]),
        ("[]", ["a mapping of keys is expected"]),
        ({"raw": ALL_TRUE}, ["Field required"]),
        ({"raw": [], "prepared": ALL_TRUE}, ["at least one"]),
        ({"raw": [{"type": "expect_miracles"}], "prepared": []}, ["no such expectation"]),
        ({"raw": [expectation("spam", value_set=[1])], "prepared": []}, ["no such column"]),
        ({"raw": [expectation("width", value_set=[1], spam=2)], "prepared": []}, ["unknown argument"]),
        ({"raw": [expectation("width", value_set=7)], "prepared": []}, ["raw.0.kwargs.value_set"]),
        ({"raw": [expectation("width", "expect_column_values_to_be_between")], "prepared": []}, ["raw.0.kwargs"]),
        ({"raw": [{"kind": COLUMN, "kwargs": {}}], "prepared": []}, ["unknown key", "Field required"]),
        (
            {"raw": [{"type": "expect_miracles"}, expectation("spam", value_set=[1])], "prepared": []},
            ["no such expectation", "no such column"],
        ),
    ],
)
def test_a_wrong_suite_is_refused_before_any_work(
    dataset: Callable[..., Path], suite: Any, messages: list[str]
) -> None:
    folder = dataset(good())
    (folder / "expectations.json").write_text(suite if isinstance(suite, str) else json.dumps(suite))
    (folder / "raw/samples.parquet").write_bytes(b"would be noticed as soon as it is read")
    with pytest.raises(SpecError) as caught:
        main("raw", str(folder))
    for message in messages:
        assert any(message in str(problem) for problem in caught.value.problems), str(caught.value)


def test_corrupt_raw_data_is_named(dataset: Callable[..., Path]) -> None:
    folder = dataset(good())
    content = bytearray((folder / "raw/samples.parquet").read_bytes())
    content[200] ^= 1
    (folder / "raw/samples.parquet").write_bytes(content)
    with pytest.raises(CorruptArtifactError) as caught:
        main("raw", str(folder))
    assert caught.value.where == "data/things/raw/samples.parquet"


def prepare(folder: Path) -> Path:
    from components.preparation import stage as preparation

    raw = manifest.load(folder / "raw", "raw")
    (folder / "validated").mkdir(exist_ok=True)
    manifest.seal(folder / "validated", "validated", {"raw_digest": raw.digest, "success": True})
    preparation.main([str(folder)])
    return Path(".modelyard/staging/things")


def test_prepared_data_passes_and_is_accepted(dataset: Callable[..., Path]) -> None:
    from components.preparation import stage as preparation

    repository = Path(__file__).resolve().parents[2] / "data/digits/expectations.json"
    about = {item["kwargs"].get("column") for item in json.loads(repository.read_text())["prepared"]}
    checks = [
        expectation("in_other_split", value_set=[False]),
        expectation("label_in_every_split", value_set=[True]),
        expectation("copies_in_split", value_set=[1]),
        expectation("label_balance", "expect_column_values_to_be_between", min_value=0.5, max_value=2),
    ]
    assert {item["kwargs"]["column"] for item in checks} <= about
    folder = dataset(good(), prepared=checks)
    prepare(folder)
    main("prepared", str(folder))
    preparation.main([str(folder), "--accept"])
    verdict = json.loads((folder / "prepared/verdict.json").read_text())
    assert verdict["success"] is True
    assert len(verdict["results"]) == 4


@pytest.mark.parametrize(
    ("spoil", "column"),
    [("test image in train", "in_other_split"), ("image twice", "copies_in_split"), ("no label b", "label_balance")],
)
def test_spoilt_prepared_data_is_refused(dataset: Callable[..., Path], spoil: str, column: str) -> None:
    checks = [
        expectation("in_other_split", value_set=[False]),
        expectation("copies_in_split", value_set=[1]),
        expectation("label_balance", "expect_column_values_to_be_between", min_value=0.5, max_value=1.5),
    ]
    samples = good()
    if spoil == "no label b":  # the source gives a test split without b
        samples = [
            item._replace(split="test" if item.values["label"] == "a" and int(item.id) < 8 else "train")
            for item in samples
        ]
    folder = dataset(samples, prepared=checks)
    staging = prepare(folder)
    images = np.load(staging / "prepared/train/images.npy", mmap_mode="r+")
    if spoil == "test image in train":
        images[3] = np.load(staging / "prepared/test/images.npy")[0]
    elif spoil == "image twice":
        images[3] = images[4]
    images.flush()
    facts = manifest.load(staging / "prepared", "prepared").facts
    manifest.seal(staging / "prepared", "prepared", facts)  # sealed with the fault in it
    with pytest.raises(ValidationRefused):
        main("prepared", str(folder))
    verdict = json.loads(Path(".modelyard/reports/things/prepared.json").read_text())
    failed = [result for result in verdict["results"] if not result["success"]]
    assert [result["kwargs"]["column"] for result in failed] == [column]
    assert failed[0]["failing"]
    assert not (staging / "verdict.json").exists()


def test_an_expectation_with_a_condition_sees_the_whole_table() -> None:
    from components.validation.suite import ExpectationSpec, Suite

    table = pd.DataFrame({"id": list("abcd"), "width": [1, 2, 3, 9], "height": [1, 1, 1, 2], "digest": list("wxyz")})
    condition = {"row_condition": "height==1", "condition_parser": "pandas"}
    width = {"column": "width", "max_value": 3}
    for kwargs, success in ((width, False), ({**width, **condition}, True)):
        spec = ExpectationSpec(type="expect_column_values_to_be_between", kwargs=kwargs)
        assert Suite("raw", [spec]).judge(table, "").success is success
    exists = ExpectationSpec(type="expect_column_to_exist", kwargs={"column": "height", "column_index": 2})
    assert Suite("raw", [exists]).judge(table, "").success
    set_of_all = ExpectationSpec(type="expect_table_column_count_to_equal", kwargs={"value": 4})
    assert Suite("raw", [set_of_all]).judge(table, "").success
