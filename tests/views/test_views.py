"""What holds of every random view: draws of its own for each image, from the generator alone."""

import pytest
import torch
from made_images import generator, images

from pretext import views

RANDOM = {
    "horizontal_flip": lambda x, g: views.horizontal_flip(x, g),
    "random_crop_flip": lambda x, g: views.random_crop_flip(x, 16, g, padding=2),
    "random_resized_crop": lambda x, g: views.random_resized_crop(x, 16, g, p=0.5),
    "multi_crop": lambda x, g: views.multi_crop(x, [views.Crops(1, 16, (0.2, 1))], g)[0][0],
    "color_jitter": lambda x, g: views.color_jitter(x, g, 0.8, 0.8, 0.8, 0.2),
    "random_gray": lambda x, g: views.random_gray(x, g),
    "random_blur": lambda x, g: views.random_blur(x, g, 5),
    "random_solarise": lambda x, g: views.random_solarise(x, g),
    "Distortion": views.Distortion(0.4, 0.4, 0.2, 0.1, blur=0.5, kernel_size=5, solarise=0.2),
}


@pytest.mark.parametrize("view", RANDOM.values(), ids=RANDOM)
def test_the_generator_alone_decides(view) -> None:  # type: ignore[no-untyped-def]
    x = images(64)
    before = torch.get_rng_state()
    first = view(x, generator(1))
    assert torch.equal(first, view(x, generator(1)))
    assert not torch.equal(first, view(x, generator(2)))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(x, images(64)), "the images were changed in place"


@pytest.mark.parametrize("view", RANDOM.values(), ids=RANDOM)
def test_images_of_a_batch_get_their_own_draws_and_do_not_mix(view) -> None:  # type: ignore[no-untyped-def]
    same = images(1).expand(64, -1, -1, -1)
    assert len({v.numpy().tobytes() for v in view(same, generator())}) > 1
    x = images(64)
    changed = x.clone()
    changed[5] = 0.5
    differs = (view(x, generator()) != view(changed, generator())).flatten(1).any(1)
    assert differs.nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize("view", RANDOM.values(), ids=RANDOM)
def test_autocast_does_not_touch_the_pixels(view) -> None:  # type: ignore[no-untyped-def]
    x = images(16)
    with torch.autocast("cpu", torch.bfloat16):
        cast = view(x, generator())
    assert cast.dtype == torch.float32
    assert torch.equal(cast, view(x, generator()))


@pytest.mark.parametrize("view", RANDOM.values(), ids=RANDOM)
def test_colours_stay_in_range(view) -> None:  # type: ignore[no-untyped-def]
    out = view(images(64), generator())
    assert out.shape[:2] == (64, 3)
    assert -1e-6 <= float(out.min()) <= float(out.max()) <= 1 + 1e-6
