"""Vision models of Hugging Face's transformers, built from their configuration and run as a whole."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.backbones.base import CLASS_TOKEN, Features, Stage
from pretext.backbones.undivided import Undivided

EXTRA = "transformers is not installed: pip install pretextbench[transformers]"
EMBED = "embed"
MASKED = "vit_mae"
"""The type of model that hides patches by default, at random, in eval mode too."""
DROPPED = (
    "transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype", "id2label", "label2id",
    "problem_type", "auto_map",
)  # fmt: skip
"""Of a configuration: what does not say what the network computes."""


class TransformersNet(Undivided):
    """The image model of a configuration, with random weights; stages are its hidden states.

    They are `embed` and the blocks, every quarter of more than six alike that divide by four, or the stages
    of a hierarchical network. The last one's map is `last_hidden_state`, behind a final norm where the model
    has one; its first token is the vector `cls`, where tokens stand before the patches. Registers are never
    read. Position embeddings are resampled where transformers does so. MAE's encoder sees every patch.

    Args:
        in_channels: channels of the input map.
        config: of the model, plain values, with its `model_type`. No code but the library's own is run.

    Raises:
        ValueError: no library, an unknown type, or a model that returns no hidden states.
    """

    def __init__(self, in_channels: int, config: Mapping[str, Any]) -> None:
        plain = {name: value for name, value in config.items() if name not in DROPPED}
        network = _model({**plain, "num_channels": in_channels})
        with torch.device("meta"):  # without memory, for names and shapes alone
            probe = _model({**plain, "num_channels": in_channels})
        side = _image_side(network)
        hidden = _states(probe.eval(), torch.zeros(1, in_channels, side, side, device="meta"))
        maps = [_as_map(x, (side, side), _patch(network)) for x in hidden]
        chosen = _quarters([tuple(m.shape[1:]) for m in maps])
        names = [EMBED, *(f"block{i}" for i in range(1, len(maps)))]
        stages = [Stage(names[i], maps[i].shape[1], max(1, round(side / maps[i].shape[2]))) for i in chosen]
        super().__init__(in_channels, stages, {"config": json.loads(json.dumps(plain))})
        self.network = network
        self._chosen = chosen

    @property
    def title(self) -> str:
        """The library and the model's type."""
        return f"transformers' {type(self.network).__name__}"

    def run(self, x: Tensor, last: int) -> Features:
        """Run images (B, in_channels, H, W); the whole network, whatever stage is the last.

        Raises:
            ValueError: images of a size that the model does not take.
        """
        height, width = x.shape[-2:]
        patch = _patch(self.network)
        x = F.pad(x, (0, -width % patch, 0, -height % patch))
        try:
            hidden = _states(self.network, x)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{self.title} takes no images of {height}×{width}: {error}") from error
        maps = {
            name: _as_map(hidden[i], x.shape[-2:], patch).contiguous()
            for name, i in zip(self.stage_names[: last + 1], self._chosen, strict=False)
        }
        final, whole = hidden[-1], last == len(self.stages) - 1
        cells = maps[self.stage_names[-1]].shape[2:].numel() if whole else 0
        has_class = whole and final.ndim == 3 and final.shape[1] > cells
        return Features(maps, {CLASS_TOKEN: final[:, 0]} if has_class else {})

    def layers(self) -> list[list[nn.Module]]:
        """Return the embedding, each block, and what is behind them, as far as the library names them so."""
        rows = [m for m in self.network.modules() if isinstance(m, nn.ModuleList) and len(m)]
        blocks = max(map(list, rows), key=len, default=[])
        embed = [m for name, m in self.network.named_modules() if name.endswith("embeddings")][:1]
        return [embed, *([block] for block in blocks)] if embed and blocks else [[self.network]]


def _states(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Hidden states from the embedding to the last, the last one as the model returns it."""
    takes = inspect.signature(network.forward).parameters
    more: dict[str, Any] = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}
    if (
        getattr(network.config, "model_type", "") == MASKED
    ):  # it orders patches by noise, and hides the last ones, here none
        cells = (x.shape[2] // _patch(network)) * (x.shape[3] // _patch(network))
        more["noise"] = torch.linspace(0, 1, cells, device=x.device).expand(len(x), -1)
    output = network(pixel_values=x, output_hidden_states=True, return_dict=True, **more)
    found = getattr(output, "reshaped_hidden_states", None) or output.hidden_states
    if not found:
        raise ValueError(f"{type(network).__name__} returns no hidden states")
    last: Tensor = output.last_hidden_state
    if found[-1].ndim == 4 and last.ndim == 3 and last.shape[1] == found[-1].shape[2:].numel():
        last = last.transpose(1, 2).reshape(found[-1].shape)  # Swin's tokens are all patches, row by row
    return [*found[:-1], last if last.shape == found[-1].shape else found[-1]]


def _as_map(x: Tensor, size: tuple[int, int] | torch.Size, patch: int) -> Tensor:
    """A map of a hidden state: (B, C, h, w), or tokens (B, P + h · w, D), the first P of them no patches."""
    if x.ndim == 4:
        return x
    rows, columns = size[0] // patch, size[1] // patch
    if x.ndim != 3 or x.shape[1] < rows * columns:
        raise ValueError(f"hidden states {tuple(x.shape)} hold no {rows}×{columns} patches")
    return x[:, x.shape[1] - rows * columns :].transpose(1, 2).reshape(len(x), -1, rows, columns)


def _quarters(shapes: list[tuple[int, ...]]) -> list[int]:
    """Positions of the states that are stages: the embedding, and quarters of many that are alike."""
    blocks = len(shapes) - 1
    every = blocks // 4 if blocks > 6 and blocks % 4 == 0 and len(set(shapes)) == 1 else 1
    return [0, *range(every, blocks + 1, every)]


def _model(config: Mapping[str, Any]) -> Any:
    """The model of a configuration, without the pooler behind it."""
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise ValueError(EXTRA) from error
    kind, values = str(config.get("model_type")), {k: v for k, v in config.items() if k != "model_type"}
    if kind == MASKED:
        values["mask_ratio"] = 0.0
    try:
        made = AutoConfig.for_model(kind, **values)
        network = AutoModel.from_config(made)  # type: ignore[no-untyped-call]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"transformers has no image model of {kind!r}: {error}") from error
    without_pooler(network)
    return network


def without_pooler(network: Any) -> None:
    """Take off a pooler that has weights: it reads the features, and is none of them."""
    pooler = getattr(network, "pooler", None)
    if isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters()):
        network.pooler = None


def _image_side(network: Any) -> int:
    size = getattr(network.config, "image_size", None) or 224
    return int(size if isinstance(size, int) else size[0])


def _patch(network: Any) -> int:
    size = getattr(network.config, "patch_size", None) or 1
    return int(size if isinstance(size, int) else size[0])


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of the library's model to a `TransformersNet`'s."""
    return {f"network.{name}": value for name, value in state.items()}
