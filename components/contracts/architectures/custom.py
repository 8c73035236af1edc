"""A network of anyone's."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from components.contracts.architectures.architecture import ArchitectureSpec


class CustomSpec(ArchitectureSpec):
    """Any `nn.Module`, Keras 3 models on the torch backend included, made by a function of one's own or of a package.

    Args:
        factory: `package.module:function`, called as `function(given, wanted, **options)` (contracts/shapes.py); it
            gives a module whose forward takes and gives what components/models/__init__.py says.
        options: what else the function takes.
    """

    module: ClassVar[str] = "components.models.custom"
    takes: ClassVar[frozenset[str]] = frozenset({"image", "tokens", "series", "noise"})
    gives: ClassVar[frozenset[str]] = frozenset(
        {"classes", "token-classes", "forecast", "next-token", "text", "boxes", "noise"}
    )

    family: Literal["custom"]
    name: Literal["custom"] = "custom"
    factory: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    options: dict[str, Any] = Field(default_factory=dict)
