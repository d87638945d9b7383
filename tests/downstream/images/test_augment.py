"""Augmentation: size kept, drawn from the generator alone, and the parameters mean what they say."""

import pytest
import torch
from torch import Tensor

from downstream.images.augment import Augmentation, ResizedCrop, ShiftedCrop


def ramp(count: int, side: int = 32) -> Tensor:
    """Images whose first two channels are their columns and rows."""
    column = torch.arange(side).float().expand(side, side) / side
    return torch.stack([column, column.T, torch.ones(side, side)]).expand(count, 3, side, side)


@pytest.mark.parametrize("augment", [ShiftedCrop(), ResizedCrop()])
def test_size_range_and_seed(augment: Augmentation) -> None:
    images = torch.rand(6, 3, 24, 24)
    once, again, other = (augment(images, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert once.shape == images.shape
    assert once.min() >= 0
    assert once.max() <= 1 + 1e-6
    torch.testing.assert_close(once, again, rtol=0, atol=0)
    assert not torch.equal(once, other)


def test_a_shifted_crop_moves_whole_pixels_and_no_further_than_it_may() -> None:
    crops = ShiftedCrop(shift=1 / 8, flip=0)(ramp(400), torch.Generator().manual_seed(0))
    shift = (crops[:, 0, 16, 16] * 32 - 16).round()
    assert set(shift.tolist()) == set(range(-4, 5))
    inner = crops[:, 0, 16, 4:28] * 32  # away from the mirrored border
    torch.testing.assert_close(inner, torch.arange(4.0, 28).expand(400, -1) + shift[:, None])


def test_half_of_the_images_are_mirrored() -> None:
    still = ShiftedCrop(shift=0)(ramp(400), torch.Generator().manual_seed(0))
    mirrored = still[:, 0, 0, 0] > still[:, 0, 0, -1]
    assert 0.4 < mirrored.float().mean() < 0.6
    torch.testing.assert_close(still[mirrored][0], ramp(1)[0].flip(-1))
    whole = ResizedCrop(scale=(1, 1), ratio=(1, 1), flip=1)(ramp(3), torch.Generator())
    torch.testing.assert_close(whole, ramp(3).flip(-1))


def test_a_resized_crop_takes_its_part_of_the_area() -> None:
    crops = ResizedCrop(scale=(0.25, 0.25), ratio=(1, 1), flip=0)(ramp(50), torch.Generator())
    width = (crops[:, 0, 0, -2] - crops[:, 0, 0, 1]) / 29 * 32  # the ramp's slope, away from the border
    torch.testing.assert_close(width, torch.full((50,), 0.5), rtol=0.02, atol=0)


def test_bad_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"shift must be in \[0, 1\), got 1"):
        ShiftedCrop(shift=1)
    with pytest.raises(ValueError, match=r"ResizedCrop: flip must be in \[0, 1\], got 2"):
        ResizedCrop(flip=2)
    with pytest.raises(ValueError, match="scale must be two positive numbers in order"):
        ResizedCrop(scale=(0.5, 0.1))
    with pytest.raises(ValueError, match="scale must end at 1"):
        ResizedCrop(scale=(0.5, 2))
    for augment in (ShiftedCrop(), ResizedCrop()):
        with pytest.raises(ValueError, match="need square images, got 8×12"):
            augment(torch.rand(2, 3, 8, 12), torch.Generator())
