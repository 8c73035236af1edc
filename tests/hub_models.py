"""Small models in Hugging Face's layout, as transformers saves them: random weights, tokenizers of a few lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LINES = [
    "The film is good, not bad at all.",
    "Ärger über naïve cafés in ÉCOLES and Zürich",
    "a great great movie, 123 times; don't miss it!",
    "what a waste of time: dull and slow",
] * 3
ODD = [
    "The film", "ÄRGER naïve cafe\u0301", "☃ \u200b 日本語 x", "a [MASK] b [SEP] <mask> </s>", "", " ",
    "tab\tand\nline", "don't\u00a0stop 1234567", "great " * 40, "ﬁﬂ Ⅷ \uff10\uff11\uff12",
    "\u202eright to left\u202c", "🙂👩\u200d👩\u200d👧",
]  # fmt: skip
WORDPIECE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 48, "initializer_range": 0.3,
}  # fmt: skip
DEBERTA: dict[str, Any] = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
V3 = {
    **DEBERTA, "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True,
    "position_biased_input": False, "type_vocab_size": 0,
}  # fmt: skip
# The kinds of encoder, their sizes and the tokenizer that such a model has.
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "bert": (SIZES, "wordpiece"),
    "roberta": (SIZES, "bytes"),
    "xlm-roberta": (SIZES, "unigram"),
    "camembert": (SIZES, "unigram"),
    "distilbert": (
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 48,
         "initializer_range": 0.3},
        "wordpiece",
    ),
    "deberta": (SIZES | DEBERTA, "bytes"),
    "deberta-v2": (SIZES | V3, "unigram"),
    "modernbert": (SIZES | {"local_attention": 4, "global_attn_every_n_layers": 2}, "bytes"),
    "electra": (SIZES, "wordpiece"),
    "albert": (SIZES | {"embedding_size": 16}, "unigram"),
    "mpnet": (SIZES, "wordpiece"),
}  # fmt: skip


def tokenizer(kind: str, lines: Sequence[str] = LINES, size: int = 120) -> Any:
    """A tokenizer of transformers, trained on a few lines: WordPiece, byte-level BPE, or Unigram."""
    if kind == "wordpiece":
        # Not trained: trainers break ties by chance, and with it the network's rounding errors differ from run to run.
        text = normalizers.BertNormalizer(lowercase=True).normalize_str(" ".join(lines))
        words = re.findall(r"\w+|[^\w\s]", text)
        letters = sorted(set("".join(words)))
        common = [word for word, _ in sorted(Counter(words).items(), key=lambda one: (-one[1], one[0]))]
        beginnings = sorted({word[:length] for word in words for length in (2, 3)})
        parts = [*letters, *(f"##{letter}" for letter in letters), *common, *beginnings]
        pieces = dict.fromkeys([*WORDPIECE, *parts])
        return transformers.BertTokenizer(
            vocab={piece: number for number, piece in enumerate([*pieces][:size])}, do_lower_case=True
        )
    if kind == "bytes":
        inner = Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=200 + size, special_tokens=ROBERTA, show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        inner.train_from_iterator(lines, trainer)
        state = json.loads(inner.to_str())["model"]
        return transformers.RobertaTokenizer(
            vocab=state["vocab"], merges=[tuple(one) for one in state["merges"]], add_prefix_space=False
        )
    inner = Tokenizer(models.Unigram())
    inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=ROBERTA, unk_token=ROBERTA[3], show_progress=False
    )
    inner.train_from_iterator(lines, trainer)
    template = [("<s>", inner.token_to_id("<s>")), ("</s>", inner.token_to_id("</s>"))]
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=template)
    names = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>", "cls": "<s>", "sep": "</s>"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, **{f"{name}_token": token for name, token in names.items()}
    )


def config(kind: str, words: Any, **settings: Any) -> Any:
    """transformers' config of a kind for a tokenizer."""
    sizes = {**KINDS[kind][0], **settings, "vocab_size": len(words), "pad_token_id": words.pad_token_id}
    ends = {"bos_token_id": words.cls_token_id, "eos_token_id": words.sep_token_id}
    if kind == "modernbert":
        sizes |= {"cls_token_id": words.cls_token_id, "sep_token_id": words.sep_token_id}
    return transformers.AutoConfig.for_model(kind, **sizes, **ends)


def save(
    folder: Path, kind: str = "bert", *, shard: str = "1GB", auto: Any = transformers.AutoModelForMaskedLM,
    words: Any = None, **settings: Any,
) -> Path:  # fmt: skip
    """A model with its tokenizer, as `save_pretrained` writes both.

    Args:
        shard: largest size of a file of weights.
        auto: transformers' class of the head that the weights have.
        words: the tokenizer; None: one of a few lines.
    """
    words = words or tokenizer(KINDS[kind][1])
    torch.manual_seed(0)
    auto.from_config(config(kind, words, **settings)).save_pretrained(folder, max_shard_size=shard)
    words.save_pretrained(folder)
    return folder
