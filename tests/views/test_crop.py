"""Crops give torchvision's numbers, one image at a time."""

import pytest
import torch
from made_images import generator, images
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from pretext import views
from pretext.views.crop import _draw_boxes


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


KERNELS = {"bilinear": views.BILINEAR, "bicubic": views.BICUBIC}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [8, 20, 33])
def test_crop_and_resize_is_torchvisions_with_antialiasing(size: int, kernel: str) -> None:
    x = images(5, 30, 24)
    boxes = torch.tensor([[0, 0, 30, 24], [3, 5, 1, 1], [7, 2, 20, 22], [29, 23, 1, 1], [10, 0, 8, 24]])
    mirrored = torch.tensor([False, True, True, False, True])
    ours = views.crop_resize(x, boxes, size, mirrored, KERNELS[kernel])
    how = InterpolationMode(kernel)
    for image, box, flip, out in zip(x, boxes.tolist(), mirrored, ours, strict=True):
        theirs = tv.resized_crop(image, *box, [size, size], interpolation=how, antialias=True).clamp(0, 1)
        torch.testing.assert_close(out, theirs.flip(-1) if flip else theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_comes_out_stays_in_range(kernel: str) -> None:
    edges = (images() > 0.5).float()
    out = views.random_resized_crop(edges, 33, generator(), kernel=KERNELS[kernel])
    assert 0 <= float(out.min()) < 0.001
    assert 0.999 < float(out.max()) <= 1 + 1e-6


def test_a_mirrored_crop_is_a_crop_and_its_mirror_image() -> None:
    x = images(64)
    draws = generator(3)
    apart = views.horizontal_flip(views.random_resized_crop(x, 16, draws), draws, p=0.3)
    torch.testing.assert_close(
        views.random_resized_crop(x, 16, generator(3), p=0.3), apart, rtol=0, atol=1e-6
    )
    frame = torch.tensor([[0, 0, 20, 20]]).expand(64, 4)
    assert not torch.equal(views.crop_resize(x, frame, 20, torch.ones(64, dtype=torch.bool)), x)


@pytest.mark.parametrize("box", [[-1, 0, 5, 5], [0, 0, 0, 5], [0, 16, 5, 5]])
def test_crops_beyond_the_image_are_refused(box: list[int]) -> None:
    with pytest.raises(ValueError, match="inside the image's 20 pixels"):
        views.crop_resize(images(1), torch.tensor([box]), 8)


def test_drawn_crops_have_the_areas_aspects_and_places_asked_for() -> None:
    height, width, scale, ratio = 100, 120, (0.2, 0.6), (3 / 4, 4 / 3)
    boxes = _draw_boxes(4000, height, width, scale, ratio, generator()).double()
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
    boxes = _draw_boxes(3, 100, 20, (1, 1), (3 / 4, 4 / 3), generator())
    assert boxes.tolist() == [[36, 0, 27, 20]] * 3  # 20 / 0.75 = 26.7 rows, as in torchvision
    boxes = _draw_boxes(3, 20, 100, (1, 1), (3 / 4, 4 / 3), generator())
    assert boxes.tolist() == [[0, 36, 20, 27]] * 3
