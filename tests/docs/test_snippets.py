"""Every snippet of the documentation is what the code takes: commands are parsed by the real commands, not run."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from components.contracts.dataset import DatasetSpec
from components.contracts.pipeline import PipelineSpec
from components.contracts.settings import Settings
from components.core import errors, located_yaml
from components.core.errors import ModelyardError
from flows.cli import error_pages
from flows.cli.shell import modelyard
from tests.docs.snippets import ROOT, CommandLine, Snippet, commands, of_pages

# Programs beside ours that pages name; the commands of `make` are looked up in the Makefile.
OTHER_PROGRAMS = {".", "git", "prefect", "tensorboard"}
LANGUAGES = {"console", "yaml", "toml", "json", "python", "mermaid", "sh", "text", "apache"}  # run by tests.oidc_proxy


def parse(words: list[str]) -> None:
    """Let click parse a command line of ours; nothing is run."""
    group = click.Context(modelyard, info_name="modelyard")
    if words[:1] == ["--help"]:
        return
    name, command, rest = modelyard.resolve_command(group, list(words))
    assert command is not None
    assert name is not None
    if rest == ["--help"]:
        return
    if isinstance(command, click.Group) and rest:
        inner, *rest = rest
        assert inner in command.commands
        name, command = f"{name} {inner}", command.commands[inner]
    command.make_context(name, list(rest), parent=group)


def test_pages_have_commands_and_no_fence_of_an_unknown_language() -> None:
    assert len(commands()) > 80
    assert {snippet.language for snippet in of_pages()} <= LANGUAGES


@pytest.mark.parametrize("line", commands(), ids=lambda line: f"{line.where} {' '.join(line.words)}"[:90])
def test_a_command_line_is_one_that_the_command_takes(line: CommandLine) -> None:
    program, *words = line.words
    if program == "modelyard":
        parse(words)
    elif program == "make":
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words if "=" not in word} <= targets, line.where
    else:
        assert program in OTHER_PROGRAMS, line.where


@pytest.mark.parametrize(
    "words", [["runn", "digits"], ["run", "digits", "--nosuch"], ["deploy", "digits", "--target", "x"]]
)
def test_a_wrong_command_line_is_seen(words: list[str]) -> None:
    with pytest.raises(click.ClickException):
        parse(words)


def check_yaml(text: str, tmp_path: Path) -> None:
    """A whole pipeline or dataset file, or some of its sections in the place of those of `digits`."""
    document: dict[str, Any] = yaml.safe_load(text)
    is_dataset = "source" in document or document.keys() <= {"input", "split", "source"}
    base = ROOT / ("data/digits/dataset.yaml" if is_dataset else "pipelines/digits.yaml")
    spec = DatasetSpec if is_dataset else PipelineSpec
    if "name" not in document:
        document = {**yaml.safe_load(base.read_text()), **document}
    path = tmp_path / "snippet.yaml"
    path.write_text(yaml.safe_dump(document))
    located_yaml.read(path, spec)


def of_language(language: str) -> list[Snippet]:
    return [snippet for snippet in of_pages() if snippet.language == language]


@pytest.mark.parametrize("snippet", of_language("yaml"), ids=lambda snippet: snippet.where)
def test_yaml_meets_the_contract(snippet: Snippet, tmp_path: Path) -> None:
    check_yaml(snippet.text, tmp_path)


@pytest.mark.parametrize("text", ["gates: {accuracy: {minn: 1}}", "trainn: {epochs: 1}", "source: {kind: nosuch}"])
def test_yaml_that_does_not_meet_it_is_seen(text: str, tmp_path: Path) -> None:
    with pytest.raises(ModelyardError):
        check_yaml(text, tmp_path)


@pytest.mark.parametrize(
    "snippet", [*of_language("toml"), *of_language("json"), *of_language("python")], ids=lambda s: s.where
)
def test_other_snippets_are_read_by_what_they_are_for(snippet: Snippet) -> None:
    if snippet.language == "toml":
        try:
            TypeAdapter(Settings).validate_python(tomllib.loads(snippet.text))
        except ValidationError as error:
            pytest.fail(f"{snippet.where}: {error}")
    elif snippet.language == "json":
        json.loads(snippet.text)
    else:
        compile(snippet.text, snippet.where, "exec")


def test_errors_name_pages_that_are_there_and_pages_name_errors_that_are_there() -> None:
    for name, page in error_pages.PAGES.items():
        assert issubclass(getattr(errors, name), ModelyardError)
        assert (ROOT / "docs" / page).is_file()
    assert error_pages.page(errors.ValidationRefused("x")) == "docs/datasets.md"
    missing = errors.SourceError("the model cannot be fetched", where="model.pretrained, hub:openai/whisper-tiny")
    assert error_pages.page(missing) == "docs/models.md"
    assert error_pages.page(errors.UnsafeArchiveError("x")) == "docs/datasets.md"
    assert error_pages.page(errors.BundleError("x")) == "docs/bundles.md"  # no tool that builds images, say
    assert error_pages.page(errors.Interrupted("x")) is None
