"""Mirror images and quarter turns are torchvision's."""

import pytest
import torch
from made_images import generator, images
from torchvision.transforms.v2 import functional as tv

from pretext import views


def test_flip_mirrors_whole_images_at_its_rate() -> None:
    x = images(2000, 4, 4)
    assert torch.equal(views.horizontal_flip(x, generator(), p=0), x)
    assert torch.equal(views.horizontal_flip(x, generator(), p=1), tv.horizontal_flip(x))
    mixed = views.horizontal_flip(x, generator(), p=0.3)
    mirrored = (mixed == tv.horizontal_flip(x)).flatten(1).all(1)
    assert ((mixed == x).flatten(1).all(1) ^ mirrored).all()
    assert abs(mirrored.float().mean() - 0.3) < 5 * (0.3 * 0.7 / 2000) ** 0.5


def test_quarter_turns_are_torchvisions_and_form_a_group() -> None:
    x = images(8)
    k = torch.arange(8) - 2
    turned = views.rotate90(x, k)
    for image, out, turns in zip(x, turned, k.tolist(), strict=True):
        torch.testing.assert_close(out, tv.rotate(image, 90.0 * (turns % 4)), rtol=0, atol=1e-6)
        assert torch.equal(out, torch.rot90(image, turns, (-2, -1)))
    assert torch.equal(views.rotate90(turned, -k), x)
    assert torch.equal(views.rotate90(views.rotate90(x, k), k), views.rotate90(x, 2 * k))
    with pytest.raises(ValueError, match=r"square images, not \(20, 24\)"):
        views.rotate90(images(8, 20, 24), k)
    with pytest.raises(ValueError, match="one k for each of 8"):
        views.rotate90(x, k[:7])


def test_a_mirrored_image_turned_is_the_turned_one_mirrored_back() -> None:
    x = images(4)
    k = torch.arange(4)
    assert torch.equal(views.rotate90(x.flip(-1), k), views.rotate90(x, -k).flip(-1))
