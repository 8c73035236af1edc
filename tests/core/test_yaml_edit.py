"""Values of a YAML text are set, and nothing else of it changes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.core import yaml_edit

TEXT = """\
# head
name: one   # a name
model: {family: cnn, name: kim,
        windows: [3, 4, 5]}  # two lines
train:
  epochs: 6      # many
  # between
  learning_rate: 1.0e-3

# of the source
source:
    files:
      - name: a
split: {}
"""


@pytest.mark.parametrize(
    ("values", "gone", "new"),
    [
        ({"train.epochs": 9}, ["  epochs: 6      # many"], ["  epochs: 9      # many"]),
        ({"name": "off"}, ["name: one   # a name"], ["name: 'off'   # a name"]),
        ({"model.windows": [3]}, ["        windows: [3, 4, 5]}  # two lines"], ["        windows: [3]}  # two lines"]),
        (
            {"model.dropout": 0.5},
            ["        windows: [3, 4, 5]}  # two lines"],
            ["        windows: [3, 4, 5], dropout: 0.5}  # two lines"],
        ),
        ({"train.seed": 1e-05}, [], ["  seed: 1.0e-05"]),
        ({"split.test.share": 0.2}, ["split: {}"], ["split: {test: {share: 0.2}}"]),
        ({"tune.trials": 3}, [], ["tune: {trials: 3}"]),
        (
            {"train": {"epochs": 1, "schedule": "off"}},
            ["train:", "  epochs: 6      # many", "  # between", "  learning_rate: 1.0e-3"],
            ["train: {epochs: 1, schedule: 'off'}"],
        ),
        ({"name.first": 1}, ["name: one   # a name"], ["name: {first: 1}   # a name"]),
    ],
)
def test_only_the_lines_of_the_key_change(values: dict[str, Any], gone: list[str], new: list[str]) -> None:
    text = yaml_edit.set_values(TEXT, values)
    before, after = TEXT.splitlines(), text.splitlines()
    assert [line for line in before if line not in after] == gone
    assert [line for line in after if line not in before] == new
    expected = yaml.safe_load(TEXT)
    for key, value in values.items():
        *parents, last = key.split(".")
        mapping = expected
        for name in parents:
            if not isinstance(mapping.get(name), dict):
                mapping[name] = {}
            mapping = mapping[name]
        mapping[last] = value
    assert yaml.safe_load(text) == expected


def test_a_document_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ValueError, match="no mapping"):
        yaml_edit.set_values("- a\n", {"a": 1})
