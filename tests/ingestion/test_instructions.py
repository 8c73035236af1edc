"""Instructions, prompts and messages become texts by a stated template; what is dropped is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.contracts.annotation_layout import InstructionLayout
from components.core.errors import SourceError
from components.drafting.draft_options import DraftOptions
from components.drafting.recognise import recognise
from components.ingestion.remarks import Remarks
from tests.ingestion.test_annotation_json import put
from tests.ingestion.test_detection import read

TURNS = [
    {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"},
    {"role": "tool", "content": "42"}, {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
]  # fmt: skip
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "alpaca": (
        {"instruction": "Add {input}", "input": "1 2", "output": "3"},
        "### Instruction:\nAdd {input}\n\n### Input:\n1 2\n\n### Response:\n3",
    ),
    "without input": (
        {"instruction": "Sing", "output": "la"}, "### Instruction:\nSing\n\n### Response:\nla",
    ),
    "dolly": (
        {"instruction": "Sing", "context": "", "response": "la", "category": "open_qa"},
        "### Instruction:\nSing\n\n### Response:\nla",
    ),
    "prompt": ({"prompt": "Once", "completion": " upon"}, "Once upon"),
    "question": ({"question": "Who?", "answer": "Me"}, "Who?\nMe"),
    "messages": ({"messages": TURNS}, "<|system|>\nBe kind.\n<|user|>\nHi\n<|assistant|>\nHello\n"),
    "sharegpt": (
        {"id": "x", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        "<|user|>\nHi\n<|assistant|>\nHello\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("file", ["data.jsonl", "data.json"])
def test_objects_become_texts(name: str, file: str, tmp_path: Path) -> None:
    document, text = CASES[name]
    put(tmp_path, [document, document], file)
    found = recognise(tmp_path)
    assert found.task == "text-generation"
    remarks = Remarks()
    samples = read(tmp_path, found.layout, remarks)
    assert [(sample.id, sample.values["text"]) for sample in samples] == [("all/000000", text), ("all/000001", text)]
    assert any("the texts are made by the template" in remark for remark in found.remarks)
    assert any("category is left out" in remark for remark in found.remarks) == (name == "dolly")
    assert any(line.startswith("2 messages of the role tool") for line in remarks.lines()) == (name == "messages")


def test_what_is_dropped_is_counted_and_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    documents: list[dict[str, Any]] = [
        {"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": " "}, {"prompt": "", "completion": "b"},
    ]  # fmt: skip
    put(tmp_path, documents)
    layout = recognise(tmp_path).layout
    remarks = Remarks()
    assert [sample.id for sample in read(tmp_path, layout, remarks)] == ["all/000000"]
    assert [line.partition(" (")[0] for line in remarks.lines()] == [
        "1 samples with an empty completion are left out", "1 samples with an empty prompt are left out",
    ]  # fmt: skip
    put(tmp_path, [*documents, {"prompt": 3, "completion": "b"}])
    with pytest.raises(SourceError, match="no text") as caught:
        read(tmp_path, layout)
    assert str(caught.value.where).endswith("line 4")
    talks = [
        {"messages": TURNS[:2]}, {"messages": TURNS[2:3]},
        {"messages": [*TURNS, {"role": "assistant", "content": None, "tool_calls": []}]},
    ]  # fmt: skip
    put(tmp_path, talks)
    remarks = Remarks()
    assert [sample.id for sample in read(tmp_path, recognise(tmp_path).layout, remarks)] == ["all/000002"]
    assert {line.partition(" (")[0] for line in remarks.lines()} == {
        "2 messages of the role tool are left out", "2 conversations without an answer are left out",
        "1 messages without text are left out",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"form": "prompt", "template": "{prompt}"}, "lacks {completion}"),
        ({"form": "messages", "template": "{role}{content}"}, "names the roles"),
        ({"form": "prompt", "template": "{prompt}{completion}", "keys": {"output": "x"}}, "prompt has no output"),
    ],
)
def test_templates_that_leave_out_a_part_are_refused(keys: dict[str, Any], what: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=what):
        read(tmp_path, {"kind": "instructions", "files": {"": "a.jsonl"}, **keys})


def test_prompts_with_a_label_are_texts_with_a_label(tmp_path: Path) -> None:
    rows = [{"prompt": f"a fine prompt {i}", "response": "an answer", "label": "ab"[i % 2]} for i in range(40)]
    put(tmp_path, rows)
    assert recognise(tmp_path).task == "text-classification"


def test_texts_of_a_conversation_stay_together(tmp_path: Path) -> None:
    documents: list[dict[str, Any]] = [
        {"prompt": f"Who is {row}?", "completion": f"Me {row}", "conversation_id": row // 3, "id": row}
        for row in range(12)
    ]
    put(tmp_path, documents, "data.jsonl")
    found = recognise(tmp_path)
    assert found.layout["group"] == "conversation_id"
    assert found.task == "text-generation"
    assert "texts of equal conversation_id are kept in one split" in found.remarks
    assert not any("key conversation_id is left out" in remark for remark in found.remarks)
    assert [sample.values["group"] for sample in read(tmp_path, found.layout, Remarks())] == [
        str(row // 3) for row in range(12)
    ]
    put(tmp_path, [*documents, {"prompt": "a", "completion": "b"}], "data.jsonl")
    with pytest.raises(SourceError, match="no group"):
        read(tmp_path, found.layout, Remarks())
    put(tmp_path, [{**one, "conversation_id": row} for row, one in enumerate(documents)], "data.jsonl")
    alone = recognise(tmp_path)
    assert "group" not in alone.layout  # all different
    assert "group" not in InstructionLayout.model_validate(alone.layout).model_dump()
    rows = "".join(f"a text of number {row},talk {row // 4}\n" for row in range(40))
    (tmp_path / "t.csv").write_text("text,session_id\n" + rows)
    table = recognise(tmp_path / "t.csv", DraftOptions(fields=frozenset({"text"})))
    assert (table.layout["label"], table.layout["group"]) == (None, "session_id")


@pytest.mark.parametrize("name", ["alpaca", "without input", "prompt", "messages", "sharegpt"])
def test_without_a_template_objects_become_conversations(name: str, tmp_path: Path) -> None:
    document, _ = CASES[name]
    put(tmp_path, [document, document])
    found = recognise(tmp_path, DraftOptions(fields=frozenset({"messages"})))
    assert found.task == "chat-completion"
    assert found.layout["kind"] == "instructions"
    assert not any(key.startswith("template") for key in found.layout)
    expected = {
        "alpaca": [("user", "Add {input}\n\n1 2"), ("assistant", "3")],
        "without input": [("user", "Sing"), ("assistant", "la")],
        "prompt": [("user", "Once"), ("assistant", " upon")],
        "messages": [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello")],
        "sharegpt": [("user", "Hi"), ("assistant", "Hello")],
    }[name]
    samples = read(tmp_path, found.layout)
    messages = [{"role": role, "content": content} for role, content in expected]
    assert [sample.values for sample in samples] == [{"messages": messages}] * 2
    assert any("answers are learnt" in remark for remark in found.remarks)
