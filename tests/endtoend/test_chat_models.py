"""A language model in the Hugging Face layout, fine-tuned on instructions by `modelyard run`, and asked by OpenAI's
client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import torch
import yaml

from components.identity import digest
from components.identity.package import Package
from components.registry import versions
from components.training import pretrained
from tests import chat_cases, hub_models
from tests.endtoend.releases import Releases
from tests.house import House

pytestmark = pytest.mark.slow

NAME, FOLDER = "small-chat", "models/small-qwen"
ASKED = "Translate to German: dog house"


def write(root: Path) -> None:
    """The model, its instructions, the dataset and the pipeline of the project."""
    place = hub_models.causal_lm(root / FOLDER, "qwen2")
    talks = chat_cases.conversations(60, np.random.default_rng(0))
    rows = [
        {"instruction": one["messages"][0]["content"], "output": f"{one['messages'][1]['content']} ({number})"}
        for number, one in enumerate(talks)
    ]
    data = root / "data" / NAME
    data.mkdir()
    (data / "instructions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    layout = {"kind": "instructions", "files": {"": "instructions.jsonl"}, "form": "instruction"}
    dataset = {
        "name": NAME, "task": "chat-completion", "title": "Words, translated",
        "source": {"kind": "folder", "path": f"data/{NAME}", "layout": layout},
        "split": {"test": 0.2, "validation": 0.2, "seed": 0},
        "input": {"tokenizer": {"kind": "pretrained", "source": f"folder:{FOLDER}"}, "max_length": 96, "packing": True},
    }  # fmt: skip
    (data / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    weights = f"{FOLDER}/model.safetensors"
    model = {
        "family": "transformer", "name": "causal-lm", "config": f"folder:{FOLDER}", "pretrained": f"file:{weights}",
        "pretrained_sha256": digest.of_file(place / "model.safetensors"), "transfer": {"policy": "lora", "rank": 4},
    }  # fmt: skip
    pipeline = {
        "name": NAME, "task": "chat-completion", "dataset": NAME, "model": model,
        "train": {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "threads": 1}, "gates": {"champion": None},
        "release": {"watch_seconds": 0.2, "grace_seconds": 1.0},
    }  # fmt: skip
    (root / "pipelines" / f"{NAME}.yaml").write_text(yaml.safe_dump(pipeline))


def expected(house: House, messages: list[dict[str, str]], tokens: int) -> str:
    """The greedy answer of transformers, with the weights of the registered version."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with house.api() as api:
        found = versions.by_number(api, NAME, "1")
    package = Package.open(Path(str(house.json("show", NAME, "1")["package"]["folder"]))) if not found else None
    network = AutoModelForCausalLM.from_pretrained(house.root / FOLDER).eval()
    assert package is not None
    pretrained.fit(network, pretrained.read(package.folder / "model.safetensors"), "package")
    tokenizer = AutoTokenizer.from_pretrained(house.root / FOLDER)
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        whole = network.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, do_sample=False
        )
    return str(tokenizer.decode(whole[0, prompt.shape[1] :], skip_special_tokens=True)).strip()
