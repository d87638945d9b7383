"""Vision Transformers of released checkpoints: timm's, with what DINOv2 and CLIP add to a plain one."""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.layers.create_act import get_act_layer
from timm.layers.mlp import SwiGLUPacked
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import VisionTransformer

from pretext.backbones.timm_levels import TimmLevels


class TimmVit(TimmLevels):
    """A Vision Transformer with LayerScale, registers (arXiv:2309.16588), gates, or without a class token.

    Stages are every quarter of the blocks, as in `TimmWhole`; the last map and the class token are behind the
    final norm, registers are never read. Position embeddings are resampled to other images' grids.

    Args:
        in_channels: channels of the input map.
        image_size: side in pixels of the images that position embeddings are made for.
        patch_size: side of a patch. width: of a token. depth: number of blocks. heads: of the attention.
        hidden: width inside of a block's MLP; of one of its halves where it is `gated`.
        registers: tokens beside the class token. class_token: whether there is one.
        class_position: whether the class token has a position embedding of its own.
        layer_scale: whether each branch is scaled by channel (arXiv:2103.17239).
        gated: SwiGLU (arXiv:2002.05202) instead of GELU. quick_gelu: x · σ(1.702 x), as in OpenAI's CLIP.
        pre_norm: a norm before the blocks, and no bias of the patch projection, as in CLIP.
        epsilon: of the norms.
        every: blocks a stage.

    Raises:
        ValueError: sizes that do not divide.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        patch_size: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        registers: int = 0,
        class_token: bool = True,
        class_position: bool = True,
        layer_scale: bool = False,
        gated: bool = False,
        quick_gelu: bool = False,
        pre_norm: bool = False,
        epsilon: float = 1e-6,
        every: int | None = None,
    ) -> None:
        for name, whole, part in (
            ("image_size by patch_size", image_size, patch_size), ("width by heads", width, heads),
        ):  # fmt: skip
            if part < 1 or whole < 1 or whole % part:
                raise ValueError(f"TimmVit needs {name} to divide, got {whole} by {part}")
        more: dict[str, Any] = {"mlp_layer": SwiGLUPacked} if gated else {}
        network = VisionTransformer(
            img_size=image_size, patch_size=patch_size, in_chans=in_channels, num_classes=0, embed_dim=width,
            depth=depth, num_heads=heads, mlp_ratio=(hidden * (2 if gated else 1) + 0.5) / width,
            reg_tokens=registers, class_token=class_token, no_embed_class=not class_position,
            pre_norm=pre_norm, init_values=1e-5 if layer_scale else None,
            global_pool="token" if class_token else "avg", fc_norm=False, dynamic_img_size=True,
            norm_layer=partial(LayerNorm, eps=epsilon),
            act_layer=get_act_layer("quick_gelu" if quick_gelu else "gelu"), **more,
        )  # fmt: skip
        given: dict[str, object] = {
            "image_size": image_size, "patch_size": patch_size, "width": width, "depth": depth,
            "heads": heads, "hidden": hidden,
        }  # fmt: skip
        kinds: dict[str, tuple[object, object]] = {
            "registers": (registers, 0), "class_token": (class_token, True),
            "class_position": (class_position, True), "layer_scale": (layer_scale, False),
            "gated": (gated, False), "quick_gelu": (quick_gelu, False), "pre_norm": (pre_norm, False),
            "epsilon": (epsilon, 1e-6),
        }  # fmt: skip
        given |= {name: value for name, (value, default) in kinds.items() if value != default}
        super().__init__(in_channels, network, "a Vision Transformer", every, given)
        self._side = image_size

    @property
    def own_size(self) -> tuple[int, int]:
        """(H, W) of the images that its position embeddings are made for."""
        return self._side, self._side
