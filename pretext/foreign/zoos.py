"""Networks by name, with weights that their publishers offer, or with random ones where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn
from torchvision.models import get_model_weights

from pretext.backbones import ResNet18, ResNet50
from pretext.backbones.resnet import from_torchvision_names
from pretext.backbones.timm_net import TimmNet
from pretext.backbones.timm_net import from_timm_names as to_timm_net
from pretext.backbones.vit import VisionTransformer
from pretext.backbones.vit import from_timm_names as to_vision_transformer
from pretext.encoder import Encoder, from_state_dict
from pretext.foreign.checkpoint import UNKNOWN
from pretext.inputs import RGB, Input

RANDOM = "random"
RESNETS = {"resnet18": ResNet18, "resnet50": ResNet50}


def open_torchvision(name: str, seen: Input | None, seed: int) -> Encoder:
    """Open `NETWORK`, `NETWORK@WEIGHTS` or `NETWORK@random`; see `pretext.foreign.open_foreign`."""
    model, _, asked = name.partition("@")
    if model not in RESNETS:
        raise ValueError(f"there is no torchvision:{model} here; networks: {', '.join(RESNETS)}")
    if asked == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = RESNETS[model](3)
        return Encoder(seen or RGB(), network, _about(f"torchvision:{model}", RANDOM, seed=seed)).eval()
    offered = {weights.name: weights for weights in get_model_weights(model)}
    if asked and asked not in offered:
        raise ValueError(
            f"torchvision:{model} has no weights {asked!r}; it has: {', '.join((*offered, RANDOM))}"
        )
    weights = offered[asked] if asked else get_model_weights(model).DEFAULT
    full = f"torchvision:{model}@{weights.name}"
    state = _fetched(full, lambda: weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    preset = weights.transforms()
    data = "imagenet" if weights.name.startswith("IMAGENET1K") else UNKNOWN
    about = _about(f"torchvision:{model}", weights.name, data)
    with torch.random.fork_rng(devices=[]):
        encoder = Encoder(seen or RGB(preset.mean, preset.std), RESNETS[model](3), about)
    return from_state_dict(encoder, from_torchvision_names(state), ignore=["fc."]).eval()


def open_timm(name: str, seen: Input | None, seed: int) -> Encoder:
    """Open `NETWORK`, `NETWORK.TAG` or `NETWORK@random`; see `pretext.foreign.open_foreign`."""
    asked, _, how = name.partition("@")
    model, _, tag = asked.partition(".")
    if model not in timm.list_models():
        near = ", ".join(timm.list_models(f"*{model}*")[:8]) or "see timm.list_models()"
        raise ValueError(f"timm {timm.__version__} has no model {model!r} of its own; near: {near}")
    if how not in ("", RANDOM) or (how and tag):
        raise ValueError(f"timm:{name}: write NETWORK, NETWORK.TAG or NETWORK@random")
    if how == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = timm.create_model(model, pretrained=False)
        return _from_timm(network, model, seen, _about(f"timm:{model}", RANDOM, seed=seed))
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{model}.*")]
    if not tags or (tag and tag not in tags):
        raise ValueError(
            f"timm offers no weights {asked!r}; of {model} it has: {', '.join(tags) or 'none'}; "
            f"timm:{model}@random has random ones"
        )
    with torch.random.fork_rng(devices=[]):
        network = _fetched(f"timm:{asked}", lambda: timm.create_model(asked, pretrained=True))
    return _from_timm(network, model, seen, _about(f"timm:{model}", network.pretrained_cfg["tag"], UNKNOWN))


def _from_timm(network: nn.Module, model: str, seen: Input | None, about: dict[str, Any]) -> Encoder:
    published: Any = network.pretrained_cfg
    seen = seen or RGB(published["mean"], published["std"])
    head = published["classifier"]
    heads = [f"{name}." for name in ([head] if isinstance(head, str) else head or [])]
    with torch.random.fork_rng(devices=[]):
        if not isinstance(network, TimmVisionTransformer):
            cut = TimmNet(3, model)
            state = to_timm_net(cut, network.state_dict())
            return from_state_dict(Encoder(seen, cut, about), state, ignore=["head.", *heads]).eval()
        own = _vision_transformer(network, model)
    encoder = Encoder(seen, own, about)
    from_state_dict(encoder, to_vision_transformer(own, network.state_dict()), ignore=heads)
    _check_same(network, own, model)
    return encoder.eval()


def _vision_transformer(network: Any, model: str) -> VisionTransformer:
    size, patch, depth = network.patch_embed.img_size, network.patch_embed.patch_size, len(network.blocks)
    if size[0] != size[1] or patch[0] != patch[1]:
        raise ValueError(f"timm:{model} has {size} images and {patch} patches, which are not square")
    return VisionTransformer(
        3, size[0], patch[0], network.embed_dim, depth, network.blocks[0].attn.num_heads,
        depth // 4 if depth % 4 == 0 else 1,
    )  # fmt: skip


@torch.no_grad()
def _check_same(network: Any, own: VisionTransformer, model: str) -> None:
    """Weights of the same names and shapes may belong to another function; one image tells.

    Raises:
        ValueError: a Vision Transformer with another activation, norm or pooling.
    """
    image = torch.randn(1, 3, _side(own), _side(own), generator=torch.Generator().manual_seed(0))
    truth = network.eval().forward_features(image)
    tokens = own.eval().embed(image)
    (found,) = own.encode(tokens.values, tokens.positions)
    if truth.shape != found.shape or not torch.allclose(truth, found, atol=1e-3, rtol=1e-3):
        raise ValueError(f"timm:{model} is more than a plain Vision Transformer: its features are not ours")


def _side(network: VisionTransformer) -> int:
    """Of the images that a network's position embeddings are made for, in pixels."""
    return int(str(network.arguments["image_size"]))


def _about(network: str, weights: str, data: str = "", seed: int = 0) -> dict[str, Any]:
    """Provenance. The recipe begins with what tells rows of one label apart."""
    full = f"{network}@{weights}"
    return {
        "task": full,
        "source": full,
        "weights": weights,
        "recipe": f"{weights} {full}",
        "data_name": data,
        "seed": seed,
    }


def _fetched(what: str, fetch: Callable[[], Any]) -> Any:
    """Fetch weights or say that they cannot be fetched; never fall back on others.

    Raises:
        ConnectionError: whatever went wrong on the way.
    """
    try:
        return fetch()
    except Exception as error:  # every hub raises types of its own
        raise ConnectionError(
            f"the weights of {what} cannot be fetched ({type(error).__name__}: "
            f"{(str(error).splitlines() or ['no reason given'])[0]}); random ones are had by @random alone"
        ) from error
