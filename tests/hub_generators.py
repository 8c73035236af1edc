"""Small models in the Hugging Face layout, as transformers' own `save_pretrained` writes them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LINES = [
    "Translate to German: a dog runs over the green field.",
    "What is the capital of France? Paris is the capital of France.",
    "Two men sit on a bench, and a child plays with a red ball.",
    "Translate to German: cat dog house river tree bird; katze hund haus fluss baum vogel. Be kind. user assistant",
    "Ein Hund läuft über die grüne Wiese. Zwei Männer sitzen auf einer Bank.",
]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 160},
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2, "sliding_window": None},
    "qwen2": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 8, "tie_word_embeddings": True},
}
ROTARY = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 160,
}  # fmt: skip


def tokenizer(*special: str, begin: str | None = None, vocabulary: int = 400) -> Tokenizer:
    """A byte-level BPE tokenizer, as GPT-2, Llama 3 and Qwen have.

    Args:
        special: the special tokens.
        begin: the special token that is put before every text, as Llama's tokenizer does.
    """
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner.train_from_iterator(
        LINES * 3, trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=list(special), initial_alphabet=alphabet)
    )
    if begin is not None:
        number = inner.token_to_id(begin)
        inner.post_processor = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, number)])
    return inner


def causal_lm(folder: Path, kind: str, *, template: str | None = CHATML, scale: float = 12.0) -> Path:
    """A language model with random weights, its tokenizer and its chat template.

    Args:
        kind: model_type, a key of `SIZES`.
        scale: factor of the random matrices: of small weights, greedy answers repeat one token.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    begins = "<|begin|>" if kind == "llama" else None
    inner = tokenizer("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin|>", begin=begins)
    ids = {token: inner.token_to_id(token) for token in ("<|endoftext|>", "<|im_end|>", "<|begin|>")}
    size = inner.get_vocab_size() + 24  # rows beyond the tokenizer, as the models of the hub have
    sizes = SIZES[kind] if kind == "gpt2" else ROTARY | SIZES[kind]
    config = AutoConfig.for_model(
        kind, vocab_size=size, bos_token_id=ids["<|begin|>"], eos_token_id=ids["<|im_end|>"],
        pad_token_id=ids["<|endoftext|>"], **sizes,
    )  # fmt: skip
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.mul_(scale)
        output = network.get_output_embeddings().weight
        output[inner.get_vocab_size() :] = 0  # never trained, so never the likeliest
    network.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    network.save_pretrained(folder)
    roles = {"bos_token": "<|begin|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=template, **roles).save_pretrained(folder)
    return folder


TRANSLATORS: dict[str, dict[str, Any]] = {
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
    "marian": {
        "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64,
        "scale_embedding": True,
    },
}  # fmt: skip


def sentencepiece_pair(folder: Path, source: list[str], target: list[str], *, separate: bool = False) -> None:
    """Marian's own files: two sentencepiece models, and a vocabulary in an order of its own.

    Args:
        source, target: the texts that the models are trained on.
        separate: whether targets have a vocabulary of their own.
    """
    import sentencepiece

    pieces: list[list[str]] = []
    for name, lines in (("source.spm", source), ("target.spm", target)):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, vocab_size=200, hard_vocab_limit=False, minloglevel=2,
        )  # fmt: skip
        (folder / name).write_bytes(model.getvalue())
        loaded = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        pieces.append([loaded.id_to_piece(number) for number in range(3, loaded.vocab_size())])
    files = (
        {"vocab.json": pieces[0], "target_vocab.json": pieces[1]}
        if separate
        else {"vocab.json": [*pieces[0], *pieces[1]]}
    )
    for name, known in files.items():
        # As of Marian: end and unknown token first, the padding last; some pieces of the models are not in it.
        # Of two vocabularies, the padding has one number: transformers looks for it in the first alone.
        words = [*sorted(set(known))[5:], ">>de<<"]
        tokens = ["</s>", "<unk>", *(["<pad>", *words] if separate else [*words, "<pad>"])]
        (folder / name).write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    settings = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "de"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "separate_vocabs": separate}))


def translator(folder: Path, kind: str, *, scale: float = 3.0, **config: Any) -> Path:
    """An encoder and a decoder with random weights, and a tokenizer that ends every text, as T5's does.

    Args:
        kind: model_type, a key of `TRANSLATORS`.
        scale: factor of the random matrices.
    """
    from transformers import AutoConfig, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

    inner = tokenizer("<pad>", "</s>", "<unk>")
    end = inner.token_to_id("</s>")
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    hf_config = AutoConfig.for_model(
        kind, vocab_size=inner.get_vocab_size(), pad_token_id=0, eos_token_id=end, bos_token_id=None,
        decoder_start_token_id=0, forced_eos_token_id=None, **{**TRANSLATORS[kind], **config},
    )  # fmt: skip
    torch.manual_seed(0)
    network = AutoModelForSeq2SeqLM.from_config(hf_config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 2 and "embed_positions" not in name:
                parameter.mul_(scale if "relative" not in name else 20)
        if kind == "marian":
            network.final_logits_bias.normal_()
            network.final_logits_bias[:, 0] = -1e4  # as in all of them: no padding in a translation
        else:
            network.get_output_embeddings().weight[0] = 0
    network.save_pretrained(folder)
    roles = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=inner, **roles).save_pretrained(folder)
    return folder
