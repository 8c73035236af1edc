"""Small recognisers of speech in the Hugging Face layout, as transformers' own `save_pretrained` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPECIAL = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>",
)  # fmt: skip
SIZES: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_mel_bins": 16,
}  # fmt: skip


def whisper(
    folder: Path, *, languages: bool = True, seconds: int = 2, scale: float = 4.0, texts: tuple[str, ...] = DIGITS
) -> Path:
    """Whisper with random weights, its tokenizer and its feature extractor.

    Args:
        languages: whether it knows several languages, as all but the `.en` weights do.
        seconds: length of its window; that of real weights is 30.
        scale: factor of the random matrices: of small weights, greedy texts repeat one token.
    """
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner.train_from_iterator([*texts] * 3, trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet))
    merges_file = folder / "bpe"
    merges_file.mkdir(parents=True)
    inner.model.save(str(merges_file))
    lines = (merges_file / "merges.txt").read_text().splitlines()
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines if not line.startswith("#"))]
    for path in merges_file.iterdir():
        path.unlink()
    merges_file.rmdir()
    tokenizer = WhisperTokenizer(vocab=inner.get_vocab(), merges=merges, additional_special_tokens=list(SPECIAL[1:]))
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    config = WhisperConfig(
        vocab_size=len(tokenizer), max_source_positions=50 * seconds, max_target_positions=48,
        decoder_start_token_id=ids["<|startoftranscript|>"], eos_token_id=ids["<|endoftext|>"],
        pad_token_id=ids["<|endoftext|>"], bos_token_id=ids["<|endoftext|>"], **SIZES,
    )  # fmt: skip
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim >= 2 and "embed" not in name:
                parameter.mul_(scale * (4 if "encoder_attn" in name else 1))  # texts depend on the sound
    generation = network.generation_config
    generation.max_length, generation.return_timestamps = 48, False
    generation.suppress_tokens = sorted(ids[token] for token in SPECIAL[1:])
    generation.begin_suppress_tokens = [tokenizer.convert_tokens_to_ids("Ġ"), ids["<|endoftext|>"]]
    generation.no_timestamps_token_id = ids["<|notimestamps|>"]
    if languages:
        generation.lang_to_id = {"<|en|>": ids["<|en|>"], "<|de|>": ids["<|de|>"]}
        generation.task_to_id = {name: ids[f"<|{name}|>"] for name in ("transcribe", "translate")}
        generation.is_multilingual = True
    generation._from_model_config = False  # else transformers makes it of the config again
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16, chunk_length=seconds).save_pretrained(folder)
    return folder
