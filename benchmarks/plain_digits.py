"""The whole of `modelyard run digits` as one plain script: what a person writes in an afternoon, to compare with.

Loads scikit-learn's digits, splits them, trains the pipeline's network for its epochs with torch's own optimizer,
schedule and data loading in memory, keeps the best epoch, evaluates on the test split, prints accuracy and seconds.
No validation of the data, checkpoints, export, registry or service.

    python -m benchmarks.plain_digits
"""

from __future__ import annotations

import time

BEGIN = time.perf_counter()  # imports are part of what a script costs

import copy  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.metrics import accuracy_score, f1_score  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from torch.nn import functional  # noqa: E402

from components.contracts.pipeline import PipelineSpec  # noqa: E402
from components.contracts.shapes import ClassesOutput, ImageInput  # noqa: E402
from components.core.located_yaml import read  # noqa: E402
from components.models.build import build  # noqa: E402
from components.training.augmentation.images import augment  # noqa: E402


def main() -> None:
    """Run and print one line."""
    spec = read(Path(__file__).parents[1] / "pipelines" / "digits.yaml", PipelineSpec)
    torch.set_num_threads(spec.train.threads or len(os.sched_getaffinity(0)))
    images, labels, held, held_labels, test, test_labels = splits()
    network, _ = learn(spec, images, labels, held, held_labels)
    with torch.inference_mode():
        answers = network(torch.from_numpy(test)).argmax(dim=1).numpy()
    result = {
        "benchmark": "plain_digits",
        "accuracy": round(float(accuracy_score(test_labels, answers)), 4),
        "macro_f1": round(float(f1_score(test_labels, answers, average="macro")), 4),
        "seconds": round(time.perf_counter() - BEGIN, 2),
    }
    print(json.dumps(result))


def splits() -> tuple[Any, ...]:
    """Images (N, 8, 8, 1) of bytes and labels (N,) for training, validation and test."""
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    rest, test, rest_labels, test_labels = train_test_split(
        pixels, digits.target, test_size=0.2, stratify=digits.target, random_state=0
    )
    images, held, labels, held_labels = train_test_split(
        rest, rest_labels, test_size=0.1, stratify=rest_labels, random_state=0
    )
    return images, labels, held, held_labels, test, test_labels


def learn(spec: PipelineSpec, images: Any, labels: Any, held: Any, held_labels: Any) -> tuple[Any, float]:
    """Train the pipeline's network in memory; the network, and its accuracy on the validation split."""
    train = spec.train
    assert (train.optimizer, train.schedule) == ("adamw", "onecycle"), "this script does what digits.yaml says"
    torch.manual_seed(train.seed)
    mean, std = float((images / 255).mean()), float((images / 255).std())
    given = ImageInput(height=8, width=8, channels=1, mean=[mean], std=[std])
    network = build(spec.model, given, ClassesOutput(classes=10))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub knows it not
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay, fused=True
    )
    batches = math.ceil(len(images) / train.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=train.learning_rate, total_steps=train.epochs * batches
    )
    generator = torch.Generator().manual_seed(train.seed)
    pictures, truth = torch.from_numpy(images), torch.from_numpy(labels)
    best, kept = -1.0, copy.deepcopy(network.state_dict())
    for _ in range(train.epochs):
        network.train()
        order = torch.randperm(len(truth))
        for begin in range(0, len(truth), train.batch_size):
            index = order[begin : begin + train.batch_size]
            batch = augment(pictures[index], train.augment, generator)
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(batch), truth[index], label_smoothing=train.label_smoothing)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.inference_mode():
            score = float((network(torch.from_numpy(held)).argmax(dim=1).numpy() == held_labels).mean())
        if train.keep == "last" or score >= best:
            best, kept = score, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    network.eval()
    return network, best


if __name__ == "__main__":
    main()
