"""The tokens of a pretrained speech recogniser, and what transformers' `generate` knows: how texts begin and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from components.core.errors import CorruptArtifactError, UsageError
from components.identity import hub_folder
from components.preprocessing import speech_features
from components.preprocessing.pretrained_tokenizer import PretrainedTokenizer
from components.preprocessing.speech_features import SpeechTask, WhisperFeatures
from components.preprocessing.text import Tokenizer

PROCESSOR = "preprocessor_config.json"


class SpeechTokenizer(NamedTuple):
    """Tokenizer and features of a recogniser.

    Args:
        prompt: tokens that every text begins with.
        end: the token that ends a text.
        never: tokens that a text never has; `never_first`: that it does not begin with, after the prompt.
    """

    tokenizer: Tokenizer
    features: WhisperFeatures
    prompt: list[int]
    end: int
    never: list[int]
    never_first: list[int]


def read(source: str, language: str | None, task: SpeechTask | None) -> SpeechTokenizer:
    """The tokenizer and the features of Whisper weights.

    The prompt is that of transformers' `generate(language=..., task=...)` without time stamps.

    Raises:
        NotFoundError, SourceError: there is no such model.
        UsageError: it is no Whisper model, the language is missing or unknown, or has no tokenizer.
        CorruptArtifactError: a file cannot be read.
    """
    folder = hub_folder.find(source, weights=False)
    config = folder.document(hub_folder.CONFIG)
    kind = config.get("model_type")
    if kind != "whisper":
        raise UsageError(
            "this kind of model writes no text of a sound",
            where=f"input.tokenizer.source, {source}",
            got=f"model_type {kind}",
            expected="whisper",
            next_step="name the weights that the network starts from",
        )
    found = {key: value for key, value in config.items() if value is not None}
    if folder.file("generation_config.json"):
        found |= {key: value for key, value in folder.document("generation_config.json").items() if value is not None}
    ends = found.get("eos_token_id")
    end = ends[0] if isinstance(ends, list) else ends
    if not isinstance(end, int) or not isinstance(found.get("decoder_start_token_id"), int):
        got = {name: found.get(name) for name in ("decoder_start_token_id", "eos_token_id")}
        raise CorruptArtifactError("the config does not say how texts begin and end", where=source, got=got)
    return SpeechTokenizer(
        PretrainedTokenizer.load(source),
        speech_features.of_whisper(folder.document(PROCESSOR)),
        _prompt(found, source, language, task),
        end,
        list(found.get("suppress_tokens") or []),
        list(found.get("begin_suppress_tokens") or []),
    )


def _prompt(found: Mapping[str, Any], source: str, language: str | None, task: SpeechTask | None) -> list[int]:
    """The tokens before a text, as `generate` has them: start, language and task, no time stamps."""
    prompt = [int(found["decoder_start_token_id"])]
    languages: Mapping[str, int] = found.get("lang_to_id") or {}
    if languages:
        name = f"<|{language}|>"
        if language is None or name not in languages:
            known = sorted(one.strip("<|>") for one in languages)
            raise UsageError(
                "the model knows several languages" if language is None else "the model does not know this language",
                where="input.language",
                got=language,
                expected=", ".join(known),
                next_step="set input.language of dataset.yaml to the language that is spoken",
            )
        prompt += [int(languages[name]), int(found["task_to_id"][task or "transcribe"])]
    elif language is not None or task is not None:
        raise UsageError(
            "the model knows one language and no task: it takes neither",
            where="input.language" if language is not None else "input.task",
            got=language if language is not None else task,
            next_step=f"leave it out of dataset.yaml, or name weights of several languages in place of {source}",
        )
    else:
        for place, (position, token) in enumerate(found.get("forced_decoder_ids") or [], 1):
            if position == place and token is not None:
                prompt.append(int(token))
    stamps = found.get("no_timestamps_token_id")
    return [*prompt, int(stamps)] if stamps is not None and prompt[-1] != stamps else prompt
