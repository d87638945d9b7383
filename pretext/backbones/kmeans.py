"""Data-dependent initialisation by k-means (Krähenbühl et al. 2016, arXiv:1511.06856)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.backbones.batchnorm import norms, recalibrate_batchnorm

DIRECTIONS = 1e-6
"""Directions in which patches vary less than this share of the first are not whitened but left out."""


@torch.no_grad()
def initialise_by_kmeans(network: nn.Module, images: Tensor, patches: int = 10_000, seed: int = 0) -> None:
    """Replace the weights of every convolution, first to last, by clusters of the patches it sees.

    For each layer in the order in which the images reach it: patches of its input are whitened by PCA, as
    many directions as it has units, and brought to unit length; the centres of a mini-batch k-means with as
    many clusters as units, taken back to pixels, are its filters; each unit is then scaled to unit standard
    deviation over the images, and its bias, where the layer has one, makes its mean zero. Groups of a
    convolution are treated one by one. BatchNorm, if any, normalises by these images meanwhile and keeps
    their statistics.

    Args:
        network: takes the images; initialised in place, modes are kept.
        images: (B, C, H, W), all in one batch; the release takes 160.
        patches: drawn of each layer's input.
        seed: of patches, PCA and k-means.

    Raises:
        ValueError: a network with layers other than convolutions, fewer patches than units, or a layer
            whose input is constant.
    """
    other = [name for name, m in network.named_modules() if isinstance(m, nn.Linear | nn.ConvTranspose2d)]
    if other:
        raise ValueError(f"k-means initialises convolutions; the network also has: {', '.join(other)}")
    draw = np.random.default_rng(seed)
    modes = [(m, m.training) for m in network.modules()]
    hooks = []
    network.eval()
    for norm in norms(network):
        norm.train()
    try:
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d):
                hooks.append(layer.register_forward_pre_hook(_Initialise(name, patches, draw)))
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
        for m, training in modes:
            m.training = training
    if norms(network):
        recalibrate_batchnorm(network, [images])


class _Initialise:
    """Hook in front of a convolution: sets its weights from the input that it is about to take.

    So one pass over the network initialises it: each layer sees what the layers before make of the images
    with their new weights.
    """

    def __init__(self, name: str, patches: int, draw: np.random.Generator) -> None:
        self._name, self._patches, self._draw = name, patches, draw

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.Conv2d)
        seen = draw_patches(layer, inputs[0], self._patches, self._draw)  # (G, N, D)
        units = layer.out_channels // layer.groups
        if seen.shape[1] < units:
            raise ValueError(f"{self._name} has {units} units and sees only {seen.shape[1]} patches")
        if not (np.ptp(seen, axis=1) > 0).any(axis=1).all():
            raise ValueError(f"{self._name} sees the same patch everywhere: there is nothing to cluster")
        seeds = self._draw.integers(2**31, size=len(seen))
        filters = [cluster_filters(group, units, int(seed)) for group, seed in zip(seen, seeds, strict=True)]
        layer.weight.copy_(torch.from_numpy(np.concatenate(filters)).view_as(layer.weight))
        self._normalise(layer, inputs[0])

    def _normalise(self, layer: nn.Conv2d, x: Tensor) -> None:
        """Scale every unit to zero mean and unit standard deviation over `x` (B, C, H, W)."""
        if layer.bias is not None:
            layer.bias.zero_()
        deviation, mean = torch.std_mean(layer.forward(x), dim=(0, 2, 3), correction=0)  # (O,)
        if not bool((deviation > 0).all()):
            raise ValueError(
                f"{self._name} has a unit that is the same on all patches: its input is constant"
            )
        layer.weight.div_(deviation.view(-1, 1, 1, 1))
        if layer.bias is not None:
            layer.bias.copy_(-mean / deviation)


def draw_patches(layer: nn.Conv2d, x: Tensor, count: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """What the units of a convolution see of its input at random places.

    Args:
        layer: with any stride, padding, dilation and groups.
        x: its input, (B, C, H, W).
        count: of places, all of them where there are fewer.

    Returns: (groups, N, C / groups · kernel height · kernel width), in the weights' order.
    """
    assert not isinstance(layer.padding, str)
    (ph, pw), (kh, kw), (dh, dw), (sh, sw) = layer.padding, layer.kernel_size, layer.dilation, layer.stride
    x = F.pad(x, (pw, pw, ph, ph))
    rows = (x.shape[-2] - dh * (kh - 1) - 1) // sh + 1
    columns = (x.shape[-1] - dw * (kw - 1) - 1) // sw + 1
    total = len(x) * rows * columns
    chosen = np.sort(draw.choice(total, min(count, total), replace=False))
    image, row, column = (
        torch.from_numpy(i).to(x.device) for i in np.unravel_index(chosen, (len(x), rows, columns))
    )
    at_row = row[:, None] * sh + torch.arange(kh, device=x.device) * dh  # (N, kh)
    at_column = column[:, None] * sw + torch.arange(kw, device=x.device) * dw  # (N, kw)
    # Indices around the slice put the channels last: (N, kh, kw, C).
    seen = x[image[:, None, None], :, at_row[:, :, None], at_column[:, None, :]].permute(0, 3, 1, 2)
    grouped = seen.reshape(len(chosen), layer.groups, -1).transpose(0, 1)  # (G, N, C/G·kh·kw)
    return np.ascontiguousarray(grouped.float().cpu().numpy())


def cluster_filters(patches: NDArray[np.float32], units: int, seed: int) -> NDArray[np.float32]:
    """Filters (units, D) from patches (N, D): k-means centres in the whitened space, taken back.

    With the directions V (K, D) of largest variance λ (K,) and S = diag(λ)^−½, a patch p is clustered as
    (p − mean) Vᵀ S at unit length, and a centre c becomes the filter c S V.
    """
    spectrum = PCA(min(units, *patches.shape), random_state=seed).fit(patches)
    variance = spectrum.explained_variance_
    kept = variance > DIRECTIONS * variance[0]
    whitening = spectrum.components_[kept] / np.sqrt(variance[kept])[:, None]  # S V, (K, D)
    white = (patches - spectrum.mean_) @ whitening.T  # (N, K)
    length = np.linalg.norm(white, axis=1, keepdims=True)
    white = white[length[:, 0] > 0] / length[length[:, 0] > 0]
    clusters = MiniBatchKMeans(units, batch_size=10 * units, n_init=1, random_state=seed).fit(white)
    filters: NDArray[np.float32] = (clusters.cluster_centers_ @ whitening).astype(np.float32)
    return filters
