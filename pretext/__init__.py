"""Makes encoders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pretext.encoder import Encoder

__all__ = ["load"]


def load(path: str | Path) -> Encoder:
    """Open a saved encoder by its folder, its JSON or its safetensors file; see `pretext.encoder.load`."""
    # Imported here so that `import pretext.color` needs neither torchvision nor safetensors.
    from pretext.encoder import load as load_encoder

    return load_encoder(path)
