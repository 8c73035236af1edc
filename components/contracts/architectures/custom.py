"""A network from a function outside this package."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ANY_KIND, ArchitectureSpec


class CustomSpec(ArchitectureSpec):
    """Any `nn.Module`, including Keras 3 models on the torch backend, built by a function that the pipeline names.

    Args:
        factory: `package.module:function`, called as `function(input_spec, output_spec, **options)`; it returns a
            module whose forward is as components/models/__init__.py says.
        options: further keyword arguments of the function.
    """

    module: ClassVar[str] = "components.models.custom"
    takes: ClassVar[frozenset[str]] = ANY_KIND
    gives: ClassVar[frozenset[str]] = ANY_KIND

    family: Literal["custom"]
    name: Literal["custom"] = "custom"
    factory: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _head_is_its_own(self) -> Self:
        if self.head != "softmax":
            raise ValueError("a custom network has its own last layer: leave head out")
        return self
