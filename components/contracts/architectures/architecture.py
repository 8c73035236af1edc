"""Base of all architecture specs: supported inputs and outputs, pretrained weights, transfer learning."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.core.strict import Strict

ANY_KIND = frozenset({"*"})
SAME_LOGITS = {"labels": "classes"}  # kinds of output whose logits are those of another kind
SHA256 = r"^[0-9a-f]{64}$"
PRETRAINED = (
    r"^(hub:[\w.-]+(/[\w.-]+)?(@[\w.-]+)?|registry:[A-Za-z0-9_-]+@[A-Za-z0-9_-]+|file:[^\s].*|package:[A-Za-z0-9_.-]+"
    r"|folder:[^\s].*)$"
)


class WholeTransfer(Strict):
    """All weights are trained at the same rate."""

    policy: Literal["none"] = "none"


class HeadTransfer(Strict):
    """Only the head is trained; all layers below are frozen, including running statistics and dropout."""

    policy: Literal["head"]


class GradualTransfer(Strict):
    """Gradual unfreezing: the head first, then one more block every `epochs_per_block` epochs, from the top down
    (Howard and Ruder 2018, arXiv:1801.06146, section 3.3)."""

    policy: Literal["gradual"]
    epochs_per_block: int = Field(default=1, ge=1)


class DecayTransfer(Strict):
    """Discriminative learning rates: every block has `factor` times the rate of the block above it, the head has the
    full rate (Howard and Ruder 2018, arXiv:1801.06146, section 3.2)."""

    policy: Literal["decay"]
    factor: float = Field(default=0.8, gt=0, le=1)


class LoraTransfer(Strict):
    """The head is trained, and a low-rank adapter beside each target layer (LoRA, Hu et al. 2021, arXiv:2106.09685).

    The adapters are merged into the weights at the end of training, so the plain architecture is exported.

    Args:
        rank: rank of the adapters.
        alpha: the adapters are scaled by alpha / rank.
        targets: names of linear layers, or ends of names; empty: every linear layer but the head.
    """

    policy: Literal["lora"]
    rank: int = Field(default=8, ge=1, le=1024)
    alpha: int = Field(default=16, ge=1)
    targets: list[str] = Field(default_factory=list)


TransferSpec = Annotated[
    WholeTransfer | HeadTransfer | GradualTransfer | DecayTransfer | LoraTransfer, Field(discriminator="policy")
]


class ArchitectureSpec(Strict):
    """Base of all specs.

    `module` is the module that defines `build(config, input_spec, output_spec) -> nn.Module`; its code is part of the
    training's fingerprint. `takes` and `gives` are the kinds of input and output spec (contracts/shapes.py) that the
    architecture supports; `ANY_KIND` supports every kind. `scaled_fields` are the widths that grow together if the
    network is scaled to another number of parameters (scaling.py); the values of `width_divisors` divide the first.

    Args:
        pretrained: initial weights: `hub:<name>[@<revision>]`, `registry:<model>@<alias>`, `file:<path>` (relative to
            the project), `folder:<path>` in Hugging Face's layout, or `package:<python package>`; null: random weights.
        pretrained_sha256: digest of the file of weights; required for `file:`, optional for the others.
        transfer: which of the weights are trained, and at which rate.
        head: for two classes: `sigmoid` has one logit, of the second class; `softmax` has one logit for each class.
    """

    module: ClassVar[str]
    takes: ClassVar[frozenset[str]]
    gives: ClassVar[frozenset[str]]
    scaled_fields: ClassVar[tuple[str, ...]] = ()
    width_divisors: ClassVar[tuple[str, ...]] = ()

    pretrained: str | None = Field(default=None, pattern=PRETRAINED)
    pretrained_sha256: str | None = Field(default=None, pattern=SHA256)
    transfer: TransferSpec = WholeTransfer()
    head: Literal["softmax", "sigmoid"] = Field(default="softmax", exclude_if=lambda head: head == "softmax")

    @classmethod
    def supports_input(cls, kind: str) -> bool:
        """Whether a network of this architecture takes inputs of this kind."""
        return cls.takes == ANY_KIND or kind in cls.takes

    @classmethod
    def supports_output(cls, kind: str) -> bool:
        """Whether a network of this architecture gives outputs of this kind."""
        return cls.gives == ANY_KIND or kind in cls.gives or SAME_LOGITS.get(kind) in cls.gives

    @model_validator(mode="after")
    def _pretrained_is_known(self) -> Self:
        if self.pretrained is None and (self.pretrained_sha256 or self.transfer.policy in ("head", "lora")):
            raise ValueError("pretrained_sha256, transfer head and transfer lora need pretrained weights")
        if self.pretrained is not None and self.pretrained.startswith("file:") and self.pretrained_sha256 is None:
            raise ValueError("a file of pretrained weights needs its sha256: give pretrained_sha256")
        return self
