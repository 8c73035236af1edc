"""When a draft of texts begins with the pretrained encoder."""

from __future__ import annotations

import pytest

from components.tasks import find, pretrained_text
from components.tasks.task_defaults import SourceProfile

ENGLISH = [f"The {colour} film was acted well, but it's {length} minutes too long!" for colour in ("red", "blue")
           for length in range(20)]  # fmt: skip
MESSAGES = [
    "Ok lar... Joking wif u only",
    "I will call you later, ok? Luv u",
    "Free entry to win cup tickets!",
] * 9
GERMAN = [f"Der Film war gut gespielt, allerdings {length} Minuten zu lang geraten." for length in range(20)]


class Texts(SourceProfile):
    """A profile of texts."""

    def __init__(self, texts: list[str], samples: int) -> None:
        self.texts, self.samples = texts, samples

    def numbers(self, column: str) -> list[float]:
        return [float(len(text.split())) for text in self.texts]


@pytest.mark.parametrize(
    ("texts", "samples", "chosen"),
    [
        (ENGLISH, 5_000, True),
        (MESSAGES, 4_000, True),
        (GERMAN, 5_000, False),
        (["今天的电影很好看, 就是太长了。"] * 20, 5_000, False),
        (ENGLISH, 100_000, False),  # hours on a CPU
        ([" ".join(ENGLISH * 2)] * 20, 200, False),  # longer than its training knew
        ([], 10, False),
    ],
    ids=["english", "messages", "german", "chinese", "many", "long", "none"],
)
def test_english_texts_that_are_trained_in_minutes_begin_with_it(texts: list[str], samples: int, chosen: bool) -> None:
    task = find("text-classification")
    settings = task.draft_settings(Texts(texts or [""], samples), {})
    assert pretrained_text.is_chosen(settings) is chosen
    assert (task.draft_model(samples, settings)["name"] == "bert") is chosen
    assert (task.draft_training(samples, settings)["learning_rate"] == 1e-4) is chosen
    assert bool(task.draft_notes(Texts(texts, samples), settings)) is chosen
    assert task.draft_candidates(samples, settings)[0]["model"] == task.draft_model(samples, settings)


def test_epochs_are_as_many_as_the_time_allows() -> None:
    settings = {"tokenizer": pretrained_text.TOKENIZER, "max_length": 64}
    assert [pretrained_text.epochs(samples, settings) for samples in (500, 6_920, 12_000, 30_000)] == [4, 3, 2, 0]
