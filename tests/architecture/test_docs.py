"""What docs/architecture.md, docs/releases.md and docs/glossary.md say of the code is what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from components.release.decision import Step
from components.release.ledger import Event
from flows.platform import connections
from flows.releases import controller
from flows.runners.stage_runner import StageRunner
from flows.serving_targets.local_target import LocalServingTarget
from flows.serving_targets.serving_target import ServingTarget

ROOT = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def layers(container: str) -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = (contract["layers"] for contract in contracts if contract.get("containers") == [container])
    return list(found)


def diagram(title: str) -> str:
    """The Mermaid diagram under a heading."""
    section = page("architecture.md").partition(f"## {title}\n")[2]
    return section.partition("```mermaid\n")[2].partition("```")[0]


def test_the_diagram_of_the_rooms_is_the_layers_in_order() -> None:
    text = diagram("The rooms")
    components = text.partition("subgraph components")[2]
    labels = dict(re.findall(r'(\w+)\["([^"]+)"\]', components))
    chain = re.findall(r"\b\w+\b", re.sub(r'\["[^"]+"\]', "", components.partition("\n")[2].partition("end")[0]))
    names = [labels.get(name, name) for name in dict.fromkeys(chain)]
    assert names == layers("components")
    for layer in layers("flows"):
        for room in layer.split(" | "):
            assert re.search(rf"\b{room}\b", text.partition("subgraph serving_")[0]), room
            assert (ROOT / "flows" / room / "__init__.py").exists()


def test_the_diagram_of_the_controller_has_every_step() -> None:
    steps = {found.replace("_", " ") for found in re.findall(r"decide --> (\w+)", diagram("The controller"))}
    assert steps == set(get_args(Step))
    table = page("releases.md").partition("| step | when |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)) == set(get_args(Step))


@pytest.mark.parametrize("seam", [StageRunner, ServingTarget])
def test_seams_are_protocols_with_the_adapters_that_the_page_names(seam: Any) -> None:
    assert getattr(seam, "_is_protocol", False)
    row = next(line for line in page("architecture.md").splitlines() if line.startswith(f"| `{seam.__name__}`"))
    module = Path(re.findall(r"`(flows/[\w/]+\.py)`", row)[0])
    assert f"class {seam.__name__}(" in (ROOT / module).read_text()
    adapter = re.findall(r"\| `(\w+)`:", row)[-1]
    found = [path for path in (ROOT / "flows").rglob("*.py") if f"class {adapter}" in path.read_text()]
    assert found, adapter


def test_the_local_target_has_what_the_protocol_asks_for() -> None:
    asked = [name for name in vars(ServingTarget) if not name.startswith("_")]
    assert [name for name in asked if not hasattr(LocalServingTarget, name) and name != "name"] == []
    assert connections.client
    assert controller.decide


def test_the_table_of_a_release_has_every_step_that_is_recorded_on_the_way_in() -> None:
    table = page("releases.md").partition("| step | what | on the way out |")[2].partition("\n\n")[0]
    steps = re.findall(r"^\| ([a-z]+) \|", table, re.MULTILINE)
    assert set(steps) <= set(get_args(Event))
    assert [step for step in get_args(Event) if step in steps] == [
        "asked", "verified", "bundled", "gated", "approved", "staged", "proven", "switching", "switched", "served",
    ]  # fmt: skip


def test_the_glossary_is_sorted_and_names_each_term_once() -> None:
    terms = [line.split("|")[1].strip() for line in page("glossary.md").splitlines() if line.startswith("| ")][1:]
    assert terms == sorted(terms, key=str.lower)
    assert len(terms) == len(set(terms))
    assert {"champion", "pin", "fingerprint", "stage runner", "serving target", "connections"} <= set(terms)
