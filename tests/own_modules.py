"""Modules as somebody's own would be, around an encoder."""

from __future__ import annotations

from torch import Tensor, nn

from pretext.encoder import Encoder


class Dictionary(nn.Module):
    """Gives an encoder's maps as a module of somebody's own would."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.inner = encoder

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = self.inner(rgb).maps
        return maps


class Listed(Dictionary):
    def forward(self, rgb: Tensor) -> list[Tensor]:  # type: ignore[override]
        return list(super().forward(rgb).values())


class Vector(Dictionary):
    def forward(self, rgb: Tensor) -> Tensor:  # type: ignore[override]
        return self.inner.vector(rgb)
