"""What two versions of a dataset differ in."""

from __future__ import annotations

import json

from components.inspection.difference import SampleChange, SampleState, of_samples


def state(identity: str, content: str = "", label: str = "a", split: str = "train", size: int = 10) -> SampleState:
    return SampleState(identity, content or f"content of {identity}", label, split, size)


def test_each_kind_of_change_is_told_from_the_others() -> None:
    before = [
        state(name) for name in ("same", "gone", "relabelled", "moved", "replaced", "old name", "copy 1", "copy 2")
    ]
    before[-1] = before[-1]._replace(digest=before[-2].digest)
    after = [
        state("same"),
        state("relabelled", label="b"),
        state("moved", split="test"),
        state("replaced", "another content", size=30),
        state("new name", "content of old name"),
        state("copy 1"),
        state("added", split=""),
    ]
    found = of_samples("old", before, "new", after)
    assert found.added == ["added"]
    assert found.gone == ["gone", "copy 2"]
    assert found.replaced == ["replaced"]
    assert found.relabelled == [SampleChange("relabelled", "a", "b")]
    assert found.moved == [SampleChange("moved", "train", "test")]
    assert found.renamed == [SampleChange("new name", "old name", "new name")]
    assert found.labels == {"a": (8, 6), "b": (0, 1)}
    assert found.splits == {"": (0, 1), "test": (0, 1), "train": (8, 5)}
    assert found.totals == (8, 7)
    assert found.sizes[0] == [10, 10, 10]
    document = json.loads(found.to_json())
    assert document["moved"] == [{"id": "moved", "before": "train", "after": "test"}]
    assert not found.is_empty
    assert of_samples("x", before, "y", before[::-1]).is_empty
