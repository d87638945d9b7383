"""BatchNorm taken into the weights, and layers brought to one rate of change (arXiv:1511.06856)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

import pretext.backbones as networks
from pretext.backbones.base import Backbone
from pretext.backbones.side_by_side import SideBySide

Chain = Sequence[nn.Conv2d]

HOMOGENEOUS = (nn.Sequential, nn.ModuleDict, nn.ReLU, nn.MaxPool2d, nn.Conv2d)
"""What a network may consist of: a layer scaled by s > 0 scales everything behind it by s."""


def without_batchnorm(backbone: Backbone) -> Backbone:
    """Return the same function, in eval mode, as a network of convolutions with bias and no BatchNorm.

    Raises:
        ValueError: a network that does not offer `batchnorm=False`: BatchNorm must follow a convolution
            directly. Behind a ReLU, as in `ColorNet`, its shift cannot be taken into a zero-padded layer.
    """
    if isinstance(backbone, SideBySide):
        return backbone.with_halves([without_batchnorm(half) for half in backbone.halves()])
    kind = networks.class_path(type(backbone))
    if "batchnorm" not in inspect.signature(type(backbone)).parameters:
        raise ValueError(
            f"{type(backbone).__name__} is no chain whose BatchNorm can be taken into its weights: a network "
            "for that has an argument batchnorm, as SmallNet and AlexNet"
        )
    with torch.random.fork_rng(devices=[]):  # initial weights, soon replaced, must not shift anybody's draws
        plain = networks.build(kind, {**backbone.arguments, "batchnorm": False}, backbone.in_channels)
    like = next(backbone.parameters())
    plain.to(device=like.device, dtype=like.dtype).load_state_dict(_absorbed(backbone))
    return plain.train(backbone.training)


def _absorbed(backbone: Backbone) -> dict[str, Tensor]:
    """Weights and biases of every convolution and the BatchNorm behind it."""
    state: dict[str, Tensor] = {}
    for path, block in backbone.blocks.named_children():
        for (name, layer), (_, norm) in pairwise(block.named_children()):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                weight, bias = absorb(layer, norm)
                state |= {f"blocks.{path}.{name}.weight": weight, f"blocks.{path}.{name}.bias": bias}
    return state


@torch.no_grad()
def absorb(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of one convolution that does what `layer` and then `norm` in eval mode do."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()  # (O,)
    if norm.weight is not None:
        scale = scale * norm.weight
    before = torch.zeros_like(scale) if layer.bias is None else layer.bias
    bias = (before - norm.running_mean) * scale
    if norm.bias is not None:
        bias = bias + norm.bias
    return layer.weight * scale.view(-1, 1, 1, 1), bias


def calibrate_magnitudes(
    network: Backbone, images: Tensor, rounds: int = 10, tolerance: float = 0.01, seed: int = 0
) -> int:
    """Rescale the layers of a chain so that each changes at the same rate, and the output varies by one.

    With unit Gaussian gradients at the output, the rate of layer l is r_l = √(mean g² / mean w²). Its weights
    are multiplied by √(r_l / t), where t is the geometric mean of all rates, times σ^(1/L) for an output of
    standard deviation σ and L layers; biases follow the scale of what arrives, so that the function stays
    the same up to its scale. Repeated until no rate is further than `tolerance` from t.

    Args:
        network: convolutions with bias, ReLU and max-pooling in a row; changed in place.
        images: what it takes, (B, C, H, W).
        rounds: at most so many.
        tolerance: relative.
        seed: of the Gaussian gradients, the same in every round.

    Returns:
        The number of rounds that were needed.

    Raises:
        ValueError: a network that is not such a chain, or rates that do not settle.
    """
    if isinstance(network, SideBySide):  # two chains, neither of which moves the other
        parts = zip(network.halves(), network.shown(images), strict=True)
        return max(calibrate_magnitudes(half, seen, rounds, tolerance, seed) for half, seen in parts)
    layers = chain(network)
    for count in range(1, rounds + 1):
        rates, deviation = change_rates(network, layers, images, seed)
        target = rates.log().mean().exp() * deviation ** (1 / len(layers))
        if bool(((rates / target - 1).abs() < tolerance).all()):
            return count - 1
        _rescale(layers, (rates / target).sqrt())
    raise ValueError(
        f"magnitudes did not settle to {tolerance:.0%} in {rounds} rounds: rates {rates.tolist()}"
    )


def chain(network: Backbone) -> Chain:
    """The convolutions of a network whose layers stand in a row, in order; of two side by side, of each.

    Raises:
        ValueError: anything among them that is no convolution with bias, ReLU or max-pooling.
    """
    if isinstance(network, SideBySide):
        return [layer for half in network.halves() for layer in chain(half)]
    inside = list(network.blocks.modules())
    other = sorted({type(m).__name__ for m in inside if not isinstance(m, HOMOGENEOUS)})
    layers = [m for m in inside if isinstance(m, nn.Conv2d)]
    if other or not all(layer.bias is not None for layer in layers):
        raise ValueError(
            f"{type(network).__name__} is no chain of convolutions with bias, ReLU and max-pooling"
            + (f"; it has {', '.join(other)}" if other else "")
        )
    return layers


def change_rates(network: Backbone, layers: Chain, images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Rates √(mean g² / mean w²) of the layers (L,), and the mean deviation of the output's units ()."""
    with torch.enable_grad():
        output = network(images).maps[network.stage_names[-1]]  # (B, C, h, w)
        noise = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed)).to(output)
        gradients = torch.autograd.grad(output, [layer.weight for layer in layers], noise)
    pairs = zip(gradients, layers, strict=True)
    rates = torch.stack(
        [(g.square().mean() / layer.weight.detach().square().mean()).sqrt() for g, layer in pairs]
    )
    return rates, output.detach().std(dim=(0, 2, 3), correction=0).mean()


@torch.no_grad()
def _rescale(layers: Chain, scales: Tensor) -> None:
    """Multiply weights by their scale, biases by that of all layers up to theirs."""
    so_far = scales.new_ones(())
    for layer, scale in zip(layers, scales, strict=True):
        so_far = so_far * scale
        layer.weight.mul_(scale)
        assert layer.bias is not None
        layer.bias.mul_(so_far)
