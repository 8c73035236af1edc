"""Diffusion networks."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class UNetSpec(ArchitectureSpec):
    """The U-Net of DDPM (Ho et al. 2020, arXiv:2006.11239), conditioned on the step and the class.

    The class number after the last class is the empty class, for classifier-free guidance (Ho and Salimans 2022,
    arXiv:2207.12598).

    Args:
        width: channels of the first level.
        multipliers: channels of each level, as multiples of the width; each level but the first has half the size.
        blocks: residual blocks of each level.
        attention: levels with self-attention, counted from 0; the middle always has it.
        heads: of the attention; they divide the channels of those levels.
        groups: groups of the group normalisation; they divide the width.
        dropout: dropout rate inside the blocks.
    """

    module: ClassVar[str] = "components.models.unet"
    takes: ClassVar[frozenset[str]] = frozenset({"noise"})
    gives: ClassVar[frozenset[str]] = frozenset({"noise"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width",)
    width_divisors: ClassVar[tuple[str, ...]] = ("groups", "heads")

    family: Literal["diffusion"]
    name: Literal["unet"]
    width: int = Field(default=32, ge=4, le=1024)
    multipliers: list[int] = Field(default=[1, 2, 2], min_length=1, max_length=8)
    blocks: int = Field(default=1, ge=1, le=8)
    attention: list[int] = Field(default=[], max_length=8)
    heads: int = Field(default=4, ge=1, le=64)
    groups: int = Field(default=8, ge=1, le=64)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if min(self.multipliers) < 1:
            raise ValueError("multipliers are at least 1")
        if self.width % self.groups:
            raise ValueError(f"{self.groups} groups do not divide a width of {self.width}")
        levels = [*self.attention, len(self.multipliers) - 1]
        if not all(0 <= level < len(self.multipliers) for level in levels):
            raise ValueError(f"attention names levels from 0 to {len(self.multipliers) - 1}")
        for channels in (self.width * self.multipliers[level] for level in levels):
            if channels % self.heads:
                raise ValueError(f"{self.heads} heads do not divide the {channels} channels of a level")
        return self
