"""k-means initialisation against slow formulas, planted clusters, and the statistics that it promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from pretext.backbones import SmallNet
from pretext.backbones.batchnorm import norms
from pretext.backbones.kmeans import cluster_filters, draw_patches, initialise_by_kmeans


def images(count: int = 24, size: int = 24, channels: int = 2, seed: int = 0) -> Tensor:
    """Smooth random fields: neighbouring pixels are alike, as in photographs."""
    noise = torch.randn(count, channels, size + 4, size + 4, generator=torch.Generator().manual_seed(seed))
    return 3 * nn.functional.avg_pool2d(noise, 5, 1) + 0.5


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(12, 6, 1),
    )  # fmt: skip


def test_every_unit_has_zero_mean_and_unit_deviation_on_the_images() -> None:
    network, x = chain(), images()
    initialise_by_kmeans(network, x)
    with torch.no_grad():
        for module in network:
            x = module(x)
            if isinstance(module, nn.Conv2d):
                deviation, mean = torch.std_mean(x, dim=(0, 2, 3), correction=0)
                torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)
                torch.testing.assert_close(deviation, torch.ones_like(deviation), atol=1e-4, rtol=0)


def test_patches_are_what_the_convolution_multiplies() -> None:
    layer, x = nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2), images(3, 9, 4)
    everything = draw_patches(layer, x, 10**6, np.random.default_rng(0))  # (2, N, 2·3·2), in order
    with torch.no_grad():
        expected = layer(x) - layer.bias.view(1, -1, 1, 1)  # (3, 6, h, w)
        weights = layer.weight.view(2, 3, -1)
        found = torch.einsum("gnd,god->gon", torch.from_numpy(everything), weights)  # (2, 3, N)
    b, _, h, w = expected.shape
    torch.testing.assert_close(found.view(6, b, h, w).transpose(0, 1), expected)
    few = draw_patches(layer, x, 7, np.random.default_rng(0))
    assert few.shape == (2, 7, 12)
    both = [{row.tobytes() for row in group} for group in everything]
    assert all(row.tobytes() in both[g] for g, group in enumerate(few) for row in group)


def slow_filters(patches: NDArray[np.float64], units: int, centres: int) -> NDArray[np.float64]:
    """Krähenbühl et al.'s formulas one by one, with Lloyd's iterations from the given start."""
    mean = patches.mean(axis=0)
    covariance = np.zeros((patches.shape[1], patches.shape[1]))
    for p in patches:
        covariance += np.outer(p - mean, p - mean) / (len(patches) - 1)
    values, vectors = np.linalg.eigh(covariance)
    keep = np.argsort(values)[::-1][:units]
    whitening = np.stack([vectors[:, i] / np.sqrt(values[i]) for i in keep])  # (K, D)
    white = np.stack([whitening @ (p - mean) / np.linalg.norm(whitening @ (p - mean)) for p in patches])
    found = white[[np.flatnonzero(np.arange(len(patches)) % units == u)[centres] for u in range(units)]]
    for _ in range(50):
        nearest = [int(np.argmin([np.sum((w - c) ** 2) for c in found])) for w in white]
        found = np.stack([white[[n == u for n in nearest]].mean(axis=0) for u in range(units)])
    return found @ whitening


def test_filters_are_those_of_the_slow_formulas_where_clusters_are_clear() -> None:
    """Four tight clusters at the corners of a tetrahedron: any k-means finds them, so filters must agree."""
    draw = np.random.default_rng(0)
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    stretched = corners @ draw.normal(size=(3, 3)) + 7
    patches = (stretched[np.arange(400) % 4] + 0.02 * draw.normal(size=(400, 3))).astype(np.float32)
    found = cluster_filters(patches, 4, seed=0)
    expected = slow_filters(patches.astype(np.float64), 4, 0)
    similar = _cosine(found, expected)
    assert (similar.max(axis=0) > 0.999).all()
    assert sorted(similar.argmax(axis=0)) == [0, 1, 2, 3]


def _cosine(a: NDArray[np.float32], b: NDArray[np.float64]) -> NDArray[np.float64]:
    unit_a, unit_b = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a, b))
    return np.asarray(unit_a @ unit_b.T)


def test_directions_without_variance_are_left_out() -> None:
    draw = np.random.default_rng(0)
    flat = np.concatenate([draw.normal(size=(300, 3)), np.full((300, 5), 2.0)], axis=1).astype(np.float32)
    filters = cluster_filters(flat, 8, seed=0)
    assert np.isfinite(filters).all()
    assert np.abs(filters[:, 3:]).max() < 1e-4 * np.abs(filters[:, :3]).max()


class Residual(nn.Module):
    """A stem and a residual block with a shortcut of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        shortcut = nn.Sequential(nn.Conv2d(6, 8, 1, 2, bias=False), nn.BatchNorm2d(8))
        self.block = BasicBlock(6, 8, 2, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(self.stem(x))
        return y


@pytest.mark.parametrize("make", [lambda: SmallNet(2, (8, 8, 8, 8, 8)), Residual])
def test_networks_with_batchnorm_keep_the_statistics_of_the_images(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network, x = make().train(), images(40, 32)
    before = {name: p.clone() for name, p in network.named_parameters()}
    modes = [m.training for m in network.modules()]
    initialise_by_kmeans(network, x)
    assert [m.training for m in network.modules()] == modes
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            assert not torch.equal(module.weight, before[f"{name}.weight"])
    for norm in norms(network):  # a convolution's units vary by one on the images, whatever its place
        torch.testing.assert_close(norm.running_var, torch.ones_like(norm.running_var), rtol=1e-2, atol=0)
        assert norm.momentum == 0.1


def test_is_a_function_of_its_seed_alone() -> None:
    states = []
    for seed, noise in ((1, 5), (1, 6), (2, 5)):
        network = chain()
        torch.manual_seed(noise)
        initialise_by_kmeans(network, images(), seed=seed)
        states.append(network.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not torch.equal(states[0]["0.weight"], states[2]["0.weight"])


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="also has: 1"):
        initialise_by_kmeans(nn.Sequential(nn.Conv2d(2, 2, 1), nn.Linear(4, 4)), images())
    with pytest.raises(ValueError, match="0 has 8 units and sees only 4 patches"):
        initialise_by_kmeans(chain(), images(), patches=4)
    with pytest.raises(ValueError, match="0 sees the same patch everywhere"):
        initialise_by_kmeans(chain(), torch.zeros(4, 2, 24, 24))
