"""BatchNorm taken into the weights, and magnitudes: against slow formulas, and what must not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from pretext.backbones import AlexNet, Backbone, ColorNet, ResNet18, SmallNet
from pretext.backbones.batchnorm import norms, recalibrate_batchnorm
from pretext.backbones.calibration import calibrate_magnitudes, chain, change_rates, without_batchnorm

WIDTHS = (6, 8, 8, 10, 12)


def images(count: int = 6, size: int = 32) -> Tensor:
    return torch.randn(count, 2, size, size, generator=torch.Generator().manual_seed(1)) * 2 + 0.3


def trained(kind: type[Backbone]) -> Backbone:
    """A network with statistics, scales and layers of very different magnitudes."""
    torch.manual_seed(0)
    network = SmallNet(2, WIDTHS) if kind is SmallNet else kind(2)
    with torch.no_grad():
        for i, norm in enumerate(norms(network)):
            if norm.affine:
                norm.weight.uniform_(0.2, 3)
                norm.bias.uniform_(-1, 1)
            network.blocks[network.stage_names[i]].conv.weight.mul_(4.0 ** (i - 2))
    recalibrate_batchnorm(network, [images()])
    return network.eval()


@pytest.mark.parametrize("kind", [SmallNet, AlexNet])
def test_absorbing_batchnorm_changes_nothing_but_the_architecture(kind: type[Backbone]) -> None:
    network = trained(kind)
    plain = without_batchnorm(network)
    assert norms(plain) == []
    assert plain.stages == network.stages
    assert plain.arguments == {**network.arguments, "batchnorm": False}
    assert not plain.training
    with torch.no_grad():
        for name, values in network(images()).maps.items():
            torch.testing.assert_close(plain(images()).maps[name], values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [ColorNet, ResNet18])
def test_batchnorm_that_cannot_be_absorbed_is_refused(kind: type[Backbone]) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__} is no chain .* as SmallNet and AlexNet"):
        without_batchnorm(kind(2))


@pytest.mark.parametrize("kind", [SmallNet, AlexNet])
def test_after_calibration_all_layers_change_at_one_rate(kind: type[Backbone]) -> None:
    plain = without_batchnorm(trained(kind))
    before, _ = change_rates(plain, chain(plain), images(), seed=3)
    with torch.no_grad():
        old = plain(images()).maps
    rounds = calibrate_magnitudes(plain, images())
    assert 1 <= rounds < 10
    rates, deviation = change_rates(plain, chain(plain), images(), seed=0)
    assert (before.max() / before.min()).item() > 3
    assert (rates.max() / rates.min()).item() < 1.02
    assert deviation.item() == pytest.approx(1, rel=0.1)
    other, _ = change_rates(plain, chain(plain), images(), seed=7)  # not only for the gradients it was set by
    assert (other.max() / other.min()).item() < 1.3
    with torch.no_grad():
        for name, values in plain(images()).maps.items():  # each map is the old one times one number
            factor = (values * old[name]).sum() / old[name].square().sum()
            torch.testing.assert_close(
                values, factor * old[name], rtol=1e-3, atol=1e-3 * values.abs().max().item()
            )


def slow_rates(plain: Backbone, x: Tensor, noise: Tensor) -> list[float]:
    """√(mean g² / mean w²) over every seventh weight, with g by central differences of Σ noise · output."""
    rates = []
    for layer in chain(plain):
        squares, flat = [], layer.weight.data.view(-1)
        for i in range(0, len(flat), 7):
            held, step = flat[i].item(), 1e-6
            flat[i] = held + step
            above = (plain(x).maps["conv5"] * noise).sum().item()
            flat[i] = held - step
            below = (plain(x).maps["conv5"] * noise).sum().item()
            flat[i] = held
            squares.append(((above - below) / (2 * step)) ** 2)
        rates.append(float(np.sqrt(np.mean(squares) / np.mean(layer.weight.detach().numpy() ** 2))))
    return rates


def test_rates_are_those_of_the_slow_formula() -> None:
    torch.manual_seed(0)
    network = SmallNet(1, (2, 2, 2, 2, 2)).double().eval()
    x = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    recalibrate_batchnorm(network, [x])
    plain = without_batchnorm(network).to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        shape = plain(x).maps["conv5"].shape
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
        slow = slow_rates(plain, x, noise)
    layers = chain(plain)
    gradients = torch.autograd.grad(plain(x).maps["conv5"], [layer.weight for layer in layers], noise)
    squares = [layer.weight.detach().square().mean() for layer in layers]
    some = [(g.flatten()[::7].square().mean() / w).sqrt() for g, w in zip(gradients, squares, strict=True)]
    torch.testing.assert_close(torch.stack(some), torch.tensor(slow).double(), rtol=1e-4, atol=0)
    every = [(g.square().mean() / w).sqrt() for g, w in zip(gradients, squares, strict=True)]
    rates, deviation = change_rates(plain, layers, x, seed=0)
    torch.testing.assert_close(rates, torch.stack(every))
    units = plain(x).maps["conv5"].detach().transpose(0, 1).flatten(1).numpy()
    assert deviation.item() == pytest.approx(np.mean([unit.std() for unit in units]))


def test_only_chains_without_batchnorm_are_calibrated() -> None:
    with pytest.raises(ValueError, match=r"SmallNet is no chain.*it has BatchNorm2d"):
        calibrate_magnitudes(SmallNet(2, WIDTHS), images())
    with pytest.raises(ValueError, match=r"ResNet18 is no chain.*BasicBlock"):
        calibrate_magnitudes(ResNet18(2), images())


def test_rates_that_do_not_settle_are_an_error() -> None:
    plain = without_batchnorm(trained(SmallNet))
    with pytest.raises(ValueError, match="did not settle to 1% in 1 rounds"):
        calibrate_magnitudes(plain, images(), rounds=1)
