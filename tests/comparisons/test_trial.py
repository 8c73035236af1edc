"""Candidates of a trial, the choice among them, and what of the pipeline file changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from components import tasks
from components.contracts.comparison import ComparisonTable, Quality, Row
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.tasks import compatibility
from flows.cli.duration import Duration
from flows.comparisons import pipeline_file, trial

FILE = """\
# Drafted by hand: keep me.
name: flowers
task: text-classification
dataset: flowers
model: {family: cnn, name: kim}  # small
train: {epochs: 12, batch_size: 32, learning_rate: 0.001, seed: 7}
# the floor of last year
gates: {accuracy: {min: 0.5}}
schedule: {cron: "0 3 * * *"}
"""


def row(name: str, value: float, parameters: int, half: float = 0.02) -> Row:
    return Row(
        name=name, family="cnn", architecture=name, package="p", parameters=parameters, epochs=3, kept_epoch=2,
        training_seconds=1.0, samples_per_second=10.0, bundle_bytes=None, latency_ms=1.0, serves_bytes=4,
        quality=Quality(value=value, lower=value - half, upper=value + half),
    )  # fmt: skip


def table(*rows: Row, **changed: Any) -> ComparisonTable:
    facts: dict[str, Any] = {
        "title": "t", "dataset": "d", "task": "text-classification", "budget": "30 s of training", "metric": "accuracy",
        "words": "w", "higher_is_better": True, "interval": "i", "samples": 120, "rows": list(rows), "failed": {},
    }  # fmt: skip
    return ComparisonTable(**{**facts, **changed})


def test_the_best_is_the_highest_the_lowest_where_lower_is_better_and_the_smaller_of_equals() -> None:
    rows = (row("a", 0.8, 50), row("b", 0.9, 70), row("c", 0.9, 60))
    assert trial.best(table(*rows)).name == "c"
    assert trial.best(table(*rows, higher_is_better=False)).name == "a"


def test_what_the_interval_does_not_tell_apart_is_named() -> None:
    rows = (row("a", 0.90, 1), row("b", 0.89, 1), row("c", 0.80, 1))
    assert trial.rivals(table(*rows), rows[0]) == ["b"]


def test_only_model_train_and_the_table_change_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "flowers.yaml"
    path.write_text(FILE)
    spec = located_yaml.read(path, PipelineSpec)
    chosen = {"model": {"family": "rnn", "name": "gru", "bidirectional": True}, "train": {"epochs": 5, "seed": 7}}
    winner = PipelineSpec.model_validate({**spec.model_dump(exclude_unset=True), **chosen})
    first, second = row("rnn gru", 0.91, 10), row("cnn kim", 0.8, 20)
    for _ in range(2):  # a second trial's table replaces the first one's
        pipeline_file.write(path, winner, trial.comment(table(first, second), first))
    text = path.read_text()
    assert located_yaml.read(path, PipelineSpec) == winner
    assert text.count("# Tried by") == text.count("<- best") == 1
    assert "accuracy on 120 samples of validation" in text.splitlines()[0]
    assert "rnn gru  0.9100 [0.8900, 0.9300]  3 epochs  10 parameters  <- best" in text
    for line in ("# Drafted by hand: keep me.", "# the floor of last year", "gates: {accuracy: {min: 0.5}}"):
        assert line in text.splitlines()
    assert 'schedule: {cron: "0 3 * * *"}' in text


def test_a_text_that_yaml_would_take_for_a_boolean_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "flowers.yaml"
    path.write_text(FILE)
    spec = located_yaml.read(path, PipelineSpec)
    chosen = {"train": {"epochs": 5, "compile": "off", "augment": {"flip": True}}}
    winner = PipelineSpec.model_validate({**spec.model_dump(exclude_unset=True), **chosen})
    own = row("cnn kim", 0.9, 1)
    pipeline_file.write(path, winner, trial.comment(table(own), own))
    assert located_yaml.read(path, PipelineSpec) == winner


def test_the_own_model_that_wins_leaves_its_lines_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "flowers.yaml"
    path.write_text(FILE)
    own = row("cnn kim", 0.9, 1)
    pipeline_file.write(path, located_yaml.read(path, PipelineSpec), trial.comment(table(own), own))
    assert path.read_text().endswith(FILE)


@pytest.mark.parametrize("name", tasks.MODULES)
def test_every_candidate_of_a_task_fits_it(name: str) -> None:
    task = tasks.find(name)
    drafted = task.draft_candidates(700, {"height": 32, "width": 32, "channels": 3, "max_length": 32})
    names = [candidate["model"]["name"] for candidate in drafted]
    assert len(names) == len(set(names)) > 0
    for candidate in drafted:
        spec = PipelineSpec.model_validate({"name": "x", "task": name, "dataset": "x", **candidate})
        assert compatibility.problems(spec, task) == []


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("1.5h", 5400)])
def test_a_length_of_time(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["0", "-1m", "2 minutes", "", "inf"])
def test_no_length_of_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a length of time"):
        Duration().convert(text, None, None)


DATASETS = Path(__file__).resolve().parents[2] / "data"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in DATASETS.glob("*/dataset.yaml")))
def test_setting_a_key_changes_no_other_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_text((DATASETS / name / "dataset.yaml").read_text())
    before = path.read_text().splitlines()
    pipeline_file.set_keys(path, {"input.new_key": 16})
    after = path.read_text().splitlines()
    gone, new = set(before) - set(after), [line for line in after if line not in before]
    assert (len(gone) <= 1, len(new)) == (True, 1)
    assert "new_key: 16" in new[0]
