"""Checkpoints as other projects write them, made from networks whose features are known."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from omegaconf import OmegaConf
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18
from torchvision.models.resnet import ResNet

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def normalised() -> Tensor:
    return (IMAGES - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)


def network(seed: int = 0, small: bool = False, padding: int = 1, channels: int = 3) -> ResNet:
    """torchvision's ResNet-18 with BatchNorm statistics of its own."""
    return copy.deepcopy(_network(seed, small, padding, channels))


@cache
def _network(seed: int, small: bool, padding: int, channels: int) -> ResNet:
    torch.manual_seed(seed)
    made = resnet18(weights=None)
    if small:
        made.conv1 = nn.Conv2d(channels, 64, 3, 1, padding, bias=False)
        made.maxpool = nn.Identity()
    elif channels != 3:
        made.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    made.train()
    with torch.no_grad():
        made(torch.randn(4, channels, 32, 32))
    return made.eval()


def vit(seed: int = 0, heads: int = 3, fixed: bool = False) -> VisionTransformer:
    """A Vision Transformer of width 192; with `fixed`, position embeddings are 0 for the class token."""
    torch.manual_seed(seed)
    made = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=192, depth=4, num_heads=heads, num_classes=7, qkv_bias=True
    )
    with torch.no_grad():
        made.pos_embed.normal_()
        if fixed:
            made.pos_embed[:, 0] = 0
    return made.eval()


@torch.no_grad()
def last_map(made: nn.Module) -> Tensor:
    """The last map of a network on the images, as its own project computes it."""
    x = normalised()
    if isinstance(made, VisionTransformer):
        tokens = made.forward_features(x)[:, 1:]
        return tokens.transpose(1, 2).reshape(2, 192, 4, 4)
    assert isinstance(made, ResNet)
    x = made.maxpool(made.relu(made.bn1(made.conv1(x))))
    x = made.layer3(made.layer2(made.layer1(x)))
    return made.layer4(x)


class Parts(nn.Module):
    """Named modules and buffers, as a method's class holds them."""

    def __init__(self, modules: dict[str, nn.Module], buffers: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        for name, value in (buffers or {}).items():
            self.register_buffer(name, value)


def parallel(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of a module in `DistributedDataParallel`."""
    return {f"module.{name}": value for name, value in module.state_dict().items()}


def mlp(width: int = 512) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, 8))


@dataclass
class Made:
    """What a project's `torch.save` is given, the network that is in it, and what its layout is called."""

    content: Any
    backbone: nn.Module
    layout: str
    left: tuple[str, ...] = ()
    map: Tensor | None = None

    @property
    def truth(self) -> Tensor:
        return last_map(self.backbone) if self.map is None else self.map


def moco(second: bool) -> Made:
    query, key = network(0), network(1)
    for encoder in (query, key):
        encoder.fc = mlp() if second else nn.Linear(512, 8)
    parts = Parts(
        {"encoder_q": query, "encoder_k": key},
        {"queue": torch.rand(8, 16), "queue_ptr": torch.zeros(1, dtype=torch.long)},
    )
    optimiser = torch.optim.SGD(query.parameters(), 0.1).state_dict()
    content = {"epoch": 3, "arch": "resnet18", "state_dict": parallel(parts), "optimizer": optimiser}
    return Made(content, query, f"moco_v{2 if second else 1}", ("encoder_k.", "encoder_q.fc.", "queue"))


def moco_v3(transformer: bool) -> Made:
    base, momentum = (vit(0, 12, True), vit(1, 12, True)) if transformer else (network(0), network(1))
    parts = Parts({"base_encoder": base, "momentum_encoder": momentum, "predictor": mlp(8)})
    content = {"epoch": 3, "arch": "vit_small", "state_dict": parallel(parts), "scaler": {"scale": 2.0}}
    head = "base_encoder.head." if transformer else "base_encoder.fc."
    return Made(content, base, "moco_v3", (head, "momentum_encoder.", "predictor."))


def dino(transformer: bool) -> Made:
    teacher, student = (vit(0), vit(1)) if transformer else (network(0), network(1))
    for made in (teacher, student):
        setattr(made, "head" if transformer else "fc", nn.Identity())
    wrapped = [Parts({"backbone": made, "head": Parts({"mlp": mlp(192)})}) for made in (teacher, student)]
    content = {
        "teacher": wrapped[0].state_dict() if transformer else parallel(wrapped[0]),
        "student": parallel(wrapped[1]),
        "epoch": 3,
        "args": argparse.Namespace(arch="vit_tiny", patch_size=8, lr=0.1),
        "dino_loss": {"center": torch.zeros(1, 4)},
    }
    return Made(content, teacher, "dino", ("head.",))


def vissl() -> Made:
    trunk = network(0)
    trunk.fc = nn.Identity()
    inner = Parts({"_feature_blocks": trunk}).state_dict()
    model = {"trunk": inner, "heads": {"0.clf.0.weight": torch.rand(3, 512)}}
    state = {"base_model": {"model": model, "meta": {}}, "losses": []}
    return Made({"phase_idx": 3, "loss": {}, "classy_state_dict": state}, trunk, "vissl")


def lightning(parts: nn.Module, hyper: Any = None) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": 9,
        "pytorch-lightning_version": "2.1",
        "state_dict": parts.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}}},
        "hyper_parameters": hyper or {},
    }


def lightly_children() -> Made:
    made = network(0)
    row = nn.Sequential(*list(made.children())[:-1])
    momentum = copy.deepcopy(row)
    parts = Parts(
        {"backbone": row, "projection_head": mlp(), "backbone_momentum": momentum, "criterion": mlp(4)},
    )
    return Made(lightning(parts), made, "lightly", ("backbone_momentum.", "criterion.", "projection_head"))


def lightly_benchmark() -> Made:
    teacher, student = network(0), network(1)
    teacher.fc = student.fc = nn.Identity()
    parts = Parts(
        {
            "backbone": teacher, "projection_head": mlp(), "student_backbone": student,
            "student_projection_head": mlp(), "online_classifier": mlp(), "criterion": mlp(4),
        }
    )  # fmt: skip
    left = ("criterion.", "online_classifier.", "projection_head", "student_")
    return Made(lightning(parts, {"num_classes": 7}), teacher, "lightly", left)


def lightly_example() -> Made:
    teacher, student = network(0), network(1)
    rows = [nn.Sequential(*list(made.children())[:-1]) for made in (teacher, student)]
    parts = Parts(
        {
            "student_backbone": rows[1], "student_head": mlp(), "teacher_backbone": rows[0],
            "teacher_head": mlp(),
        }
    )  # fmt: skip
    return Made(lightning(parts), teacher, "lightly", ("student_", "teacher_"))


class LightlyBlock(nn.Module):
    """lightly's basic block, whose shortcut is called so."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class LightlyStem(nn.Sequential):
    """conv1, bn1 and the layers as a row; the ReLU between bn1 and layer1 is no child."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self[1](self[0](x)))
        for layer in self[2:6]:
            x = layer(x)
        return x


def lightly_own() -> Made:
    """lightly's ResNet-18 for small images."""
    torch.manual_seed(0)
    layers, before = [], 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers.append(nn.Sequential(LightlyBlock(before, width, stride), LightlyBlock(width, width, 1)))
        before = width
    row = LightlyStem(
        nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), *layers, nn.AdaptiveAvgPool2d(1)
    )
    row.train()
    with torch.no_grad():
        row(torch.randn(4, 3, 32, 32))
        truth = row.eval()(normalised())
    parts = Parts({"backbone": row, "projection_head": mlp()})
    return Made(lightning(parts), row, "lightly", ("projection_head",), truth)


def lightly_vit() -> Made:
    made = vit(0)
    wrapped = Parts({"vit": made}, {"mask_token": torch.zeros(1, 1, 192)})
    parts = Parts({"backbone": wrapped, "projection_head": mlp(192)})
    left = ("backbone.mask_token", "backbone.vit.head.", "projection_head")
    return Made(lightning(parts), made, "lightly", left)


def solo_learn(kind: str) -> Made:
    backbones: dict[str, Callable[[int], nn.Module]] = {
        "resnet": network,
        "cifar": lambda seed: network(seed, small=True, padding=2),
        "vit": vit,
        "fixed": lambda seed: vit(seed, 12, True),
    }
    made, momentum = backbones[kind](0), backbones[kind](1)
    for one in (made, momentum):
        setattr(one, "head" if "vit" in kind or kind == "fixed" else "fc", nn.Identity())
    queue = {"queue": torch.rand(4, 8), "queue_y": torch.zeros(4), "queue_ptr": torch.zeros(1)}
    parts = Parts(
        {
            "backbone": made, "classifier": mlp(), "projector": mlp(), "predictor": mlp(8),
            "momentum_backbone": momentum, "momentum_projector": mlp(),
        },
        queue,
    )  # fmt: skip
    hyper = OmegaConf.create({"method": "byol", "optimizer": {"lr": 0.1, "steps": [1, 2]}, "name": None})
    left = ("classifier.", "momentum_", "predictor.", "projector.", "queue")
    return Made(lightning(parts, hyper), made, "solo_learn", left)


def solo_learn_old() -> Made:
    made = network(0)
    made.fc = nn.Identity()
    return Made(
        lightning(Parts({"encoder": made, "classifier": mlp()})), made, "solo_learn", ("classifier.",)
    )


def mmpretrain(average: str) -> Made:
    """A ResNet that learns beside an average of itself and its neck, of another network's weights here."""
    made, other = network(0), network(1)
    for one in (made, other):
        one.fc = nn.Identity()
    averaged = Parts({"module": nn.Sequential(other, mlp())}, {"steps": torch.zeros(())})
    parts = Parts(
        {"backbone": made, "neck": mlp(), "head": Parts({"predictor": mlp(8)}), average: averaged},
        {"queue": torch.rand(4, 8), "queue_ptr": torch.zeros(1)},
    )
    content = {"meta": {"epoch": 5}, "state_dict": parts.state_dict(), "message_hub": {}}
    left = tuple(sorted((f"{average}.", "head.", "neck.", "queue")))
    return Made(content, made, "mmpretrain", left)


def plain(kind: str) -> Made:
    made = network(0)
    state: dict[str, dict[str, Any]] = {
        "bare": dict(made.state_dict()),
        "imagenet": {"epoch": 3, "arch": "resnet18", "best_acc1": 0.5, "state_dict": parallel(made)},
        "swav": {
            **parallel(Parts({"projection_head": mlp(), "prototypes": mlp(8)})),
            **{k: v for k, v in parallel(made).items() if ".fc." not in k},
        },
        "backbone": Parts({"backbone": made}).state_dict(),
    }
    left = {"swav": ("projection_head.", "prototypes."), "backbone": ("backbone.fc.",)}
    return Made(state[kind], made, "torchvision", left.get(kind, ("fc.",)))


def timm_vit() -> Made:
    made = vit(0)
    made.head = nn.Identity()
    return Made(dict(made.state_dict()), made, "timm_vit")


CASES: dict[str, Callable[[], Made]] = {
    "moco v1": lambda: moco(second=False),
    "moco v2": lambda: moco(second=True),
    "moco v3 resnet": lambda: moco_v3(transformer=False),
    "moco v3 vit": lambda: moco_v3(transformer=True),
    "dino resnet": lambda: dino(transformer=False),
    "dino vit": lambda: dino(transformer=True),
    "vissl": vissl,
    "lightly, a row of children": lightly_children,
    "lightly, benchmark": lightly_benchmark,
    "lightly, example of dino": lightly_example,
    "lightly, own resnet": lightly_own,
    "lightly, vit": lightly_vit,
    "solo-learn": lambda: solo_learn("resnet"),
    "solo-learn, cifar": lambda: solo_learn("cifar"),
    "solo-learn, vit": lambda: solo_learn("vit"),
    "solo-learn, vit with fixed positions": lambda: solo_learn("fixed"),
    "solo-learn, older": solo_learn_old,
    "mmpretrain, byol": lambda: mmpretrain("target_net"),
    "mmpretrain, moco": lambda: mmpretrain("encoder_k"),
    "torchvision": lambda: plain("bare"),
    "torchvision, imagenet example": lambda: plain("imagenet"),
    "torchvision, swav": lambda: plain("swav"),
    "torchvision, backbone": lambda: plain("backbone"),
    "timm": timm_vit,
}
