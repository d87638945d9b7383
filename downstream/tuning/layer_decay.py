"""Learning rates that fall towards the image, layer by layer, as transformers are fine-tuned."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, final

from torch import nn

from downstream.tuning.finetuning import EpochRecipe
from pretext.encoder import Encoder

BASE_BATCH = 256
"""The batch that the learning rate is for."""

POSITIONS = ("cls_token", "pos_embed")
"""Parameters of several axes that are not decayed."""


@final
@dataclass(frozen=True, kw_only=True)
class LayerDecayRecipe(EpochRecipe):
    """A recipe by epochs whose learning rate is multiplied by `layer_decay` with every layer below the head.

    A transformer's layers are its embedding and its blocks, as in BEiT (arXiv:2106.08254) and MAE
    (arXiv:2111.06377); another network's are its stages. What is in none (a final norm) goes with the head.
    `lr` is for batches of 256 and scaled to the batch. Class token and position embeddings are spared weight
    decay as biases and norms are.

    Args:
        layer_decay: factor in (0, 1].
    """

    layer_decay: float = 0.65

    def _ranges(self) -> dict[str, bool]:
        return {**super()._ranges(), "layer_decay": 0 < self.layer_decay <= 1}

    def groups(self, model: nn.Module, encoder: Encoder | None) -> list[dict[str, Any]]:
        """Parameters that move, by layer and weight decay."""
        layers = [] if encoder is None else encoder.backbone.layers()
        depth = {id(p): i for i, layer in enumerate(layers) for m in layer for p in m.parameters()}
        inside = set() if encoder is None else {id(p) for p in encoder.parameters()}
        found: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
        peak = self.lr * self.batch_size / BASE_BATCH
        for name, p in model.named_parameters():
            if p.requires_grad:
                below = len(layers) - depth.get(id(p), len(layers))
                part = self.backbone_lr if id(p) in inside else 1.0
                spared = p.ndim < 2 or name.endswith(POSITIONS)
                decay = 0.0 if spared else self.weight_decay
                found[peak * part * self.layer_decay**below, decay].append(p)
        return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in found.items()]
