"""Networks with fewer and more parameters, of every architecture."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from components.contracts.architectures.scaling import obstacle, scaled
from components.contracts.model_spec import ModelSpec

_MODEL: TypeAdapter[Any] = TypeAdapter(ModelSpec)
SPECS = get_args(get_args(ModelSpec)[0])

FROM_CONFIG = ("hub-encoder", "causal-lm", "seq2seq-lm", "detr", "wav2vec2", "whisper")  # a config.json gives the sizes


@pytest.mark.parametrize("kind", SPECS, ids=lambda kind: kind.__name__)
def test_every_architecture_is_scaled_or_says_why_not(kind: Any) -> None:
    fields = kind.model_fields
    settings = {name: get_args(fields[name].annotation)[0] for name in ("family", "name")}
    if settings["name"] == "custom":
        settings["factory"] = "a:b"
    if settings["name"] in FROM_CONFIG:
        settings["config"] = "hub:x"
    spec = _MODEL.validate_python(settings)
    smaller, larger = scaled(spec, 0.5), scaled(spec, 2.0)
    if settings["name"] in ("custom", "dlinear", *FROM_CONFIG):
        assert smaller is larger is None
        assert obstacle(spec)
    elif settings["name"] == "vgg":  # the paper's widths are the largest
        assert smaller is not None
        assert smaller.divide == 2
        assert larger is None
    else:
        assert obstacle(spec) is None
        assert smaller is not None
        assert larger is not None
        for name in spec.scaled_fields:
            if (width := getattr(spec, name)) is not None and not isinstance(width, list):
                assert getattr(smaller, name) < width < getattr(larger, name)
        assert _MODEL.validate_python(larger.model_dump(mode="json")) == larger


def test_what_has_one_size() -> None:
    bert = {"family": "transformer", "name": "bert"}
    assert obstacle(_MODEL.validate_python(bert)) is None
    own = _MODEL.validate_python({**bert, "config": "package:weights"})
    assert obstacle(own) == "package:weights gives the sizes"
    learnt = _MODEL.validate_python({**bert, "pretrained": "hub:some/weights"})
    assert obstacle(learnt) == "pretrained weights have one size"
    assert scaled(learnt, 2) is None
