"""Mirror images are torchvision's."""

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
