"""Language models of the hub, fine-tuned on conversations: their packages answer as transformers' `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from components.core.errors import UsageError
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.packaging import model_export
from components.tasks.text_generation import TextGenerationParameters
from components.training import pretrained
from tests import chat_cases, hub_generators

pytestmark = pytest.mark.slow

TALKS = [
    [{"role": "user", "content": "Translate to German: cat dog"}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Grüße, 你好 🙂?"}],
    [
        {"role": "user", "content": "Translate to German: a river"},
        {"role": "assistant", "content": "fluss"},
        {"role": "user", "content": "and a tree"},
    ],
]
TOKENS = 24


def tune(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> tuple[Path, Path]:
    """A small model of the hub, and the run that fine-tuned it."""
    place = hub_generators.causal_lm(folder / "mirror" / f"tiny-{kind}", kind)
    monkeypatch.setenv("MODELYARD_MIRROR", str(folder / "mirror"))
    settings = {"tokenizer": {"kind": "pretrained", "source": f"hub:tiny-{kind}"}, "max_length": 128, "packing": True}
    model = {"name": "causal-lm", "pretrained": f"hub:tiny-{kind}", **more}
    return place, chat_cases.train(folder, settings, model)


def theirs(place: Path, package: Path) -> Any:
    """The model of transformers with the weights of a package."""
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(place).eval()
    weights = pretrained.read(package / "model.safetensors")
    fit = pretrained.fit(network, weights, "package")
    assert not fit.left
    assert not fit.new
    network.tie_weights()
    return network


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])  # the logits of all: tests/models/test_causal_lm.py
def test_greedy_answers_are_those_of_generate_token_for_token(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    transfer = {"transfer": {"policy": "lora", "rank": 4}} if kind != "qwen3" else {}
    place, run = tune(tmp_path, kind, monkeypatch, **transfer)
    predictor = Predictor(Package.open(run / "package"))
    network, tokenizer = theirs(place, run / "package"), AutoTokenizer.from_pretrained(place)
    answers = predictor.predict(TALKS, TextGenerationParameters(max_tokens=TOKENS))
    samples = predictor.read(TALKS)
    for talk, sample, answer in zip(TALKS, samples, answers, strict=True):
        prompt = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        assert sample["tokens"].tolist() == prompt[0].tolist()
        with torch.inference_mode():
            whole = network.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=TOKENS, do_sample=False
            )
        expected = whole[0, prompt.shape[1] :].tolist()
        ends = set(predictor.processor.special_tokens().ends)
        stopped = "end" if expected[-1] in ends else "length"
        known = [token for token in expected if token not in ends]
        assert (answer["tokens"], answer["stopped"]) == (len(known), stopped)
        assert answer["text"] == tokenizer.decode(known, skip_special_tokens=True).strip()
        *parts, last = predictor.stream(sample, TextGenerationParameters(max_tokens=TOKENS)) or ()
        assert (last.prediction or {})["text"] == answer["text"] == "".join(part.text for part in (*parts, last))
    if kind == "llama":
        exported_model_is_the_same(run / "package", tmp_path / "exported", network)
    rows = chat_cases.history(run)
    assert rows[-1]["validation/loss"] < rows[0]["validation/loss"] or len(rows) == 1


def exported_model_is_the_same(package: Path, target: Path, network: Any) -> None:
    """transformers loads the exported folder: the same weights, and the chat template."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model_export.export(Package.open(package), "huggingface", target)
    exported = AutoModelForCausalLM.from_pretrained(target).state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(exported[name], value, atol=0, rtol=0)
    words = AutoTokenizer.from_pretrained(target).apply_chat_template(TALKS[0], tokenize=False)
    assert words == f"<|im_start|>user\n{TALKS[0][0]['content']}<|im_end|>\n"


def test_tokens_that_are_not_those_of_the_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_generators.causal_lm(tmp_path / "mirror" / "tiny", "gpt2")
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path / "mirror"))
    settings = {"tokenizer": {"kind": "bpe", "vocabulary": 300}, "max_length": 64}
    with pytest.raises(UsageError, match="not those of the pretrained weights"):
        chat_cases.train(tmp_path, settings, {"name": "causal-lm", "pretrained": "hub:tiny"})


def test_a_network_of_ours_learns_conversations_with_a_tokenizer_of_its_own(tmp_path: Path) -> None:
    settings = {"tokenizer": {"kind": "bpe", "vocabulary": 300}, "max_length": 128}
    model = {"name": "decoder", "depth": 1, "width": 16, "heads": 2}
    predictor = Predictor(Package.open(chat_cases.train(tmp_path, settings, model, epochs=1) / "package"))
    talks = [TALKS[0], "Translate to German: cat dog"]  # a text is one message of the user
    first, second = predictor.predict(talks, TextGenerationParameters(max_tokens=4))
    assert first == second
