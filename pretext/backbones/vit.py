"""Vision Transformer (Dosovitskiy et al. 2020, arXiv:2010.11929) from timm's blocks, by stage."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import cast

import torch
from timm.layers.drop import DropPath
from timm.layers.norm import LayerNorm
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.weight_init import trunc_normal_
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.backbones.base import CLASS_TOKEN, Features, Stage, TokenBackbone, Tokens
from pretext.backbones.positions import sincos_positions

EMBED = "embed"
"""The first stage: patches, their positions and the class token."""


class VisionTransformer(TokenBackbone):
    """Patches, a class token, and blocks of attention, by default ViT-S/16: 12 of width 384 with 6 heads.

    Stages are `embed` and every `every`-th block (block3, block6, block9, block12), all of stride
    `patch_size`; their maps are the patches' tokens, in the last one behind the final LayerNorm. The class
    token behind it is the vector `cls`; it is not in the maps, so that a pass cannot begin at a later stage.
    Images of any size are padded with zeros at the right and the bottom to whole patches, and the learned
    position embeddings are resampled to their grid (bicubic, as timm does). Initial weights are normal
    with deviation 0.02, truncated, as in timm, or Xavier's.

    Args:
        in_channels: channels of the input map.
        image_size: side in pixels of the images that position embeddings are made for: 224, or 64.
        patch_size: side of a patch: 16, or 8 for images of 64 pixels.
        width: of a token. depth: number of blocks. heads: of the attention.
        every: blocks a stage.
        drop_path: of stochastic depth in training, in [0, 1); see `set_drop_path`.
        fixed_positions: sines and cosines instead of learned position embeddings (MAE), which also stay as
            they are when all of the network is fine-tuned; zero for the class token.
        xavier: initial weights uniform as Xavier's (Glorot & Bengio 2010), those of the patches' projection
            as of a linear layer, as in MAE's release; sines and cosines drown the patches of a narrow network
            that starts otherwise.

    Raises:
        ValueError: sizes that do not divide, or a probability out of range.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int = 224,
        patch_size: int = 16,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        every: int = 3,
        drop_path: float = 0.0,
        fixed_positions: bool = False,
        xavier: bool = False,
    ) -> None:
        for name, whole, part in (
            ("image_size by patch_size", image_size, patch_size),
            ("width by heads", width, heads),
            ("depth by every", depth, every),
        ):
            if part < 1 or whole < 1 or whole % part:
                raise ValueError(f"VisionTransformer needs {name} to divide, got {whole} by {part}")
        stages = [Stage(EMBED, width, patch_size)]
        blocks: list[nn.Module] = [
            _Embedding(in_channels, image_size // patch_size, patch_size, width, fixed_positions)
        ]
        for end in range(every, depth + 1, every):
            parts: OrderedDict[str, nn.Module] = OrderedDict()
            for i in range(end - every, end):
                parts[str(i)] = Block(width, heads, qkv_bias=True)
            if end == depth:
                parts["norm"] = LayerNorm(width)
            stages.append(Stage(f"block{end}", width, patch_size))
            blocks.append(nn.Sequential(parts))
        arguments: dict[str, object] = {
            "image_size": image_size, "patch_size": patch_size, "width": width, "depth": depth,
            "heads": heads, "every": every,
        }  # fmt: skip
        # Named where they are asked for alone: saved encoders and finished runs are compared by arguments.
        arguments |= {"drop_path": drop_path} if drop_path else {}
        arguments |= {"fixed_positions": True} if fixed_positions else {}
        arguments |= {"xavier": True} if xavier else {}
        super().__init__(in_channels, stages, blocks, arguments)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _initialise(module.weight, xavier)
                nn.init.zeros_(module.bias)
        if xavier:
            _initialise(self._embedding.proj.weight.flatten(1), xavier)  # a view: written in place
        if drop_path:
            self.set_drop_path(drop_path)

    def set_drop_path(self, rate: float) -> None:
        """Leave out branches of the blocks at random in training (stochastic depth, arXiv:1603.09382).

        Args:
            rate: probability in the last block, in [0, 1); it rises linearly from 0 in the first.

        Raises:
            ValueError: a rate out of range.
        """
        if not 0 <= rate < 1:
            raise ValueError(f"VisionTransformer.drop_path is a probability in [0, 1), got {rate}")
        blocks = self._attention()
        for block, probability in zip(blocks, torch.linspace(0, rate, len(blocks)).tolist(), strict=True):
            block.drop_path1, block.drop_path2 = DropPath(probability), DropPath(probability)

    def embed(self, x: Tensor) -> Tokens:
        """Cut images (B, in_channels, H, W) into patches, ⌈H / patch⌉ × ⌈W / patch⌉ of them."""
        patches = self._embedding(x)  # (B, D, h, w)
        grid = (patches.shape[-2], patches.shape[-1])
        return Tokens(patches.flatten(2).transpose(1, 2), self._embedding.positions(grid), grid)

    def encode(self, tokens: Tensor, positions: Tensor, last: int = 1) -> list[Tensor]:
        """Run all blocks over some patches and the class token; see `TokenBackbone.encode`."""
        blocks = self._attention()
        if not 1 <= last <= len(blocks):
            raise ValueError(f"the transformer has {len(blocks)} blocks, which cannot be the last {last}")
        norm = self.blocks[self.stage_names[-1]].get_submodule("norm")
        state = self._embedding.begin(tokens, positions)
        found = []
        for left, block in zip(range(len(blocks), 0, -1), blocks, strict=True):
            state = block(state)
            if left <= last:
                found.append(norm(state))
        return found

    def layers(self) -> list[list[nn.Module]]:
        """Return the embedding and each block, as in BEiT (arXiv:2106.08254); the final norm is in none."""
        layers: list[list[nn.Module]] = [[self._embedding]]
        return layers + [[block] for block in self._attention()]

    def forward(self, x: Tensor, start: str | None = None, stop: str | None = None) -> Features:
        """Run from the images to the stage `stop`, included; without it, to the last.

        Args:
            x: (B, in_channels, H, W).
            start: None, or the first stage.
            stop: the last stage to run. Where it is the network's last, `vectors` has `cls` (B, D).

        Raises:
            ValueError: an unknown stage, or a start at a later one: its map lacks the class token.
        """
        last = len(self.stages) - 1 if stop is None else self._position(stop)
        if start is not None and self._position(start) > 0:
            raise ValueError(
                f"VisionTransformer cannot start at {start!r}: the class token is not in the maps; "
                "run it from the images, or use embed and encode"
            )
        tokens = self.embed(x)
        state = self._embedding.begin(tokens.values, tokens.positions)  # (B, 1 + N, D)
        maps = {EMBED: _as_map(state, tokens.grid)}
        for name in self.stage_names[1 : last + 1]:
            state = self.blocks[name](state)
            maps[name] = _as_map(state, tokens.grid)
        return Features(maps, {CLASS_TOKEN: state[:, 0]} if last == len(self.stages) - 1 else {})

    @property
    def _embedding(self) -> _Embedding:
        return cast(_Embedding, self.blocks[EMBED])

    def _attention(self) -> list[Block]:
        return [module for module in self.modules() if isinstance(module, Block)]


class _Embedding(nn.Module):
    """Patch projection, class token and position embeddings, under timm's names."""

    pos_embed: Tensor

    def __init__(self, in_channels: int, side: int, patch_size: int, width: int, fixed: bool) -> None:
        super().__init__()
        self.side, self.patch_size = side, patch_size
        self.proj = nn.Conv2d(in_channels, width, patch_size, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.cls_token, std=1e-6)
        if fixed:
            places = F.pad(sincos_positions(side, side, width), (0, 0, 1, 0))  # the class token's is zero
            self.register_buffer("pos_embed", places.unsqueeze(0))
        else:
            self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side**2, width))
            trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Cut images (B, C, H, W) into patches: (B, D, ⌈H / patch⌉, ⌈W / patch⌉)."""
        down, right = (-side % self.patch_size for side in x.shape[-2:])
        patches: Tensor = self.proj(F.pad(x, (0, right, 0, down)))
        return patches

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Embeddings of a grid's cells, row by row: (1, N, D)."""
        positions: Tensor = resample_abs_pos_embed(
            self.pos_embed, new_size=list(grid), old_size=[self.side, self.side], num_prefix_tokens=1
        )  # (1, 1 + N, D)
        return positions[:, 1:]

    def begin(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Put the class token in front: (B, K, D) → (B, 1 + K, D)."""
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        return torch.cat([first.to(tokens.dtype), tokens + positions], dim=1)


def _initialise(weight: Tensor, xavier: bool) -> None:
    """Draw a matrix (outputs, inputs) in place."""
    if xavier:
        nn.init.xavier_uniform_(weight)
    else:
        trunc_normal_(weight, std=0.02)


def _as_map(state: Tensor, grid: tuple[int, int]) -> Tensor:
    """The patches' tokens (B, 1 + h·w, D) as a map (B, D, h, w)."""
    return state[:, 1:].transpose(1, 2).reshape(len(state), -1, *grid).contiguous()


def from_timm_names(network: VisionTransformer, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of timm's Vision Transformer to this network's; other names stay (`head.…`)."""
    return {_own_name(network, name): value for name, value in state.items()}


def _own_name(network: VisionTransformer, name: str) -> str:
    if name.startswith(("cls_token", "pos_embed", "patch_embed.")):
        return f"blocks.{EMBED}.{name.removeprefix('patch_embed.')}"
    if name.startswith("norm."):
        return f"blocks.{network.stage_names[-1]}.{name}"
    if match := re.fullmatch(r"blocks\.(\d+)\.(.+)", name):
        holder = next(s for s in network.stage_names[1:] if int(match[1]) < int(s.removeprefix("block")))
        return f"blocks.{holder}.{match[1]}.{match[2]}"
    return name
