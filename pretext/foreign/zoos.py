"""Networks by name, with weights that their publishers offer, or with random ones where that is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn
from torchvision.models import get_model_weights

from pretext.backbones import Backbone, ResNet18, ResNet50
from pretext.backbones.resnet import from_torchvision_names
from pretext.backbones.timm_net import TimmNet
from pretext.backbones.timm_net import from_timm_names as to_timm_net
from pretext.backbones.timm_whole import TimmWhole, from_timm_whole
from pretext.backbones.vit import VisionTransformer
from pretext.backbones.vit import from_timm_names as to_vision_transformer
from pretext.encoder import Encoder, from_state_dict
from pretext.foreign.checkpoint import UNKNOWN
from pretext.inputs import RGB, Input

RANDOM = "random"
IMAGENET = "imagenet"
RESNETS = {"resnet18": ResNet18, "resnet50": ResNet50}


@dataclass(frozen=True)
class Published:
    """Weights and what their publisher says of them.

    Attributes:
        state: the whole network's state dict under the publisher's names.
        weights: their name. source: publisher, network and weights in one.
        data: the images that they were trained on: `imagenet`, where they were (maybe among others), or
            `unknown`.
        made_for: image size, statistics and resampling as the publisher has them; plain values.
    """

    state: Mapping[str, Tensor]
    weights: str
    source: str
    data: str
    made_for: dict[str, Any]

    @property
    def input(self) -> RGB:
        """RGB by the publisher's statistics."""
        return RGB(self.made_for["mean"], self.made_for["std"])


def open_torchvision(name: str, seen: Input | None, seed: int, arguments: Mapping[str, object]) -> Encoder:
    """Open `NETWORK`, `NETWORK@WEIGHTS` or `NETWORK@random`; see `pretext.foreign.open_foreign`."""
    model, _, asked = name.partition("@")
    if arguments:
        raise ValueError(
            f"torchvision:{name} says itself what it is; it takes no arguments {dict(arguments)}"
        )
    if model not in RESNETS:
        raise ValueError(f"there is no torchvision:{model} here; networks: {', '.join(RESNETS)}")
    if asked == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = RESNETS[model](3)
        return Encoder(seen or RGB(), network, _about(f"torchvision:{model}", RANDOM, seed=seed)).eval()
    published = torchvision_weights(model, asked)
    about = _about(f"torchvision:{model}", published.weights, published.data) | {
        "made_for": published.made_for
    }
    with torch.random.fork_rng(devices=[]):
        encoder = Encoder(seen or published.input, RESNETS[model](3), about)
    return from_state_dict(encoder, from_torchvision_names(published.state), ignore=["fc."]).eval()


def torchvision_weights(model: str, asked: str = "") -> Published:
    """Fetch weights of torchvision's by their name, or its default.

    Raises:
        ValueError: a name that it does not have.
        ConnectionError: weights that cannot be fetched.
    """
    offered = {weights.name: weights for weights in get_model_weights(model)}
    if asked and asked not in offered:
        raise ValueError(
            f"torchvision:{model} has no weights {asked!r}; it has: {', '.join((*offered, RANDOM))}"
        )
    weights = offered[asked] if asked else get_model_weights(model).DEFAULT
    full = f"torchvision:{model}@{weights.name}"
    state = _fetched(full, lambda: weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    preset = weights.transforms()
    made_for = {
        "size": [preset.crop_size[0], preset.crop_size[0]],
        "mean": list(preset.mean),
        "std": list(preset.std),
        "interpolation": preset.interpolation.value,
    }
    data = IMAGENET if weights.name.startswith("IMAGENET1K") else UNKNOWN
    return Published(state, weights.name, full, data, made_for)


def open_timm(name: str, seen: Input | None, seed: int, arguments: Mapping[str, object]) -> Encoder:
    """Open `NETWORK`, `NETWORK.TAG` or `NETWORK@random`; see `pretext.foreign.open_foreign`."""
    asked, _, how = name.partition("@")
    model, _, tag = asked.partition(".")
    if model not in timm.list_models():
        near = ", ".join(timm.list_models(f"*{model}*")[:8]) or "see timm.list_models()"
        raise ValueError(f"timm {timm.__version__} has no model {model!r} of its own; near: {near}")
    if how not in ("", RANDOM) or (how and tag):
        raise ValueError(f"timm:{name}: write NETWORK, NETWORK.TAG or NETWORK@random")
    with torch.random.fork_rng(devices=[]):
        if how == RANDOM:
            torch.manual_seed(seed)
            network = timm.create_model(model, pretrained=False, **_options(arguments))
            about = _about(f"timm:{model}", RANDOM, seed=seed) | {"made_for": _made_for(network)}
            return _from_timm(network, model, seen, about, arguments)
        network, published = timm_weights(model, tag, arguments)
        about = _about(f"timm:{model}", published.weights, published.data) | {"made_for": published.made_for}
        return _from_timm(network, model, seen, about, arguments)


def timm_weights(
    model: str, tag: str = "", arguments: Mapping[str, object] | None = None
) -> tuple[nn.Module, Published]:
    """Fetch weights of timm's by their tag, or its default, with the network that they are in.

    Raises:
        ValueError: a tag that it does not have.
        ConnectionError: weights that cannot be fetched.
    """
    asked = f"{model}.{tag}" if tag else model
    tags = timm_tags(model)
    if not tags or (tag and tag not in tags):
        raise ValueError(
            f"timm offers no weights {asked!r}; of {model} it has: {', '.join(tags) or 'none'}; "
            f"timm:{model}@random has random ones"
        )
    options = _options(arguments or {})
    network = _fetched(f"timm:{asked}", lambda: timm.create_model(asked, pretrained=True, **options))
    own: str = network.pretrained_cfg["tag"]
    data = IMAGENET if "in1k" in own.split("_") else UNKNOWN
    full = f"timm:{model}@{own}"
    return network, Published(network.state_dict(), own, full, data, _made_for(network))


def timm_tags(model: str) -> list[str]:
    """The tags of the weights that timm offers of a network."""
    return [full.partition(".")[2] for full in timm.list_pretrained(f"{model}.*")]


def of_imagenet(tag: str) -> bool:
    """Whether timm's tag of weights says that they were trained on the thousand classes of ImageNet, at last.

    A number behind it is the size of the images (a1_in1k, in22k_ft_in1k_384; not in1k_ijepa).
    """
    return re.search(r"(^|_)in1k(_\d+)?$", tag) is not None


def _options(arguments: Mapping[str, object]) -> dict[str, Any]:
    return {"img_size": arguments["image_size"]} if "image_size" in arguments else {}


def _made_for(network: Any) -> dict[str, Any]:
    published = network.pretrained_cfg
    return {
        "size": list(published["input_size"][1:]),
        "mean": list(published["mean"]),
        "std": list(published["std"]),
        "interpolation": published["interpolation"],
    }


def _from_timm(
    network: nn.Module, model: str, seen: Input | None, about: dict[str, Any], arguments: Mapping[str, object]
) -> Encoder:
    """Take a network of timm's as ours where it is a plain one, in a row where it is one, else as a whole."""
    published: Any = network.pretrained_cfg
    seen = seen or RGB(published["mean"], published["std"])
    head = published["classifier"]
    heads = [f"{name}." for name in ([head] if isinstance(head, str) else head or [])]
    state = network.state_dict()
    if not arguments and (own := _plain(network, heads)) is not None:
        return Encoder(seen, own, about).eval()
    backbone: Backbone
    try:
        if arguments:
            raise ValueError("only a whole network takes arguments")
        backbone, ignore = TimmNet(3, model), ["head.", *heads]
        renamed = to_timm_net(backbone, state)
    except ValueError:
        backbone, ignore = _whole(model, arguments), []
        renamed = from_timm_whole(state)
        about = about | {"left_out": left_out(backbone, renamed)}
        renamed = {name: value for name, value in renamed.items() if name in backbone.state_dict()}
    return from_state_dict(Encoder(seen, backbone, about), renamed, ignore=ignore).eval()


def left_out(network: TimmWhole, state: Mapping[str, Tensor]) -> list[str]:
    """Beginnings of what a whole state dict of timm's has beside a network that has lost its classifier."""
    own = network.state_dict()
    return sorted({f"{name.split('.')[1]}." for name in state if name not in own})


def _whole(model: str, arguments: Mapping[str, object]) -> TimmWhole:
    try:
        return TimmWhole(3, model, **arguments)  # type: ignore[arg-type]  # held to its signature by Python
    except TypeError as error:
        raise ValueError(f"timm:{model} cannot be built from {dict(arguments)}: {error}") from error


@torch.no_grad()
def _plain(network: Any, heads: list[str]) -> VisionTransformer | None:
    """The suite's own Vision Transformer with a network's weights, where it computes the same.

    Weights of the same names and shapes may belong to another function (of another activation, norm or
    pooling); one image tells.
    """
    if not isinstance(network, TimmVisionTransformer):
        return None
    blocks: Any = network.blocks
    size, patch, depth = network.patch_embed.img_size, network.patch_embed.patch_size, len(blocks)
    if size[0] != size[1] or patch[0] != patch[1] or size[0] % patch[0]:
        return None
    own = VisionTransformer(
        3, size[0], patch[0], network.embed_dim, depth, blocks[0].attn.num_heads,
        depth // 4 if depth % 4 == 0 else 1,
    )  # fmt: skip
    state = {n: x for n, x in network.state_dict().items() if not n.startswith(tuple(heads))}
    renamed = to_vision_transformer(own, state)
    there = own.state_dict()
    if renamed.keys() != there.keys() or any(renamed[n].shape != there[n].shape for n in there):
        return None
    own.load_state_dict(renamed)
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    truth = network.eval().forward_features(image)
    tokens = own.eval().embed(image)
    (found,) = own.encode(tokens.values, tokens.positions)
    same = truth.shape == found.shape and torch.allclose(truth, found, atol=1e-3, rtol=1e-3)
    return own if same else None


def _about(network: str, weights: str, data: str = "", seed: int | None = None) -> dict[str, Any]:
    """Provenance; the recipe begins with what tells rows of a label apart. Published weights have no seed."""
    full = f"{network}@{weights}"
    return {
        "task": full,
        "source": full,
        "weights": weights,
        "recipe": f"{weights} {full}",
        "data_name": data,
    } | ({} if seed is None else {"seed": seed})


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
