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
from components.training import pretrained
from tests import chat_cases, hub_generators
from tests.endtoend.releases import Releases
from tests.house import House

pytestmark = pytest.mark.slow

NAME, FOLDER = "small-chat", "models/small-qwen"
ASKED = "Translate to German: dog house"


def write(house: House) -> None:
    """The model and its instructions in the project, and a drafted dataset and pipeline, changed to take the model."""
    place = hub_generators.causal_lm(house.root / FOLDER, "qwen2")
    talks = chat_cases.conversations(60, np.random.default_rng(0))
    rows = [
        {"instruction": one["messages"][0]["content"], "output": f"{one['messages'][1]['content']} ({number})"}
        for number, one in enumerate(talks)
    ]
    source = house.root / "instructions"
    source.mkdir()
    (source / "instructions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    house.run("new", NAME, "--from", str(source), "--task", "chat-completion")
    data = house.root / "data" / NAME / "dataset.yaml"
    dataset = yaml.safe_load(data.read_text())
    own = {"kind": "pretrained", "source": f"folder:{FOLDER}"}
    data.write_text(yaml.safe_dump({**dataset, "input": {"tokenizer": own, "max_length": 96, "packing": True}}))
    weights = f"{FOLDER}/model.safetensors"
    model = {
        "family": "transformer", "name": "causal-lm", "config": f"folder:{FOLDER}", "pretrained": f"file:{weights}",
        "pretrained_sha256": digest.of_file(place / "model.safetensors"), "transfer": {"policy": "lora", "rank": 4},
    }  # fmt: skip
    path = house.project.pipeline_file(NAME)
    pipeline = {
        **yaml.safe_load(path.read_text()), "model": model, "gates": {"champion": None},
        "train": {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "threads": 1},
        "release": {"watch_seconds": 0.2, "grace_seconds": 1.0},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(pipeline))


def expected(root: Path, package: Path, messages: list[Any], tokens: int) -> str:
    """The greedy answer of transformers, with the weights of a package."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(root / FOLDER).eval()
    pretrained.fit(network, pretrained.read(package / "model.safetensors"), "package")
    tokenizer = AutoTokenizer.from_pretrained(root / FOLDER)
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        whole = network.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, do_sample=False)
    return str(tokenizer.decode(whole[0, prompt.shape[1] :], skip_special_tokens=True)).strip()


def test_a_model_of_the_hub_is_fine_tuned_and_answers_openais_client(house: House) -> None:
    write(house)
    house.run("run", NAME, timeout=900)
    house.run("promote", NAME, "1", timeout=600)
    folders = [path.parent for path in house.project.state.glob("packages/*/model.safetensors")]
    (package,) = [folder for folder in folders if Package.open(folder).facts.pipeline == NAME]
    messages: list[Any] = [{"role": "user", "content": "Translate to German: dog house"}]
    asked: dict[str, Any] = {"model": NAME, "messages": messages, "temperature": 0, "max_tokens": 20}
    with openai.OpenAI(base_url=f"{Releases(house).service(NAME).url}/v1", api_key="unused", max_retries=0) as client:
        answer = client.chat.completions.create(**asked).choices[0].message.content
        parts = client.chat.completions.create(**asked, stream=True)
        assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices).strip() == answer
        with pytest.raises(openai.NotFoundError, match="chat/completions"):
            client.completions.create(model=NAME, prompt="dog")
    assert answer == expected(house.root, package, messages, 20)
