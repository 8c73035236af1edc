"""Blocks of whole texts: every token but the first of the split is a target exactly once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.contracts.array_spec import ArraySpec
from components.training.packing import PackedSplit
from tests.evaluation.stub_package import stored

SPEC = ArraySpec(name="text_tokens", type="int32", shape=(), layout="ragged", pad=7)


@pytest.mark.parametrize("block", [2, 5, 16, 1000])
@pytest.mark.parametrize("sizes", [(3, 1, 12), (9,), (2, 2, 2, 2, 2, 7)])
def test_every_token_is_a_target_once(tmp_path: Path, sizes: tuple[int, ...], block: int) -> None:
    stream = np.arange(100, 100 + sum(sizes))
    texts = np.split(stream, np.cumsum(sizes)[:-1])
    split = stored(tmp_path / "train", [SPEC], [{"text_tokens": text} for text in texts])
    packed = PackedSplit(split, "text_tokens", "tokens", block)
    assert (packed.texts, packed.tokens) == (len(sizes), sum(sizes))
    batch = packed.batch(np.arange(len(packed))[::-1])
    assert batch["tokens"].dtype == np.int64
    assert set(packed.specs[0].model_dump()) == set(SPEC.model_dump())
    targets, lengths = [], batch["tokens_lengths"].tolist()
    for row, length in zip(batch["tokens"][::-1], lengths[::-1], strict=True):
        assert (row[length:] == 7).all()
        assert (np.diff(row[:length]) == 1).all()
        targets += row[1:length].tolist()
    assert targets == stream[1:].tolist()
    assert lengths[::-1] == packed.lengths("tokens").tolist()
    assert all(length == block for length in lengths[1:])
    assert packed.sample(0)["tokens"].tolist() == stream[:block].tolist()
