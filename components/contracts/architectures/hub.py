"""Networks that are transformers' own classes, with the config of a pretrained model."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class HubEncoderSpec(ArchitectureSpec):
    """An encoder of transformers with its own head, for one class of a text, or one class of each token.

    The network is the type's class of AutoModelForSequenceClassification or AutoModelForTokenClassification, with the
    sizes, attention masks, positions, pooling and dropout of its config.json. The dataset needs the model's own
    tokenizer: `input: {tokenizer: {kind: pretrained, source: ...}}`.

    Args:
        config: source of the config.json: `hub:<name>`, `folder:<path>`, or `package:<python package>`. Null: that of
            `pretrained`. Without `pretrained` the weights are random.
        dropout: dropout rate of all layers that have one; null: the rates of the config.json.
    """

    module: ClassVar[str] = "components.models.hub_encoder"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "token-classes", "value"})

    family: Literal["transformer"]
    name: Literal["hub-encoder"]
    config: str | None = Field(default=None, pattern=r"^(package|folder|hub):\S.*$")
    dropout: float | None = Field(default=None, ge=0, lt=1)

    @property
    def config_source(self) -> str:
        """Source of the config.json."""
        return self.config or str(self.pretrained)

    @model_validator(mode="after")
    def _config_is_known(self) -> Self:
        if self.config is None and not str(self.pretrained).startswith(("hub:", "folder:", "package:")):
            raise ValueError("give pretrained: hub:<name>, folder:<path> or package:<name>, or the source of a config:")
        return self
