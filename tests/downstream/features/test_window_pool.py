"""Pooling to about nine thousand numbers: the paper's sizes and windows, and maps of other sizes."""

import pytest
import torch
from torch.nn import functional as F

from downstream.features.pooling import PUBLISHED_WINDOWS, WindowPool

NOTHING = torch.arange(1)


@pytest.mark.parametrize(
    ("channels", "side", "size"),
    [
        (64, 112, 9216), (256, 56, 9216), (512, 28, 8192), (1024, 14, 9216), (2048, 7, 8192),
        (96, 55, 9600), (256, 27, 9216), (384, 13, 9600), (256, 13, 9216),
    ],
)  # fmt: skip
def test_the_papers_maps_give_the_papers_sizes_by_its_windows(channels: int, side: int, size: int) -> None:
    window, pool = PUBLISHED_WINDOWS[channels, side], WindowPool()
    assert window.cells(side) ** 2 * channels == size
    # Channels do not mix: a channel that is constant stays so, padding included.
    maps = torch.arange(channels, dtype=torch.float32)[None, :, None, None].expand(1, -1, side, side)
    found = pool(maps, NOTHING)
    assert found.shape == (1, size)
    torch.testing.assert_close(found.view(channels, -1), maps[0, :, 0, :1].expand(-1, size // channels))


def test_windows_overlap_as_published() -> None:
    maps = torch.rand(2, 384, 13, 13)
    found = WindowPool()(maps, NOTHING).view(2, 384, 5, 5)
    torch.testing.assert_close(found[:, :, 1, 3], maps[:, :, 1:10, 3:12].mean((2, 3)))


def test_other_maps_are_cut_into_cells() -> None:
    maps = torch.rand(2, 128, 8, 8)
    assert WindowPool()(maps, NOTHING).shape == (2, 128 * 64)
    small = WindowPool(1200)
    torch.testing.assert_close(small(maps, NOTHING), F.adaptive_avg_pool2d(maps, 3).flatten(1))
    torch.testing.assert_close(WindowPool(10)(maps, NOTHING), maps.mean((2, 3)))  # at least one cell
    assert WindowPool()(torch.rand(1, 8, 6, 4), NOTHING).shape == (1, 8 * 16)
    # The paper's window makes 6 × 6 cells of it, 2 × 2 are asked for.
    tight = WindowPool(256 * 5)
    torch.testing.assert_close(
        tight(maps_of(256, 27), NOTHING), F.adaptive_avg_pool2d(maps_of(256, 27), 2).flatten(1)
    )
    with pytest.raises(ValueError, match="dimension must be at least 1, got 0"):
        WindowPool(0)


def maps_of(channels: int, side: int) -> torch.Tensor:
    return torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0))
