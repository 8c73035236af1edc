"""JSON as Label Studio and doccano export it: spans, labels and boxes; what is left out is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import SourceError
from components.drafting.recognise import recognise
from components.ingestion.remarks import Remarks
from tests.ingestion.test_detection import is_red, photo, read

TEXT = "Zoë Ångström lives in New York."
SPANS = [[0, 12, "PER"], [22, 30, "LOC"]]
TAGS = ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"]
FORMS: dict[str, dict[str, Any]] = {
    "doccano": {"id": 1, "text": TEXT, "label": SPANS, "Comments": []},
    "doccano with relations": {
        "text": TEXT, "relations": [],
        "entities": [{"id": 1, "label": label, "start_offset": one, "end_offset": two} for one, two, label in SPANS],
    },
    "Label Studio, short": {
        "id": 3, "text": TEXT, "annotator": 1,
        "label": [{"start": one, "end": two, "text": TEXT[one:two], "labels": [kind]} for one, two, kind in SPANS],
    },
}  # fmt: skip


def task(text: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    annotation = {"id": 1, "was_cancelled": False, "result": list(results)}
    return {"id": 7, "data": {"text": text}, "annotations": [annotation], "predictions": [], **more}


def labelled(begin: int, end: int, label: str, text: str = TEXT) -> dict[str, Any]:
    value = {"start": begin, "end": end, "text": text[begin:end], "labels": [label]}
    return {"from_name": "ner", "to_name": "text", "type": "labels", "value": value}


def choice(*labels: str, control: str = "kind") -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": list(labels)}}


def put(folder: Path, documents: list[dict[str, Any]], name: str = "export.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    as_list = json.dumps(documents, indent=1, ensure_ascii=False)
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in documents)
    (folder / name).write_text(lines if name.endswith("l") else as_list, encoding="utf-8")
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_spans_become_tags_of_words(form: str, tmp_path: Path) -> None:
    put(tmp_path, [FORMS[form], {**FORMS[form], **{key: [] for key in ("label", "entities") if key in FORMS[form]}}])
    found = recognise(tmp_path)
    assert (found.layout["kind"], found.task) == ("spans", "token-classification")
    remarks = Remarks()
    first, second = read(tmp_path, found.layout, remarks)
    assert first.values == {"tokens": ["Zoë", "Ångström", "lives", "in", "New", "York", "."], "tags": TAGS}
    assert (second.id, set(second.values["tags"])) == ("all/000001", {"O"})
    assert remarks.lines()[0].startswith("1 texts have no span")
    assert recognise(tmp_path / "export.jsonl").layout == found.layout


@pytest.mark.parametrize("name", ["tasks.json", "tasks.jsonl"])
def test_tasks_of_label_studio_with_spans(name: str, tmp_path: Path) -> None:
    cancelled = task(TEXT)
    cancelled["annotations"][0]["was_cancelled"] = True
    emoji = "😀 in Rome"  # a browser counts two units for the first character
    units = labelled(6, 10, "LOC")
    units["value"]["text"] = "Rome"
    tasks = [
        task(TEXT, *(labelled(*span) for span in SPANS), choice("fine")), task(TEXT), cancelled,
        {**task(TEXT), "annotations": []}, task(emoji, units),
        task("two annotators", *()),
    ]  # fmt: skip
    tasks[-1]["annotations"] *= 2
    put(tmp_path, tasks, name)
    found = recognise(tmp_path)
    assert {key: found.layout[key] for key in ("read", "data", "content")} == {
        "read": "spans", "data": "text", "content": "text",
    }  # fmt: skip
    remarks = Remarks()
    samples = read(tmp_path, found.layout, remarks)
    assert [sample.id for sample in samples] == [f"all/00000{number}" for number in (0, 1, 4, 5)]
    assert samples[0].values["tags"] == TAGS
    assert samples[2].values == {"tokens": ["😀", "in", "Rome"], "tags": ["O", "O", "B-LOC"]}
    said = " ".join(remarks.lines())
    for sentence in (
        "1 results of the type choices are left out", "1 tasks whose annotations were all cancelled are left out",
        "1 tasks whose annotations are none are left out", "2 tasks have an empty annotation",
        "1 spans have offsets in units of UTF-16", "1 tasks have several annotations",
    ):  # fmt: skip
        assert sentence in said


def test_choices_are_labels_or_sets_of_labels(tmp_path: Path) -> None:
    put(tmp_path / "one", [task("a text", choice("good")), task("another", choice(" bad ")), task("none")], "x.json")
    found = recognise(tmp_path / "one")
    assert (found.layout["read"], found.task) == ("label", "text-classification")
    remarks = Remarks()
    samples = read(tmp_path / "one", found.layout, remarks)
    assert [sample.values["label"] for sample in samples] == ["good", "bad"]
    assert any(line.startswith("1 tasks without a label are left out") for line in remarks.lines())
    put(tmp_path / "sets", [task("a text", choice("b", "a")), task("another")], "x.json")
    found = recognise(tmp_path / "sets")
    assert found.task == "multi-label-text-classification"
    assert [sample.values["labels"] for sample in read(tmp_path / "sets", found.layout)] == [["a", "b"], []]
    two = [task("a text", choice("good"), choice("long", control="size"))]
    found = recognise(put(tmp_path / "two", two, "x.json"))
    assert found.layout["control"] == "kind"
    assert any("several questions" in remark for remark in found.remarks)
    with pytest.raises(SourceError, match="several labels of one task"):
        read(tmp_path / "two", {**found.layout, "control": None})


def rectangle(**value: Any) -> dict[str, Any]:
    """The red square of `photo(1)`, in percent of 40x24."""
    place = {"x": 20.0, "y": 100 / 6, "width": 30.0, "height": 100 / 3, "rotation": 0, "rectanglelabels": ["square"]}
    return {"from_name": "box", "type": "rectanglelabels", "original_width": 40, "original_height": 24,
            "image_rotation": 0, "value": {**place, **value}}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["/data/upload/3/1a2b3c4d-a.jpg", "/data/local-files/?d=images/a.jpg", "https://host.invalid/x%20y/a.jpg", "a.jpg"],
)
def test_rectangles_in_percent_become_boxes(name: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(photo(1))
    (tmp_path / "images" / "b.jpg").write_bytes(photo(6))  # turned: 40x24 is its size as stored
    tasks = [task("", rectangle()), task("", rectangle())]
    tasks[0]["data"], tasks[1]["data"] = {"image": name}, {"image": "b.jpg"}
    put(tmp_path, tasks, "export.json")
    found = recognise(tmp_path)
    assert (found.layout["read"], found.task) == ("boxes", "object-detection")
    for sample in read(tmp_path, found.layout):
        assert is_red(sample.values["image"], {key: round(value) if key != "label" else value
                                               for key, value in sample.values["boxes"][0].items()})  # fmt: skip
    assert sample.id == "all/images/b.jpg"


def test_turned_rectangles_choices_of_images_and_what_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    # Turned by 90 degrees about its upper left corner at (20, 4): 8 pixels wide and 12 high before.
    turned = rectangle(x=50.0, width=20.0, height=50.0, rotation=90)
    tasks = [{**task("", turned, {"type": "brushlabels", "value": {}}), "data": {"image": "a.jpg"}}]
    layout = recognise(put(tmp_path, tasks, "export.json")).layout
    remarks = Remarks()
    (sample,) = read(tmp_path, layout, remarks)
    assert is_red(sample.values["image"], {key: round(value) if key != "label" else value
                                           for key, value in sample.values["boxes"][0].items()})  # fmt: skip
    assert {line.partition(" (")[0] for line in remarks.lines()} == {
        "1 rectangles are turned, and the upright box around each is taken",
        "1 results of the type brushlabels are left out",
    }
    tasks[0]["annotations"][0]["result"] = [rectangle() | {"original_width": 400}]
    with pytest.raises(SourceError, match="another size"):
        read(put(tmp_path, tasks, "export.json"), layout)
    tasks[0]["annotations"][0]["result"] = [choice("red")]
    found = recognise(put(tmp_path, tasks, "export.json"))
    assert found.task == "image-classification"
    assert read(tmp_path, found.layout)[0].values["label"] == "red"
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(SourceError, match="images were annotated, and they are not there"):
        recognise(tmp_path)
    with pytest.raises(SourceError, match="no such image") as caught:
        read(tmp_path, found.layout)
    assert str(caught.value.where).endswith("export.json entry 1")


@pytest.mark.parametrize(
    ("spans", "what"),
    [
        ([[0, 12, "PER"], [4, 12, "PER"]], "two spans overlap"),
        ([[0, 99, "PER"]], "a span outside its text"),
        ([[5, 5, "PER"]], "a span outside its text"),
        ([[-3, 4, "PER"]], "a span outside its text"),
        ([[0.5, 4, "PER"]], "offsets that are no whole numbers"),
        ([[0, 3, ""]], "a span without one label"),
        ([{"start": 0, "end": 3, "labels": ["A", "B"]}], "a span without one label"),
        ([{"start": 0, "end": 3, "label": "A", "text": "Rome"}], "not where its offsets are"),
        (["PER"], "an entry that is no span"),
        ("PER", "no list of spans"),
    ],
)
def test_spans_that_do_not_fit_are_refused_by_line(spans: Any, what: str, tmp_path: Path) -> None:
    put(tmp_path, [{"text": TEXT, "label": SPANS}, {"text": TEXT, "label": spans}])
    with pytest.raises(SourceError, match=what) as caught:
        read(tmp_path, {"kind": "spans", "files": {"": "export.jsonl"}})
    assert str(caught.value.where).endswith("export.jsonl line 2")


def test_spans_inside_words(tmp_path: Path) -> None:
    text = "A New-York-based US-China deal"
    spans = [[2, 10, "LOC"], [17, 19, "LOC"], [20, 25, "LOC"], [25, 26, "X"]]
    put(tmp_path, [{"text": text, "label": spans}, {"text": " ", "label": []}])
    remarks = Remarks()
    (sample,) = read(tmp_path, {"kind": "spans", "files": {"": "export.jsonl"}}, remarks)
    assert sample.values == {
        "tokens": ["A", "New-York-based", "US", "-", "China", "deal"],
        "tags": ["O", "B-LOC", "B-LOC", "O", "B-LOC", "O"],
    }
    said = " ".join(remarks.lines())
    for sentence in ("extended to the whole word", "cut where these meet", "without a word are left out"):
        assert sentence in said
