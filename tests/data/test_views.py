"""Batched augmentation gives torchvision's numbers, one image at a time, from the generator alone."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from pretext import views


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 6, height: int = 20, width: int = 20) -> Tensor:
    return torch.rand(count, 3, height, width, generator=generator(7))


RANDOM = {
    "horizontal_flip": lambda x, g: views.horizontal_flip(x, g),
    "random_crop_flip": lambda x, g: views.random_crop_flip(x, 16, g, padding=2),
    "random_resized_crop": lambda x, g: views.random_resized_crop(x, 16, g),
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


def test_a_full_frame_crop_is_the_identity() -> None:
    x = images()
    assert torch.equal(views.random_crop_flip(x, 20, generator(), p=0), x)
    frame = torch.tensor([[0, 0, 20, 20]]).expand(6, 4)
    torch.testing.assert_close(views.crop_resize(x, frame, 20), x, rtol=0, atol=1e-6)
    same = views.random_resized_crop(x, 20, generator(), scale=(1, 1), ratio=(1, 1))
    torch.testing.assert_close(same, x, rtol=0, atol=1e-6)


def test_crops_are_windows_of_the_padded_image_at_every_place() -> None:
    x = images(400, 6, 7)
    size, padding = 5, 1
    padded = torch.nn.functional.pad(x, (padding,) * 4, mode="reflect")
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # (B, C, 4, 5, S, S)
    out = views.random_crop_flip(x, size, generator(), padding)
    found = set()
    for flipped, candidate in ((False, out), (True, out.flip(-1))):
        equal = (windows == candidate[:, :, None, None]).all(-1).all(-1).all(1)  # (B, 4, 5)
        found |= {(int(b), int(i), int(j), flipped) for b, i, j in equal.nonzero()}
    assert len(found) == 400, "every image is one window, mirrored or not"
    assert {place[1:] for place in found} == {(i, j, f) for i in range(4) for j in range(5) for f in (0, 1)}
    with pytest.raises(ValueError, match="cannot cut 8×8 out of images of 6×7"):
        views.random_crop_flip(x, 8, generator())


@pytest.mark.parametrize("size", [8, 20, 33])
def test_crop_and_resize_is_torchvisions_with_antialiasing(size: int) -> None:
    x = images(5, 30, 24)
    boxes = torch.tensor([[0, 0, 30, 24], [3, 5, 1, 1], [7, 2, 20, 22], [29, 23, 1, 1], [10, 0, 8, 24]])
    ours = views.crop_resize(x, boxes, size)
    for image, box, out in zip(x, boxes.tolist(), ours, strict=True):
        theirs = tv.resized_crop(image, *box, [size, size], antialias=True)
        torch.testing.assert_close(out, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("box", [[-1, 0, 5, 5], [0, 0, 0, 5], [0, 16, 5, 5]])
def test_crops_beyond_the_image_are_refused(box: list[int]) -> None:
    with pytest.raises(ValueError, match="inside the image's 20 pixels"):
        views.crop_resize(images(1), torch.tensor([box]), 8)


def test_autocast_does_not_touch_the_pixels() -> None:
    x = images()
    with torch.autocast("cpu", torch.bfloat16):
        cast = views.random_resized_crop(x, 16, generator())
    assert cast.dtype == torch.float32
    assert torch.equal(cast, views.random_resized_crop(x, 16, generator()))


def test_drawn_crops_have_the_areas_aspects_and_places_asked_for() -> None:
    height, width, scale, ratio = 100, 120, (0.2, 0.6), (3 / 4, 4 / 3)
    boxes = views._draw_boxes(4000, height, width, scale, ratio, generator()).double()
    top, left, h, w = boxes.unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + h <= height).all()
    assert (left + w <= width).all()
    area, aspect = h * w / (height * width), w / h
    assert 0.19 < area.min() < 0.22
    assert 0.58 < area.max() < 0.61
    assert abs(area.mean() - 0.4) < 0.01
    assert abs(aspect.log().mean()) < 0.01
    assert 0.72 < aspect.min() < 0.78
    assert 1.30 < aspect.max() < 1.37
    assert abs((top / (height - h).clamp(min=1)).mean() - 0.5) < 0.02


def test_where_no_draw_fits_the_central_crop_is_taken() -> None:
    boxes = views._draw_boxes(3, 100, 20, (1, 1), (3 / 4, 4 / 3), generator())
    assert boxes.tolist() == [[36, 0, 27, 20]] * 3  # 20 / 0.75 = 26.7 rows, as in torchvision
    boxes = views._draw_boxes(3, 20, 100, (1, 1), (3 / 4, 4 / 3), generator())
    assert boxes.tolist() == [[0, 36, 20, 27]] * 3
